//! Images for another architecture than the builder's, built while nothing on this machine can start their programs.

use std::collections::BTreeMap;
use std::process::Command;

use smp_image::oci::Digest;

use super::{leads_out, lock_for, mirror};
use crate::emulation::Emulation;
use crate::program::{Ended, Place};
use crate::workbench::{Which, docker, unique, variable};

const FOREIGN: &str = include_str!("../recipes/foreign.toml");

/// What is made for each machine, or anew for each image.
const OWN: [&str; 17] = [
    "etc/ld.so.cache",
    "etc/machine-id",
    "usr/bin/bashbug",
    "usr/bin/ldd",
    "_sysconfigdata_",
    "gconv-modules.cache",
    "Config_heavy.pl",
    "dist-info/RECORD",
    "var/lib/dpkg/triggers/File",
    "var/log/apt",
    "usr/bin/ld.so",
    "var/lib/dpkg/status",
    "var/lib/dpkg/available",
    "var/cache/debconf",
    "var/lib/apt/extended_states",
    "etc/shadow",
    "var/lib/dpkg/lock",
];

/// Returns the files of an image that both architectures must have, with owner, mode, link, and checksum where they are no machine
/// code.
fn files(image: &str, arch: &str) -> BTreeMap<String, String> {
    let platform = format!("linux/{arch}");
    let container = docker(Which::Containerd, &["create", "--platform", &platform, image, "true"]);
    let mut export = Command::new(variable("SMP_WB_DOCKER"))
        .env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"))
        .env("DOCKER_HOST", Which::Containerd.address())
        .args(["export", &container])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut archive = tar::Archive::new(export.stdout.take().unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
        let header = entry.header().clone();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        // Bytecode holds sets in the order of the run that compiled it.
        let code = path.contains("/__pycache__/") || bytes.starts_with(b"\x7fELF");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let sum = if code || path.starts_with("usr/share/doc/") || path.starts_with("var/lib/dpkg/info/") {
            "of its own".to_owned()
        } else {
            Digest::of(neutral(&text)).to_string()
        };
        let (mode, user, group) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        let said = format!("{mode:o} {user}:{group} {} {sum}", neutral(&link));
        files.insert(neutral(&path), said);
    }
    assert!(export.wait().unwrap().success());
    docker(Which::Containerd, &["rm", &container]);
    files
}

/// Returns `text` with the words for one architecture as those for another.
fn neutral(text: &str) -> String {
    let words = [
        ("aarch64", "x86_64"),
        ("arm64", "amd64"),
        ("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux"),
    ];
    words.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

#[test]
fn an_image_for_arm64_is_built_where_nothing_can_start_its_programs_and_runs_where_something_can() {
    let mut machine = Emulation::none();
    variable("SMP_WB_BASE_ARM64");
    let place = Place::new();
    place.write("foreign.toml", FOREIGN);
    let tag = unique("smp-image-test/foreign");
    let run = |words: &[&str]| {
        let mut command = place.program(words);
        Ended::of(leads_out(&mut command).env("DOCKER_HOST", Which::Containerd.address()))
    };
    let mut images = Vec::new();
    for arch in ["amd64", "arm64"] {
        lock_for(&place, "foreign.toml", arch);
        let name = format!("{tag}:{arch}");
        let words = [
            "build",
            "foreign.toml",
            "--arch",
            arch,
            "--tag",
            &name,
            "--mirror",
            &mirror(),
            "--network",
            "host",
            "--locked",
        ];
        let _told = run(&words).fine();
        images.push(files(&name, arch));
    }
    let told = run(&["plan", "foreign.toml", "--arch", "arm64", "--on", "amd64"]).fine();
    assert!(told.contains("none emulated: nothing of linux/arm64 is started"), "{told}");
    same(&images[0], &images[1]);

    machine.switch_on();
    let arm = format!("{tag}:arm64");
    let script = "uname -m && dpkg --audit && apt-get check -qq && fi_info -l && python3 -c 'import etcd, yaml; print(yaml.CSafeLoader)' \
                  && ldconfig -p > /tmp/a && ldconfig && ldconfig -p > /tmp/b && grep '=>' /tmp/a > /tmp/c && grep '=>' /tmp/b | cmp - /tmp/c";
    let words = ["run", "--rm", "--platform", "linux/arm64", "--network", "none", &arm, "sh", "-c", script];
    let said = docker(Which::Containerd, &words);
    assert!(said.starts_with("aarch64") && said.contains("efa:") && said.contains("CSafeLoader"), "{said}");
    let _told = run(&["smoke", &arm, "--recipe", "foreign.toml", "--arch", "arm64"]).fine();
    for arch in ["amd64", "arm64"] {
        docker(Which::Containerd, &["image", "rm", "--force", &format!("{tag}:{arch}")]);
    }
}

/// Asserts that two images hold the same files but for machine code and what is named after the machine.
fn same(amd64: &BTreeMap<String, String>, arm64: &BTreeMap<String, String>) {
    let of_machine = |path: &&String| {
        ["dev/", "run/", "var/cache/apt/", "var/lib/apt/lists"].iter().any(|folder| path.starts_with(folder))
            || OWN.iter().any(|own| path.contains(own))
            || ["ld-linux", "lib64", "libpsm2", "libnuma", "padlock", "-old", "arch-native", "dpkg/arch"]
                .iter()
                .any(|word| path.contains(word))
            || ["usr/bin/i386", "usr/bin/x86_64", "etc/hostname"].contains(&path.as_str())
    };
    let mut faults = Vec::new();
    let paths: std::collections::BTreeSet<&String> = amd64.keys().chain(arm64.keys()).collect();
    for path in paths.into_iter().filter(|path| !of_machine(path)) {
        if amd64.get(path) != arm64.get(path) {
            faults.push(format!("{path}: {:?} and {:?}", amd64.get(path), arm64.get(path)));
        }
    }
    assert!(faults.is_empty(), "{} files differ:\n{}", faults.len(), faults.join("\n"));
    assert!(amd64.len() > 4000, "{} files", amd64.len());
}

#[test]
fn a_foreign_build_that_an_old_engine_cannot_do_is_refused_before_it_starts() {
    let place = Place::new();
    place.write("foreign.toml", FOREIGN);
    lock_for(&place, "foreign.toml", "arm64");
    let build = |which: Which, more: &[&str]| {
        let words = [&["build", "foreign.toml", "--arch", "arm64", "--locked"], more].concat();
        Ended::of(place.program(&words).env("DOCKER_HOST", which.address()))
    };
    let _told = build(Which::Old, &[]).failed(9, &["its BuildKit is too old", "Docker Engine 23.0"]);
    let _told = build(Which::Graph, &["--dialect", "classic"])
        .failed(9, &["the classic builder cannot run stages on its own platform", "take BuildKit"]);
}
