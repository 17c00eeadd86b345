//! From a lock to stages: which there are, what each starts from, and what of each reaches the image.
//!
//! Independent components are independent stages, so that they build at the same time and one new version rebuilds one stage.

use super::compile::Compiler;
use super::foreign::TOOLS;
use super::python::{self, Home, Python};
use super::stage::{Checksum, Download, Link, Part, Stage, StageName, StartsFrom, UserCopy};
use super::{AptRequest, CondaRecord, ImageRef, Options, PinnedPackage, PlanError, Target, Work};
use crate::catalog::{Catalog, Packages};
use crate::lock::{Artefact, Lock, LockedComponent, LockedConda, LockedImage, Origin, Pin};
use crate::oci::Dialect;
use crate::recipe::{AptPackage, Component, CondaPackage, EnvName, ImagePath, LocalPath, Recipe, Version};

/// Where stages leave what reaches the image: `/out/opt/venv` becomes `/opt/venv`.
pub(super) const OUT: &str = "/out";

/// The order in which parts reach the image. An engine unpacks anew every layer above one that changed, so the large ones come first;
/// what is not named comes before them all.
const LARGE_FIRST: &[&str] = &[
    "smp",
    "pytorch",
    "cudnn",
    "cuda",
    "transformer-engine",
    "flash-attn",
    "transformer-engine-compiled",
    "nccl",
    "aws-ofi-nccl",
    "gdrcopy",
    "nccl-tests",
    python::BEYOND_SOURCE,
    python::BEYOND,
];

/// Everything that a stage is made from.
pub(super) struct Composer<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) lock: &'a Lock,
    pub(super) catalog: &'a Catalog,
    pub(super) options: &'a Options,
    pub(super) target: &'a Target,
    pub(super) python: Python,
    /// Whether the builder's architecture is not the target's.
    pub(super) foreign: bool,
    /// The stage whose Python unpacks wheels, where the image has a Python of its own.
    pub(super) unpacks_in: Option<StartsFrom>,
    pub(super) stages: Vec<Stage>,
    /// What reaches the image, in order.
    pub(super) parts: Vec<Part>,
    /// Folders that the loader searches, in order.
    pub(super) folders: Vec<ImagePath>,
}

/// Returns the stages of the image, in the order of the Dockerfile.
pub(super) fn stages(
    recipe: &Recipe,
    lock: &Lock,
    catalog: &Catalog,
    options: &Options,
    target: &Target,
) -> Result<Vec<Stage>, PlanError> {
    let python = Python::of(lock, catalog)?;
    let mut composer = Composer {
        recipe,
        lock,
        catalog,
        options,
        target,
        python,
        foreign: options.builder.is_some_and(|builder| builder != target.platform),
        unpacks_in: None,
        stages: Vec::new(),
        parts: Vec::new(),
        folders: Vec::new(),
    };
    composer.compose()?;
    Ok(composer.stages)
}

