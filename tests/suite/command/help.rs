//! Help, completions and manual pages: made from one source, complete, and such that a shell takes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory as _, Parser as _};
use smp_image::cli::Cli;
use smp_image::error::Fault;

use crate::golden;
use crate::program::{Ended, Place};

fn verbs() -> Vec<String> {
    Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help")
}

#[test]
fn golden_help_of_every_verb() {
    let place = Place::new();
    golden::equals(&folder().join("smp-image.txt"), &place.run(&["--help"]).fine());
    for verb in verbs() {
        let help = place.run(&[&verb, "--help"]).fine();
        golden::equals(&folder().join(format!("{verb}.txt")), &help);
    }
}

#[test]
fn the_help_and_the_documentation_name_every_exit_code() {
    let help = Place::new().run(&["--help"]).fine().split_whitespace().collect::<Vec<_>>().join(" ");
    for fault in Fault::ALL {
        let meaning = fault.meaning().split(" (").next().unwrap();
        let words = format!("{} {meaning}", fault.code());
        assert!(help.contains(&words), "{words:?} is not in:\n{help}");
    }
}

#[test]
fn the_examples_of_the_help_can_be_said() {
    let mut examples = 0;
    for verb in Cli::command().get_subcommands() {
        let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("smp-image ")) {
            let said = line.split(" > ").next().unwrap();
            let parsed = Cli::try_parse_from(std::iter::once("smp-image").chain(said.split_whitespace()));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            examples += 1;
        }
    }
    assert!(examples >= 15, "only {examples} examples");
}

#[test]
fn completions_are_made_for_every_shell_and_know_every_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).fine();
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell} does not know {verb}");
        }
    }
    assert_eq!(place.run(&["completions", "tcsh"]).code, 2);
}

#[test]
fn bash_takes_its_completions() {
    let place = Place::new();
    place.write("completions", &place.run(&["completions", "bash"]).fine());
    let script = "set -eu; source ./completions; complete -p smp-image; COMP_WORDS=(smp-image re); COMP_CWORD=1; \
                  _smp__image smp-image re smp-image; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let said = Ended::of(Command::new("bash").args(["-c", script]).current_dir(place.path(""))).fine();
    let offered: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(offered, ["recipes", "render", "release"], "{said}");
}

#[test]
fn manual_pages_are_written_one_for_each_verb() {
    let place = Place::new();
    let page = place.run(&["man"]).fine();
    assert!(page.contains(".TH smp-image 1"), "{page}");
    let _silent = place.run(&["man", "--out", "pages/man1"]).fine();
    let mut expected: Vec<String> =
        verbs().iter().map(|verb| format!("here/pages/man1/smp-image-{verb}.1")).collect();
    expected.push("here/pages/man1/smp-image.1".to_owned());
    expected.sort();
    let mut written = place.files();
    written.sort();
    assert_eq!(written, expected);
    for file in written {
        let text = place.read(file.strip_prefix("here/").unwrap());
        let name = Path::new(&file).file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{file}");
        assert!(text.contains("SYNOPSIS") && text.contains("OPTIONS"), "{file}: {text}");
    }
}
