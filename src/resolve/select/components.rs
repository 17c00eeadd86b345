//! The choice for each kind of component: distribution, installer, conda, source archive, Python packages.

use super::{Bench, Choice, Refusal};
use crate::catalog::{Archive, Fact};
use crate::lock::{Artefact, Conda, LockedConda, Origin, Pin};
use crate::recipe::{AptPackage, ArtefactUrl, Component, Requirement, Version, VersionRange};

impl Bench<'_> {
    pub(super) fn python(&self, range: &VersionRange) -> Choice {
        // SMP brings an interpreter of its own, whatever the distribution has.
        if self.asks(Component::Smp) {
            return self.of_smp(Component::Python, range);
        }
        let reason = format!("python3 of {} {}", self.base.os.id, self.base.os.version);
        let mut choice = Choice::new(Component::Python, range, Origin::Apt, reason);
        choice.version = self.version(Component::Python).cloned();
        choice.packages = apt(&["python3"]);
        choice
    }

    pub(super) fn libfabric(range: &VersionRange) -> Choice {
        let reason = "the distribution's libfabric has the efa provider over rdma-core";
        let mut choice = Choice::new(Component::Libfabric, range, Origin::Apt, reason);
        "the distribution decides it when the image is built".clone_into(&mut choice.undecided);
        choice.packages = apt(&["ibverbs-providers", "libfabric-bin", "libfabric1", "rdma-core"]);
        choice
    }

    pub(super) fn efa(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let version = self.chosen(Component::Efa)?;
        let release = self.catalog.efa_release(version).ok_or_else(|| {
            Refusal::new(
                format!("there is no EFA installer {version} in the catalogue"),
                "a download without a checksum is not installed",
            )
        })?;
        let reason = self.reason(Component::Efa, &release.fact);
        let mut choice = Choice::new(Component::Efa, range, Origin::Installer, reason);
        let url = format!("https://efa-installer.amazonaws.com/aws-efa-installer-{version}.tar.gz");
        choice.artefacts.push(artefact(&url, release.sha256)?);
        choice.version = Some(version.clone());
        Ok(choice)
    }

    pub(super) fn plugin(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let efa = self.chosen(Component::Efa)?;
        let release = self.catalog.efa_release(efa);
        let bundled = self.solved.is_bundled(self.catalog);
        if !bundled {
            return self.archive(Component::AwsOfiNccl, range);
        }
        let source = release.map_or("", |release| release.fact.source.as_str());
        let reason = format!("EFA installer {efa} brings it ({source})");
        let mut choice = Choice::new(Component::AwsOfiNccl, range, Origin::Bundled, reason);
        choice.version = self.version(Component::AwsOfiNccl).cloned();
        if choice.version.is_none() {
            choice.undecided = format!("the notes of EFA installer {efa} do not state it");
        }
        Ok(choice)
    }

    pub(super) fn smp(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let version = self.chosen(Component::Smp)?;
        let release =
            self.catalog.smp.iter().find(|release| release.version == *version).ok_or_else(|| {
                Refusal::new(
                    format!("nothing is known of SMP {version}"),
                    "its parts are in no release notes",
                )
            })?;
        let part = |component| release.carries.get(&component).map(ToString::to_string).unwrap_or_default();
        let build = format!(
            "pytorch={}=sm_py{}_cuda{}_*",
            part(Component::Pytorch),
            part(Component::Python),
            part(Component::Cuda)
        );
        let package =
            build.parse().map_err(|_| Refusal::new(format!("`{build}` is no conda package"), ""))?;
        let channels = self.catalog.smp_channels.clone();
        let mut choice =
            Choice::new(Component::Smp, range, Origin::Conda, self.reason(Component::Smp, &release.fact));
        choice.version = Some(version.clone());
        let found = Pin::Unresolved("the channels were not asked".to_owned());
        choice.conda = Some(Conda { channels, packages: vec![LockedConda { asked: package, found }] });
        if let Some(tool) = self.catalog.archives.iter().find(|archive| archive.component == Component::Smp) {
            choice.artefacts.push(of_archive(tool));
        }
        Ok(choice)
    }

    /// Returns `component` as SMP's conda packages bring it.
    pub(super) fn of_smp(&self, component: Component, range: &VersionRange) -> Choice {
        let reason = self.solved.reason(component).unwrap_or_else(|| "SMP brings it".to_owned());
        let mut choice = Choice::new(component, range, Origin::Conda, reason);
        choice.version = self.version(component).cloned();
        choice
    }

    pub(super) fn archive(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        let version = self.chosen(component)?;
        let archive = self.catalog.archive(component, version).ok_or_else(|| {
            Refusal::new(
                format!("there is no source of {component} {version} in the catalogue"),
                "a user's catalogue can add one (`--catalog`)",
            )
        })?;
        let mut choice =
            Choice::new(component, range, Origin::Archive, self.reason(component, &archive.fact));
        choice.version = Some(version.clone());
        choice.artefacts.push(of_archive(archive));
        Ok(choice)
    }

    pub(super) fn packages(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        let cuda_major = self.cuda_major();
        let Some(packages) = self.catalog.packages_of(component, cuda_major) else {
            return Err(Refusal::new(
                format!("no Python package brings {component} for CUDA {cuda_major}"),
                "take a base image that carries it",
            ));
        };
        let version = self.chosen(component)?;
        let pinned = pinned(component, version);
        let has_torch = self.asks(Component::Pytorch) || self.asks(Component::Smp);
        let compiles = packages.compiled || (has_torch && !packages.sdists.is_empty());
        let origin = if compiles { Origin::Sdist } else { Origin::Wheels };
        let mut choice = Choice::new(component, &pinned, origin, self.reason(component, &packages.fact));
        choice.version = Some(version.clone());
        choice.packages.clone_from(&packages.apt);
        if compiles {
            choice.build.clone_from(&packages.build);
            for (package, _) in packages.imports.iter().filter(|(_, since)| version >= *since) {
                choice.asks.push(requirement(package, "")?);
            }
        }
        choice.leader = Some(packages.leader.clone());
        if packages.compiled {
            choice.sdists.push(packages.leader.clone());
            return Ok(choice);
        }
        choice.asks.push(requirement(&packages.leader, &narrowed(&pinned, range, version))?);
        choice.wheels.push(packages.leader.clone());
        for wheel in &packages.wheels {
            // Packages of one release share their version only where they are compiled together.
            let same = if packages.sdists.is_empty() { String::new() } else { pinned.specifiers() };
            choice.asks.push(requirement(wheel, &same)?);
            choice.wheels.push(wheel.clone());
        }
        for package in &packages.beside {
            choice.asks.push(requirement(package, "")?);
            choice.wheels.push(package.clone());
        }
        if has_torch {
            choice.sdists.clone_from(&packages.sdists);
        }
        Ok(choice)
    }

    /// Returns the major version of CUDA in the image.
    fn cuda_major(&self) -> u64 {
        let version = self.version(Component::Cuda);
        version.and_then(|version| version.pep440().release().first().copied()).unwrap_or_default()
    }

    fn chosen(&self, component: Component) -> Result<&Version, Refusal> {
        self.version(component).ok_or_else(|| {
            Refusal::new(
                format!("the catalogue knows no version of {component}"),
                "name one and say --allow-unknown, or add it with --catalog",
            )
        })
    }

    /// Returns why this version of `component`: the rule that leaves no other, else that it is the newest that fits.
    fn reason(&self, component: Component, fact: &Fact) -> String {
        self.solved
            .reason(component)
            .unwrap_or_else(|| format!("newest that fits everything else ({})", fact.source))
    }
}

