//! The upstream that asks nobody.

use async_trait::async_trait;

use super::{AptQuestion, PythonQuestion, Upstream, UpstreamError};
use crate::lock::{CondaFile, LockedPackage, PinnedRequirement};
use crate::oci::{Digest, Platform, Reference};
use crate::recipe::{ArtefactUrl, CondaPackage, Version};

/// Asks nobody: every answer is that it was not asked, and why.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

fn not_asked<T>() -> Result<T, UpstreamError> {
    Err(UpstreamError::NotAsked("not asked, it was locked with --offline".to_owned()))
}

#[async_trait]
impl Upstream for Offline {
    async fn python(&self, _: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError> {
        not_asked()
    }

    async fn sdist(
        &self,
        _: &str,
        _: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
    ) -> Result<PinnedRequirement, UpstreamError> {
        not_asked()
    }

    async fn image(&self, _: &Reference, _: Platform) -> Result<(Digest, Option<u64>), UpstreamError> {
        not_asked()
    }

    async fn download_digest(&self, _: &ArtefactUrl) -> Result<(Digest, u64), UpstreamError> {
        not_asked()
    }

    async fn apt(&self, _: &AptQuestion) -> Result<Vec<LockedPackage>, UpstreamError> {
        not_asked()
    }

    async fn is_there(&self, _: &str) -> Result<bool, UpstreamError> {
        not_asked()
    }

    async fn conda(
        &self,
        _: &[ArtefactUrl],
        _: &CondaPackage,
        _: Platform,
    ) -> Result<CondaFile, UpstreamError> {
        not_asked()
    }
}
