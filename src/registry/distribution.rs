//! The door to any registry that speaks the OCI distribution protocol: which digest stands behind a name, and what it is.
//!
//! Reads only; layers are pushed by the engine. Nothing is opened before the first question.

mod access;
mod answer;
mod error;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Deserialize;

use self::access::Challenge;
use self::answer::{Again, Answer, Failure, Question};
pub use self::error::RegistryError;
use super::manifest::{self, Content};
use crate::engine::Login;
use crate::oci::{Digest, Platform, Reference, media_type};

/// How long and how often a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to stand.
    pub connect: Duration,
    /// Between two signs of life of an answer.
    pub stall: Duration,
    /// For one question with its answer.
    pub answer: Duration,
    /// How often a question is asked where the registry limits us or fails; at least once.
    pub attempts: u32,
    /// The longest pause between two attempts; a registry that asks for a longer one is not asked again.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            attempts: 4,
            pause: Duration::from_secs(20),
        }
    }
}

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
/// (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's store) and through the proxy of the environment. A reference with a mirror
/// ([`Reference::set_mirror_registry`]) is asked of the mirror.
#[derive(Debug)]
pub struct Distribution {
    limits: Limits,
    ca_bundle: Option<Vec<u8>>,
    direct: OnceLock<Client>,
    outside: OnceLock<Client>,
    // What opened a repository once opens it again; by address and user.
    granted: Mutex<HashMap<String, HeaderValue>>,
}

