//! What rows of all tables have in common: a subject that tells them apart, facts, the components they speak of, ranges and days to check.

use serde::Serialize;
use serde_json::{Map, Value};

use super::facts::{
    Archive, BaseImage, BusBandwidth, Constraint, CudaDriver, EfaFlag, EfaRelease, Fact, Gpu, GpuCode,
    InstalledPath, Instance, InstanceNeeds, KnownIssue, NcclAbi, NodeImage, OsSupport, Packages, PluginAbi,
    Precision, PytorchRelease, Release, SmpRegistry, SmpRelease, TransformerEngineRelease,
};
use crate::recipe::{Component, Version, VersionRange};

/// One row of a table.
pub(super) trait Row: Fields {
    /// Returns what the row is about, in the words of the table; no other row of the table has the same.
    fn subject(&self) -> String;

    /// Returns the subject in the form in which two spellings of it are equal, such as `2.8` and `2.8.0`.
    fn key(&self) -> String {
        self.subject()
    }

    /// Returns where the row comes from.
    fn fact(&self) -> &Fact;

    /// Returns where parts of the row come from, where that is another place.
    fn further_facts(&self) -> Vec<&Fact> {
        Vec::new()
    }

    /// Returns the components of which the row speaks.
    fn about(&self) -> Vec<Component>;

    /// Returns ranges that must each admit a known version of their component.
    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        Vec::new()
    }

    /// Returns days and months that the row states.
    fn days(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Returns what the row says once for each known version: no other row of the table may speak of the same version.
    fn alone_for(&self) -> Option<(String, Component, &VersionRange)> {
        None
    }
}

/// What a row says, by the names of its fields.
pub(super) trait Fields {
    /// Returns the fields without absent ones and without where they come from.
    fn fields(&self) -> Map<String, Value>;
}

impl<T: Serialize> Fields for T {
    fn fields(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else { return Map::new() };
        fields.retain(|name, value| !value.is_null() && name != "fact" && !is_empty(value));
        fields
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(set) => !set,
        _ => false,
    }
}

/// Returns `version` in the one spelling that all equal versions share: `2.8` for `2.8.0`.
fn plain(version: &Version) -> String {
    let mut release = version.pep440().release().to_vec();
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    version.pep440().clone().with_release(release).to_string()
}

/// Writes the parts of a row that every table has.
macro_rules! common {
    ($subject:expr) => {
        fn subject(&self) -> String {
            let subject: fn(&Self) -> String = $subject;
            subject(self)
        }

        fn fact(&self) -> &Fact {
            &self.fact
        }
    };
}

/// Rows that are the releases of one component, known by their version.
macro_rules! releases {
    ($($row:ty = $component:ident, $days:expr, $ranges:expr;)*) => {
        $(impl Row for $row {
            common!(|row| row.version.to_string());

            fn key(&self) -> String {
                plain(&self.version)
            }

            fn about(&self) -> Vec<Component> {
                vec![Component::$component]
            }

            fn days(&self) -> Vec<&str> {
                let days: fn(&Self) -> Option<&str> = $days;
                days(self).into_iter().collect()
            }

            fn ranges(&self) -> Vec<(Component, &VersionRange)> {
                let ranges: for<'a> fn(&'a Self) -> Vec<(Component, Option<&'a VersionRange>)> = $ranges;
                ranges(self).into_iter().filter_map(|(component, range)| Some((component, range?))).collect()
            }
        })*
    };
}

releases! {
    EfaRelease = Efa, |row| row.released.as_deref(), |_| Vec::new();
    SmpRelease = Smp, |row| Some(&row.released), |_| Vec::new();
    PytorchRelease = Pytorch, |row| row.released.as_deref(), |row| vec![(Component::Python, row.python.as_ref())];
    TransformerEngineRelease = TransformerEngine, |row| row.released.as_deref(), |row| vec![
        (Component::Cuda, Some(&row.cuda)),
        (Component::FlashAttn, Some(&row.flash_attn)),
        (Component::Cudnn, row.cudnn.as_ref()),
        (Component::Pytorch, row.pytorch.as_ref()),
        (Component::Python, row.python.as_ref()),
    ];
}

impl Row for Release {
    common!(|row| {
        let versions: Vec<String> = row.versions.iter().map(ToString::to_string).collect();
        match versions.as_slice() {
            [first, .., last] => format!("{} {last} to {first} ({} versions)", row.component, versions.len()),
            versions => format!("{} {}", row.component, versions.concat()),
        }
    });

    /// The same versions from two sources are two facts.
    fn key(&self) -> String {
        format!("{} {}", self.component, self.fact.source)
    }

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }
}

impl Row for Instance {
    common!(|row| row.name.clone());

    fn about(&self) -> Vec<Component> {
        Vec::new()
    }
}

impl Row for Gpu {
    common!(|row| row.name.clone());

    fn about(&self) -> Vec<Component> {
        Vec::new()
    }
}

impl Row for BusBandwidth {
    common!(|row| format!("{} x {}", row.gpus, row.gpu));

    fn about(&self) -> Vec<Component> {
        Vec::new()
    }
}

