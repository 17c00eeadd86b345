//! Where an image is to go: Amazon ECR or any other registry.

use std::fmt;
use std::str::FromStr;

use super::ecr::EcrHost;
use crate::oci::Reference;

/// Where an image is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) place: Place,
    pub(super) repository: String,
    pub(super) tag: String,
}

/// Which registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Amazon ECR: at this host, or in the caller's own account and region.
    Ecr(Option<EcrHost>),
    /// Any other, by its host.
    Registry(String),
}

/// A text that names no place for an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no destination for an image: {reason}")]
pub struct BadDestination {
    text: String,
    reason: String,
}

impl Destination {
    /// Returns the destination that `text` names; `tag` where it names none.
    ///
    /// - `smpv2` or `team/smpv2`: a repository of Amazon ECR in the caller's account and region
    /// - `123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2`: one of Amazon ECR in that account and region
    /// - `ghcr.io/team/smpv2`, `127.0.0.1:5000/smpv2`: a repository of any other registry (Docker Hub: `docker.io/…`)
    ///
    /// each with `:TAG` if wanted.
    pub fn parse(text: &str, tag: &str) -> Result<Self, BadDestination> {
        let bad = |reason: &str| BadDestination {
            text: text.chars().take(200).flat_map(char::escape_debug).collect(),
            reason: reason.to_owned(),
        };
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (Some(first), rest),
            _ => (None, text),
        };
        // The parser of references would take a name without a host for one on Docker Hub.
        let host_or_any = host.unwrap_or("registry.invalid");
        let reference: Reference = format!("{host_or_any}/{path}").parse().map_err(|_| bad(FORM))?;
        if reference.digest().is_some() {
            return Err(bad("a push names a tag, the digest follows from the image"));
        }
        let place = match host {
            None => Place::Ecr(None),
            Some(host) if EcrHost::is_meant_by(host) => {
                Place::Ecr(Some(host.parse().map_err(|error| bad(&format!("{error}")))?))
            }
            Some(_) => Place::Registry(reference.registry().to_owned()),
        };
        // The parser fills in `latest`, which nobody wrote.
        let written = path.rsplit('/').next().is_some_and(|last| last.contains(':'));
        let tag = if written { reference.tag().unwrap_or(tag) } else { tag };
        let repository = reference.repository().to_owned();
        let checked: Result<Reference, _> = format!("registry.invalid/{repository}:{tag}").parse();
        checked.map_err(|_| bad(&format!("`{}` is no tag", tag.escape_debug())))?;
        Ok(Self { place, repository, tag: tag.to_owned() })
    }

    /// Returns whether it is in Amazon ECR, so that AWS gives the login.
    pub fn is_ecr(&self) -> bool {
        matches!(self.place, Place::Ecr(_))
    }

    /// Returns the host of the registry, if it is known without asking AWS.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Ecr(host) => host.as_ref().map(EcrHost::as_str),
            Place::Registry(host) => Some(host),
        }
    }

    /// Returns the repository without host and tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

impl FromStr for Destination {
    type Err = BadDestination;

    /// Reads a destination; without a tag it is `latest`.
    fn from_str(text: &str) -> Result<Self, BadDestination> {
        Self::parse(text, "latest")
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = self.host() {
            write!(f, "{host}/")?;
        }
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// What may stand there.
const FORM: &str = "it wants [HOST/]REPOSITORY[:TAG], the repository in lowercase letters and digits with `/`, `.`, `_`, `-` between";

/// Returns whether the first part of a name is a host, by Docker's rule.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_repository_of_ones_own_ecr() {
        for (text, repository, tag) in
            [("smpv2", "smpv2", "dev"), ("smpv2:1.0", "smpv2", "1.0"), ("team/smpv2:1", "team/smpv2", "1")]
        {
            let destination = Destination::parse(text, "dev").unwrap();
            assert_eq!(destination.place, Place::Ecr(None), "{text}");
            assert_eq!((destination.repository(), destination.tag()), (repository, tag), "{text}");
        }
    }

    #[test]
    fn a_host_says_which_registry() {
        let text = "123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2:1";
        let destination: Destination = text.parse().unwrap();
        assert!(destination.is_ecr());
        assert_eq!(destination.to_string(), text);
        for text in ["127.0.0.1:5000/a/b:1", "localhost/a:1", "ghcr.io/team/app:1", "public.ecr.aws/x/y:1"] {
            let destination: Destination = text.parse().unwrap();
            assert!(!destination.is_ecr(), "{text}");
            assert_eq!(destination.to_string(), text);
        }
        assert_eq!("docker.io/me/app".parse::<Destination>().unwrap().to_string(), "docker.io/me/app:latest");
        assert_eq!("127.0.0.1:5000/a".parse::<Destination>().unwrap().to_string(), "127.0.0.1:5000/a:latest");
    }

    #[test]
    fn what_is_no_destination_is_refused_with_the_reason() {
        let digest = format!("smpv2@sha256:{}", "0".repeat(64));
        for (text, reason) in [
            ("", ""),
            ("Smpv2", "lowercase"),
            ("smpv2:", "REPOSITORY[:TAG]"),
            ("smpv2:a b", ""),
            ("ghcr.io/", ""),
            (&digest, "digest"),
            ("12345.dkr.ecr.us-west-2.amazonaws.com/smpv2", "123456789012.dkr.ecr"),
        ] {
            let error = Destination::parse(text, "1").unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
        assert!(Destination::parse("smpv2", "bad tag").is_err());
    }
}
