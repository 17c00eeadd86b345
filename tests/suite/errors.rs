//! Every recipe in `tests/errors` is refused with the report that stands beside it. Add a file, get a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::golden;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors")
}

/// Runs `smp-image lock` on a recipe, with nothing in the environment and nobody to ask: bad recipes are refused before that.
fn report(recipe: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_smp-image"))
        .args(["lock", recipe.file_name().unwrap().to_str().unwrap()])
        .current_dir(folder())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.stdout.is_empty(), "data on standard output: {:?}", output.stdout);
    format!("{}exit code {}\n", String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
}

#[test]
fn golden_error_reports() {
    let mut recipes: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    recipes.sort();
    assert!(recipes.len() >= 25, "only {} recipes in tests/errors", recipes.len());
    for recipe in recipes {
        let report = report(&recipe);
        assert!(!report.contains("uv"), "{}: not refused by itself: {report}", recipe.display());
        assert!(report.ends_with("exit code 3\n") || report.ends_with("exit code 4\n"), "{report}");
        golden::equals(&recipe.with_extension("txt"), &report);
        assert!(!recipe.with_extension("lock").exists(), "a refused recipe left a lock");
    }
}
