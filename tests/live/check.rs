//! Looks into what real engines export: the same base image out of a graph store and out of the containerd store.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;

use smp_image::check::{self, CheckError, Inspection, Severity};
use smp_image::lock::Origin;
use smp_image::oci::{Arch, Platform};
use smp_image::plan::Expectation;
use smp_image::recipe::Component;

const BASE: &str = "debian:trixie-slim";
const AMD64: Platform = Platform { arch: Arch::Amd64 };

/// Returns the sockets of the workbench's engines that run, by variable.
fn engines() -> Vec<(&'static str, String)> {
    let named = ["SMP_WB_ENGINE20", "SMP_WB_ENGINE26", "SMP_WB_ENGINE26C"];
    let running: Vec<_> = named.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect();
    assert!(
        !running.is_empty(),
        "no engine: run `workbench/workbench.sh up` and evaluate `workbench/workbench.sh env`"
    );
    running
}

/// Returns what `docker save` would write, straight from the engine's socket.
fn exported(endpoint: &str, image: &str) -> impl Read + use<> {
    let socket = endpoint.strip_prefix("unix://").expect("the workbench's engines listen on sockets");
    let mut stream = UnixStream::connect(socket).unwrap();
    // HTTP/1.0: the body ends with the connection, so that no framing comes between us and the archive.
    write!(stream, "GET /images/{image}/get HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
    while line.trim_end() != "" {
        line.clear();
        answer.read_line(&mut line).unwrap();
    }
    answer
}

fn expectations() -> Vec<Expectation> {
    let expect = |component, version: Option<&str>, packages: &[&str]| Expectation {
        component,
        version: version.map(|version| version.parse().unwrap()),
        origin: Origin::Base,
        distributions: Vec::new(),
        packages: packages.iter().map(|&name| name.to_owned()).collect(),
        libraries: Vec::new(),
    };
    vec![expect(Component::Os, Some("13"), &[]), expect(Component::Libfabric, None, &["libfabric1"])]
}

fn look(endpoint: &str) -> Inspection {
    check::inspect(exported(endpoint, BASE), AMD64, &expectations()).unwrap()
}

#[test]
fn the_base_image_is_read_the_same_from_every_store() {
    let mut seen = Vec::new();
    for (name, endpoint) in engines() {
        let inspection = look(&endpoint);
        let grave: Vec<String> = inspection
            .findings
            .iter()
            .filter(|finding| matches!(finding.severity, Severity::Error | Severity::Unknown))
            .map(|finding| format!("{}: {} {}", finding.rule, finding.subject, finding.evidence))
            .collect();
        assert_eq!(
            grave,
            ["component-missing: libfabric nothing of it is in the image; looked for libfabric1"],
            "{name}"
        );
        assert!(
            inspection.read.files > 1000 && inspection.read.elf_files > 100,
            "{name}: {:?}",
            inspection.read
        );
        assert_eq!(inspection.components[0].found.as_deref(), Some("13"), "{name}");
        let diff_ids: Vec<String> = inspection.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        seen.push((diff_ids, inspection.read.files, inspection.read.elf_files, inspection.config.digest));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn asking_for_another_platform_names_every_foreign_file_of_a_real_image() {
    let (_, endpoint) = engines().remove(0);
    let arm64 = Platform { arch: Arch::Arm64 };
    let inspection = check::inspect(exported(&endpoint, BASE), arm64, &[]).unwrap();
    let rules: Vec<&str> = inspection.findings.iter().map(|finding| finding.rule.name()).collect();
    assert!(rules.contains(&"platform-mismatch") && rules.contains(&"foreign-binary"), "{rules:?}");
}

#[test]
fn an_export_that_breaks_off_is_an_error_at_whatever_byte() {
    let (_, endpoint) = engines().remove(0);
    let mut whole = Vec::new();
    exported(&endpoint, BASE).read_to_end(&mut whole).unwrap();
    for part in 1..8 {
        let cut = whole.len() / 8 * part;
        let result = check::inspect(&whole[..cut], AMD64, &[]);
        assert!(matches!(result, Err(CheckError::Read(_) | CheckError::NotAnImage(_))), "{cut}: {result:?}");
    }
}
