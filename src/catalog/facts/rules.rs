//! Rules between components, and what is known to go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::recipe::{Component, ImagePath, VersionRange};

/// A need of a component that no table of its own holds. It counts where the one component of `when` is there at such a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Constraint {
    /// When it counts.
    pub when: BTreeMap<Component, VersionRange>,
    /// What must then hold of each component that is there; `needs` never asks that a component be added.
    pub needs: BTreeMap<Component, VersionRange>,
    /// Why, as one sentence.
    pub because: String,
    /// Whether it runs without, but not well: then it only warns.
    #[serde(default)]
    pub advice: bool,
    /// Where this comes from.
    pub fact: Fact,
}

/// Something known to go wrong with a version of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownIssue {
    /// The component.
    pub component: Component,
    /// The versions that have it.
    pub versions: VersionRange,
    /// What goes wrong, as one sentence.
    pub sentence: String,
    /// What to do about it.
    pub remedy: String,
    /// Where this comes from.
    pub fact: Fact,
}

/// A distribution by name and release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OsName {
    /// `ID` of `/etc/os-release`.
    pub id: String,
    /// `VERSION_ID` of `/etc/os-release`.
    pub version: String,
}

/// The versions of a component that support a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OsSupport {
    /// The component.
    pub component: Component,
    /// The distribution.
    pub os: OsName,
    /// The versions that support it.
    pub versions: VersionRange,
    /// Where this comes from.
    pub fact: Fact,
}

/// A flag of the EFA installer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EfaFlag {
    /// The flag.
    pub flag: String,
    /// What it does.
    pub meaning: String,
    /// The installers that take it; others stop at it.
    pub efa: VersionRange,
    /// Whether an installation inside an image needs it.
    #[serde(default)]
    pub container: bool,
    /// Where this comes from.
    pub fact: Fact,
}

/// Where something lies in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstalledPath {
    /// The component that brings it.
    pub component: Component,
    /// What lies there.
    pub what: String,
    /// The EFA installers that put it there.
    pub efa: VersionRange,
    /// The distribution, where it matters.
    pub os: Option<String>,
    /// The file or folder.
    pub path: ImagePath,
    /// Where this comes from.
    pub fact: Fact,
}

/// Which GPUs compute in a number format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Precision {
    /// The format: `fp8`, `mxfp8`, `nvfp4`.
    pub format: String,
    /// The oldest compute capability, without the dot.
    pub from_sm: u32,
    /// The newest compute capability of which this row speaks; every newer one where absent.
    pub to_sm: Option<u32>,
    /// What it asks of components.
    #[serde(default)]
    pub needs: BTreeMap<Component, VersionRange>,
    /// The rule as one sentence.
    pub because: String,
    /// Where this comes from.
    pub fact: Fact,
}
