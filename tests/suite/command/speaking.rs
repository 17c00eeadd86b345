//! Data to standard output, everything else to standard error, and nothing that a pipe or a file must not have.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::locked;
use crate::program::{Ended, Place};

/// The verbs that print data without asking anybody.
const DATA: [&[&str]; 4] =
    [&["recipes"], &["plan", "plain.toml"], &["render", "plain.toml"], &["lock", "plain.toml", "--check"]];

fn shell(place: &Place, script: &str) -> Ended {
    let program = place.program(&[]);
    let mut shell = Command::new("/bin/bash");
    shell.args(["-c", &format!("set -o pipefail; {script}")]).arg(program.get_program());
    shell.current_dir(place.path("")).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(&mut shell)
}

#[test]
fn standard_output_holds_the_dockerfile_and_nothing_else() {
    let ended = locked().run(&["render", "plain.toml"]);
    assert!(
        ended.err.starts_with("warning: not locked: digest of docker.io/library/debian"),
        "{}",
        ended.err
    );
    let text = ended.fine();
    assert!(text.starts_with("# Made by smp-image from the recipe plain."), "{text}");
    let parsed = parse_dockerfile::parse(&text).unwrap();
    assert!(parsed.stages().count() >= 2);
}

#[test]
fn every_json_form_is_one_document_without_remarks() {
    let place = locked();
    for arguments in DATA {
        let json = place.run(&[arguments, &["--format", "json"]].concat()).fine();
        let value: Value =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(value.is_object() || value.is_array(), "{arguments:?}");
        assert!(json.ends_with('\n'), "{arguments:?}");
    }
    let rendered = place.run(&["render", "plain.toml", "--format", "json"]).fine();
    let rendered: Value = serde_json::from_str(&rendered).unwrap();
    assert_eq!(rendered["dockerfile"], place.run(&["render", "plain.toml"]).fine());
}

#[test]
fn a_plan_in_json_is_read_back_as_a_plan() {
    let json = locked().run(&["plan", "plain.toml", "--format", "json"]).fine();
    let plan: smp_image::plan::Plan = serde_json::from_str(&json).unwrap();
    assert_eq!(plan.recipe.to_string(), "plain");
}

#[test]
fn quiet_says_only_what_went_wrong() {
    let place = locked();
    for arguments in DATA {
        let ended = place.run(&[arguments, &["--quiet"]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
    }
    let ended = place.run(&["lock", "plain.toml", "--mirror", super::NOBODY, "-q"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    place.run(&["plan", "absent", "-q"]).failed(3, &["there is no recipe `absent`"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = locked();
    for script in [
        "\"$0\" render plain.toml | head -1",
        "\"$0\" plan smp-2.8-from-parts --format json | head -c 10",
        "\"$0\" completions bash | true",
    ] {
        let ended = shell(&place, script);
        assert_eq!(ended.code, 0, "{script}: {}", ended.err);
        assert!(!ended.err.contains("error") && !ended.err.contains("panicked"), "{}", ended.err);
    }
}

#[test]
fn standard_output_that_takes_nothing_is_a_failure_that_is_told() {
    let ended = shell(&locked(), "\"$0\" render plain.toml > /dev/full");
    ended.failed(9, &["cannot write to standard output: No space left on device"]);
}

/// Runs the program with `arguments` on a terminal of `columns`.
fn on_a_terminal(place: &Place, columns: usize, arguments: &[&str], variable: Option<&str>) -> Ended {
    let program = place.program(arguments);
    let words: Vec<_> = std::iter::once(program.get_program()).chain(program.get_args()).collect();
    let line = words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let mut script = Command::new("script");
    script.args([
        "--quiet",
        "--return",
        "--command",
        &format!("stty rows 50 cols {columns}; {line}"),
        "/dev/null",
    ]);
    script.current_dir(place.path(""));
    script.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm").envs(variable.map(|name| (name, "1"))).stdin(Stdio::null());
    Ended::of(&mut script)
}

#[test]
fn on_a_terminal_no_line_is_broken_within_a_word() {
    let place = locked();
    place.write("none.toml", include_str!("../../errors/no-fit-three-conflicts.toml"));
    for arguments in [
        &["plan", "quickstart"][..],
        &["recipes"],
        &["catalog"],
        &["why", "pytorch", "pytorch-te"],
        &["lock", "none.toml", "--offline"],
        &["build", "quickstart"],
        &["check", "--explain", "no-such-rule"],
        &["doctor", "quickstart", "--offline"],
    ] {
        let piped = place.run(arguments);
        let whole = format!("{}\n{}", piped.out, piped.err);
        for columns in [60, 80, 120] {
            let shown = on_a_terminal(&place, columns, arguments, Some("NO_COLOR")).out;
            for line in shown.lines().map(str::trim_end).filter(|line| line.chars().count() > columns) {
                // A word that is wider than the terminal, such as a path, stays whole.
                assert!(!line.trim_start().contains(' '), "{arguments:?} at {columns} columns: {line}");
            }
            let words: std::collections::BTreeSet<&str> = whole.split_whitespace().collect();
            let torn: Vec<&str> = shown.split_whitespace().filter(|word| !words.contains(word)).collect();
            assert!(torn.is_empty(), "{arguments:?} at {columns} columns: {torn:?}");
        }
    }
}

#[test]
fn colours_go_to_terminals_only_and_not_where_they_are_unwanted() {
    let place = locked();
    let coloured = on_a_terminal(&place, 80, &["plan", "absent"], None);
    assert_eq!(coloured.code, 3, "{coloured:?}");
    assert!(coloured.out.contains("\u{1b}["), "{}", coloured.out);
    let plain = on_a_terminal(&place, 80, &["plan", "absent"], Some("NO_COLOR"));
    assert_eq!(plain.code, 3, "{plain:?}");
    assert!(
        !plain.out.contains('\u{1b}') && plain.out.contains("error: there is no recipe"),
        "{}",
        plain.out
    );
    let piped = place.run(&["plan", "absent"]);
    assert!(!piped.err.contains('\u{1b}'), "{}", piped.err);
}
