//! Wheels that were compiled before: by which key they are known, and the stages that take them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::compose::{Composer, compiling_image};
use super::stage::{StageName, Variable};
use super::{PlanError, Work};
use crate::lock::{LockedComponent, LockedConda, PinnedRequirement};
use crate::oci::{Digest, Platform};
use crate::recipe::{Component, ImagePath};

/// How much of a key's digest stands in its name.
const SHORT: usize = 16;

/// Components whose very files decide whether a compiled extension loads: what else is in an image does not.
const AGAINST: [Component; 5] =
    [Component::Smp, Component::Pytorch, Component::Cuda, Component::Cudnn, Component::Nccl];

/// By what a compiled wheel is known: everything that its machine code depends on. Two equal keys are one wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WheelKey {
    /// The component.
    pub component: Component,
    /// What is compiled: name, version and checksums of the sources.
    pub sources: Vec<String>,
    /// What it is compiled against, likewise: PyTorch with its C++ ABI, CUDA, cuDNN, NCCL.
    pub against: Vec<String>,
    /// Python and its C API, as `3.12`; absent where only the distribution knows it.
    pub python: Option<String>,
    /// The machine.
    pub platform: Platform,
    /// Distribution, its version and glibc.
    pub os: String,
    /// The image with the compilers.
    pub compilers: String,
    /// What the compilation is told, such as for which GPUs: `NAME=value`.
    pub settings: Vec<String>,
}

impl WheelKey {
    /// Returns the digest of everything in it.
    pub fn digest(&self) -> Digest {
        // Every field has a JSON form.
        Digest::of(serde_json::to_string(self).unwrap_or_default())
    }
}

impl fmt::Display for WheelKey {
    /// Writes the name of a folder and of a tag: `transformer-engine-2.20.2-amd64-` and the beginning of the digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.sources.first().and_then(|source| source.split_once("==")?.1.split(' ').next());
        let plain = |c: &char| c.is_ascii_alphanumeric() || ".-_".contains(*c);
        let version: String = version.unwrap_or("unknown").chars().filter(plain).collect();
        let (arch, digest) = (self.platform.arch.name(), self.digest().hex());
        write!(f, "{}-{version}-{arch}-{}", self.component, &digest[..SHORT])
    }
}

impl Composer<'_> {
    /// Returns by what the wheel of `locked` is known, compiled with `settings`.
    pub(super) fn wheel_key(
        &self,
        locked: &LockedComponent,
        settings: &[Variable],
    ) -> Result<WheelKey, PlanError> {
        let compilers = compiling_image(self.lock, self.catalog);
        let compilers = compilers.ok_or(PlanError::NoDevel { component: locked.name })?;
        let os = self.catalog.image(&self.lock.base.image).map_or_else(
            || self.lock.base.image.whole(),
            |image| format!("{} {}, glibc {}", image.os.id, image.os.version, image.os.glibc),
        );
        let against = AGAINST.into_iter().filter_map(|component| self.lock.component(component));
        Ok(WheelKey {
            component: locked.name,
            sources: locked.sdists.iter().map(exactly).collect(),
            against: against.flat_map(identity).collect(),
            python: self.python.home().map(|home| home.version.clone()),
            platform: self.target.platform,
            os,
            compilers: compilers.digest.known().map_or_else(
                || compilers.image.whole(),
                |digest| format!("{}@{digest}", compilers.image.whole()),
            ),
            settings: settings.iter().map(|setting| format!("{}={}", setting.name, setting.value)).collect(),
        })
    }

    /// Adds the stage that takes the wheel of `key` from the image `kept` in place of compiling it; nothing where there is none.
    pub(super) fn taken_wheel(
        &mut self,
        name: &str,
        (locked, key): (&LockedComponent, &WheelKey),
        prefix: &ImagePath,
    ) -> Result<Option<StageName>, PlanError> {
        let Some(kept) = self.options.wheels.get(&key.to_string()).cloned() else { return Ok(None) };
        let Some(from) = self.unpacks_in.clone() else { return Ok(None) };
        let work = Work::Taken {
            component: locked.name,
            packages: super::python::pinned(&locked.sdists)?,
            kept,
            prefix: prefix.clone(),
            host: self.host(),
        };
        self.push(name, from, work).map(Some)
    }
}

/// Returns a pinned package with the checksums of its files.
fn exactly(pinned: &PinnedRequirement) -> String {
    pinned.hashes.iter().fold(pinned.requirement.to_string(), |text, hash| format!("{text} {hash}"))
}

/// Returns what a component of the lock is, as exactly as the lock knows it.
fn identity(locked: &LockedComponent) -> Vec<String> {
    let version = locked.version.known().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let mut parts = vec![format!("{} {version}", locked.name)];
    parts.extend(locked.wheels.iter().map(exactly));
    parts.extend(locked.conda.iter().flat_map(|conda| conda.packages.iter().map(conda_identity)));
    parts
}

fn conda_identity(package: &LockedConda) -> String {
    match package.found.known() {
        Some(found) => format!("{} {}", found.package, found.sha256),
        None => package.asked.to_string(),
    }
}
