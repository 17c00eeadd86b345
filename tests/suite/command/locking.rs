//! Locks: stale ones say why, broken ones say where, and whatever happens the old one is not lost.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{NO_ARCHIVE, NOBODY, PLAIN, locked};
use crate::program::{Ended, Place};

/// The verbs that work from a lock, without asking anybody.
const FROM_A_LOCK: [&[&str]; 4] = [
    &["plan", "plain.toml"],
    &["render", "plain.toml"],
    &["lock", "plain.toml", "--check"],
    &["build", "plain.toml", "--locked"],
];

#[test]
fn a_lock_is_written_beside_its_recipe_and_says_what_could_not_be_asked() {
    let place = Place::new();
    place.write("plain.toml", PLAIN);
    let ended = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]);
    assert!(
        ended.err.contains("unresolved: digest of docker.io/library/debian:trixie-slim"),
        "{}",
        ended.err
    );
    assert!(ended.out.is_empty(), "{}", ended.out);
    let _told = ended.fine();
    assert_eq!(place.files(), ["here/plain.lock", "here/plain.toml"]);
    let again = place.read("plain.lock");
    let _told = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]).fine();
    assert_eq!(place.read("plain.lock"), again, "the same recipe gives the same lock");
}

#[test]
fn a_stale_lock_is_refused_with_its_reason_and_what_to_do() {
    let place = locked();
    place.write("plain.toml", &format!("{PLAIN}\n[apt]\npackages = [\"less\"]\n"));
    for arguments in FROM_A_LOCK {
        place.run(arguments).failed(
            3,
            &[
                "the lock is stale: plain.toml changed since it was locked",
                "hint: lock again: smp-image lock plain.toml",
            ],
        );
    }
    // Without --locked too: what is built is what was locked, and nobody else decides.
    place.run(&["build", "plain.toml"]).failed(3, &["the lock is stale"]);
}

#[test]
fn a_lock_for_another_platform_is_stale() {
    let place = locked();
    std::fs::rename(place.path("plain.lock"), place.path("plain.arm64.lock")).unwrap();
    place
        .run(&["plan", "plain.toml", "--arch", "arm64"])
        .failed(3, &["it was locked for linux/amd64, and linux/arm64 is asked for"]);
}

#[test]
fn without_a_lock_nothing_is_planned_and_nothing_is_built_with_locked() {
    let place = Place::new();
    place.write("plain.toml", PLAIN);
    for arguments in FROM_A_LOCK {
        place
            .run(arguments)
            .failed(3, &["plain.toml has no lock", "hint: write it: smp-image lock plain.toml"]);
    }
    assert_eq!(place.files(), ["here/plain.toml"]);
}

#[test]
fn with_locked_a_base_that_is_only_a_name_is_refused() {
    locked().run(&["build", "plain.toml", "--locked"]).failed(
        3,
        &[
            "--locked, and the lock leaves open: digest of docker.io/library/debian:trixie-slim",
            "hint: lock again where the network reaches it",
        ],
    );
}

#[test]
fn a_lock_of_a_later_format_is_named_before_anything_else_that_is_strange_in_it() {
    let place = locked();
    let later = place.read("plain.lock").replacen("version = 2", "version = 3\nfuture = {{ not even TOML", 1);
    place.write("plain.lock", &later);
    for arguments in FROM_A_LOCK {
        place.run(arguments).failed(3, &["plain.lock was written by a newer smp-image: it has lock format 3.0; this one reads format 2.0", "hint: use that smp-image"]);
    }
    assert_eq!(place.read("plain.lock"), later);
}

#[test]
fn a_lock_that_was_edited_into_something_else_is_refused_with_its_line() {
    let place = locked();
    let good = place.read("plain.lock");
    let bad = [
        (good.replace("origin = \"apt\"", "origin = \"magic\""), "unknown variant `magic`"),
        (format!("surprise = 1\n{good}"), "unknown field `surprise`"),
        (good.replace("revision = 0\n", ""), "missing field `revision`"),
        (good.replace("sha256:", "sha256:x"), "is not a SHA-256 digest"),
        (good[..good.len() / 2].to_owned(), "is not a lock"),
        (String::new(), "it does not say its format"),
    ];
    for (text, words) in bad {
        place.write("plain.lock", &text);
        place.run(&["plan", "plain.toml"]).failed(3, &["plain.lock is not a lock", words]);
    }
}

