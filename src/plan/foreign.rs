//! Stages of a foreign build: what only fetches, unpacks and registers runs on the builder's own architecture and reaches the image as
//! files; nothing of the target is started.
//!
//! Packages of the distribution are installed twice: on the builder's own architecture, where their maintainer scripts run (the twin),
//! and for the target, where dpkg only unpacks and registers them; what scripts did is then taken from the twin.

use super::compose::{Composer, OUT};
use super::python::Python;
use super::stage::{Part, Runs, StageName, StartsFrom};
use super::{ImageRef, Instruction, PinnedPackage, PlanError, Work};
use crate::lock::{Origin, PinnedRequirement};
use crate::recipe::{AptPackage, Component, ImagePath};

/// The stage in which native steps run.
pub(super) const TOOLS: &str = "tools";
/// Where the packages of the base's own Python lie that were unpacked elsewhere.
pub(super) const OVERLAY: &str = "/opt/smp-image/python";
/// Where the tools keep an empty Python environment for the image.
const SKELETON: &str = "/skeleton";
/// What wheels are unpacked in for a base whose Python cannot be started here: nothing of it reaches the image.
const TOOLS_IMAGE: &str = "docker.io/library/debian:trixie-slim";

/// The newest glibc that wheels are named after (`manylinux_2_41`), and the first.
const OLDEST_MANYLINUX: u64 = 17;

