//! The real upstream: `uv` as a process, the package index and downloads over HTTPS, registries through the caller's client.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::Deserialize;
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;

use super::{PythonQuestion, Upstream, UpstreamError};
use crate::lock::PinnedRequirement;
use crate::oci::{Digest, Platform, Reference};
use crate::recipe::{ArtefactUrl, Requirement, Version};

/// How long an index or a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long `uv` may take.
const UV_LIMIT: Duration = Duration::from_secs(300);
/// The minor versions of glibc 2 for which `uv` knows a platform, newest first (`uv pip compile --help`).
const MANYLINUX: [u64; 12] = [40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 17];

/// Asks a registry for digests; given by the caller, who knows registries and logins.
#[async_trait]
pub trait Images: Send + Sync {
    /// Returns the digest of `image` for `platform`, or a sentence that says why it could not be asked.
    async fn digest(&self, image: &Reference, platform: Platform) -> Result<Digest, String>;
}

/// The real upstream.
pub struct Network<'a> {
    /// The `uv` to run, found by the caller.
    pub uv: Option<OsString>,
    /// The package index, ending in a slash.
    pub index: String,
    /// Who asks registries.
    pub images: &'a dyn Images,
}

#[async_trait]
impl Upstream for Network<'_> {
    async fn python(&self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError> {
        let uv = self.uv.as_ref().ok_or(UpstreamError::NoUv)?;
        let output = run_uv(uv, question).await?;
        read_requirements(&output)
    }

    async fn sdist(
        &self,
        package: &str,
        admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
    ) -> Result<PinnedRequirement, UpstreamError> {
        let url = format!("{}{package}/", self.index);
        let what = format!("the package index for {package}");
        let body = get(&url, &what, Some("application/vnd.pypi.simple.v1+json")).await?;
        let text = body.text().await.map_err(|error| unreachable(&what, &error))?;
        newest_sdist(package, &text, admits)
    }

    async fn image_digest(&self, image: &Reference, platform: Platform) -> Result<Digest, UpstreamError> {
        let asked = self.images.digest(image, platform).await;
        asked.map_err(|reason| UpstreamError::Unreachable { what: image.registry().to_owned(), reason })
    }

    async fn download_digest(&self, url: &ArtefactUrl) -> Result<(Digest, u64), UpstreamError> {
        let response = get(url.as_str(), url.as_str(), None).await?;
        let mut stream = response.bytes_stream();
        let mut hasher = sha2::Sha256::new();
        let mut size = 0;
        loop {
            let next =
                tokio::time::timeout(SILENCE, stream.next()).await.map_err(|_| silent(url.as_str()))?;
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|error| unreachable(url.as_str(), &error))?;
            hasher.update(&chunk);
            size += chunk.len() as u64;
        }
        Ok((Digest::from_hasher(hasher), size))
    }
}

async fn get(url: &str, what: &str, accept: Option<&str>) -> Result<reqwest::Response, UpstreamError> {
    // Both calls may have happened before in this process; the provider that is there first stays.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(15))
        .user_agent(concat!("smp-image/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unreachable(what, &error))?;
    let mut request = client.get(url);
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let answer = tokio::time::timeout(SILENCE, request.send()).await.map_err(|_| silent(what))?;
    let response = answer.map_err(|error| unreachable(what, &error))?;
    response.error_for_status().map_err(|error| unreachable(what, &error))
}

/// Returns the error with every cause, since `reqwest` keeps the telling part (DNS, TLS) in the sources.
fn unreachable(what: &str, error: &dyn std::error::Error) -> UpstreamError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        reason = inner.to_string();
        cause = inner.source();
    }
    UpstreamError::Unreachable { what: what.to_owned(), reason }
}

