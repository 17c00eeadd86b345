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
        let plain = if form.ends_with(".zst") {
            zstd::decode_all(packed.as_slice()).map_err(|error| nonsense(error.to_string()))?
        } else {
            packed
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
