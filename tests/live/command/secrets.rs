//! What must not get out does not: certificates and tokens are in no layer, no history, no progress and no report.

use std::io::Read as _;

use super::Workshop;
use crate::workbench::{ALL, docker, unique, variable};

/// Returns everything that an image holds, layers unpacked, as the engine saves it.
fn saved(workshop: &Workshop) -> Vec<u8> {
    let file = workshop.place.path("saved.tar");
    docker(workshop.which, &["save", "--output", file.to_str().unwrap(), &workshop.tag]);
    let mut bytes = Vec::new();
    let mut archive = tar::Archive::new(std::fs::File::open(&file).unwrap());
    for entry in archive.entries().unwrap() {
        let mut content = Vec::new();
        entry.unwrap().read_to_end(&mut content).unwrap();
        match content.get(..4) {
            Some([0x1f, 0x8b, ..]) => {
                flate2::read::MultiGzDecoder::new(content.as_slice()).read_to_end(&mut bytes).unwrap();
            }
            Some([0x28, 0xb5, 0x2f, 0xfd]) => bytes.extend(zstd::decode_all(content.as_slice()).unwrap()),
            _ => bytes.extend(content),
        }
    }
    std::fs::remove_file(file).unwrap();
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    // By the first byte, then the rest: windows over a gigabyte would take minutes.
    let needle = text.as_bytes();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[test]
fn certificates_and_tokens_are_in_no_image_no_history_no_progress_and_no_report() {
    for which in ALL {
        let workshop = Workshop::wheel(which);
        // The certificates of this machine, so that downloads work, and words that nobody else has. A bundle may hold remarks.
        let mark = unique("MARK-IN-THE-BUNDLE");
        let system = ["SSL_CERT_FILE"].iter().find_map(|name| std::env::var(name).ok());
        let system = system.unwrap_or_else(|| "/etc/ssl/certs/ca-certificates.crt".to_owned());
        let bundle = std::fs::read_to_string(system).unwrap();
        workshop.place.write("bundle.pem", &format!("# {mark}\n{bundle}"));
        let name = format!("{}:1", unique("live/secret"));
        // Without the cache, or nothing would run and nothing could leak.
        let more = [
            "--ca-bundle",
            "bundle.pem",
            "--no-cache",
            "--locked",
            "--create-repository",
            "--format",
            "json",
        ];
        let ended = workshop.release(&name, &more);
        let token = variable("SMP_WB_REGISTRY_AUTH_PASSWORD");
        for secret in [&mark, &token, "QVdTOj"] {
            assert!(!ended.err.contains(secret), "{which:?}: {secret} in what was shown");
            assert!(!ended.out.contains(secret), "{which:?}: {secret} in the report");
        }
        assert!(ended.err.contains("Successfully installed packaging"), "{which:?}: {}", ended.err);
        let _report = super::report(&ended.fine());

        let bytes = saved(&workshop);
        // The search finds what is there.
        assert!(has(&bytes, "packaging-24.2.dist-info"), "{which:?}");
        assert!(!has(&bytes, &mark), "{which:?}: the bundle is in the image");
        assert!(!has(&bytes, &token), "{which:?}: the token is in the image");
        let history = docker(which, &["history", "--no-trunc", &workshop.tag]);
        assert!(history.contains("pip install") || history.contains("COPY"), "{history}");
        assert!(!history.contains(&mark) && !history.contains(&token), "{which:?}");
    }
}