#[test]
fn a_check_of_the_lock_says_that_it_is_fresh_and_what_it_leaves_open() {
    let place = locked();
    let ended = place.run(&["lock", "plain.toml", "--check"]);
    assert!(ended.err.contains("the lock answers for its recipe"), "{}", ended.err);
    assert_eq!(ended.fine(), "");
    let json = place.run(&["lock", "plain.toml", "--check", "--format", "json"]).fine();
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(said["lock"], "fresh");
    assert_eq!(said["unresolved"].as_array().unwrap().len(), 6, "{said}");
    assert_eq!(said["digest"], smp_image::oci::Digest::of(place.read("plain.lock")).to_string());
}

#[test]
fn where_a_lock_cannot_be_written_the_old_one_is_unharmed_and_nothing_lies_beside_it() {
    let place = locked();
    let old = place.read("plain.lock");
    place.write("plain.toml", &PLAIN.replace("plain", "plainer"));
    // No file may grow: what a full disk does to a write, for root too.
    let program = place.program(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]);
    let mut limited = std::process::Command::new("/bin/bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(program.get_program());
    limited.args(program.get_args()).current_dir(place.path("")).env_clear();
    limited.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(&mut limited).failed(
        9,
        &["cannot write", "plain.lock: file too large", "hint: the old file, if there was one, is unharmed"],
    );
    assert_eq!(place.read("plain.lock"), old);
    assert_eq!(place.files(), ["here/plain.lock", "here/plain.toml"]);
}

#[test]
fn a_lock_is_the_old_one_or_the_new_one_whenever_the_program_is_killed() {
    let place = locked();
    let old = place.read("plain.lock");
    place.write("plain.toml", &PLAIN.replace("plain", "plainer"));
    let _told = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]).fine();
    let new = place.read("plain.lock");
    let (mut kept, mut replaced) = (0, 0);
    let whole = {
        let began = Instant::now();
        let _told = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]).fine();
        began.elapsed()
    };
    for try_ in 0..12_u32 {
        place.write("plain.lock", &old);
        let mut command = place.program(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]);
        let mut child = command.process_group(0).stderr(Stdio::null()).spawn().unwrap();
        // Around the moment in which it writes.
        std::thread::sleep(whole * (94 + try_) / 100);
        child.kill().unwrap();
        child.wait().unwrap();
        match place.read("plain.lock") {
            text if text == old => kept += 1,
            text if text == new => replaced += 1,
            text => panic!("neither the old lock nor the new one:\n{text}"),
        }
    }
    assert_eq!(kept + replaced, 12);
}

#[test]
fn an_interrupt_ends_a_lock_that_waits_for_a_registry_and_leaves_nothing() {
    let place = Place::new();
    place.write("plain.toml", PLAIN);
    // A registry that takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("docker.io={}", silent.local_addr().unwrap());
    let mut command = place.program(&["lock", "plain.toml", "--mirror", &mirror, "--mirror", NO_ARCHIVE]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let (_connection, _) = silent.accept().unwrap();
    let killed = std::process::Command::new("/bin/kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let code = ends_within(&mut child, Duration::from_secs(5));
    assert_eq!(code, Some(130));
    assert_eq!(place.files(), ["here/plain.toml"]);
}

#[test]
fn an_interrupt_ends_a_check_that_waits_for_a_silent_pipe_at_once() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    assert!(made.success());
    let mut child = place.program(&["check", "docker-archive:pipe"]).stderr(Stdio::null()).spawn().unwrap();
    // Opening waits for the other side: after it the program reads.
    let _silent = std::fs::OpenOptions::new().write(true).open(place.path("pipe")).unwrap();
    let killed = std::process::Command::new("/bin/kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    assert_eq!(ends_within(&mut child, Duration::from_secs(3)), Some(130));
}

/// Waits at most `limit` for `child` to end and returns its exit code; nothing where it still runs.
fn ends_within(child: &mut Child, limit: Duration) -> Option<i32> {
    let began = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return Some(status.code().unwrap_or(-1)),
            None if began.elapsed() > limit => return None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
