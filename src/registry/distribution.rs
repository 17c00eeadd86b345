//! The door to any registry that speaks the OCI distribution protocol: which digest stands behind a name, and what it is.
//!
//! Reads only; layers are pushed by the engine. Nothing is opened before the first question.

mod access;
mod answer;
mod blob;
mod error;
mod patience;
mod transport;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderName};
use serde::Deserialize;

use self::answer::Answer;
pub use self::blob::BlobReader;
pub use self::error::RegistryError;
pub use self::patience::Limits;
use self::transport::{Request, Transport};
use super::manifest::{self, Content};
use crate::engine::Login;
use crate::oci::{Digest, Platform, Reference};

/// What a registry has under a name, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The form of the manifest.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A manifest whose bytes have the digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Digest, form and size.
    pub resolved: Resolved,
    /// Exactly what the registry sent.
    pub bytes: Vec<u8>,
    /// What the bytes say.
    pub content: Content,
}

/// The image of one platform behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformImage {
    /// What stands under the name itself: the image or a list that has it.
    pub named: Resolved,
    /// The image.
    pub image: Manifest,
}

/// Answers questions about images in registries.
///
/// Loopback registries are asked directly and over plain HTTP, all others over TLS with the certificates that this machine trusts
/// (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's store) and through the proxy of the environment.
#[derive(Debug)]
pub struct Distribution {
    transport: Transport,
}

/// The largest manifest that is read; the specification asks registries to take 4 MiB.
const MANIFEST_LIMIT: usize = 4 << 20;
/// The largest image configuration that is read.
const CONFIG_LIMIT: usize = 8 << 20;
/// The header in which a registry says the digest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Every form of manifest that we read.
const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json";

/// The fields of an image configuration that name the platform.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Distribution {
    /// Returns a door that trusts, beside the machine's own certificates, those in `ca_bundle` (PEM).
    pub fn new(limits: Limits, ca_bundle: Option<Vec<u8>>) -> Self {
        Self { transport: Transport::new(limits, ca_bundle) }
    }

    /// Returns what stands under `reference`, without downloading it where the registry lets us (Docker Hub does not count such
    /// a question as a pull).
    pub async fn resolve(
        &self,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Resolved, RegistryError> {
        let question = manifest_request(Method::HEAD, reference, 0);
        match self.transport.ask(&question, reference, login).await {
            Ok(answer) => {
                if let Some(resolved) = head(&answer, reference)? {
                    return Ok(resolved);
                }
            }
            // A refusal of HEAD has no body to explain it, and some registries only answer GET.
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Unauthorised { .. }
                | RegistryError::Refused { .. },
            ) => {}
            Err(error) => return Err(error),
        }
        self.manifest(reference, login).await.map(|manifest| manifest.resolved)
    }

    /// Returns the manifest under `reference`; its bytes have the digest that the reference or the registry names.
    pub async fn manifest(
        &self,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Manifest, RegistryError> {
        let question = manifest_request(Method::GET, reference, MANIFEST_LIMIT);
        let answer = self.transport.ask(&question, reference, login).await?;
        let lying = |what: String| lying(reference, what);
        let digest = Digest::of(&answer.body);
        for promised in reference.digest().into_iter().chain(answer.header(&CONTENT_DIGEST)) {
            // A digest of another algorithm promises nothing that we could check; ours is checked either way.
            if promised.starts_with("sha256:") && promised != digest.to_string() {
                return Err(lying(format!("bytes of digest {digest}, not {promised}")));
            }
        }
        let media_type = answer.media_type().to_owned();
        let content = Content::read(&media_type, &answer.body).map_err(|error| lying(error.to_string()))?;
        let size = answer.body.len() as u64;
        Ok(Manifest { resolved: Resolved { digest, media_type, size }, bytes: answer.body, content })
    }

    /// Returns the image for `platform` under `reference`, out of a list or alone.
    ///
    /// What a single image is made for is read from its configuration, so that an image of another platform is told before it
    /// is built upon.
    pub async fn image_for(
        &self,
        reference: &Reference,
        platform: Platform,
        login: Option<&Login>,
    ) -> Result<PlatformImage, RegistryError> {
        let named = self.manifest(reference, login).await?;
        let other =
            |found| RegistryError::OtherPlatform { reference: reference.whole(), wanted: platform, found };
        match &named.content {
            Content::Image(image) => {
                let found = self.platform(reference, image.config, login).await?;
                if found.parse() != Ok(platform) {
                    return Err(other(vec![found]));
                }
                Ok(PlatformImage { named: named.resolved.clone(), image: named })
            }
            Content::Index(entries) => {
                let Some(entry) = entries.iter().find(|entry| entry.is_for(platform)) else {
                    return Err(other(entries.iter().map(|entry| entry.platform.clone()).collect()));
                };
                let image = self.manifest(&at(reference, entry.digest), login).await?;
                if let Content::Index(_) = image.content {
                    return Err(lying(reference, "a list of images inside a list of images".to_owned()));
                }
                Ok(PlatformImage { named: named.resolved, image })
            }
        }
    }

    /// Returns what the configuration `config` says that the image is made for, such as `linux/amd64`.
    async fn platform(
        &self,
        reference: &Reference,
        config: Digest,
        login: Option<&Login>,
    ) -> Result<String, RegistryError> {
        let question = Request {
            method: Method::GET,
            path: format!("blobs/{config}"),
            accept: "*/*",
            at_most: CONFIG_LIMIT,
            doing: "for an image's configuration",
        };
        let answer = self.transport.ask(&question, reference, login).await?;
        let found = Digest::of(&answer.body);
        if found != config {
            return Err(lying(reference, format!("a configuration of digest {found}, not {config}")));
        }
        let config: Config = serde_json::from_slice(&answer.body)
            .map_err(|error| lying(reference, format!("a configuration that cannot be read: {error}")))?;
        let parts = [config.os, config.architecture, config.variant];
        let text = parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/");
        Ok(if text.is_empty() { "unknown".to_owned() } else { text })
    }
}

/// Returns what `reference` names by its digest.
pub(super) fn at(reference: &Reference, digest: Digest) -> Reference {
    Reference::with_digest(
        reference.registry().to_owned(),
        reference.repository().to_owned(),
        digest.to_string(),
    )
}

fn manifest_request(method: Method, reference: &Reference, at_most: usize) -> Request<'static> {
    let name = reference.digest().or_else(|| reference.tag()).unwrap_or("latest");
    let doing =
        if method == Method::HEAD { "which digest the image has" } else { "for the image's manifest" };
    Request { method, path: format!("manifests/{name}"), accept: MANIFESTS, at_most, doing }
}

/// Returns what the headers of a HEAD say, if they say all; the bytes cannot be checked, there are none.
fn head(answer: &Answer, reference: &Reference) -> Result<Option<Resolved>, RegistryError> {
    let Some(digest) = answer.header(&CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok()) else {
        return Ok(None);
    };
    let Some(size) = answer.header(&CONTENT_LENGTH).and_then(|text| text.parse().ok()) else {
        return Ok(None);
    };
    let media_type = answer.media_type().to_owned();
    if !manifest::is_manifest(&media_type) {
        return Ok(None);
    }
    match reference.digest() {
        Some(wanted) if wanted.starts_with("sha256:") && wanted != digest.to_string() => {
            Err(lying(reference, format!("digest {digest}")))
        }
        _ => Ok(Some(Resolved { digest, media_type, size })),
    }
}

fn lying(reference: &Reference, what: String) -> RegistryError {
    RegistryError::Lying {
        registry: reference.resolve_registry().to_owned(),
        reference: reference.whole(),
        what,
    }
}
