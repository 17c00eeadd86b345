//! Generated files are committed and equal their generator; `make golden` renews them.

use std::fs;
use std::path::Path;

/// Asserts that the file at `path` holds `text`; with `SMP_IMAGE_GOLDEN=write` makes it so.
pub(crate) fn equals(path: &Path, text: &str) {
    if std::env::var_os("SMP_IMAGE_GOLDEN").is_some_and(|mode| mode == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "{} is not what its generator says; `make golden` renews it.\n{text}",
        path.display()
    );
}