/// Returns what pins `component` to `version`. CUDA and cuDNN number their packages more finely than their releases.
fn pinned(component: Component, version: &Version) -> VersionRange {
    let prefix = match component {
        Component::Cuda => Some(version.release(2)),
        Component::Cudnn if version.pep440().release().len() < 4 => Some(version.release(3)),
        _ => None,
    };
    prefix
        .and_then(|prefix| format!("=={prefix}.*").parse().ok())
        .unwrap_or_else(|| VersionRange::exactly(version))
}

/// Returns the specifiers of both; those of `range` only where they are as fine as the version.
fn narrowed(pinned: &VersionRange, range: &VersionRange, version: &Version) -> String {
    if !range.admits(version) {
        return pinned.specifiers();
    }
    let both = [pinned.specifiers(), range.specifiers()];
    let both: Vec<&str> = both.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    both.join(",")
}

fn of_archive(archive: &Archive) -> Artefact {
    Artefact {
        url: archive.url.clone(),
        sha256: pin(archive.sha256, "no public source states it"),
        size: pin(archive.size, "not stated"),
    }
}

fn requirement(package: &str, specifiers: &str) -> Result<Requirement, Refusal> {
    let text = format!("{package}{specifiers}");
    text.parse().map_err(|_| {
        Refusal::new(format!("`{text}` is no Python requirement"), "write the range as in PEP 440")
    })
}

fn artefact(url: &str, sha256: Option<crate::oci::Digest>) -> Result<Artefact, Refusal> {
    let url: ArtefactUrl = url.parse().map_err(|_| Refusal::new(format!("`{url}` is no URL"), ""))?;
    Ok(Artefact {
        url,
        sha256: pin(sha256, "no public source states it"),
        size: Pin::Unresolved("not stated".to_owned()),
    })
}

fn pin<T>(value: Option<T>, reason: &str) -> Pin<T> {
    value.map_or_else(|| Pin::Unresolved(reason.to_owned()), Pin::Known)
}

fn apt(names: &[&str]) -> Vec<AptPackage> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}
