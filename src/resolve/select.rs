//! The choice for each component from facts alone: base, wheels, installer, archive or conda; pure, asks nobody.

use crate::catalog::{BaseImage, Catalog, EfaRelease};
use crate::lock::{Artefact, Conda, Origin, Pin};
use crate::recipe::{
    AptPackage, ArtefactUrl, Component, Recipe, RecipeError, Requirement, Source, Version, VersionRange,
    nearest,
};

use super::{ResolveError, smp_conda};

/// What was decided from facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// One choice per component of the image, also of those that the base carries unasked.
    pub choices: Vec<Choice>,
    /// The version of Python in the image.
    pub python: Version,
    /// The version of its C library.
    pub glibc: Version,
}

/// How one component comes into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The component.
    pub component: Component,
    /// What the recipe admits.
    pub range: VersionRange,
    /// The version, where facts decide it.
    pub version: Option<Version>,
    /// Why there is no version yet, where the world decides it and cannot be asked.
    pub undecided: String,
    /// How it comes into the image.
    pub origin: Origin,
    /// Why: one sentence with its source.
    pub reason: String,
    /// Packages of the distribution.
    pub packages: Vec<AptPackage>,
    /// The Python package whose version is the component's.
    pub leader: Option<String>,
    /// What `uv` is asked for.
    pub asks: Vec<Requirement>,
    /// Wheels that belong to this component.
    pub wheels: Vec<String>,
    /// Packages that are compiled from source.
    pub sdists: Vec<String>,
    /// Python packages that compiling them needs.
    pub build: Vec<String>,
    /// Conda packages.
    pub conda: Option<Conda>,
    /// Files to download.
    pub artefacts: Vec<Artefact>,
}

impl Choice {
    fn new(component: Component, range: &VersionRange, origin: Origin, reason: impl Into<String>) -> Self {
        Self {
            component,
            range: range.clone(),
            version: None,
            undecided: String::new(),
            origin,
            reason: reason.into(),
            packages: Vec::new(),
            leader: None,
            asks: Vec::new(),
            wheels: Vec::new(),
            sdists: Vec::new(),
            build: Vec::new(),
            conda: None,
            artefacts: Vec::new(),
        }
    }
}

/// Everything that a choice looks at.
struct Bench<'a> {
    recipe: &'a Recipe,
    catalog: &'a Catalog,
    base: &'a BaseImage,
    cuda_major: u64,
}

/// Decides from facts how each component of `recipe` comes into the image.
pub fn select(source: &Source, recipe: &Recipe, catalog: &Catalog) -> Result<Selection, ResolveError> {
    for instance in &recipe.instances {
        known_instance(source, instance, catalog)?;
    }
    let base = known_base(source, recipe, catalog)?;
    let bench = Bench { recipe, catalog, base, cuda_major: cuda_major(recipe, base) };
    let mut choices = Vec::new();
    for (&component, range) in &recipe.components {
        let choice =
            bench.choose(component, range.get_ref()).map_err(|refusal| refusal.at(source, range.span()))?;
        choices.push(choice);
    }
    for (&component, version) in &base.carries {
        if !recipe.components.contains_key(&component) {
            choices.push(bench.carried(component, &any(), version));
        }
    }
    choices.extend(bench.implied(&choices));
    let python = choices
        .iter()
        .find(|choice| choice.component == Component::Python)
        .and_then(|choice| choice.version.clone())
        .unwrap_or_else(|| base.os.python.clone());
    Ok(Selection { choices, python, glibc: base.os.glibc.clone() })
}

/// A choice that cannot be made: the sentence and what helps.
struct Refusal {
    message: String,
    help: String,
}

impl Refusal {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    fn at(self, source: &Source, span: std::ops::Range<usize>) -> ResolveError {
        ResolveError::NoFit(
            RecipeError::at(source, span, self.message).with_label("asked for here").with_help(self.help),
        )
    }
}