/// The largest manifest that is read; the specification asks registries to take 4 MiB.
const MANIFEST_LIMIT: usize = 4 << 20;
/// The largest image configuration that is read.
const CONFIG_LIMIT: usize = 8 << 20;
/// The largest answer of a token service that is read.
const TOKEN_LIMIT: usize = 1 << 20;
/// The header in which a registry says the digest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Every form of manifest that we read.
const MANIFESTS: [&str; 4] =
    [media_type::DOCKER_MANIFEST, media_type::DOCKER_LIST, media_type::OCI_MANIFEST, media_type::OCI_INDEX];

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
        Self {
            limits,
            ca_bundle,
            direct: OnceLock::new(),
            outside: OnceLock::new(),
            granted: Mutex::new(HashMap::new()),
        }
    }

    /// Returns what stands under `reference`, without downloading it where the registry lets us (Docker Hub does not count such
    /// a question as a pull).
    pub async fn resolve(
        &self,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Resolved, RegistryError> {
        let url = manifest_url(reference)?;
        match self.ask(Method::HEAD, url, &MANIFESTS.join(", "), reference, login, 0).await {
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
        let url = manifest_url(reference)?;
        let answer =
            self.ask(Method::GET, url, &MANIFESTS.join(", "), reference, login, MANIFEST_LIMIT).await?;
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
        let url = url(reference, &format!("blobs/{config}"))?;
        let answer = self.ask(Method::GET, url, "*/*", reference, login, CONFIG_LIMIT).await?;
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

    /// Asks until there is an answer, or no hope for one.
    async fn ask(
        &self,
        method: Method,
        url: Url,
        accept: &str,
        reference: &Reference,
        login: Option<&Login>,
        at_most: usize,
    ) -> Result<Answer, RegistryError> {
        let (registry, whole) = (host(reference), reference.whole());
        let question = Question {
            registry,
            repository: reference.repository(),
            reference: &whole,
            doing: if method == Method::HEAD { "which digest it has" } else { "for an image's manifest" },
            logged_in: login.is_some(),
            at_most,
            limit: self.limits.answer,
        };
        let mut attempts = 1;
        loop {
            let asked = self.ask_once(method.clone(), &url, accept, question, login);
            let failure = match tokio::time::timeout(self.limits.answer, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::fatal(RegistryError::TimedOut {
                    registry: registry.to_owned(),
                    doing: question.doing.to_owned(),
                    limit: self.limits.answer,
                }),
            };
            match pause(failure.again, attempts, self.limits) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(counted(failure.error, attempts)),
            }
            attempts += 1;
        }
    }

    /// Asks once, letting ourselves in if the registry wants that.
    async fn ask_once(
        &self,
        method: Method,
        url: &Url,
        accept: &str,
        question: Question<'_>,
        login: Option<&Login>,
    ) -> Result<Answer, Failure> {
        let key = format!(
            "{}/{} {}",
            question.registry,
            question.repository,
            login.map_or("", |login| &login.user)
        );
        let known = self.granted.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let send = async |authorization: Option<HeaderValue>| {
            let mut request = self.client(url).map_err(Failure::fatal)?.request(method.clone(), url.clone());
            request = request.header(ACCEPT, accept);
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            request.send().await.map_err(|error| answer::broken(&error, question))
        };
        let mut sent = known.clone();
        let mut response = send(known).await?;
        if response.status().as_u16() == 401
            && let Some(header) = self.let_in(&response, url, question, login).await?
        {
            sent = Some(header.clone());
            response = send(Some(header)).await?;
        }
        let answer = Answer::read(response, question).await?;
        if let Some(header) = sent {
            self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(key, header);
        }
        Ok(answer)
    }

    /// Returns the header that answers a challenge; none where there is nothing to answer with.
    async fn let_in(
        &self,
        response: &reqwest::Response,
        url: &Url,
        question: Question<'_>,
        login: Option<&Login>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let refuse = |message: String| {
            Failure::fatal(RegistryError::Unauthorised {
                registry: question.registry.to_owned(),
                repository: question.repository.to_owned(),
                status: 401,
                message,
                logged_in: question.logged_in,
            })
        };
        let basic = login.and_then(access::basic_header);
        match Challenge::find(response.headers(), url.scheme() == "https").map_err(refuse)? {
            Challenge::Basic => Ok(basic),
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", question.repository));
                let url = access::token_url(&realm, service.as_deref(), &scope);
                let mut request = self.client(&url).map_err(Failure::fatal)?.get(url);
                if let Some(value) = basic {
                    request = request.header(AUTHORIZATION, value);
                }
                let response = request.send().await.map_err(|error| answer::broken(&error, question))?;
                let answer = Answer::read(response, Question { at_most: TOKEN_LIMIT, ..question }).await?;
                access::token_header(&answer.body).map(Some).map_err(refuse)
            }
        }
    }

    /// Returns the client for `url`, made when it is first needed.
    fn client(&self, url: &Url) -> Result<&Client, RegistryError> {
        let loopback = url.host_str().is_some_and(is_loopback);
        let made = if loopback { &self.direct } else { &self.outside };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = self.new_client(loopback)?;
        Ok(made.get_or_init(|| client))
    }

    fn new_client(&self, loopback: bool) -> Result<Client, RegistryError> {
        super::use_ring();
        let trust = |error: reqwest::Error| RegistryError::Trust(error.to_string());
        let mut builder = Client::builder()
            .user_agent(concat!("smp-image/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.limits.connect)
            .read_timeout(self.limits.stall)
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let downgraded = attempt.previous().last().is_some_and(|from| from.scheme() == "https")
                    && attempt.url().scheme() != "https";
                if downgraded {
                    attempt.error("it redirects to an address without encryption")
                } else if attempt.previous().len() > 5 {
                    attempt.error("it redirects without end")
                } else {
                    attempt.follow()
                }
            }));
        if loopback {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &self.ca_bundle {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(trust)?;
            if certificates.is_empty() {
                return Err(RegistryError::Trust("the bundle has no PEM certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(trust)
    }
}

/// Returns `reference` by its digest, asked of the same mirror.
pub(super) fn at(reference: &Reference, digest: Digest) -> Reference {
    reference.clone_with_digest(digest.to_string())
}

/// Returns whether `host` is this machine itself, whatever name service says: `localhost`, 127.0.0.0/8, `[::1]`.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().map_or(bare.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

/// Returns the host that is asked about `reference`: its mirror or its registry.
fn host(reference: &Reference) -> &str {
    reference.resolve_registry()
}

fn manifest_url(reference: &Reference) -> Result<Url, RegistryError> {
    let name = reference.digest().or_else(|| reference.tag()).unwrap_or("latest");
    url(reference, &format!("manifests/{name}"))
}

fn url(reference: &Reference, path: &str) -> Result<Url, RegistryError> {
    let host = host(reference);
    let parse = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/v2/{}/{path}", reference.repository())).map_err(|error| {
            RegistryError::Unreachable {
                registry: host.to_owned(),
                reason: format!("it is no address: {error}"),
            }
        })
    };
    let mut url = parse("https")?;
    if url.host_str().is_some_and(is_loopback) {
        url = parse("http")?;
    }
    if let Some(namespace) = reference.namespace() {
        // How containerd tells a mirror which registry it stands for.
        url.query_pairs_mut().append_pair("ns", namespace);
    }
    Ok(url)
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
    RegistryError::Lying { registry: host(reference).to_owned(), reference: reference.whole(), what }
}

/// Returns how long to wait before the next attempt; none where there is no next one.
fn pause(again: Again, attempts: u32, limits: Limits) -> Option<Duration> {
    if attempts >= limits.attempts {
        return None;
    }
    match again {
        Again::Never => None,
        // Never earlier than asked, and not all clients of a registry in the same moment.
        Again::After(wait) if wait <= limits.pause => Some(wait + jitter(Duration::from_millis(500))),
        Again::After(_) => None,
        Again::Later => {
            let step = Duration::from_millis(500).saturating_mul(1 << attempts.min(10)).min(limits.pause);
            Some(step / 2 + jitter(step / 2))
        }
    }
}

/// Returns a random duration below `most`.
fn jitter(most: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    // 16 bits of randomness are plenty to spread clients.
    most.mul_f64(f64::from(u16::try_from(random >> 48).unwrap_or_default()) / f64::from(u16::MAX))
}

/// Returns the error with how often the registry was asked.
fn counted(error: RegistryError, count: u32) -> RegistryError {
    match error {
        RegistryError::RateLimited { registry, retry_after, .. } => {
            RegistryError::RateLimited { registry, retry_after, attempts: count }
        }
        RegistryError::ServerError { registry, status, message, .. } => {
            RegistryError::ServerError { registry, status, message, attempts: count }
        }
        other => other,
    }
}