fn silent(what: &str) -> UpstreamError {
    UpstreamError::Unreachable {
        what: what.to_owned(),
        reason: format!("no answer within {} s", SILENCE.as_secs()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the door to uv")]
async fn run_uv(uv: &OsString, question: &PythonQuestion) -> Result<String, UpstreamError> {
    let failed = |error: std::io::Error| UpstreamError::NoWheels(error.to_string());
    let mut overrides = tempfile::NamedTempFile::new().map_err(failed)?;
    for package in &question.held_back {
        // A marker that is never true takes the package out of the resolution.
        writeln!(overrides, "{package} ; python_version < '3'").map_err(failed)?;
    }
    let mut child = tokio::process::Command::new(uv)
        .args([
            "pip",
            "compile",
            "--quiet",
            "--generate-hashes",
            "--only-binary",
            ":all:",
            "--no-header",
            "--no-annotate",
        ])
        .args(["--python-version", &question.python.to_string()])
        .args(["--python-platform", &uv_platform(question)])
        .arg("--overrides")
        .arg(overrides.path())
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound { UpstreamError::NoUv } else { failed(error) }
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        let lines: String =
            question.requirements.iter().map(|requirement| format!("{requirement}\n")).collect();
        stdin.write_all(lines.as_bytes()).await.map_err(failed)?;
    }
    let waited = tokio::time::timeout(UV_LIMIT, child.wait_with_output()).await;
    let output = waited.map_err(|_| silent("uv"))?.map_err(failed)?;
    if !output.status.success() {
        return Err(UpstreamError::NoWheels(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| UpstreamError::Nonsense { what: "uv".to_owned(), reason: error.to_string() })
}

/// Returns the platform as `uv` names it: the newest manylinux that the image's C library can run.
fn uv_platform(question: &PythonQuestion) -> String {
    let release = question.glibc.pep440().release();
    let has = release.get(1).copied().unwrap_or(17);
    let minor = MANYLINUX.into_iter().find(|known| *known <= has).unwrap_or(17);
    format!("{}-manylinux_2_{minor}", question.platform.arch.machine())
}

/// Reads what `uv pip compile --generate-hashes` prints: `name==version \` and indented `--hash=sha256:…` lines.
fn read_requirements(text: &str) -> Result<Vec<PinnedRequirement>, UpstreamError> {
    let nonsense = |reason: String| UpstreamError::Nonsense { what: "uv".to_owned(), reason };
    let mut pinned: Vec<PinnedRequirement> = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_end_matches('\\').trim();
        if let Some(hash) = line.strip_prefix("--hash=") {
            let last = pinned
                .last_mut()
                .ok_or_else(|| nonsense(format!("a checksum without a package: `{line}`")))?;
            last.hashes.push(hash.parse().map_err(|error| nonsense(format!("{error}")))?);
        } else if !line.is_empty() && !line.starts_with('#') {
            let requirement: Requirement = line.parse().map_err(|error| nonsense(format!("{error}")))?;
            pinned.push(PinnedRequirement { requirement, hashes: Vec::new() });
        }
    }
    for requirement in &mut pinned {
        requirement.hashes.sort_unstable();
    }
    pinned.sort_by(|a, b| a.requirement.cmp(&b.requirement));
    Ok(pinned)
}

/// The part of the simple index's JSON form (PEP 691) that is read.
#[derive(Deserialize)]
struct IndexPage {
    files: Vec<IndexFile>,
}

#[derive(Deserialize)]
struct IndexFile {
    filename: String,
    hashes: std::collections::BTreeMap<String, String>,
    /// `true` or the reason as text (PEP 592).
    #[serde(default)]
    yanked: serde_json::Value,
}

fn newest_sdist(
    package: &str,
    page: &str,
    admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
) -> Result<PinnedRequirement, UpstreamError> {
    let nonsense =
        |reason: String| UpstreamError::Nonsense { what: format!("the package index for {package}"), reason };
    let page: IndexPage = serde_json::from_str(page).map_err(|error| nonsense(error.to_string()))?;
    let mut sdists: Vec<(Version, IndexFile)> = page
        .files
        .into_iter()
        .filter(|file| matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)))
        .filter_map(|file| Some((sdist_version(package, &file.filename)?, file)))
        .collect();
    sdists.sort_by(|a, b| b.0.cmp(&a.0));
    let known: Vec<String> = sdists.iter().take(8).map(|(version, _)| version.to_string()).collect();
    let stable = |version: &Version| !version.pep440().any_prerelease();
    let Some((version, file)) = sdists.into_iter().find(|(version, _)| stable(version) && admits(version))
    else {
        return Err(UpstreamError::NoSdist { package: package.to_owned(), known: known.join(", ") });
    };
    let hex =
        file.hashes.get("sha256").ok_or_else(|| nonsense(format!("no SHA-256 for {}", file.filename)))?;
    let digest = format!("sha256:{hex}").parse().map_err(|error| nonsense(format!("{error}")))?;
    let requirement =
        format!("{package}=={version}").parse().map_err(|error| nonsense(format!("{error}")))?;
    Ok(PinnedRequirement { requirement, hashes: vec![digest] })
}

/// Returns the version in the file name of a source distribution of `package` (PEP 625: `name-version.tar.gz`).
fn sdist_version(package: &str, filename: &str) -> Option<Version> {
    let stem = filename.strip_suffix(".tar.gz")?;
    let (name, version) = stem.rsplit_once('-')?;
    if name.replace(['_', '.'], "-").eq_ignore_ascii_case(package) { version.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_uv_prints_is_read_with_its_checksums_sorted() {
        let text = format!(
            "b==2 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\na==1 \\\n    --hash=sha256:{}\n",
            "2".repeat(64),
            "1".repeat(64),
            "3".repeat(64)
        );
        let pinned = read_requirements(&text).unwrap();
        assert_eq!(pinned[0].requirement.as_str(), "a==1");
        assert!(pinned[1].hashes[0] < pinned[1].hashes[1]);
    }

    #[test]
    fn the_newest_source_distribution_that_fits_is_taken_and_yanked_ones_are_not() {
        let file = |name: &str, yanked: &str| {
            format!(r#"{{"filename":"{name}","hashes":{{"sha256":"{}"}},"yanked":{yanked}}}"#, "a".repeat(64))
        };
        let page = format!(
            r#"{{"files":[{},{},{},{}]}}"#,
            file("flash_attn-2.5.8.tar.gz", "false"),
            file("flash_attn-2.5.9.tar.gz", "\"broken\""),
            file("flash_attn-2.6.0rc1.tar.gz", "false"),
            file("flash_attn-2.5.8-cp311-none-any.whl", "false")
        );
        let found = newest_sdist("flash-attn", &page, &|_| true).unwrap();
        assert_eq!(found.requirement.as_str(), "flash-attn==2.5.8");
        let none = newest_sdist("flash-attn", &page, &|version| version.to_string() == "9");
        assert!(matches!(none, Err(UpstreamError::NoSdist { .. })));
    }

    #[test]
    fn the_platform_is_the_newest_that_the_c_library_can_run() {
        let question = |glibc: &str| PythonQuestion {
            requirements: Vec::new(),
            python: "3.13".parse().unwrap(),
            glibc: glibc.parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            held_back: Vec::new(),
        };
        assert_eq!(uv_platform(&question("2.41")), "x86_64-manylinux_2_40");
        assert_eq!(uv_platform(&question("2.34")), "x86_64-manylinux_2_34");
    }
}
