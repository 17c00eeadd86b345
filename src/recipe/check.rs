//! What a recipe says of checks: findings that are meant so, each with its reason.

use serde::Deserialize;
use toml::Spanned;

/// What a recipe says of checks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// Findings that are meant so.
    #[serde(default)]
    pub silence: Vec<Silence>,
}

/// Findings of one rule that are meant so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Silence {
    /// The rule by its code, such as `cuda-compat`.
    pub rule: Spanned<String>,
    /// A glob for the subjects; every subject where absent.
    #[serde(default)]
    pub subject: Option<Spanned<String>>,
    /// Why it is meant so. Reports print it.
    pub reason: Spanned<String>,
}
