//! The files of one image for two machines, held against each other: what may differ is listed here, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::{Command, Stdio};

use smp_image::oci::Digest;

use crate::workbench::{Which, docker, variable};

/// What of a file may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// That it is there at all.
    Be,
    /// Its bytes; mode, owner and target are the same.
    Hold,
    /// Mode, owner, or the target of the link.
    Look,
}

/// What may differ, and why. A star stands for anything; a row that excuses nothing is a fault too.
const EXCUSES: &[(May, &str, &str)] = &[
    (
        May::Be,
        "dev/*",
        "the stand-in base for amd64 was made with devices, which an engine covers with its own",
    ),
    (
        May::Be,
        "run/*",
        "a file system in memory covers it; scripts left folders there when the base for amd64 was made",
    ),
    (May::Be, "lib64", "the loader of x86-64 has its own folder"),
    (May::Be, "usr/lib64*", "the loader of x86-64 has its own folder"),
    (May::Be, "usr/lib/ld-linux-*", "the loader of arm64 has its own place"),
    (May::Be, "usr/lib/x86_64-linux-gnu/ld-linux-*", "each loader has its own name"),
    (May::Look, "usr/bin/ld.so", "it leads to the loader"),
    (May::Be, "usr/bin/i386", "another name of setarch, on x86 alone"),
    (May::Be, "usr/bin/x86_64", "another name of setarch, on x86 alone"),
    (May::Be, "usr/lib/x86_64-linux-gnu/engines-3/padlock.so", "an engine of OpenSSL for processors of VIA"),
    (May::Be, "usr/lib/x86_64-linux-gnu/libpsm2.so*", "libfabric for x86-64 alone has Intel's PSM2"),
    (May::Be, "usr/share/doc/libpsm2-2*", "libfabric for x86-64 alone has Intel's PSM2"),
    (May::Be, "var/lib/dpkg/info/libpsm2-2.*", "libfabric for x86-64 alone has Intel's PSM2"),
    (May::Be, "usr/lib/x86_64-linux-gnu/libnuma.so*", "Intel's PSM2 wants it"),
    (May::Be, "usr/share/doc/libnuma1*", "Intel's PSM2 wants it"),
    (May::Be, "var/lib/dpkg/info/libnuma1:amd64.*", "Intel's PSM2 wants it"),
    (May::Be, "var/cache/apt/archives/lock", "apt ran in the one image and beside the other"),
    (May::Be, "var/lib/apt/lists/lock", "apt ran in the one image and beside the other"),
    (May::Look, "var/cache/apt/archives/partial", "apt gives it to its own user when it runs"),
    (May::Look, "var/lib/apt/lists/partial", "apt gives it to its own user when it runs"),
    (May::Be, "var/log/apt", "the stand-in base for arm64 has the empty folder"),
    (May::Be, "var/lib/dpkg/lock*", "dpkg ran in the one image and beside the other"),
    (May::Be, "var/lib/dpkg/arch*", "dpkg writes it when it runs for the first time"),
    (May::Be, "var/lib/dpkg/*-old", "what dpkg knew before its last change"),
    (May::Hold, "var/lib/dpkg/status", "sizes and dependencies; packages and versions are compared below"),
    (May::Hold, "var/lib/dpkg/triggers/File", "who waits for the folders of the loader"),
    (May::Hold, "var/lib/dpkg/info/*.md5sums", "checksums of machine code"),
    (May::Hold, "var/lib/dpkg/info/*.symbols", "symbols that a library has on one machine alone"),
    (May::Hold, "var/lib/dpkg/info/libc6:amd64.p*", "scripts that name the loader"),
    (May::Hold, "var/lib/dpkg/info/libc6:amd64.shlibs", "it names the loader"),
    (May::Hold, "var/lib/dpkg/info/base-files.*", "scripts that make the folder of the loader"),
    (
        May::Hold,
        "var/lib/dpkg/info/grep.list",
        "compiled once more for arm64 alone, with a changelog of its own",
    ),
    (
        May::Hold,
        "var/lib/dpkg/info/util-linux.list",
        "pages of the manual on the names of setarch that x86 alone has",
    ),
    (May::Hold, "etc/ld.so.cache", "it lists libraries by machine; the image's own ldconfig is asked below"),
    (May::Hold, "etc/machine-id", "each base has its own"),
    (May::Hold, "opt/venv/*.dist-info/RECORD", "checksums of machine code"),
    (May::Hold, "usr/bin/bashbug", "it names the machine that bash was compiled for, and how"),
    (May::Hold, "usr/bin/ldd", "it names the loaders"),
    (May::Hold, "usr/lib/python3.13/_sysconfigdata_*", "how Python was compiled"),
    (
        May::Hold,
        "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
        "compiled from tables that differ by machine",
    ),
    (May::Hold, "usr/lib/x86_64-linux-gnu/perl-base/Config_heavy.pl", "how Perl was compiled"),
];

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Mode, owner, group, kind and target.
    look: String,
    /// What it holds: a checksum, or that it is machine code or bytecode.
    holds: String,
}

