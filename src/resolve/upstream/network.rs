//! The real upstream: `uv` as a process, the package index and downloads over HTTPS, registries through the caller's client.

use std::ffi::OsString;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::Deserialize;
use sha2::Digest as _;

use super::{AptQuestion, PythonQuestion, Upstream, UpstreamError, archive, channel};
use crate::lock::{CondaFile, LockedPackage, PinnedRequirement};
use crate::oci::{Digest, Platform, Reference};
use crate::recipe::{ArtefactUrl, CondaPackage, Version, package_name};

/// How long an index or a server may be silent.
const SILENCE: Duration = Duration::from_mins(1);
/// Asks a registry for digests; given by the caller, who knows registries and logins.
#[async_trait]
pub trait Images: Send + Sync {
    /// Returns the digest of `image` for `platform` and the size of its layers, or a sentence that says why it could not be asked.
    async fn digest(&self, image: &Reference, platform: Platform) -> Result<(Digest, Option<u64>), String>;
}

/// The real upstream.
pub struct Network<'a> {
    /// The `uv` to run, found by the caller.
    pub uv: Option<OsString>,
    /// The package index, ending in a slash.
    pub index: String,
    /// Who asks registries.
    pub images: &'a dyn Images,
    /// Returns the host that is asked instead of `host` for packages of distributions.
    pub mirror: &'a (dyn Fn(&str) -> Option<String> + Send + Sync),
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

    async fn image(
        &self,
        image: &Reference,
        platform: Platform,
    ) -> Result<(Digest, Option<u64>), UpstreamError> {
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

    async fn apt(&self, question: &AptQuestion) -> Result<Vec<LockedPackage>, UpstreamError> {
        archive::newest(question, self.mirror).await
    }

    async fn is_there(&self, url: &str) -> Result<bool, UpstreamError> {
        let url = archive::mirrored(url, self.mirror);
        let request = client(&url)?.head(&url).send();
        let answer = tokio::time::timeout(SILENCE, request).await.map_err(|_| silent(&url))?;
        let response = answer.map_err(|error| unreachable(&url, &error))?;
        match response.status().as_u16() {
            404 | 410 => Ok(false),
            _ => response.error_for_status().map(|_| true).map_err(|error| unreachable(&url, &error)),
        }
    }

    async fn conda(
        &self,
        channels: &[ArtefactUrl],
        package: &CondaPackage,
        platform: Platform,
    ) -> Result<CondaFile, UpstreamError> {
        let channels: Vec<&str> = channels.iter().map(ArtefactUrl::as_str).collect();
        channel::newest(&channels, package, platform).await
    }
}

/// Downloads what is at `url` whole; `limit` is in bytes.
pub(super) async fn body(url: &str, limit: usize) -> Result<Vec<u8>, UpstreamError> {
    let response = get(url, url, None).await?;
    let promised = response.content_length();
    let mut stream = response.bytes_stream();
    let mut body = Vec::new();
    loop {
        let next = tokio::time::timeout(SILENCE, stream.next()).await.map_err(|_| silent(url))?;
        let Some(chunk) = next else { break };
        body.extend_from_slice(&chunk.map_err(|error| unreachable(url, &error))?);
        if body.len() > limit {
            let reason = format!("more than {} MiB", limit >> 20);
            return Err(UpstreamError::Nonsense { what: url.to_owned(), reason });
        }
    }
    match promised {
        Some(promised) if promised != body.len() as u64 => Err(UpstreamError::Unreachable {
            what: url.to_owned(),
            reason: format!("the connection ended after {} of {promised} bytes", body.len()),
        }),
        _ => Ok(body),
    }
}

fn client(what: &str) -> Result<reqwest::Client, UpstreamError> {
    // Both calls may have happened before in this process; the provider that is there first stays.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(15))
        .user_agent(concat!("smp-image/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unreachable(what, &error))
}

async fn get(url: &str, what: &str, accept: Option<&str>) -> Result<reqwest::Response, UpstreamError> {
    let mut request = client(what)?.get(url);
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    let answer = tokio::time::timeout(SILENCE, request.send()).await.map_err(|_| silent(what))?;
    let response = answer.map_err(|error| unreachable(what, &error))?;
    response.error_for_status().map_err(|error| unreachable(what, &error))
}

/// Returns the error with every cause, since `reqwest` keeps the telling part (DNS, TLS) in the sources.
pub(super) fn unreachable(what: &str, error: &dyn std::error::Error) -> UpstreamError {
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
    /// Its size in bytes (PEP 700).
    size: Option<u64>,
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
    Ok(PinnedRequirement { requirement, hashes: vec![digest], size: file.size, source: true })
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
