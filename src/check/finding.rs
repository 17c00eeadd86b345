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
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Names a rule, such as `platform-mismatch`. Stable: pipelines filter by it.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum RuleCode {
            $($(#[doc = $doc])* $variant,)*
        }

        impl RuleCode {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name as reports write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns what it stands for, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
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
    /// A library that a training loads is nowhere in the image.
    LibraryMissing = "library-missing",
    /// A library does not define a version of symbols that another asks for.
    SymbolVersion = "symbol-version",
    /// An extension was built for another torch than the one in the image.
    TorchInterface = "torch-interface",
    /// A library wants an executable stack, which the image's C library does not give.
    ExecutableStack = "executable-stack",
    /// What a library loads cannot be read.
    LibraryUnread = "library-unread",
    /// A library has no code for a GPU of the target.
    GpuCodeMissing = "gpu-code-missing",
    /// A library must be compiled anew for a GPU of the target each time it starts.
    GpuCodePtxOnly = "gpu-code-ptx-only",
    /// For which GPUs a library has code cannot be read.
    GpuCodeUnknown = "gpu-code-unknown",
    /// PyTorch and other programs of the image get different NCCL libraries.
    NcclTwice = "nccl-twice",
    /// Something says another NCCL or cuDNN than the one that is there.
    DeclaredVersion = "declared-version",
    /// NCCL finds no network plugin, or the wrong one.
    NcclPlugin = "nccl-plugin",
    /// NCCL and its plugin speak no common version of the interface.
    PluginInterface = "plugin-interface",
    /// The network plugin is older than the NCCL that it shall serve.
    PluginOlder = "plugin-older",
    /// libfabric has no `efa` provider.
    EfaProvider = "efa-provider",
    /// The EFA installer does not support the distribution.
    EfaDistribution = "efa-distribution",
    /// A package is half installed.
    HalfInstalled = "half-installed",
    /// A library opens another by a name that is not there.
    OpenedByName = "opened-by-name",
    /// The forward-compatibility libraries of the driver are always on the path.
    CudaCompat = "cuda-compat",
    /// CUDA is newer than the driver of the node runs.
    CudaDriver = "cuda-driver",
    /// An instance needs another version of a component.
    InstanceNeeds = "instance-needs",
    /// A Python package that PyTorch or Transformer Engine requires is missing or has another version.
    PythonRequirement = "python-requirement",
    /// The parts of Transformer Engine have different versions.
    TransformerEngineParts = "transformer-engine-parts",
    /// Transformer Engine's module does not find a CUDA library that it opens.
    TransformerEngineImport = "transformer-engine-import",
    /// The stock PyTorch lies where SMP's was.
    StockPytorch = "stock-pytorch",
    /// The image has more layers than an engine takes.
    LayerCount = "layer-count",
    /// A label is larger than a runtime takes.
    LabelSize = "label-size",
    /// The same content is pulled several times.
    DuplicateContent = "duplicate-content",
    /// A private key or credentials lie in a layer.
    PrivateKey = "private-key",
    /// A silence of the recipe silences nothing.
    SilencesNothing = "silences-nothing",
}

impl RuleCode {
    /// Returns the rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Returns whether an error of this rule always means that a training does not start or does not compute. Of other rules the
    /// finding itself says so ([`Finding::stopping`]): it depends on what it is about.
    fn stops_the_program(self) -> bool {
        matches!(
            self,
            Self::PlatformMismatch
                | Self::ForeignBinary
                | Self::DigestMismatch
                | Self::UnreadableLayer
                | Self::LayerCount
                | Self::ReplacedLink
                | Self::GpuCodeMissing
                | Self::TransportVariable
                | Self::CudaDriver
                | Self::InstanceNeeds
                | Self::StockPytorch
                | Self::TransformerEngineParts
                | Self::TransformerEngineImport
        )
    }

    /// Returns whether what is found depends on the instances of the target; a rule with one such code is asked for each of them.
    pub(crate) fn depends_on_instances(self) -> bool {
        matches!(
            self,
            Self::GpuCodeMissing
                | Self::GpuCodePtxOnly
                | Self::GpuCodeUnknown
                | Self::TransportVariable
                | Self::CudaDriver
                | Self::InstanceNeeds
                | Self::NcclPlugin
                | Self::EfaProvider
        )
    }
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
    /// Whether a training does not start or does not compute with it: the verdict on an instance is then `cannot-run`.
    #[serde(default)]
    pub stops: bool,
}

impl Finding {
    /// Returns a finding of these words.
    pub(crate) fn new(
        severity: Severity,
        rule: RuleCode,
        subject: impl Into<String>,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let stops = severity == Severity::Error && rule.stops_the_program();
        Self {
            severity,
            rule,
            subject: subject.into(),
            evidence: evidence.into(),
            remedy: remedy.into(),
            stops,
        }
    }

    /// Returns the finding as one that stops a training, if `stops`.
    pub(crate) fn stopping(self, stops: bool) -> Self {
        Self { stops, ..self }
    }
}
