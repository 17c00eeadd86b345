//! Conda channels: the list of a channel's packages (`repodata.json`), and the newest build that answers a request.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::UpstreamError;
use super::network::body;
use crate::lock::CondaFile;
use crate::oci::{Arch, Digest, Platform};
use crate::recipe::{CondaPackage, Version};

/// The largest list that is read; that of conda-forge has some hundred MB.
const LIMIT: usize = 1 << 30;
/// The forms of the list that are read, the smallest first; every channel has the last.
const FORMS: [&str; 2] = ["repodata.json.zst", "repodata.json"];

/// The part of a channel's list that is read. `.conda` files (zstd) stand beside `.tar.bz2` files.
#[derive(Deserialize)]
struct Repodata {
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
    #[serde(default, rename = "packages.conda")]
    conda: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    build: String,
    #[serde(default)]
    build_number: u64,
    sha256: Option<String>,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    timestamp: u64,
}

/// Returns the newest build of `package` that the first of `channels` has which has any: strict priority, as the build installs.
pub(super) async fn newest(
    channels: &[&str],
    package: &CondaPackage,
    platform: Platform,
) -> Result<CondaFile, UpstreamError> {
    let folder = match platform.arch {
        Arch::Amd64 => "linux-64",
        Arch::Arm64 => "linux-aarch64",
    };
    for channel in channels {
        let list = list(&format!("{}/{folder}", channel.trim_end_matches('/'))).await?;
        let name = package.as_str().split('=').next().unwrap_or_default();
        if list.packages.values().chain(list.conda.values()).any(|entry| entry.name == name) {
            return newest_of(list, package, channel);
        }
    }
    Err(UpstreamError::NoConda(package.clone()))
}

async fn list(folder: &str) -> Result<Repodata, UpstreamError> {
    let mut last = None;
    for form in FORMS {
        let url = format!("{folder}/{form}");
        // A channel need not offer every form; what the plain one says is the answer.
        let packed = match body(&url, LIMIT).await {
            Ok(packed) => packed,
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let nonsense = |reason: String| UpstreamError::Nonsense { what: url.clone(), reason };
        let plain = if form == "repodata.json" {
            packed
        } else {
            zstd::decode_all(packed.as_slice()).map_err(|error| nonsense(error.to_string()))?
        };
        return serde_json::from_slice(&plain).map_err(|error| nonsense(error.to_string()));
    }
    let silent =
        || UpstreamError::Unreachable { what: folder.to_owned(), reason: "it has no list".to_owned() };
    Err(last.unwrap_or_else(silent))
}

fn newest_of(list: Repodata, package: &CondaPackage, channel: &str) -> Result<CondaFile, UpstreamError> {
    let mut parts = package.as_str().splitn(3, '=');
    let (name, version, build) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or("*"));
    let answers = |entry: &Entry| {
        entry.name == name && (version.is_empty() || entry.version == version) && matches(build, &entry.build)
    };
    let all = list.conda.into_iter().chain(list.packages);
    let newest = all.filter(|(_, entry)| answers(entry)).max_by(|(a_file, a), (b_file, b)| {
        let version = |entry: &Entry| entry.version.parse::<Version>().ok();
        (version(a), a.build_number, a.timestamp, a_file).cmp(&(
            version(b),
            b.build_number,
            b.timestamp,
            b_file,
        ))
    });
    let (file, entry) = newest.ok_or_else(|| UpstreamError::NoConda(package.clone()))?;
    let nonsense = |reason: String| UpstreamError::Nonsense { what: channel.to_owned(), reason };
    let hex = entry.sha256.ok_or_else(|| nonsense(format!("no SHA-256 for {file}")))?;
    let sha256: Digest = format!("sha256:{hex}").parse().map_err(|error| nonsense(format!("{error}")))?;
    let package = format!("{}={}={}", entry.name, entry.version, entry.build);
    let package = package.parse().map_err(|error| nonsense(format!("{error}")))?;
    if !file.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c)) {
        return Err(nonsense(format!("a file named {file:?}")));
    }
    Ok(CondaFile { package, file, sha256, size: entry.size })
}

/// Returns whether `text` is what `pattern` says, where each `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    globset::Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn entry(file: &str, build: &str, number: u64) -> String {
        let hex = Digest::of(file).hex();
        format!(
            r#""{file}":{{"name":"pytorch","version":"2.5.1","build":"{build}","build_number":{number},"sha256":"{hex}","size":{number}}}"#
        )
    }

    async fn serve(server: &MockServer, at: &str, body: Vec<u8>) {
        let answer = ResponseTemplate::new(200).set_body_bytes(body);
        Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
    }

    async fn ask(channels: &[String]) -> Result<CondaFile, UpstreamError> {
        let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
        let platform = "linux/amd64".parse().unwrap();
        newest(&channels, &"pytorch=2.5.1=sm_py3.11_cuda12.4_*".parse().unwrap(), platform).await
    }

    fn repodata() -> String {
        let old = entry("pytorch-2.5.1-a.tar.bz2", "sm_py3.11_cuda12.4_a", 3);
        let other = entry("pytorch-2.5.1-b.tar.bz2", "sm_py3.11_cuda12.1_b", 9);
        let new = entry("pytorch-2.5.1-c.conda", "sm_py3.11_cuda12.4_c", 4);
        format!(r#"{{"packages":{{{old},{other}}},"packages.conda":{{{new}}}}}"#)
    }

    #[tokio::test]
    async fn the_newest_build_that_answers_is_found_in_both_kinds_of_files_and_both_forms_of_the_list() {
        let (plain, packed, empty) =
            tokio::join!(MockServer::start(), MockServer::start(), MockServer::start());
        serve(&plain, "/smp/linux-64/repodata.json", repodata().into_bytes()).await;
        let zst = zstd::encode_all(repodata().as_bytes(), 3).unwrap();
        serve(&packed, "/smp/linux-64/repodata.json.zst", zst).await;
        serve(&empty, "/smp/linux-64/repodata.json", b"{}".to_vec()).await;
        for server in [&plain, &packed] {
            let found =
                ask(&[format!("{}/smp/", empty.uri()), format!("{}/smp/", server.uri())]).await.unwrap();
            assert_eq!(found.package.as_str(), "pytorch=2.5.1=sm_py3.11_cuda12.4_c");
            assert_eq!((found.file.as_str(), found.size), ("pytorch-2.5.1-c.conda", 4));
            assert_eq!(found.sha256, Digest::of("pytorch-2.5.1-c.conda"));
        }
    }

    #[tokio::test]
    async fn a_channel_without_the_build_or_with_nonsense_is_told() {
        let server = MockServer::start().await;
        serve(&server, "/none/linux-64/repodata.json", b"{}".to_vec()).await;
        let none = ask(&[format!("{}/none", server.uri())]).await.unwrap_err();
        assert_eq!(none.to_string(), "no channel has pytorch=2.5.1=sm_py3.11_cuda12.4_*");
        serve(&server, "/bad/linux-64/repodata.json", b"<html>".to_vec()).await;
        let bad = ask(&[format!("{}/bad", server.uri())]).await.unwrap_err();
        assert!(matches!(bad, UpstreamError::Nonsense { .. }), "{bad}");
        let gone = ask(&["http://127.0.0.1:1/smp".to_owned()]).await.unwrap_err();
        assert!(matches!(gone, UpstreamError::Unreachable { .. }), "{gone}");
    }
}
