//! The shapes of facts, one table of the catalogue each. Every row carries its source, its date and how sure we are.

mod abi;
mod images;
mod machines;
mod packages;
mod releases;
mod rules;

use serde::{Deserialize, Serialize};

pub use abi::{ApiRange, CudaDriver, GpuCode, NcclAbi, PluginAbi};
pub use images::{BaseImage, Os};
pub use machines::{BusBandwidth, Gpu, Instance, InstanceNeeds, NodeImage, Rdma};
pub use packages::{Archive, Headers, Packages};
pub use releases::{EfaRelease, PytorchRelease, Release, SmpRegistry, SmpRelease, TransformerEngineRelease};
pub use rules::{Constraint, EfaFlag, InstalledPath, KnownIssue, OsName, OsSupport, Precision};

/// Where a fact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// A public reference.
    pub source: String,
    /// The day on which it was read, `YYYY-MM-DD`.
    pub date: String,
    /// How sure we are.
    pub confidence: Confidence,
    /// `FILE:LINE` of a fact that the user's own file states.
    #[serde(skip)]
    pub place: Option<String>,
}

/// How sure we are of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Read in the primary source.
    Documented,
    /// Derived by a command over primary sources.
    Computed,
    /// An official page, read as republished elsewhere.
    SecondHand,
    /// A community file. May only warn.
    Community,
    /// Our own conclusion. May only warn.
    Inferred,
}

impl Confidence {
    /// Every confidence, the surest first.
    pub const ALL: &[Self] =
        &[Self::Documented, Self::Computed, Self::SecondHand, Self::Community, Self::Inferred];

    /// Returns the name as files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Computed => "computed",
            Self::SecondHand => "second-hand",
            Self::Community => "community",
            Self::Inferred => "inferred",
        }
    }

    /// Returns whether a fact of this confidence may fail a build.
    pub fn may_fail(self) -> bool {
        matches!(self, Self::Documented | Self::Computed | Self::SecondHand)
    }
}