impl Bench<'_> {
    fn choose(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        if let Some(version) = self.base.carries.get(&component) {
            return self.carried_if_admitted(component, range, version);
        }
        match component {
            Component::Os | Component::Driver => Err(Refusal::new(
                format!("{component} cannot be installed into an image"),
                "take it out of [components]: the base decides the distribution, the node the driver",
            )),
            Component::Python => self.python(range),
            Component::Efa => self.efa(range),
            Component::Libfabric => Ok(Self::libfabric(range)),
            Component::AwsOfiNccl => self.plugin(range),
            Component::Smp => self.smp(range),
            Component::Pytorch if self.asks(Component::Smp) => Ok(self.pytorch_of_smp(range)),
            Component::Gdrcopy | Component::NcclTests => self.archive(component, range),
            Component::Cuda
            | Component::Cudnn
            | Component::Pytorch
            | Component::Nccl
            | Component::TransformerEngine
            | Component::FlashAttn => self.packages(component, range),
        }
    }

    /// Returns what the chosen components bring unasked: SMP its PyTorch and Python, the EFA installer its plugin.
    fn implied(&self, choices: &[Choice]) -> Vec<Choice> {
        let origin = |component| {
            choices.iter().find(|choice| choice.component == component).map(|choice| choice.origin)
        };
        let absent = |component| origin(component).is_none();
        let mut implied = Vec::new();
        if origin(Component::Smp) == Some(Origin::Conda) {
            if absent(Component::Pytorch) {
                implied.push(self.pytorch_of_smp(&any()));
            }
            if absent(Component::Python) {
                implied.extend(self.python_of_smp(&any()));
            }
        }
        if origin(Component::Efa) == Some(Origin::Installer) && absent(Component::AwsOfiNccl) {
            implied.extend(self.plugin(&any()).ok().filter(|choice| choice.origin == Origin::Bundled));
        }
        implied
    }

    fn python_of_smp(&self, range: &VersionRange) -> Option<Choice> {
        let release = self.smp_release().ok()?;
        let version = release.carries.get(&Component::Python).filter(|version| range.admits(version))?;
        let reason = format!("SMP {} is built for it ({})", release.version, release.fact.source);
        let mut choice = Choice::new(Component::Python, range, Origin::Conda, reason);
        choice.version = Some(version.clone());
        Some(choice)
    }

    fn asks(&self, component: Component) -> bool {
        self.recipe.components.contains_key(&component) || self.base.carries.contains_key(&component)
    }

    fn carried(&self, component: Component, range: &VersionRange, version: &Version) -> Choice {
        let reason = format!("the base image carries it ({})", self.base.fact.source);
        let mut choice = Choice::new(component, range, Origin::Base, reason);
        choice.version = Some(version.clone());
        choice
    }

    fn carried_if_admitted(
        &self,
        component: Component,
        range: &VersionRange,
        version: &Version,
    ) -> Result<Choice, Refusal> {
        if range.admits(version) {
            return Ok(self.carried(component, range, version));
        }
        let message =
            format!("the base image carries {component} {version}, and the recipe asks for {range}");
        let help = match component {
            Component::Efa
                if range.admits(version) || self.base.carries.contains_key(&Component::AwsOfiNccl) =>
            {
                format!(
                    "an installer from 1.38.0 brings a second aws-ofi-nccl beside the image's own, and path order decides which one \
                 NCCL loads; take `efa = \"{version}\"` or `\"*\"`, or build from parts (`smp-image new --from smp-2.8-from-parts`)"
                )
            }
            _ => format!("take `{component} = \"*\"`, or another base image"),
        };
        Err(Refusal::new(message, help))
    }

    fn python(&self, range: &VersionRange) -> Result<Choice, Refusal> {
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

    fn libfabric(range: &VersionRange) -> Choice {
        let reason = "the distribution's libfabric has the efa provider over rdma-core";
        let mut choice = Choice::new(Component::Libfabric, range, Origin::Apt, reason);
        "the distribution decides it when the image is built".clone_into(&mut choice.undecided);
        choice.packages = apt(&["ibverbs-providers", "libfabric-bin", "libfabric1", "rdma-core"]);
        choice
    }

    fn efa(&self, range: &VersionRange) -> Result<Choice, Refusal> {
        let release = self.efa_release(range)?;
        let reason =
            format!("newest EFA installer that fits and has a published checksum ({})", release.fact.source);
        let mut choice = Choice::new(Component::Efa, range, Origin::Installer, reason);
        let url = format!("https://efa-installer.amazonaws.com/aws-efa-installer-{}.tar.gz", release.version);
        choice.artefacts.push(artefact(&url, release.sha256)?);
        choice.version = Some(release.version.clone());
        Ok(choice)
    }

    fn efa_release(&self, range: &VersionRange) -> Result<&EfaRelease, Refusal> {
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

    fn plugin(&self, range: &VersionRange) -> Result<Choice, Refusal> {
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

    fn smp_release(&self) -> Result<&crate::catalog::SmpRelease, Refusal> {
        let everything = any();
        let range = self.recipe.asks(Component::Smp).unwrap_or(&everything);
        self.catalog.smp.iter().find(|release| range.admits(&release.version)).ok_or_else(|| {
            Refusal::new(
                format!("there is no SMP {range} in the catalogue"),
                format!("known: {}", listed(self.catalog.smp.iter().map(|release| &release.version))),
            )
        })
    }

    fn smp(&self, range: &VersionRange) -> Result<Choice, Refusal> {
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

    fn pytorch_of_smp(&self, range: &VersionRange) -> Choice {
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

    fn archive(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
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

    fn packages(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
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

fn known_instance(
    source: &Source,
    instance: &toml::Spanned<String>,
    catalog: &Catalog,
) -> Result<(), ResolveError> {
    let name = instance.get_ref();
    if catalog.instances.contains_key(name) {
        return Ok(());
    }
    let error = RecipeError::at(source, instance.span(), format!("unknown instance type `{name}`"));
    let names = catalog.instances.keys().map(String::as_str);
    let error = match nearest(name, names) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help("`smp-image catalog instances` lists them"),
    };
    Err(ResolveError::Recipe(error))
}

fn known_base<'a>(
    source: &Source,
    recipe: &Recipe,
    catalog: &'a Catalog,
) -> Result<&'a BaseImage, ResolveError> {
    let image = &recipe.base.image;
    catalog.image(image.get_ref()).ok_or_else(|| {
        let known: Vec<String> =
            catalog.images.iter().map(|image| format!("{}:{}", image.repository, image.tag)).collect();
        ResolveError::NoFit(
            RecipeError::at(
                source,
                image.span(),
                format!("nothing is known of the base image {}", image.get_ref()),
            )
            .with_label("its Python, C library and components are not in the catalogue")
            .with_help(format!("known bases: {}", known.join(", "))),
        )
    })
}

/// Returns the major version of CUDA in the image: the base's, or the one that the recipe asks for, or the newest.
fn cuda_major(recipe: &Recipe, base: &BaseImage) -> u64 {
    if let Some(version) = base.carries.get(&Component::Cuda) {
        return version.pep440().release().first().copied().unwrap_or_default();
    }
    let Some(range) = recipe.asks(Component::Cuda) else { return 12 };
    let admits = |major: u64| {
        (0..20).any(|minor| format!("{major}.{minor}").parse().is_ok_and(|version| range.admits(&version)))
    };
    [13, 12].into_iter().find(|major| admits(*major)).unwrap_or(12)
}

fn any() -> VersionRange {
    VersionRange::any()
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
