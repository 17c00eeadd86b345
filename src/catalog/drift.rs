//! Drift: where the package index of today says something else than the catalogue. Pure; what the index says is passed in.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::PytorchRelease;
use super::tables::Catalog;
use crate::recipe::{Component, Version};

/// What the Python package index says today.
#[derive(Debug, Clone, Default)]
pub struct IndexToday {
    /// What wheels of PyTorch ask for.
    pub wheels: Vec<TorchWheel>,
    /// The versions of each component's packages.
    pub published: BTreeMap<Component, Vec<Version>>,
}

/// What the wheels of one version of PyTorch ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchWheel {
    /// The version.
    pub version: Version,
    /// The NCCL.
    pub nccl: Option<Version>,
    /// The cuDNN.
    pub cudnn: Option<Version>,
    /// The CUDA: a toolkit, or the version of the runtime's package.
    pub cuda: Option<Version>,
    /// The minor versions of Python 3 for which there are wheels.
    pub python: Vec<u64>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What the difference is about.
    pub component: Component,
    /// The version.
    pub version: Version,
    /// The difference as one sentence.
    pub sentence: String,
    /// Whether a row is wrong; else something is new.
    pub wrong: bool,
}

impl Catalog {
    /// Returns where `index` says something else: wrong rows first, then versions of which the catalogue has not heard.
    pub fn drift(&self, index: &IndexToday) -> Vec<Drift> {
        let mut drift = Vec::new();
        for wheel in &index.wheels {
            if let Some(row) = self.pytorch.iter().find(|row| row.version == wheel.version) {
                drift.extend(differences(row, wheel));
            }
        }
        for (component, versions) in &index.published {
            drift.extend(self.unheard(*component, versions));
        }
        drift
    }

    /// Returns the versions that the catalogue does not know, of those newer than the oldest that it knows.
    fn unheard(&self, component: Component, versions: &[Version]) -> Vec<Drift> {
        let known = self.versions(component);
        let Some(oldest) = known.last() else { return Vec::new() };
        let new = |version: &&Version| {
            !version.pep440().any_prerelease() && *version > oldest && !known.contains(version)
        };
        let mut new: Vec<&Version> = versions.iter().filter(new).collect();
        new.sort();
        new.dedup();
        let drift = |version: &Version| Drift {
            component,
            version: version.clone(),
            sentence: format!("{component} {version} is published, and the catalogue does not know it"),
            wrong: false,
        };
        new.into_iter().map(drift).collect()
    }
}

fn differences(row: &PytorchRelease, wheel: &TorchWheel) -> Vec<Drift> {
    let mut sentences = Vec::new();
    let mut compare = |component: Component, here: Option<&Version>, there: Option<&Version>, same: bool| {
        if same {
            return;
        }
        let said = |version: Option<&Version>| version.map_or("nothing".to_owned(), ToString::to_string);
        sentences.push(format!(
            "asks for {component} {}, and the catalogue says {}",
            said(there),
            said(here)
        ));
    };
    let (nccl, cudnn) = (row.nccl.as_ref(), row.cudnn.as_ref());
    compare(Component::Nccl, nccl, wheel.nccl.as_ref(), nccl == wheel.nccl.as_ref());
    compare(Component::Cudnn, cudnn, wheel.cudnn.as_ref(), cudnn == wheel.cudnn.as_ref());
    let (here, there) = (row.cuda.as_ref(), wheel.cuda.as_ref());
    compare(Component::Cuda, here, there, same_cuda(here, there));
    sentences.extend(other_pythons(row, wheel));
    let drift = |sentence: String| Drift {
        component: Component::Pytorch,
        version: row.version.clone(),
        sentence: format!("the wheel of PyTorch {} {sentence}", row.version),
        wrong: true,
    };
    sentences.into_iter().map(drift).collect()
}

/// A row may say `12.4` where the wheel asks for the runtime 12.4.127.
fn same_cuda(here: Option<&Version>, there: Option<&Version>) -> bool {
    match (here, there) {
        (Some(here), Some(there)) => {
            let stated = here.pep440().release().len();
            here.release(stated) == there.release(stated)
        }
        (here, there) => here == there,
    }
}

fn other_pythons(row: &PytorchRelease, wheel: &TorchWheel) -> Option<String> {
    let range = row.python.as_ref()?;
    let admits = |minor: &u64| format!("3.{minor}").parse().is_ok_and(|version| range.admits(&version));
    let newest = wheel.python.iter().copied().max().unwrap_or_default();
    let stated: Vec<u64> = (0..=newest.max(40)).filter(admits).collect();
    let mut found = wheel.python.clone();
    found.sort_unstable();
    found.dedup();
    let listed =
        |minors: &[u64]| minors.iter().map(|minor| format!("3.{minor}")).collect::<Vec<_>>().join(", ");
    (stated != found)
        .then(|| format!("is there for Python {}, and the catalogue says {range}", listed(&found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// What the index says where it says what the catalogue says of PyTorch 2.5.1.
    fn wheel() -> TorchWheel {
        TorchWheel {
            version: version("2.5.1"),
            nccl: Some(version("2.21.5")),
            cudnn: Some(version("9.1.0.70")),
            cuda: Some(version("12.4.127")),
            python: vec![9, 10, 11, 12, 13, 13],
        }
    }

    fn drift(wheels: Vec<TorchWheel>, published: &[(Component, &[&str])]) -> Vec<String> {
        let versions = |texts: &&[&str]| texts.iter().map(|text| version(text)).collect();
        let published = published.iter().map(|(component, texts)| (*component, versions(texts))).collect();
        let catalog = Catalog::embedded().unwrap();
        catalog.drift(&IndexToday { wheels, published }).into_iter().map(|drift| drift.sentence).collect()
    }

    #[test]
    fn what_agrees_is_no_drift() {
        let known: &[&str] = &["0.2.0", "2.21.5", "2.32.3", "2.99.0rc1"];
        assert_eq!(drift(vec![wheel()], &[(Component::Nccl, known)]), Vec::<String>::new());
    }

    #[test]
    fn a_wheel_that_asks_for_something_else_is_drift() {
        let other = TorchWheel { nccl: Some(version("2.22.3")), cuda: None, python: vec![9, 10], ..wheel() };
        assert_eq!(
            drift(vec![other], &[]),
            [
                "the wheel of PyTorch 2.5.1 asks for nccl 2.22.3, and the catalogue says 2.21.5",
                "the wheel of PyTorch 2.5.1 asks for cuda nothing, and the catalogue says 12.4",
                "the wheel of PyTorch 2.5.1 is there for Python 3.9, 3.10, and the catalogue says >=3.9,<3.14",
            ]
        );
    }

    #[test]
    fn a_version_that_the_catalogue_has_not_heard_of_is_drift() {
        assert_eq!(
            drift(Vec::new(), &[(Component::FlashAttn, &["2.5.8", "99.0.0"])]),
            ["flash-attn 99.0.0 is published, and the catalogue does not know it"]
        );
    }
}