/// The files of an image by their paths, and the packages that dpkg knows, both in the words of amd64.
pub(super) struct Files {
    files: BTreeMap<String, Seen>,
    packages: BTreeSet<String>,
}

/// Returns the files of `image`; machine code in it must be for `arch`.
pub(super) fn files(image: &str, arch: &str) -> Files {
    let platform = format!("linux/{arch}");
    let container = docker(Which::Containerd, &["create", "--platform", &platform, image, "true"]);
    let mut export = Command::new(variable("SMP_WB_DOCKER"))
        .env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"))
        .env("DOCKER_HOST", Which::Containerd.address())
        .args(["export", &container])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut archive = tar::Archive::new(export.stdout.take().unwrap());
    let mut all = Files { files: BTreeMap::new(), packages: BTreeSet::new() };
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = neutral(entry.path().unwrap().display().to_string().trim_end_matches('/'));
        let link = entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
        let header = entry.header().clone();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if path == "var/lib/dpkg/status" {
            all.packages = packages(&String::from_utf8_lossy(&bytes));
        }
        let (mode, user, group) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        let look = format!("{mode:o} {user}:{group} {:?} {}", header.entry_type(), neutral(&link));
        all.files.insert(path.clone(), Seen { look, holds: holds(&path, &bytes, arch) });
    }
    assert!(export.wait().unwrap().success());
    docker(Which::Containerd, &["rm", &container]);
    all
}

/// Returns what a file holds, so that two machines can be compared.
fn holds(path: &str, bytes: &[u8], arch: &str) -> String {
    if bytes.starts_with(b"\x7fELF") {
        let machine = u16::from_le_bytes([bytes[18], bytes[19]]);
        assert_eq!(machine, if arch == "amd64" { 62 } else { 183 }, "{path} is for another machine");
        return "machine code".to_owned();
    }
    // Bytecode holds sets in the order of the run that compiled it.
    if path.contains("/__pycache__/") {
        return "bytecode".to_owned();
    }
    let text = neutral(&String::from_utf8_lossy(bytes));
    let package = path.strip_prefix("var/lib/dpkg/info/").and_then(|name| name.strip_suffix(".list"));
    if package.is_some() {
        // Which files a package has: in another order on each machine, and without those that are listed above.
        let named = |line: &&str| excuse(line.trim_start_matches('/'), May::Be).is_none();
        let lines: BTreeSet<&str> = text.lines().filter(named).collect();
        return format!("{lines:?}");
    }
    Digest::of(text).to_string()
}

/// Returns each package of dpkg's status with its version and state. A package that was only compiled again for one machine has `+b1`.
fn packages(status: &str) -> BTreeSet<String> {
    let paragraphs = status.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    let package = |paragraph: &str| {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name} {paragraph}"))
        };
        let version = field("Version: ");
        let version = version.rsplit_once("+b").map_or(version, |(version, _)| version);
        format!("{} {version} {}", field("Package: "), field("Status: "))
    };
    paragraphs.map(package).collect()
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

/// Returns the row that excuses a difference.
fn excuse(path: &str, may: May) -> Option<usize> {
    let meant = |pattern: &str| match pattern.split_once('*') {
        Some((before, after)) => {
            path.len() >= before.len() + after.len() && path.starts_with(before) && path.ends_with(after)
        }
        None => path == pattern,
    };
    EXCUSES.iter().position(|(what, pattern, _)| *what == may && meant(pattern))
}

/// Asserts that two images hold the same files and packages but for machine code and what is excused, and that each excuse is needed.
pub(super) fn same(amd64: &Files, arm64: &Files) {
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    let paths: BTreeSet<&String> = amd64.files.keys().chain(arm64.files.keys()).collect();
    for path in paths {
        let differences = match (amd64.files.get(path), arm64.files.get(path)) {
            (Some(one), Some(other)) => {
                [(one.look != other.look, May::Look), (one.holds != other.holds, May::Hold)]
            }
            _ => [(true, May::Be); 2],
        };
        for (_, may) in differences.into_iter().filter(|(differs, _)| *differs) {
            match excuse(path, may) {
                Some(row) => drop(used.insert(row)),
                None => faults.push(format!(
                    "{path} may not {may:?} otherwise: {:?} and {:?}",
                    amd64.files.get(path),
                    arm64.files.get(path)
                )),
            }
        }
    }
    assert!(faults.is_empty(), "{} files differ:\n{}", faults.len(), faults.join("\n"));
    let idle: Vec<_> = EXCUSES.iter().enumerate().filter(|(row, _)| !used.contains(row)).collect();
    assert!(idle.is_empty(), "these excuse nothing: {idle:?}");
    assert!(amd64.files.len() > 6000, "{} files", amd64.files.len());
    let differing = amd64.packages.symmetric_difference(&arm64.packages);
    let differing: Vec<&str> = differing.map(|package| package.split(' ').next().unwrap()).collect();
    assert_eq!(differing, ["libnuma1", "libpsm2-2"], "of {} packages", amd64.packages.len());
    assert!(amd64.packages.len() > 100, "{} packages", amd64.packages.len());
}
