//! What a lock keeps, what moves, and what an edited, an older, a contested lock means.

use std::process::Stdio;

use super::{NO_ARCHIVE, NOBODY, PLAIN, locked};
use crate::program::Place;

/// A recipe with versions that the catalogue chooses.
const CHOSEN: &str = r#"name = "chosen"
instances = ["ml.p5.48xlarge"]

[base]
image = "debian:trixie-slim"

[components]
python = "*"
cuda = "12"
nccl = "NCCL"
"#;

const OFFLINE: [&str; 3] = ["lock", "chosen.toml", "--offline"];

fn chosen(nccl: &str) -> Place {
    let place = Place::new();
    place.write("chosen.toml", &CHOSEN.replace("NCCL", nccl));
    place
}

#[test]
fn an_edit_by_hand_is_named_and_says_what_next() {
    let place = locked();
    let good = place.read("plain.lock");
    for (edited, part) in [
        (good.replace("reason = \"python3 of", "reason = \"my python3 of"), "component python"),
        (good.replace("name = \"libfabric1\"", "name = \"libfabric2\""), "apt"),
        (good.replace("packages = [\"python3\"]", "packages = [\"python4\"]"), "component python"),
        (good.replace("linux/amd64", "linux/arm64"), "recipe"),
    ] {
        assert_ne!(edited, good, "{part}");
        place.write("plain.lock", &edited);
        for verb in [&["plan", "plain.toml"] as &[&str], &["lock", "plain.toml", "--offline"]] {
            let said = place
                .run(verb)
                .failed(3, &["plain.lock was edited by hand: ", part, "smp-image lock plain.toml --upgrade"]);
            assert!(said.contains("undo the edit"), "{said}");
        }
        assert_eq!(place.read("plain.lock"), edited, "the lock stays as it is");
    }
    // What changes no value is no edit.
    place.write("plain.lock", &format!("# kept by hand\n{}", good.replace('\n', "\r\n")));
    let _told = place.run(&["plan", "plain.toml"]).fine();
    let _told = place.run(&["lock", "plain.toml", "--upgrade", "--offline"]).fine();
}

#[test]
fn a_lock_of_an_older_format_is_made_anew_only_when_that_is_said() {
    let place = locked();
    let older = place.read("plain.lock").replacen("version = 2", "version = 1", 1);
    place.write("plain.lock", &older);
    place.run(&["lock", "plain.toml", "--offline"]).failed(
        3,
        &["plain.lock has lock format 1 of an older smp-image", "smp-image lock plain.toml --upgrade"],
    );
    assert_eq!(place.read("plain.lock"), older);
    let ended = place.run(&["lock", "plain.toml", "--offline", "--upgrade"]);
    assert!(ended.err.contains("made anew"), "{}", ended.err);
    let _told = ended.fine();
    let newer = place.read("plain.lock").replacen("version = 2", "version = 9", 1);
    place.write("plain.lock", &newer);
    place.run(&["lock", "plain.toml", "--offline", "--upgrade"]).failed(3, &["written by a newer smp-image"]);
    assert_eq!(place.read("plain.lock"), newer);
}

#[test]
fn offline_asks_nobody_and_says_what_stays_open() {
    let place = chosen("*");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let mut command = place.program(&OFFLINE);
    let ended = crate::program::Ended::of(command.args([
        "--mirror",
        &format!("docker.io={here}"),
        "--mirror",
        &format!("deb.debian.org={here}"),
    ]));
    assert!(ended.err.contains("unresolved: Python packages that"), "{}", ended.err);
    assert!(ended.err.contains("not asked, it was locked with --offline"), "{}", ended.err);
    let _told = ended.fine();
    assert!(listener.accept().is_err(), "somebody was asked");
    let lock = place.read("chosen.lock");
    assert!(lock.contains("nvidia-nccl-cu12=="), "{lock}");
    // Nothing can be built from it, and that is said.
    place.run(&["build", "chosen.toml", "--locked"]).failed(3, &["nvidia-nccl-cu12"]);
}

#[test]
fn a_plan_works_offline_from_the_catalogue_alone_and_names_the_versions_by_component() {
    let place = chosen("2.27.7");
    let text = place.run(&["plan", "chosen.toml", "--offline", "--format", "json"]).fine();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["components"]["nccl"]["version"], "2.27.7");
    assert_eq!(plan["components"]["nccl"]["origin"], "wheels");
    assert!(plan["components"]["python"]["reason"].as_str().unwrap().contains("python3 of debian 13"));
    assert!(
        place
            .run(&["plan", "chosen.toml", "--offline"])
            .fine()
            .contains("expects nccl                 2.27.7")
    );
    assert_eq!(place.files(), ["here/chosen.toml"]);
}

