//! The templates are data for people to change; these tests hold what the type system cannot see in them.

use std::fs;
use std::path::Path;

/// The filters that quote, or that only accept what needs no quoting.
const WAYS_OUT: [&str; 6] = ["word", "words", "sh", "env", "comment", "requirement"];

#[expect(clippy::disallowed_methods, reason = "a test reads the templates")]
fn templates() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dockerfiles");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_value_leaves_a_template_through_a_quoting_filter() {
    for (name, text) in templates() {
        for printed in text.split("{{").skip(1) {
            let inside = printed.split("}}").next().unwrap().trim().trim_matches('-').trim();
            let last = inside.rsplit('|').next().unwrap().trim();
            let component = inside.starts_with('<') && inside.ends_with("/>");
            let number = inside == "max_jobs";
            assert!(
                component || number || WAYS_OUT.contains(&last),
                "{name}: {{{{ {inside} }}}} is not quoted"
            );
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads the source")]
fn every_template_is_embedded() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render.rs")).unwrap();
    for (name, _) in templates() {
        assert!(source.contains(&format!("\"../dockerfiles/{name}\"")), "{name} is not in src/render.rs");
    }
}
