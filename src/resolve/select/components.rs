//! The choice for each kind of component: distribution, installer, conda, source archive, Python packages.

use super::{Bench, Choice, Refusal, any};
use crate::catalog::{EfaRelease, SmpRelease};
use crate::lock::{Artefact, Origin, Pin};
use crate::recipe::{AptPackage, ArtefactUrl, Component, Requirement, Version, VersionRange};
use crate::resolve::smp_conda;

impl Bench<'_> {
    pub(super) fn python(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let own = &self.base.os.python;
        // SMP brings an interpreter of its own, whatever the distribution has.
        if range.admits(own) && !self.asks(Component::Smp) {
            let reason = format!("python3 of {} {}", self.base.os.id, self.base.os.version);
            let mut choice = Choice::new(Component::Python, range, Origin::Apt, reason);
            choice.version = Some(own.clone());
            choice.packages = apt(&["python3"]);
            return Ok(choice);
        }
        if self.asks(Component::Smp)
            && let Some(choice) = self.python_of_smp(range)
        {
            return Ok(choice);
        }
        Err(Refusal::new(
            format!(
                "{} {} has Python {own}, and the recipe asks for {range}",
                self.base.os.id, self.base.os.version
            ),
            format!("take `python = \"{own}\"` or another base image"),
        ))
    }

    pub(super) fn libfabric(range: &VersionRange) -> Choice {
        let reason = "the distribution's libfabric has the efa provider over rdma-core";
        let mut choice = Choice::new(Component::Libfabric, range, Origin::Apt, reason);
        "the distribution decides it when the image is built".clone_into(&mut choice.undecided);
        choice.packages = apt(&["ibverbs-providers", "libfabric-bin", "libfabric1", "rdma-core"]);
        choice
    }

    pub(super) fn efa(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let release = self.efa_release(range)?;
        let reason =
            format!("newest EFA installer that fits and has a published checksum ({})", release.fact.source);
        let mut choice = Choice::new(Component::Efa, range, Origin::Installer, reason);
        let url = format!("https://efa-installer.amazonaws.com/aws-efa-installer-{}.tar.gz", release.version);
        choice.artefacts.push(artefact(&url, release.sha256)?);
        choice.version = Some(release.version.clone());
        Ok(choice)
    }

    pub(super) fn efa_release(&self, range: &VersionRange) -> Result<&EfaRelease, Refusal> {
        let fits = |release: &&EfaRelease| range.admits(&release.version);
        if let Some(release) = self.catalog.efa.iter().filter(fits).find(|release| release.sha256.is_some()) {
            return Ok(release);
        }
        let with_checksum = self.catalog.efa.iter().find(|release| release.sha256.is_some());
        let newest = with_checksum.map_or_else(String::new, |release| release.version.to_string());
        Err(match self.catalog.efa.iter().find(fits) {
            Some(release) => Refusal::new(
                format!("no published checksum of EFA installer {} is known", release.version),
                format!(
                    "the newest with a checksum is {newest}; a download that cannot be verified is not installed"
                ),
            ),
            None => Refusal::new(
                format!("there is no EFA installer {range} in the catalogue"),
                format!("known: {}", listed(self.catalog.efa.iter().map(|release| &release.version))),
            ),
        })
    }

    pub(super) fn plugin(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let efa = self.recipe.asks(Component::Efa).ok_or_else(|| {
            Refusal::new(
                "aws-ofi-nccl needs libfabric of AWS's EFA installer",
                "add `efa = \"*\"` to [components]",
            )
        })?;
        let release = self.efa_release(efa)?;
        let bundled_since: Version = "1.38.0".parse().map_err(|_| Refusal::new("", ""))?;
        if release.version < bundled_since {
            return self.archive(Component::AwsOfiNccl, range);
        }
        let Some(plugin) = &release.plugin else {
            let mut choice = Choice::new(
                Component::AwsOfiNccl,
                range,
                Origin::Bundled,
                format!("EFA installer {} brings it", release.version),
            );
            format!("the notes of EFA installer {} do not state it", release.version)
                .clone_into(&mut choice.undecided);
            return Ok(choice);
        };
        let version: Version = plugin
            .parse()
            .map_err(|_| Refusal::new(format!("`{plugin}` in the catalogue is no version"), ""))?;
        if !range.admits(&version) {
            return Err(Refusal::new(
                format!(
                    "EFA installer {} brings aws-ofi-nccl {version}, and the recipe asks for {range}",
                    release.version
                ),
                "two plugins in one image would let path order decide: take `aws-ofi-nccl = \"*\"` or another `efa`",
            ));
        }
        let reason = format!("EFA installer {} brings it ({})", release.version, release.fact.source);
        let mut choice = Choice::new(Component::AwsOfiNccl, range, Origin::Bundled, reason);
        choice.version = Some(version);
        Ok(choice)
    }

    pub(super) fn smp_release(&self) -> Result<&SmpRelease, Refusal> {
        let everything = any();
        let range = self.recipe.asks(Component::Smp).unwrap_or(&everything);
        self.catalog.smp.iter().find(|release| range.admits(&release.version)).ok_or_else(|| {
            Refusal::new(
                format!("there is no SMP {range} in the catalogue"),
                format!("known: {}", listed(self.catalog.smp.iter().map(|release| &release.version))),
            )
        })
    }

    pub(super) fn smp(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let release = self.smp_release()?;
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
        let reason = format!("newest SMP that fits ({})", release.fact.source);
        let mut choice = Choice::new(Component::Smp, range, Origin::Conda, reason);
        choice.version = Some(release.version.clone());
        choice.conda = Some(smp_conda(&channels, package));
        if let Some(tool) = self.catalog.archives.iter().find(|archive| archive.component == Component::Smp) {
            choice.artefacts.push(Artefact {
                url: tool.url.clone(),
                sha256: pin(tool.sha256, "no public source states it"),
                size: pin(tool.size, "not stated"),
            });
        }
        Ok(choice)
    }

    pub(super) fn pytorch_of_smp(&self, range: &VersionRange) -> Choice {
        let mut choice = Choice::new(
            Component::Pytorch,
            range,
            Origin::Conda,
            "SMP is a build of PyTorch; it is the one in the image",
        );
        choice.version =
            self.smp_release().ok().and_then(|release| release.carries.get(&Component::Pytorch).cloned());
        choice
    }

    pub(super) fn archive(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        let mut known: Vec<_> =
            self.catalog.archives.iter().filter(|archive| archive.component == component).collect();
        known.sort_by(|a, b| b.version.cmp(&a.version));
        let Some(archive) = known.iter().find(|archive| range.admits(&archive.version)) else {
            return Err(Refusal::new(
                format!("there is no source of {component} {range} in the catalogue"),
                format!("known: {}", listed(known.iter().map(|archive| &archive.version))),
            ));
        };
        let reason = format!("newest source that fits ({})", archive.fact.source);
        let mut choice = Choice::new(component, range, Origin::Archive, reason);
        choice.version = Some(archive.version.clone());
        choice.artefacts.push(Artefact {
            url: archive.url.clone(),
            sha256: pin(archive.sha256, "no public source states it"),
            size: pin(archive.size, "not stated"),
        });
        Ok(choice)
    }

    pub(super) fn packages(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        let Some(packages) = self.catalog.packages_of(component, self.cuda_major) else {
            return Err(Refusal::new(
                format!("no Python package brings {component} for CUDA {}", self.cuda_major),
                "take a base image that carries it",
            ));
        };
        let has_torch = self.asks(Component::Pytorch) || self.asks(Component::Smp);
        let compiles = packages.compiled || (has_torch && !packages.sdists.is_empty());
        if packages.compiled && !has_torch {
            return Err(Refusal::new(
                format!("{component} needs PyTorch"),
                "add `pytorch = \"*\"` to [components], or take a base image that carries it",
            ));
        }
        let origin = if compiles { Origin::Sdist } else { Origin::Wheels };
        let mut choice = Choice::new(
            component,
            range,
            origin,
            format!("newest that fits everything else ({})", packages.fact.source),
        );
        choice.packages.clone_from(&packages.apt);
        if compiles {
            choice.build.clone_from(&packages.build);
        }
        choice.leader = Some(packages.leader.clone());
        if packages.compiled {
            choice.sdists.push(packages.leader.clone());
        } else {
            choice.asks.push(requirement(&packages.leader, range)?);
            choice.wheels.push(packages.leader.clone());
            for wheel in &packages.wheels {
                // Packages of one release share their version only where the leader's range says so.
                let same = if packages.sdists.is_empty() { any() } else { range.clone() };
                choice.asks.push(requirement(wheel, &same)?);
                choice.wheels.push(wheel.clone());
            }
            if has_torch {
                choice.sdists.clone_from(&packages.sdists);
            }
        }
        Ok(choice)
    }
}

fn requirement(package: &str, range: &VersionRange) -> Result<Requirement, Refusal> {
    let text = format!("{package}{}", range.specifiers());
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

fn listed<'a>(versions: impl Iterator<Item = &'a Version>) -> String {
    let all: Vec<String> = versions.map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