impl Row for NodeImage {
    common!(|row| row.name.clone());

    fn about(&self) -> Vec<Component> {
        vec![Component::Driver]
    }

    fn days(&self) -> Vec<&str> {
        std::iter::once(self.released.as_str()).chain(self.supported_until.as_deref()).collect()
    }
}

impl Row for InstanceNeeds {
    common!(|row| format!("{} {} {}", row.instances, row.component, row.versions));

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(self.component, &self.versions)]
    }
}

impl Row for BaseImage {
    common!(|row| format!("{}:{}", row.repository, row.tag));

    fn further_facts(&self) -> Vec<&Fact> {
        self.os_fact.iter().chain(&self.archs_fact).collect()
    }

    fn about(&self) -> Vec<Component> {
        self.carries.keys().copied().chain([Component::Os]).collect()
    }
}

impl Row for SmpRegistry {
    common!(|row| format!("{}/{}", row.account, row.repository));

    fn about(&self) -> Vec<Component> {
        vec![Component::Smp]
    }
}

impl Row for Packages {
    common!(|row| match row.cuda {
        Some(cuda) => format!("{} for CUDA {cuda}", row.component),
        None => row.component.to_string(),
    });

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }
}

impl Row for Archive {
    common!(|row| format!("{} {}", row.component, row.version));

    fn key(&self) -> String {
        format!("{} {}", self.component, plain(&self.version))
    }

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }
}

impl Row for NcclAbi {
    common!(|row| row.nccl.to_string());

    fn about(&self) -> Vec<Component> {
        vec![Component::Nccl]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(Component::Nccl, &self.nccl)]
    }

    fn alone_for(&self) -> Option<(String, Component, &VersionRange)> {
        Some((String::new(), Component::Nccl, &self.nccl))
    }
}

impl Row for PluginAbi {
    common!(|row| row.aws_ofi_nccl.to_string());

    fn about(&self) -> Vec<Component> {
        vec![Component::AwsOfiNccl]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        let tested = self.tested_nccl.iter().map(|range| (Component::Nccl, range));
        tested.chain([(Component::AwsOfiNccl, &self.aws_ofi_nccl)]).collect()
    }

    fn alone_for(&self) -> Option<(String, Component, &VersionRange)> {
        Some((String::new(), Component::AwsOfiNccl, &self.aws_ofi_nccl))
    }
}

impl Row for CudaDriver {
    common!(|row| row.cuda.to_string());

    fn about(&self) -> Vec<Component> {
        vec![Component::Cuda, Component::Driver]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(Component::Cuda, &self.cuda), (Component::Driver, &self.driver)]
    }

    fn alone_for(&self) -> Option<(String, Component, &VersionRange)> {
        Some((String::new(), Component::Cuda, &self.cuda))
    }
}

impl Row for GpuCode {
    common!(|row| {
        let cuda = row.cuda.as_ref().map_or_else(String::new, |cuda| format!(" for CUDA {cuda}"));
        format!("{} {}{cuda}", row.component, row.versions)
    });

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        let cuda = self.cuda.iter().map(|range| (Component::Cuda, range));
        cuda.chain([(self.component, &self.versions)]).collect()
    }

    fn alone_for(&self) -> Option<(String, Component, &VersionRange)> {
        let cuda = self.cuda.as_ref().map_or_else(String::new, ToString::to_string);
        Some((cuda, self.component, &self.versions))
    }
}

impl Row for OsSupport {
    common!(|row| format!("{} on {} {}", row.component, row.os.id, row.os.version));

    fn about(&self) -> Vec<Component> {
        vec![self.component, Component::Os]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(self.component, &self.versions)]
    }
}

impl Row for EfaFlag {
    common!(|row| row.flag.clone());

    fn about(&self) -> Vec<Component> {
        vec![Component::Efa]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(Component::Efa, &self.efa)]
    }
}

impl Row for InstalledPath {
    common!(|row| row.path.to_string());

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(Component::Efa, &self.efa)]
    }
}

impl Row for Constraint {
    common!(|row| {
        let said = |map: &std::collections::BTreeMap<Component, VersionRange>| {
            map.iter().map(|(component, range)| format!("{component} {range}")).collect::<Vec<_>>().join(", ")
        };
        format!("{} needs {}", said(&row.when), said(&row.needs))
    });

    fn about(&self) -> Vec<Component> {
        self.when.keys().chain(self.needs.keys()).copied().collect()
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        self.when.iter().chain(&self.needs).map(|(component, range)| (*component, range)).collect()
    }
}

impl Row for KnownIssue {
    common!(|row| format!("{} {}: {}", row.component, row.versions, row.sentence));

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        vec![(self.component, &self.versions)]
    }
}

impl Row for Precision {
    common!(|row| match row.to_sm {
        Some(to) => format!("{} from {} to {to}", row.format, row.from_sm),
        None => format!("{} from {}", row.format, row.from_sm),
    });

    fn about(&self) -> Vec<Component> {
        self.needs.keys().copied().collect()
    }

    fn ranges(&self) -> Vec<(Component, &VersionRange)> {
        self.needs.iter().map(|(component, range)| (*component, range)).collect()
    }
}
