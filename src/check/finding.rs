//! What a check has to say: findings, each with evidence and a remedy.

use serde::Serialize;

/// How much a finding weighs. Ordered: the gravest first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The image does not do what it is for.
    Error,
    /// It could not be found out. Never counted as passed.
    Unknown,
    /// It works, and will cost somebody time or money.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Returns the name as reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

macro_rules! rule_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Names a rule, such as `platform-mismatch`. Stable: pipelines filter by it.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum RuleCode {
            $($(#[$doc])* $variant,)*
        }

        impl RuleCode {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name as reports write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

rule_codes! {
    /// The configuration names another platform.
    PlatformMismatch = "platform-mismatch",
    /// A program or library is for another processor.
    ForeignBinary = "foreign-binary",
    /// Bytes are not those that a digest promises.
    DigestMismatch = "digest-mismatch",
    /// A layer cannot be unpacked.
    UnreadableLayer = "unreadable-layer",
    /// An expected component is not in the image.
    ComponentMissing = "component-missing",
    /// An expected component has another version than the lock says.
    ComponentVersion = "component-version",
    /// An expected component's version cannot be read.
    ComponentUnknown = "component-unknown",
    /// A component is there twice, in different versions.
    ComponentTwice = "component-twice",
    /// A layer has a media type that not every registry and runtime takes.
    MediaType = "media-type",
    /// A layer is too large for the registry or slow to pull.
    LargeLayer = "large-layer",
    /// Upper layers delete or overwrite much of lower ones.
    WastedSpace = "wasted-space",
    /// A cache of a package manager was left behind.
    CacheLeftBehind = "cache-left-behind",
    /// The host's CA bundle was left behind.
    CaBundle = "ca-bundle",
    /// The environment sets variables that belong to the job.
    TransportVariable = "transport-variable",
    /// Something that looks like a secret is in the configuration or a file.
    Secret = "secret",
    /// A layer replaces a link by a folder.
    ReplacedLink = "replaced-link",
}

impl std::fmt::Display for RuleCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that a rule found.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// The rule.
    pub rule: RuleCode,
    /// What it is about: a component, a path, a layer.
    pub subject: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
}