#[test]
fn a_lock_keeps_what_still_fits_and_an_upgrade_moves_what_was_named() {
    let place = chosen("2.27.7");
    let _told = place.run(&OFFLINE).fine();
    place.write("chosen.toml", &CHOSEN.replace("NCCL", "*"));
    let ended = place.run(&OFFLINE);
    assert!(ended.err.contains("nothing moved"), "{}", ended.err);
    let _told = ended.fine();
    assert!(place.read("chosen.lock").contains("nvidia-nccl-cu12==2.27.7"));

    let before = place.read("chosen.lock");
    let mut arguments = OFFLINE.to_vec();
    arguments.extend(["--upgrade", "nccl", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&place.run(&arguments).fine()).unwrap();
    let changes = said["changes"].as_array().unwrap();
    let nccl = changes.iter().find(|change| change["name"] == "nccl").unwrap();
    assert_eq!((nccl["from"].as_str(), nccl["asked"].as_bool()), (Some("2.27.7"), Some(true)));
    assert!(nccl["why"].as_str().unwrap().len() > 10, "{nccl}");
    let components = changes.iter().filter(|change| change["thing"] == "component");
    assert_eq!(components.count(), 1, "only what was asked for moved: {said}");

    place.write("chosen.lock", &before);
    let ended = place.run(&["lock", "chosen.toml", "--offline", "--upgrade", "nccl"]);
    assert!(ended.err.contains("component nccl: 2.27.7 → "), "{}", ended.err);
    assert!(ended.err.contains(", as asked ("), "{}", ended.err);
    let _told = ended.fine();
    let ended = place.run(&["lock", "chosen.toml", "--offline", "--upgrade", "nccl"]);
    assert!(ended.err.contains("nothing newer fits (smp-image why nccl)"), "{}", ended.err);
    let _told = ended.fine();
}

#[test]
fn an_upgrade_of_what_is_not_there_is_refused_and_the_lock_stays() {
    let place = chosen("*");
    let _told = place.run(&OFFLINE).fine();
    let lock = place.read("chosen.lock");
    place
        .run(&["lock", "chosen.toml", "--upgrade", "efa"])
        .failed(2, &["--upgrade efa: chosen.toml has no efa", "efa = \"*\""]);
    place
        .run(&["lock", "--upgrade", "chosen.toml"])
        .failed(2, &["--upgrade: unknown component `chosen.toml`", "smp-image lock RECIPE --upgrade"]);
    assert_eq!(place.read("chosen.lock"), lock);
}

#[test]
fn a_network_that_is_down_takes_nothing_from_a_lock() {
    // Without `uv` the package index cannot be asked: an error, and the old lock stays.
    let place = chosen("*");
    let _told = place.run(&OFFLINE).fine();
    let old = place.read("chosen.lock");
    let mut command = place.program(&["lock", "chosen.toml", "--upgrade", "--mirror", NOBODY]);
    crate::program::Ended::of(command.env("SMP_IMAGE_UV", "/no/uv")).failed(9, &["`uv` was not found"]);
    assert_eq!(place.read("chosen.lock"), old);
    // A base that can be known without its registry stays known.
    let digest = format!("sha256:{}", "a".repeat(64));
    let plain = PLAIN.replace("debian:trixie-slim", &format!("debian:trixie-slim@{digest}"));
    place.write("plain.toml", &plain);
    let ended = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]);
    assert!(!ended.err.contains("unresolved: digest"), "{}", ended.err);
    let _told = ended.fine();
}

#[test]
fn many_at_once_leave_one_whole_lock() {
    let place = chosen("*");
    let children: Vec<_> = (0..8)
        .map(|at| {
            let mut command = place.program(&OFFLINE);
            if at % 2 == 0 {
                command.args(["--upgrade", "nccl"]);
            }
            command.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let lock = place.read("chosen.lock");
    assert_eq!(smp_image::lock::Lock::parse("chosen.lock", &lock).unwrap().to_text(), lock);
    assert_eq!(place.files(), ["here/chosen.lock", "here/chosen.toml"]);
}