impl Composer<'_> {
    fn compose(&mut self) -> Result<(), PlanError> {
        let base = StartsFrom::Image(ImageRef::new(&self.lock.base, self.options)?);
        let mut trunk = if self.foreign { self.foreign_system(&base)? } else { self.system(&base)? };
        self.sources(&base)?;
        self.unpacks_in = self.interpreter(&base)?;
        let in_place = self.wheels()?;
        if let Some(efa) = self.component(Component::Efa, Origin::Installer) {
            let version = known_version(efa)?;
            trunk = self.efa(version, trunk)?;
        }
        Compiler::new(self)?.compile()?;
        self.image(trunk, in_place)?;
        if self.foreign {
            self.place_steps();
        }
        Ok(())
    }

    /// Returns `component` of the lock if it comes into the image by `origin`.
    pub(super) fn component(&self, component: Component, origin: Origin) -> Option<&LockedComponent> {
        self.lock.component(component).filter(|locked| locked.origin == origin)
    }

    pub(super) fn push(&mut self, name: &str, from: StartsFrom, work: Work) -> Result<StageName, PlanError> {
        let native = match &from {
            StartsFrom::Stage(parent) => {
                self.stages.iter().any(|stage| stage.name == *parent && stage.native)
            }
            StartsFrom::Image(_) => false,
        };
        self.push_on(name, from, work, native)
    }

    /// Adds a stage that runs on the builder's own platform, whatever the image is made for.
    pub(super) fn push_native(
        &mut self,
        name: &str,
        from: StartsFrom,
        work: Work,
    ) -> Result<StageName, PlanError> {
        self.push_on(name, from, work, true)
    }

    fn push_on(
        &mut self,
        name: &str,
        from: StartsFrom,
        work: Work,
        native: bool,
    ) -> Result<StageName, PlanError> {
        let name: StageName = name.parse()?;
        self.stages.push(Stage { name: name.clone(), from, native, only: None, steps: work.steps(), work });
        Ok(name)
    }

    /// Adds the folder `path` of `stage`'s output to the image.
    pub(super) fn keep(&mut self, stage: &StageName, path: &ImagePath) -> Result<(), PlanError> {
        let from = format!("{OUT}{path}").parse()?;
        self.parts.push(Part { stage: stage.clone(), from, to: path.clone() });
        Ok(())
    }

    /// Adds the stage that installs what stays of the distribution; returns what the image starts from.
    fn system(&mut self, base: &StartsFrom) -> Result<StartsFrom, PlanError> {
        let packages = self.packages();
        if packages.is_empty() {
            return Ok(base.clone());
        }
        let work = Work::System { packages, venv: self.python.venv() };
        Ok(StartsFrom::Stage(self.push("system", base.clone(), work)?))
    }

    /// Returns the packages of the distribution that the image has, sorted.
    pub(super) fn packages(&self) -> Vec<AptRequest> {
        self.lock.apt.iter().map(AptRequest::from).collect()
    }

    /// Adds a stage for each source archive, and the one that they download in.
    fn sources(&mut self, base: &StartsFrom) -> Result<(), PlanError> {
        let archives: Vec<(Component, Origin)> = self
            .lock
            .components
            .iter()
            .filter(|locked| matches!(locked.origin, Origin::Archive | Origin::Installer))
            .map(|locked| (locked.name, locked.origin))
            .collect();
        let conda = self.component(Component::Smp, Origin::Conda).is_some();
        if archives.is_empty() && !conda {
            return Ok(());
        }
        // The classic builder cannot mount the installer from another stage, and would download it in vain.
        let mounted = |origin: Origin| (origin == Origin::Installer).then_some(Dialect::Buildkit);
        let fetch = if self.foreign && !self.fetches_programs() {
            self.push("fetch", StartsFrom::Stage(TOOLS.parse()?), Work::Fetch)?
        } else {
            self.push("fetch", base.clone(), Work::Fetch)?
        };
        if !conda && archives.iter().all(|(_, origin)| mounted(*origin).is_some()) {
            self.last_only(Dialect::Buildkit);
        }
        for (component, origin) in archives {
            let download = self.download(component)?;
            let from = StartsFrom::Stage(fetch.clone());
            self.push(&source_stage(component), from, Work::Source { download })?;
            if let Some(dialect) = mounted(origin) {
                self.last_only(dialect);
            }
        }
        Ok(())
    }

    fn last_only(&mut self, dialect: Dialect) {
        if let Some(stage) = self.stages.last_mut() {
            stage.only = Some(dialect);
        }
    }

    /// Returns the first artefact of `component`.
    pub(super) fn download(&self, component: Component) -> Result<Download, PlanError> {
        let missing = PlanError::Missing { component, what: "a file to download" };
        let locked = self.lock.component(component).ok_or_else(|| missing.clone())?;
        let artefact: &Artefact = locked.artefacts.first().ok_or(missing)?;
        let checksum = Checksum::of(artefact, argument(component, "SHA256")?);
        Ok(Download { url: artefact.url.clone(), checksum })
    }

    /// Adds the stage whose Python unpacks wheels; returns it, where the image has a Python of its own.
    fn interpreter(&mut self, base: &StartsFrom) -> Result<Option<StartsFrom>, PlanError> {
        let stage = match self.python.clone() {
            Python::Absent | Python::Base => return Ok(None),
            Python::Venv(home) => {
                if self.lock.requirements().next().is_none() {
                    return Ok(None);
                }
                if self.foreign {
                    TOOLS.parse()?
                } else {
                    self.push("python", base.clone(), Work::Python { venv: home.prefix })?
                }
            }
            Python::Conda(home) => self.smp(&home)?,
        };
        Ok(Some(StartsFrom::Stage(stage)))
    }

    fn smp(&mut self, home: &Home) -> Result<StageName, PlanError> {
        let missing = |what| PlanError::Missing { component: Component::Smp, what };
        let locked =
            self.component(Component::Smp, Origin::Conda).ok_or_else(|| missing("a conda channel"))?;
        let conda = locked.conda.clone().ok_or_else(|| missing("a conda channel"))?;
        // What wheels are unpacked with and extensions compiled with; the channel's PyTorch does not ask for them.
        let tools = ["pip", "setuptools", "wheel"].map(str::parse::<CondaPackage>);
        let exact = |package: &LockedConda| match &package.found {
            Pin::Known(found) => found.package.clone(),
            Pin::Unresolved(_) => package.asked.clone(),
        };
        let mut packages: Vec<CondaPackage> = conda.packages.iter().map(exact).collect();
        for tool in tools {
            packages.push(tool?);
        }
        let found = conda.packages.iter().filter_map(|package| package.found.known());
        let verified = found.map(|found| CondaRecord::of(found, &home.prefix)).collect::<Result<_, _>>()?;
        let work = Work::Smp {
            download: self.download(Component::Smp)?,
            channels: conda.channels,
            packages,
            prefix: home.prefix.clone(),
            verified,
            listed: Checksum::Argument(argument(Component::Smp, "CONDA_SHA256")?),
        };
        let fetch = StartsFrom::Stage("fetch".parse()?);
        let stage = self.push("smp", fetch, work)?;
        let part = Part { stage: stage.clone(), from: home.prefix.clone(), to: home.prefix.clone() };
        self.parts.push(part);
        Ok(stage)
    }

    /// Adds a stage for each component's wheels; returns the packages that go into the base's own Python instead.
    fn wheels(&mut self) -> Result<Vec<PinnedPackage>, PlanError> {
        let groups = python::groups(self.lock, self.catalog)?;
        let (Some(from), Some(home)) = (self.unpacks_in.clone(), self.python.home().cloned()) else {
            return Ok(groups.into_iter().flat_map(|group| group.packages).collect());
        };
        for group in groups {
            let links = group
                .links
                .iter()
                .map(|(at, to)| Ok(Link { at: home.in_packages(at.as_str())?, to: to.clone() }));
            let links = links.collect::<Result<_, PlanError>>()?;
            let work = Work::Wheels {
                host: self.host(),
                tools: self.tools(&group)?,
                title: group.title,
                packages: group.packages,
                prefix: home.prefix.clone(),
                links,
            };
            let stage = self.push(&group.name, from.clone(), work)?;
            self.keep(&stage, &home.prefix)?;
        }
        for folder in self.library_folders() {
            self.folders.push(home.in_packages(folder.as_str())?);
        }
        Ok(Vec::new())
    }

    /// Returns what source distributions of `group` are built with. SMP's conda environment has the same tools of its own.
    fn tools(&self, group: &python::Group) -> Result<Vec<AptPackage>, PlanError> {
        let needed = group.source && matches!(self.python, Python::Venv(_));
        let tools: &[&str] = if needed { &["python3-setuptools", "python3-wheel"] } else { &[] };
        tools.iter().map(|tool| Ok(tool.parse()?)).collect()
    }

    /// Returns the folders of libraries that wheels of the lock bring, below site-packages.
    pub(super) fn library_folders(&self) -> Vec<LocalPath> {
        let unpacked = self.lock.components.iter().filter(|locked| !locked.wheels.is_empty());
        unpacked
            .filter_map(|locked| facts_of(locked, self.catalog))
            .flat_map(|facts| facts.folders.clone())
            .collect()
    }

    fn image(&mut self, mut trunk: StartsFrom, mut packages: Vec<PinnedPackage>) -> Result<(), PlanError> {
        let overlaid = self.foreign && !packages.is_empty();
        if overlaid {
            self.overlay(std::mem::take(&mut packages))?;
        }
        let copies = self
            .recipe
            .copy
            .iter()
            .map(|copy| UserCopy { from: copy.from.get_ref().clone(), to: copy.to.get_ref().clone() })
            .collect();
        let mut parts = std::mem::take(&mut self.parts);
        parts.sort_by_key(|part| LARGE_FIRST.iter().position(|name| *name == part.stage.as_str()));
        if self.foreign {
            (trunk, parts) = self.foreign_image(trunk, parts)?;
        }
        let work = Work::Image {
            parts,
            packages,
            folders: std::mem::take(&mut self.folders),
            copies,
            path: self.path()?,
            env: self.variables(overlaid)?,
            workdir: self.recipe.image.workdir.as_ref().map(|workdir| workdir.get_ref().clone()),
        };
        self.push("image", trunk, work)?;
        Ok(())
    }

    fn path(&self) -> Result<Vec<ImagePath>, PlanError> {
        let mut path = Vec::new();
        if let Some(home) = self.python.home() {
            path.push(format!("{}/bin", home.prefix).parse()?);
        }
        if self.component(Component::Efa, Origin::Installer).is_some() {
            path.push("/opt/amazon/openmpi/bin".parse()?);
            path.push("/opt/amazon/efa/bin".parse()?);
        }
        if self.component(Component::NcclTests, Origin::Archive).is_some() {
            path.push("/opt/nccl-tests/bin".parse()?);
        }
        Ok(path)
    }
}