impl Composer<'_> {
    /// Adds the stages that native steps need, and the distribution's packages; returns what the image starts from.
    pub(super) fn foreign_system(&mut self, base: &StartsFrom) -> Result<StartsFrom, PlanError> {
        let own_python = matches!(self.python, Python::Base);
        let from = if own_python || !self.has_twin() { self.tools_image()? } else { base.clone() };
        self.push_native(
            TOOLS,
            from,
            Work::Tools { packages: self.tool_packages()?, venv: self.python.venv() },
        )?;
        if let Some(venv) = self.python.venv() {
            let from = format!("{SKELETON}{venv}").parse()?;
            self.parts.push(Part { stage: TOOLS.parse()?, from, to: venv });
        }
        let packages = self.packages();
        if packages.is_empty() {
            return Ok(base.clone());
        }
        if !self.has_twin() {
            let work = Work::System { packages, venv: None };
            return Ok(StartsFrom::Stage(self.push("system", base.clone(), work)?));
        }
        self.push("base", base.clone(), Work::Base)?;
        let names = packages.iter().map(|package| package.name.clone()).collect();
        self.push_native("twin", base.clone(), Work::Twin { packages: names })?;
        let theirs = self.target.platform.arch.name().to_owned();
        let (tools, base_stage): (StageName, StageName) = (TOOLS.parse()?, "base".parse()?);
        let work = Work::Debs { packages, theirs: theirs.clone(), base: base_stage.clone() };
        let debs = self.push("debs", StartsFrom::Stage(tools.clone()), work)?;
        let work = Work::Distribution { theirs, base: base_stage, twin: "twin".parse()?, debs };
        let stage = self.push("distribution", StartsFrom::Stage(tools), work)?;
        let part = Part { stage, from: OUT.parse()?, to: "/".parse()? };
        let files = Work::Files { parts: vec![part] };
        Ok(StartsFrom::Stage(self.push("system", StartsFrom::Stage("base".parse()?), files)?))
    }

    /// Returns whether the base may be published for the builder's architecture too: nothing known says that it is not.
    fn has_twin(&self) -> bool {
        let known = self.catalog.image(&self.lock.base.image);
        let builder = self.options.builder.unwrap_or(self.target.platform);
        known.is_none_or(|image| image.archs.is_empty() || image.archs.contains(&builder.arch))
    }

    fn tools_image(&self) -> Result<StartsFrom, PlanError> {
        let image = TOOLS_IMAGE.parse().map_err(|_| PlanError::NoTools { image: TOOLS_IMAGE.to_owned() })?;
        let name = self.options.mirrored(&image).whole();
        let unresolved = "its programs unpack, and nothing of it reaches the image".to_owned();
        Ok(StartsFrom::Image(ImageRef { name, digest: None, unresolved: Some(unresolved) }))
    }

    fn tool_packages(&self) -> Result<Vec<AptPackage>, PlanError> {
        let mut packages = vec!["ca-certificates"];
        let unpacks_wheels = matches!(self.python, Python::Venv(_) | Python::Base);
        packages.push(if unpacks_wheels { "python3-venv" } else { "python3" });
        if matches!(self.python, Python::Base) {
            packages.push("python3-pip");
            if self.lock.python.iter().any(|pinned| pinned.source) {
                packages.extend(["python3-setuptools", "python3-wheel"]);
            }
        }
        packages.into_iter().map(|package| Ok(package.parse()?)).collect()
    }

    /// Returns the platform as Python calls it for wheels that another machine's Python unpacks.
    pub(super) fn host(&self) -> Option<String> {
        let unpacked_natively = self.foreign && matches!(self.python, Python::Venv(_));
        unpacked_natively.then(|| format!("linux-{}", self.target.platform.arch.machine()))
    }

    /// Adds the packages that go into the base's own Python, as a folder that it searches first: its own pip cannot be started.
    pub(super) fn overlay(&mut self, packages: Vec<PinnedPackage>) -> Result<(), PlanError> {
        let unknown = || PlanError::UnknownPython { image: self.lock.base.image.whole() };
        let image = self.catalog.image(&self.lock.base.image).ok_or_else(unknown)?;
        let locked =
            self.lock.component(Component::Python).and_then(|python| python.version.known().cloned());
        let python = locked.or_else(|| image.carries.get(&Component::Python).cloned()).ok_or_else(unknown)?;
        let is_source = |pinned: &PinnedRequirement| pinned.source;
        let sources: Vec<_> = self.lock.python.iter().filter(|pinned| is_source(pinned)).collect();
        let (sources, packages): (Vec<_>, Vec<_>) = packages
            .into_iter()
            .partition(|package| sources.iter().any(|source| source.requirement == package.requirement));
        let folder: ImagePath = OVERLAY.parse()?;
        let mut options =
            vec!["--only-binary=:all:".to_owned(), format!("--python-version={}", python.release(2))];
        let platforms = self.wheel_platforms(&image.os.glibc.release(2));
        options.extend(platforms.into_iter().map(|platform| format!("--platform={platform}")));
        options.push(format!("--target={OUT}{folder}"));
        let work = Work::Overlay { packages, sources, options, folder: folder.clone() };
        let stage = self.push("packages", StartsFrom::Stage(TOOLS.parse()?), work)?;
        self.keep(&stage, &folder)
    }

    /// Returns the platforms of wheels that run on a distribution with `glibc`, the newest first.
    fn wheel_platforms(&self, glibc: &str) -> Vec<String> {
        let machine = self.target.platform.arch.machine();
        let newest =
            glibc.split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap_or(OLDEST_MANYLINUX);
        let numbered =
            (OLDEST_MANYLINUX..=newest).rev().map(|minor| format!("manylinux_2_{minor}_{machine}"));
        numbered.chain([format!("manylinux2014_{machine}"), format!("linux_{machine}")]).collect()
    }

    /// Joins everything but the loader's cache on `trunk`, and adds the stage that writes that cache; returns what the image starts
    /// from, and what it copies.
    pub(super) fn foreign_image(
        &mut self,
        trunk: StartsFrom,
        parts: Vec<Part>,
    ) -> Result<(StartsFrom, Vec<Part>), PlanError> {
        let folders = std::mem::take(&mut self.folders);
        let installs = matches!(&trunk, StartsFrom::Stage(_));
        if folders.is_empty() && !installs {
            return Ok((trunk, parts));
        }
        let files = self.push("files", trunk, Work::Files { parts })?;
        let machine = self.target.platform.arch.machine().to_owned();
        let work = Work::Loader { files: files.clone(), machine, folders };
        let loader = self.push("loader", StartsFrom::Stage(TOOLS.parse()?), work)?;
        Ok((StartsFrom::Stage(files), vec![Part { stage: loader, from: OUT.parse()?, to: "/".parse()? }]))
    }

    /// Says of each step whether it runs on the builder as it is: commands in stages of the target do not, all else does.
    pub(super) fn place_steps(&mut self) {
        for stage in &mut self.stages {
            for step in &mut stage.steps {
                let of_target = step.instruction == Instruction::Run && !stage.native;
                step.runs = if of_target { Runs::Target } else { Runs::Native };
            }
        }
    }

    /// Returns whether anything is downloaded in a stage whose programs then run on the target.
    pub(super) fn fetches_programs(&self) -> bool {
        self.component(Component::Smp, Origin::Conda).is_some()
    }
}
