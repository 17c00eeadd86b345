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
        (&["plan", "--memory", "0"], "0 is not in 1.."),
        (&["plan", "plain.toml", "--allow-unknown"], "--offline"),
        (&["check", ""], "`` names no image"),
        (&["check", "UPPER/Case"], "`UPPER/Case` names no image"),
        (&["check", "docker://"], "an image is named as HOST/REPOSITORY:TAG"),
        (&["check", "./plain.lock"], "is named docker-archive:./plain.lock"),
        (&["check", "oci:absent"], "/absent is not there"),
        (&["check", "oci:."], "is no folder in OCI's layout: it has no index.json"),
        (&["check", "docker-archive:."], "it is a folder"),
        (&["check", "docker-archive:absent"], "docker save --output FILE IMAGE"),
        (&["check", "image", "--instances", "p99"], "smp-image catalog instance"),
        (&["smoke", "UPPER CASE"], "names no image"),
        (&["push", "UPPER CASE", "--to", "registry.test/plain"], "names no image"),
        (&["smoke", "--grade-log", "."], "--grade-log takes a file"),
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

#[test]
fn what_is_no_recipe_is_said_with_what_to_do_instead() {
    let place = locked();
    std::fs::create_dir(place.path("folder")).unwrap();
    place.write("project/smp-image.toml", super::PLAIN);
    place.write("empty.toml", "");
    place.write("comment.toml", "# a recipe, one day\n");
    place.write("nameless.toml", "instances = [\"ml.p5.48xlarge\"]\n[base]\nimage = \"debian\"\n");
    // What `>` of PowerShell writes.
    let utf16: Vec<u8> =
        [0xff_u8, 0xfe].into_iter().chain("name\n".bytes().flat_map(|byte| [byte, 0])).collect();
    std::fs::write(place.path("utf16.toml"), utf16).unwrap();
    let before = place.files();
    for (recipe, words) in [
        (
            "folder",
            &["`folder` is a folder, and a recipe is a file", "hint: `smp-image new` writes smp-image.toml"]
                [..],
        ),
        ("project", &["is a folder", "did you mean `project/smp-image.toml`?"]),
        ("empty.toml", &["missing field `name`", "`smp-image new` writes a whole recipe"]),
        ("comment.toml", &["missing field `name`", "such as name = \"my-image\"; `smp-image new`"]),
        ("nameless.toml", &["missing field `name`", "help: such as name = \"my-image\"\n"]),
        ("utf16.toml", &["cannot read utf16.toml: line 1 is no text in UTF-8", "hint: save it as UTF-8"]),
        ("quikstart", &["there is no recipe `quikstart`", "did you mean `quickstart`?"]),
    ] {
        for verb in ["lock", "plan", "render", "build", "doctor"] {
            let _said = place.run(&[verb, recipe]).failed(3, words);
        }
    }
    assert_eq!(place.files(), before);
}

#[test]
fn a_recipe_may_come_through_a_pipe() {
    let place = locked();
    let mut command = std::process::Command::new("/bin/bash");
    let program = place.program(&[]);
    command.args(["-c", "\"$0\" plan <(cat plain.toml) --offline"]).arg(program.get_program());
    command.current_dir(place.path("")).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let told = crate::program::Ended::of(&mut command).fine();
    assert!(told.starts_with("plain, from the catalogue"), "{told}");
}

#[test]
fn a_hint_names_the_architecture_that_was_asked_for() {
    let place = locked();
    let lock = place.read("plain.lock");
    place.write("my plain.toml", super::PLAIN);
    place.write("my plain.arm64.lock", &lock.replacen("version = 2", "version = 1", 1));
    let plan = ["plan", "my plain.toml", "--arch", "arm64"];
    place.run(&plan).failed(3, &["write it anew: smp-image lock 'my plain.toml' --arch arm64 --upgrade"]);
    place.write("my plain.arm64.lock", &lock);
    place.run(&plan).failed(3, &["lock again: smp-image lock 'my plain.toml' --arch arm64"]);
    std::fs::remove_file(place.path("my plain.arm64.lock")).unwrap();
    place
        .run(&plan)
        .failed(3, &["has no lock for linux/arm64", "write it: smp-image lock 'my plain.toml' --arch arm64"]);
    place
        .run(&["plan", "smp-2.8", "--arch", "arm64"])
        .failed(3, &["smp-image new --from smp-2.8, then smp-image lock --arch arm64"]);
}

#[test]
fn plan_offline_takes_a_version_that_nobody_knows_where_it_is_told_to() {
    let place = Place::new();
    place.write("new.toml", &super::PLAIN.replace("libfabric = \"*\"", "nccl = \"2.99.0\""));
    place.run(&["plan", "new.toml", "--offline"]).failed(4, &["--allow-unknown takes it unjudged"]);
    let plan = place.run(&["plan", "new.toml", "--offline", "--allow-unknown"]).fine();
    assert!(plan.contains("nccl                 2.99.0"), "{plan}");
}

#[test]
fn why_knows_the_facts_of_the_user() {
    let place = locked();
    place.write("facts.toml", "[[surprise]]\n");
    place.run(&["why", "python", "plain.toml", "--catalog", "facts.toml"]).failed(3, &["facts.toml"]);
}

#[test]
fn where_the_lock_cannot_be_written_new_leaves_no_recipe_behind() {
    let place = Place::new();
    // Two KiB fit, as the recipe does and its lock does not: what a disk that fills up does.
    let program = place.program(&["new"]);
    let mut command = std::process::Command::new("/bin/bash");
    let script = "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(program.get_program()).args(program.get_args());
    command.current_dir(place.path("")).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    crate::program::Ended::of(&mut command).failed(9, &["cannot write", "smp-image.lock"]);
    assert_eq!(place.files(), Vec::<String>::new());
}
