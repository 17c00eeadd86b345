//! The components that an image combines: things with versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! components {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something with versions that the image combines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Component {
            $($(#[$doc])* $variant,)*
        }

        impl Component {
            /// Every component, in the order in which reports name them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name as recipes write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

components! {
    /// The distribution of the base image.
    Os = "os",
    /// The NVIDIA driver of the node.
    Driver = "driver",
    /// CUDA toolkit or runtime libraries.
    Cuda = "cuda",
    /// cuDNN.
    Cudnn = "cudnn",
    /// The Python interpreter.
    Python = "python",
    /// PyTorch.
    Pytorch = "pytorch",
    /// SageMaker model parallelism v2: AWS's own build of PyTorch with `torch.sagemaker`.
    Smp = "smp",
    /// NCCL.
    Nccl = "nccl",
    /// AWS's EFA installer: libfabric, rdma-core, Open MPI, and from 1.38.0 the plugin.
    Efa = "efa",
    /// libfabric and rdma-core of the base's distribution.
    Libfabric = "libfabric",
    /// The NCCL network plugin for libfabric.
    AwsOfiNccl = "aws-ofi-nccl",
    /// `GDRCopy`.
    Gdrcopy = "gdrcopy",
    /// Transformer Engine; with `pytorch` or `smp` also its PyTorch extension.
    TransformerEngine = "transformer-engine",
    /// `FlashAttention`.
    FlashAttn = "flash-attn",
    /// NVIDIA's NCCL benchmarks.
    NcclTests = "nccl-tests",
}

/// A name that no component has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown component `{name}`{hint}")]
pub struct UnknownComponent {
    /// The name as written.
    pub name: String,
    hint: String,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Component {
    type Err = UnknownComponent;

    fn from_str(text: &str) -> Result<Self, UnknownComponent> {
        Self::ALL.iter().copied().find(|component| component.name() == text).ok_or_else(|| {
            let names = || Self::ALL.iter().map(|component| component.name());
            let hint = match super::nearest(text, names()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; known: {}", names().collect::<Vec<_>>().join(", ")),
            };
            UnknownComponent { name: text.to_owned(), hint }
        })
    }
}

impl Serialize for Component {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Component {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Component {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Component".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Self::ALL.iter().map(|component| component.name()).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}
