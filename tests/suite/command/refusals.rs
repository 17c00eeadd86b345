//! What makes no sense is refused before anything is asked or written, each fault with its exit code.

use super::{NOBODY, locked};
use crate::program::Place;

#[test]
fn a_command_line_that_makes_no_sense_is_usage_even_where_there_is_no_engine() {
    let place = locked();
    let before = place.files();
    for (arguments, words) in [
        (&["build", "--surprise"][..], "unexpected argument '--surprise'"),
        (&["biuld"], "similar subcommand exists: 'build'"),
        (&[], "Usage: smp-image"),
        (&["build", "plain.toml", "--mirror", "docker.io"], "--mirror: `docker.io` is not a mirror"),
        (&["plan", "plain.toml", "--mirror", "=x"], "--mirror: `=x` is not a mirror"),
        (&["build", "plain.toml", "--tag", "UPPER CASE"], "--tag UPPER CASE: "),
        (&["build", "plain.toml", "--arch", "sparc"], "possible values: amd64, arm64"),
        (&["build", "plain.toml", "--ca-bundle", "absent.pem"], "cannot read the certificates in "),
        (&["build", "plain.toml", "--host", "unix:///x", "--context", "y"], "cannot be used with"),
        (&["build", "plain.toml", "--host", "smoke://signals"], "has an unknown scheme"),
        (&["build", "plain.toml", "--context", "nowhere"], "there is no such context"),
        (&["build", "plain.toml", "--format", "junit"], "--format junit is for check, smoke and release"),
        (&["push", "image", "--to", "UPPER CASE"], "--to: `UPPER CASE` is no destination"),
        (&["push", "image"], "where to push was not said"),
        (&["release", "plain.toml"], "where to push was not said"),
        (&["push", "image", "--to", "x", "--scan-on-push"], "--create-repository"),
        (&["check"], "<IMAGE>"),
        (&["render", "--memory", "much"], "invalid value 'much'"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {words:?} is not in:\n{}", ended.err);
        assert!(ended.out.is_empty(), "{arguments:?} printed {}", ended.out);
    }
    assert_eq!(place.files(), before);
}

#[test]
fn where_no_engine_answers_every_verb_that_needs_one_says_where_it_looked_and_what_to_do() {
    let place = locked();
    for arguments in [
        &["build", "plain.toml"][..],
        &["release", "plain.toml", "--to", "registry.test/plain"],
        &["check", "image"],
        &["smoke", "image"],
        &["push", "image", "--to", "registry.test/plain"],
    ] {
        let said = place.run(arguments).failed(9, &["no container engine answers at unix:///", "hint: "]);
        assert!(said.contains("/no-engine.sock: No such file or directory"), "{said}");
        assert!(said.contains("--host, DOCKER_HOST or --context"), "{said}");
    }
}

#[test]
fn a_port_where_nobody_listens_is_no_engine() {
    locked()
        .run(&["build", "plain.toml", "--host", "tcp://127.0.0.1:1"])
        .failed(9, &["no container engine answers at tcp://127.0.0.1:1"]);
}

#[test]
fn without_uv_a_recipe_with_python_packages_says_how_to_get_it() {
    let place = Place::new();
    let _told = place.run(&["new"]).fine();
    let mut command = place.program(&["lock", "--mirror", NOBODY]);
    let old = place.read("smp-image.lock");
    crate::program::Ended::of(command.env("PATH", "/nonexistent"))
        .failed(9, &["`uv` was not found", "hint: install it: `pip install uv`"]);
    assert_eq!(place.read("smp-image.lock"), old);
}

#[test]
fn a_recipe_that_no_version_fits_has_its_own_exit_code() {
    let place = Place::new();
    place.write("none.toml", &super::PLAIN.replace("python = \"*\"", "python = \"3.99\""));
    place.run(&["lock", "none.toml", "--mirror", NOBODY]).failed(4, &["knows no such version", "none.toml"]);
    assert_eq!(place.files(), ["here/none.toml"]);
}

#[test]
fn files_to_copy_that_are_not_there_are_named_once() {
    let place = Place::new();
    let recipe = format!("{}\n[[copy]]\nfrom = \"absent\"\nto = \"/workspace\"\n", super::PLAIN);
    place.write("plain.toml", &recipe);
    let _told = place.run(&["lock", "plain.toml", "--mirror", NOBODY]).fine();
    let said = place.run(&["build", "plain.toml"]).failed(
        3,
        &[
            "/absent for [[copy]]: No such file or directory",
            "hint: [[copy]] takes files below the recipe's folder",
        ],
    );
    assert_eq!(said.matches("/absent").count(), 1, "{said}");
}
