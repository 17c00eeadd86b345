//! The architecture as a test: who may know whom, what every file must say, how long it may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in walking order. A room may name the rooms above it; the exceptions are written out.
const ROOMS: &[&str] = &[
    "error",
    "oci",
    "cli",
    "recipe",
    "catalog",
    "lock",
    "resolve",
    "plan",
    "render",
    "wheelhouse",
    "job",
    "engine",
    "cluster",
    "check",
    "grade",
    "smoke",
    "verdict",
    "registry",
    "doctor",
    "report",
    "commands",
];

/// Rooms that may name less than everything above them, with what they may name.
const STRICTER: &[(&str, &[&str])] = &[
    // What can be said on the command line is not what it means.
    ("cli", &["oci", "recipe"]),
    // Any Dockerfile can be built: an engine knows no recipes.
    ("engine", &["oci"]),
    // A wheelhouse keeps what a plan compiles, and nothing else.
    ("wheelhouse", &["oci", "recipe", "plan"]),
    // A cluster gets objects and runs pods; it knows no jobs and no probes.
    ("cluster", &[]),
    // A job is made of an image's name and an instance's facts: no recipe, lock or plan.
    ("job", &["oci", "recipe", "catalog"]),
    // A log is judged without any image.
    ("grade", &["recipe", "catalog"]),
    // A registry knows images, not how they came to be.
    ("registry", &["oci", "engine", "verdict"]),
    // The doctor looks at a machine; what a recipe needs of it is told in numbers.
    ("doctor", &["oci", "engine", "registry"]),
];

/// Files that may be longer than the budget, each with its reason.
const LONGER: &[(&str, &str)] = &[];

const LINE_BUDGET: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = walkdir::WalkDir::new(root().join(folder))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let shown = path.strip_prefix(root()).unwrap().display().to_string();
            (shown, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no Rust files in {folder}");
    files
}

/// Returns the room of a file below `src`: the first part of its path, without its ending.
fn room(file: &str) -> &str {
    let below = file.strip_prefix("src/").unwrap();
    below.split(['/', '.']).next().unwrap()
}

/// Returns the rooms that `text` names as `crate::room` or `crate::{room, …}`.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut word = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        named.insert(std::mem::take(&mut word));
                    }
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            named.insert(word);
        } else {
            named.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let first = |path: String| path.trim().split("::").next().unwrap_or_default().to_owned();
    named.into_iter().map(first).filter(|name| ROOMS.contains(&name.as_str())).collect()
}

fn may_name(room: &str, other: &str) -> bool {
    if room == other || matches!(room, "lib" | "main") {
        return true;
    }
    if let Some((_, allowed)) = STRICTER.iter().find(|(strict, _)| *strict == room) {
        return allowed.contains(&other);
    }
    let place = |name| ROOMS.iter().position(|room| *room == name);
    place(other) < place(room)
        && (other != "cli" || room == "commands")
        && (other != "error" || room == "commands")
}

#[test]
fn a_room_names_only_rooms_that_it_may_know() {
    let mut faults = Vec::new();
    for (file, text) in rust_files("src") {
        let room = room(&file);
        assert!(
            matches!(room, "lib" | "main") || ROOMS.contains(&room),
            "{file}: `{room}` is not in the table of rooms"
        );
        for other in rooms_named(&text) {
            if !may_name(room, &other) {
                faults.push(format!("{file} may not name `{other}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_sees_what_it_must_see() {
    let named = rooms_named("use crate::{oci::Digest, plan};\nuse crate::engine::{Engine, Event};");
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["engine", "oci", "plan"]);
    assert!(!may_name("engine", "recipe"));
    assert!(!may_name("recipe", "plan"));
    assert!(may_name("commands", "engine"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_within_its_budget() {
    let mut faults = Vec::new();
    for folder in ["src", "tests"] {
        for (file, text) in rust_files(folder) {
            if !text.starts_with("//! ") {
                faults.push(format!("{file} does not open with `//!`"));
            }
            let lines = text.lines().count();
            if lines > LINE_BUDGET && !LONGER.iter().any(|(longer, _)| *longer == file) {
                faults.push(format!("{file} has {lines} lines, more than {LINE_BUDGET}"));
            }
            if Path::new(&file).file_name().is_some_and(|name| name == "mod.rs") {
                faults.push(format!("{file}: foo.rs and foo/, no mod.rs"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_test_file_is_in_the_root_of_its_binary() {
    for kind in ["suite", "live"] {
        let text = fs::read_to_string(root().join("tests").join(kind).join("main.rs")).unwrap();
        for (file, _) in rust_files(&format!("tests/{kind}")) {
            let name = Path::new(&file).file_stem().unwrap().to_str().unwrap();
            let nested = Path::new(&file).parent().unwrap() != Path::new(&format!("tests/{kind}"));
            assert!(nested || name == "main" || text.contains(&format!("mod {name};")), "{file} never runs");
        }
    }
}

#[test]
fn modules_named_for_nothing_are_refused() {
    for (file, _) in rust_files("src") {
        let name = Path::new(&file).file_stem().unwrap().to_str().unwrap();
        assert!(!["utils", "util", "common", "shared", "types", "helpers", "misc"].contains(&name), "{file}");
    }
}
