//! What a plan depends on beyond recipe and lock: the builder's memory, and mirrors of registries.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::oci::{Platform, Reference};

/// Memory assumed where the builder is not known: a common CI runner.
const ASSUMED_MEMORY: u64 = 16 << 30;
/// What one nvcc process may take while it compiles flash-attn or Transformer Engine (Dao-AILab/flash-attention PR 2079 measures 3 to
/// 5 GB per thread): the upper end, because a build that is killed after an hour costs more than one that is a little slower.
const MEMORY_PER_JOB: u64 = 5 << 30;
/// What the rest of the machine keeps.
const MEMORY_KEPT: u64 = 2 << 30;

/// What a plan depends on beyond recipe and lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Memory of the machine that builds, in bytes, where it is known.
    pub builder_memory: Option<u64>,
    /// Processors of the machine that builds, where they are known.
    pub builder_processors: Option<u64>,
    /// The platform of the machine that builds; that of the image where it is not known.
    pub builder: Option<Platform>,
    /// Images that hold wheels which were compiled before, by the names of their keys ([`super::WheelKey`]).
    pub wheels: BTreeMap<String, KeptWheel>,
    /// Registries to ask instead of others.
    pub mirrors: Vec<Mirror>,
}

/// An image that holds a compiled wheel in `/wheels`, beside its checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeptWheel {
    /// The image, as a builder is told it.
    pub image: String,
}

impl Options {
    /// Returns how many compilers may run at once; at least one.
    pub fn max_jobs(&self) -> u64 {
        let memory = self.builder_memory.unwrap_or(ASSUMED_MEMORY);
        let by_memory = memory.saturating_sub(MEMORY_KEPT) / MEMORY_PER_JOB;
        by_memory.min(self.builder_processors.unwrap_or(u64::MAX)).max(1)
    }

    /// Returns the name under which `image` is pulled: that of its mirror, if it has one.
    pub fn mirrored(&self, image: &Reference) -> Reference {
        let mirror = self.mirrors.iter().find(|mirror| mirror.of == image.registry());
        let Some(mirror) = mirror else { return image.clone() };
        let tag = image.tag().map(str::to_owned);
        let repository = image.repository().to_owned();
        match tag {
            Some(tag) => Reference::with_tag(mirror.at.clone(), repository, tag),
            None => Reference::with_digest(
                mirror.at.clone(),
                repository,
                image.digest().unwrap_or_default().to_owned(),
            ),
        }
    }
}

/// A registry to ask instead of another, written `docker.io=127.0.0.1:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    of: String,
    at: String,
}

/// A text that is not `REGISTRY=REGISTRY`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mirror (REGISTRY=REGISTRY, such as docker.io=127.0.0.1:5000)")]
pub struct BadMirror(String);

impl Mirror {
    /// Returns the host that is asked instead of `host`, if this mirror stands for it.
    pub fn instead_of(&self, host: &str) -> Option<String> {
        (self.of == host).then(|| self.at.clone())
    }
}

impl FromStr for Mirror {
    type Err = BadMirror;

    fn from_str(text: &str) -> Result<Self, BadMirror> {
        let bad = || BadMirror(text.escape_debug().to_string().chars().take(80).collect());
        let (of, at) = text.split_once('=').ok_or_else(bad)?;
        if is_registry(of) && is_registry(at) {
            Ok(Self { of: of.to_owned(), at: at.to_owned() })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.of, self.at)
    }
}

/// Returns whether `text` is a registry's host as references hold it: with a dot, a port, or `localhost`.
fn is_registry(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    let as_host = format!("{text}/a/b").parse::<Reference>().is_ok_and(|name| name.registry() == text);
    plain && as_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_follow_the_memory_and_never_exceed_the_processors() {
        let with = |gib: u64, processors| Options {
            builder_memory: Some(gib << 30),
            builder_processors: processors,
            ..Options::default()
        };
        assert_eq!(with(4, None).max_jobs(), 1);
        assert_eq!(with(16, None).max_jobs(), 2);
        assert_eq!(with(24, Some(2)).max_jobs(), 2);
        assert_eq!(with(128, Some(96)).max_jobs(), 25);
        assert_eq!(Options::default().max_jobs(), 2);
    }

    #[test]
    fn the_memory_of_a_compiler_is_what_the_catalogue_says_at_most() {
        let catalog = crate::catalog::Catalog::embedded().unwrap();
        let most = catalog.compile.iter().filter_map(|row| row.memory_per_job_gib).max();
        assert_eq!(most.map(|gib| gib << 30), Some(MEMORY_PER_JOB));
    }

    #[test]
    fn a_mirror_replaces_the_registry_and_nothing_else() {
        let options =
            Options { mirrors: vec!["docker.io=127.0.0.1:5000".parse().unwrap()], ..Options::default() };
        let name = |text: &str| options.mirrored(&text.parse().unwrap()).whole();
        assert_eq!(name("debian:trixie-slim"), "127.0.0.1:5000/library/debian:trixie-slim");
        assert_eq!(name("quay.io/a/b:1"), "quay.io/a/b:1");
    }

    #[test]
    fn what_is_no_registry_is_no_mirror() {
        for text in
            ["docker.io", "docker.io=", "=a.b", "docker.io=a b", "docker.io=x\nRUN y", "a=b", "a.b=c.d/e"]
        {
            assert!(text.parse::<Mirror>().is_err(), "{text:?}");
        }
    }
}
