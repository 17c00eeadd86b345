//! Names of images, read as Docker and containerd read them.
//!
//! The crate `oci-spec` has such a type; its parser compiles a regular expression on first use, which took 40 of the 48 ms of
//! `smp-image recipes` (measured on two cores). This one knows the same grammar (distribution/reference) without it; a test compares both.

use std::fmt;
use std::str::FromStr;

/// A name of an image as registries know it, normalised: `debian` is `docker.io/library/debian:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReference(&'static str);

/// The registry that is meant where none is named.
const DOCKER_HUB: &str = "docker.io";
/// The longest name without tag and digest.
const NAME_LIMIT: usize = 255;

impl Reference {
    /// Returns the image `repository:tag` at `registry`.
    pub fn with_tag(registry: String, repository: String, tag: String) -> Self {
        Self { registry, repository, tag: Some(tag), digest: None }
    }

    /// Returns the image `repository@digest` at `registry`.
    pub fn with_digest(registry: String, repository: String, digest: String) -> Self {
        Self { registry, repository, tag: None, digest: Some(digest) }
    }

    /// Returns the registry's host as it is written, `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the host that answers for the registry.
    pub fn resolve_registry(&self) -> &str {
        if self.registry == DOCKER_HUB { "index.docker.io" } else { &self.registry }
    }

    /// Returns the repository, `library/debian` for `debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; `latest` where neither tag nor digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest as it was written.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns the whole name.
    pub fn whole(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        if text.is_empty() {
            return Err(BadReference("an empty text names no image"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(BadReference("what follows `@` is no digest"));
        }
        // A colon behind the last slash begins a tag; one before it belongs to the port of the host.
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[last..].find(':') {
            Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
            None => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(BadReference("what follows `:` is no tag"));
        }
        let (registry, repository) = split_registry(name);
        if !is_host(&registry) {
            return Err(BadReference("what stands before the first `/` is no host"));
        }
        if !repository.split('/').all(is_component) {
            let upper = repository.chars().any(|c| c.is_ascii_uppercase());
            return Err(BadReference(if upper {
                "a repository must be lowercase"
            } else {
                "the repository is no name"
            }));
        }
        if registry.len() + repository.len() > NAME_LIMIT {
            return Err(BadReference("the name is longer than 255 characters"));
        }
        let tag = tag.or(digest.is_none().then_some("latest"));
        Ok(Self { registry, repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

/// Splits a name into registry and repository; what could be a host is one only with a dot, a port or as `localhost`.
fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DOCKER_HUB, name),
    };
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    let official = registry == DOCKER_HUB && !repository.contains('/');
    let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
    (registry.to_owned(), repository)
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let has_port = port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    if port.is_some() && !has_port {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        let plain = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(plain) && label.ends_with(plain) && label.chars().all(|c| plain(c) || c == '-')
    })
}

/// Returns whether `text` is one part of a path: letters and digits, with `.`, `_`, `__` or dashes between.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(plain).filter(|separator| !separator.is_empty());
    let separates =
        |separator: &str| matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
    text.starts_with(plain) && text.ends_with(plain) && separators.into_iter().all(separates)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Returns whether `text` is `algorithm:hex` of an algorithm that registries use.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asserts that our parser and that of `oci-spec` agree on `text`, but for what `oci-spec` lets through although no registry has
    /// such a host or such a repository (`0_0.0/a`, `A/b`).
    fn agrees(text: &str) {
        let theirs = text.parse::<oci_spec::distribution::Reference>();
        match (text.parse::<Reference>(), theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours.whole(), theirs.whole(), "{text:?}");
                assert_eq!(ours.resolve_registry(), theirs.resolve_registry(), "{text:?}");
            }
            (Err(_), Err(_)) => {}
            (Err(_), Ok(theirs)) if !is_host(theirs.registry()) => {}
            (Err(_), Ok(theirs)) if theirs.repository().chars().any(char::is_uppercase) => {}
            (ours, theirs) => panic!("{text:?}: {ours:?}, oci-spec says {theirs:?}"),
        }
    }

    #[test]
    fn names_are_read_as_oci_spec_reads_them() {
        let sha = "a".repeat(64);
        for text in [
            "debian",
            "debian:trixie-slim",
            "library/debian",
            "nvidia/cuda:12.4.1-base-ubuntu22.04",
            "127.0.0.1:5000/library/debian:trixie-slim",
            "localhost/a",
            "localhost:5000/a:b",
            "ghcr.io/a/b/c:1.0_x",
            "658645717510.dkr.ecr.us-west-2.amazonaws.com/smdistributed-modelparallel:2.5.1-gpu-py311-cu124",
            "index.docker.io/a/b",
            "a__b/c--d/e.f_g:T",
            "a..b",
            "a/",
            "/a",
            "a//b",
            "A/b",
            "a/B",
            "a:",
            "a:-x",
            "a@sha256:1",
            "a b",
            "",
            ":x",
        ] {
            agrees(text);
        }
        agrees(&format!("a@sha256:{sha}"));
        agrees(&format!("ghcr.io/a/b:c@sha256:{sha}"));
        // The specification of digests wants lower case; oci-spec takes either.
        assert!(format!("a@sha256:{}", sha.to_uppercase()).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn any_likely_text_is_read_as_oci_spec_reads_it(text in "([a-z0-9]{1,3}[./:_-]{0,2}){1,5}") {
            agrees(&text);
        }
    }
}
