//! The golden Dockerfiles are clean under hadolint, with the rules that `.hadolint.yaml` names and explains left out.
#![expect(clippy::disallowed_methods, reason = "hadolint is another program")]

use std::path::Path;
use std::process::Command;

use crate::workbench::variable;

#[test]
fn every_golden_dockerfile_is_clean_under_hadolint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join("tests/golden")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "Dockerfile")).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    let mut hadolint = Command::new(variable("SMP_WB_HADOLINT"));
    let output = hadolint.arg("--config").arg(root.join(".hadolint.yaml")).args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
