//! Archives as they lie on a server: a real one in small, a mirror that is half renewed, a server that stops half-way.

use std::io::Write as _;

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::oci::Arch;

const OLD: &str =
    "Package: python3\nVersion: 3.13.5-1\nFilename: pool/p/python3_3.13.5-1_amd64.deb\nSize: 7\nSHA256: ";
const NEW: &str = "Package: python3\nVersion: 3.13.5-1+deb13u1\nFilename: pool/p/python3_3.13.5-1+deb13u1_amd64.deb\nSize: 8\nSHA256: ";

fn index(entries: &[&str]) -> Vec<u8> {
    let hex = "a".repeat(64);
    let text: Vec<String> = entries.iter().map(|entry| format!("{entry}{hex}\n\n")).collect();
    let text = text.concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn release(date: &str, packages: &[u8]) -> String {
    let digest = Digest::of(packages).hex();
    format!(
        "Origin: Debian\nDate: {date}\nSHA256:\n {digest} {} main/binary-amd64/Packages.gz\n",
        packages.len()
    )
}

async fn serve(server: &MockServer, at: &str, body: impl Into<Vec<u8>>) {
    let answer = ResponseTemplate::new(200).set_body_bytes(body.into());
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
}

async fn suite(server: &MockServer, name: &str, date: &str, entries: &[&str]) {
    let packages = index(entries);
    serve(server, &format!("/dists/{name}/InRelease"), release(date, &packages)).await;
    serve(server, &format!("/dists/{name}/main/binary-amd64/Packages.gz"), packages).await;
}

fn question(url: &str, suites: &[&str]) -> AptQuestion {
    let suites = suites.iter().map(|suite| (*suite).to_owned()).collect();
    let archive = AptArchive { url: url.to_owned(), arch: None, suites, components: vec!["main".to_owned()] };
    let names = ["python3", "no-such-package"].map(|name| name.parse().unwrap()).to_vec();
    AptQuestion { archives: vec![archive], snapshot: true, arch: Arch::Amd64, names }
}

async fn ask(url: &str, suites: &[&str]) -> Result<Vec<LockedPackage>, UpstreamError> {
    newest(&question(url, suites), &|_| None).await
}

#[tokio::test]
async fn the_newest_version_of_all_suites_is_pinned_with_an_instant_at_which_they_had_it() {
    let server = MockServer::start().await;
    suite(&server, "trixie", "Sat, 21 Nov 2026 09:15:44 UTC", &[OLD]).await;
    suite(&server, "trixie-security", "Mon, 23 Nov 2026 11:22:38 UTC", &[NEW]).await;
    for suites in [["trixie", "trixie-security"], ["trixie-security", "trixie"]] {
        let found = ask(&server.uri(), &suites).await.unwrap();
        assert_eq!(found.len(), 1, "what the archive has not is left out");
        assert_eq!(found[0].version.to_string(), "3.13.5-1+deb13u1");
        let file = found[0].file.as_ref().unwrap();
        assert_eq!(file.size, 8);
        assert_eq!(file.snapshot.as_deref(), Some("20261123T112238Z"));
        assert!(file.url.ends_with("/pool/p/python3_3.13.5-1+deb13u1_amd64.deb"));
    }
}

#[tokio::test]
async fn a_mirror_that_is_being_renewed_is_told_as_that() {
    let server = MockServer::start().await;
    let date = "Sat, 21 Nov 2026 09:15:44 UTC";
    serve(&server, "/dists/trixie/InRelease", release(date, &index(&[OLD]))).await;
    serve(&server, "/dists/trixie/main/binary-amd64/Packages.gz", index(&[NEW])).await;
    let error = ask(&server.uri(), &["trixie"]).await.unwrap_err().to_string();
    assert!(error.contains("not what its suite lists"), "{error}");
}

#[tokio::test]
async fn a_connection_that_ends_half_way_is_no_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nOrigin: Debian\n").unwrap();
    });
    let error = ask(&url, &["trixie"]).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
    served.join().unwrap();
}

#[test]
fn whatever_an_archive_says_is_read_or_refused_and_nothing_panics() {
    let runner = &mut proptest::test_runner::TestRunner::default();
    let texts = proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400);
    runner
        .run(&texts, |bytes| {
            let text = String::from_utf8_lossy(&bytes);
            let _either = Release::read("u", &format!("Date: {text}\nSHA256:\n {text}\n"));
            let _either = unpacked("u", &bytes);
            let _either = read(&format!("Package: a\nVersion: {text}"), "u", &["a"].into(), "u");
            Ok(())
        })
        .unwrap();
}