/// Returns the facts on the Python packages that bring `locked`: those whose leader is among them.
pub(super) fn facts_of<'a>(locked: &LockedComponent, catalog: &'a Catalog) -> Option<&'a Packages> {
    let brings = |facts: &&Packages| {
        facts.component == locked.name
            && locked.wheels.iter().chain(&locked.sdists).any(|pinned| pinned.package() == facts.leader)
    };
    catalog.packages.iter().find(brings)
}

/// Returns the version of `locked`, without which nothing can be decided about it.
pub(super) fn known_version(locked: &LockedComponent) -> Result<Version, PlanError> {
    let missing = PlanError::Missing { component: locked.name, what: "a version" };
    locked.version.known().cloned().ok_or(missing)
}

/// Returns the name of the stage that holds the sources of `component`.
pub(super) fn source_stage(component: Component) -> String {
    format!("{component}-source")
}

/// Returns the build argument `<COMPONENT>_<WHAT>`.
fn argument(component: Component, what: &str) -> Result<EnvName, PlanError> {
    Ok(format!("{}_{what}", component.name().to_ascii_uppercase().replace('-', "_")).parse()?)
}

/// Returns the image that compiles: `devel`, or the base where it has compilers.
pub(super) fn compiling_image(lock: &Lock, catalog: &Catalog) -> Option<LockedImage> {
    let has_compilers = catalog.image(&lock.base.image).is_some_and(|image| image.devel);
    lock.devel.clone().or_else(|| has_compilers.then(|| lock.base.clone()))
}
