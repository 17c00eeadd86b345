//! The real upstream: `uv` as a process, the package index and downloads over HTTPS, registries through the caller's client.

use std::ffi::OsString;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::Deserialize;
use sha2::Digest as _;

use super::{PythonQuestion, Upstream, UpstreamError};
use crate::lock::PinnedRequirement;
use crate::oci::{Digest, Platform, Reference};
use crate::recipe::{ArtefactUrl, Version, package_name};

/// How long an index or a server may be silent.
const SILENCE: Duration = Duration::from_mins(1);
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

impl Network<'_> {
    /// Returns the names of the files that the package index has of `package`, without yanked ones.
    pub async fn files(&self, package: &str) -> Result<Vec<String>, UpstreamError> {
        let page = page(package, &self.index_page(package).await?)?;
        Ok(page.files.into_iter().filter(|file| !file.is_yanked()).map(|file| file.filename).collect())
    }

    /// Returns the index's page of `package` in its JSON form.
    async fn index_page(&self, package: &str) -> Result<String, UpstreamError> {
        let url = format!("{}{package}/", self.index);
        let what = format!("the package index for {package}");
        let body = get(&url, &what, Some("application/vnd.pypi.simple.v1+json")).await?;
        body.text().await.map_err(|error| unreachable(&what, &error))
    }
}

#[async_trait]
impl Upstream for Network<'_> {
    async fn python(&self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError> {
        let uv = self.uv.as_ref().ok_or(UpstreamError::NoUv)?;
        super::uv::compile(uv, question).await
    }

    async fn sdist(
        &self,
        package: &str,
        admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
    ) -> Result<PinnedRequirement, UpstreamError> {
        newest_sdist(package, &self.index_page(package).await?, admits)
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

pub(super) fn silent(what: &str) -> UpstreamError {
    UpstreamError::Unreachable {
        what: what.to_owned(),
        reason: format!("no answer within {} s", SILENCE.as_secs()),
    }
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

impl IndexFile {
    fn is_yanked(&self) -> bool {
        !matches!(self.yanked, serde_json::Value::Null | serde_json::Value::Bool(false))
    }
}

fn nonsense(package: &str, reason: String) -> UpstreamError {
    UpstreamError::Nonsense { what: format!("the package index for {package}"), reason }
}

fn page(package: &str, text: &str) -> Result<IndexPage, UpstreamError> {
    serde_json::from_str(text).map_err(|error| nonsense(package, error.to_string()))
}

fn newest_sdist(
    package: &str,
    text: &str,
    admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
) -> Result<PinnedRequirement, UpstreamError> {
    let nonsense = |reason: String| nonsense(package, reason);
    let mut sdists: Vec<(Version, IndexFile)> = page(package, text)?
        .files
        .into_iter()
        .filter(|file| !file.is_yanked())
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
    Ok(PinnedRequirement { requirement, hashes: vec![digest], source: true })
}

/// Returns the version in the file name of a source distribution of `package` (PEP 625: `name-version.tar.gz`).
fn sdist_version(package: &str, filename: &str) -> Option<Version> {
    let stem = filename.strip_suffix(".tar.gz")?;
    let (name, version) = stem.rsplit_once('-')?;
    if package_name(name) == package_name(package) { version.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
