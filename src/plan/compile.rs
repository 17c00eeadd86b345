//! The stages that compile: on the image with compilers, from sources that another stage verified, with what they need copied in.

use super::compose::{Composer, compiling_image, known_version, source_stage};
use super::python::{self, Home, Python};
use super::stage::{Compile, Part, PythonCompile, StartsFrom, Variable};
use super::{ImageRef, PlanError, Work};
use crate::catalog::Os;
use crate::lock::{LockedComponent, Origin};
use crate::recipe::{AptPackage, Component, ImagePath, Version};

/// Adds compiling stages to a composer.
pub(super) struct Compiler<'a, 'b> {
    composer: &'a mut Composer<'b>,
    wanted: Vec<LockedComponent>,
}

impl<'a, 'b> Compiler<'a, 'b> {
    pub(super) fn new(composer: &'a mut Composer<'b>) -> Result<Self, PlanError> {
        let is_compiled =
            |locked: &&LockedComponent| locked.origin == Origin::Archive || !locked.sdists.is_empty();
        let wanted: Vec<_> = composer.lock.components.iter().filter(is_compiled).cloned().collect();
        let compiler = Self { composer, wanted };
        compiler.one_distribution()?;
        Ok(compiler)
    }

    pub(super) fn compile(mut self) -> Result<(), PlanError> {
        for locked in std::mem::take(&mut self.wanted) {
            let (origin, component) = (locked.origin, locked.name);
            match component {
                Component::AwsOfiNccl => self.plugin(&locked)?,
                Component::Gdrcopy => self.gdrcopy(&locked)?,
                Component::NcclTests => self.nccl_tests(&locked)?,
                Component::TransformerEngine | Component::FlashAttn if origin == Origin::Sdist => {
                    self.python_package(&locked)?;
                }
                _ => return Err(PlanError::Unsupported { component, origin }),
            }
        }
        Ok(())
    }

    /// Refuses to compile on another distribution than the image will have.
    fn one_distribution(&self) -> Result<(), PlanError> {
        let (lock, catalog) = (self.composer.lock, self.composer.catalog);
        let (Some(first), Some(devel)) = (self.wanted.first(), compiling_image(lock, catalog)) else {
            return match self.wanted.first() {
                Some(first) => Err(PlanError::NoDevel { component: first.name }),
                None => Ok(()),
            };
        };
        let name = |os: &Os| format!("{} {}", os.id, os.version);
        match (catalog.image(&devel.image), catalog.image(&lock.base.image)) {
            (Some(devel), Some(base)) if name(&devel.os) != name(&base.os) => {
                Err(PlanError::OtherDistribution { devel: name(&devel.os), base: name(&base.os) })
            }
            (Some(devel), _) if !devel.devel => Err(PlanError::NoDevel { component: first.name }),
            _ => Ok(()),
        }
    }

    fn devel(&self, component: Component) -> Result<StartsFrom, PlanError> {
        let image = compiling_image(self.composer.lock, self.composer.catalog);
        let image = image.ok_or(PlanError::NoDevel { component })?;
        Ok(StartsFrom::Image(ImageRef::new(&image, self.composer.options)?))
    }

    fn ingredients(&self, locked: &LockedComponent, parts: Vec<Part>) -> Result<Compile, PlanError> {
        Ok(Compile {
            version: known_version(locked)?,
            source: source_stage(locked.name).parse()?,
            parts,
            max_jobs: self.composer.options.max_jobs(),
        })
    }

    /// Adds `work` as the stage of `locked`, whose folder `result` reaches the image and `libraries` the loader.
    fn add(
        &mut self,
        locked: &LockedComponent,
        work: Work,
        result: &str,
        libraries: Option<&str>,
    ) -> Result<(), PlanError> {
        let from = self.devel(locked.name)?;
        let stage = self.composer.push(locked.name.name(), from, work)?;
        self.composer.keep(&stage, &result.parse()?)?;
        if let Some(folder) = libraries {
            self.composer.folders.push(folder.parse()?);
        }
        Ok(())
    }

    fn plugin(&mut self, locked: &LockedComponent) -> Result<(), PlanError> {
        let efa = self.efa_parts(&["/opt/amazon/efa"])?;
        if efa.is_empty() {
            return Err(PlanError::Missing {
                component: locked.name,
                what: "an EFA installer to build against",
            });
        }
        let work = Work::AwsOfiNccl(self.ingredients(locked, efa)?);
        self.add(locked, work, "/opt/aws-ofi-nccl", Some("/opt/aws-ofi-nccl/lib"))
    }

    fn gdrcopy(&mut self, locked: &LockedComponent) -> Result<(), PlanError> {
        let work = Work::Gdrcopy(self.ingredients(locked, Vec::new())?);
        self.add(locked, work, "/opt/gdrcopy", Some("/opt/gdrcopy/lib"))
    }

    fn nccl_tests(&mut self, locked: &LockedComponent) -> Result<(), PlanError> {
        let mut parts = self.efa_parts(&["/opt/amazon"])?;
        let mpi = if parts.is_empty() { None } else { Some("/opt/amazon/openmpi".parse()?) };
        let nccl = match (self.composer.component(Component::Nccl, Origin::Wheels), self.home()) {
            (Some(_), Some(home)) => {
                parts.extend(self.part_of("nccl"));
                home.in_packages("nvidia/nccl")?
            }
            _ => return Err(PlanError::Missing { component: locked.name, what: "NCCL to build against" }),
        };
        let work = Work::NcclTests {
            compile: self.ingredients(locked, parts)?,
            nccl,
            mpi,
            gencode: self.composer.target.gencode(),
        };
        self.add(locked, work, "/opt/nccl-tests", None)
    }

    fn home(&self) -> Option<Home> {
        self.composer.python.home().cloned()
    }

    fn efa_parts(&self, folders: &[&str]) -> Result<Vec<Part>, PlanError> {
        if self.composer.component(Component::Efa, Origin::Installer).is_none() {
            return Ok(Vec::new());
        }
        let part = |folder: &&str| -> Result<Part, PlanError> {
            Ok(Part { stage: "efa".parse()?, from: folder.parse()?, to: folder.parse()? })
        };
        folders.iter().map(part).collect()
    }

    fn part_of(&self, stage: &str) -> Option<Part> {
        self.composer.parts.iter().find(|part| part.stage.as_str() == stage).cloned()
    }

    fn python_package(&mut self, locked: &LockedComponent) -> Result<(), PlanError> {
        let Some(home) = self.home() else {
            return Err(PlanError::Unsupported { component: locked.name, origin: locked.origin });
        };
        let settings = self.settings(locked, &home)?;
        let key = self.composer.wheel_key(locked, &settings)?;
        let name = if locked.wheels.is_empty() {
            locked.name.name().to_owned()
        } else {
            format!("{}-compiled", locked.name)
        };
        if let Some(stage) = self.composer.taken_wheel(&name, (locked, &key), &home.prefix)? {
            return self.composer.keep(&stage, &home.prefix);
        }
        let parts = self.python_parts(locked.name);
        let mut wheels: Vec<ImagePath> = Vec::new();
        for folder in self.composer.library_folders() {
            if let Some((package, "lib")) = folder.as_str().rsplit_once('/') {
                wheels.push(home.in_packages(package)?);
            }
        }
        let compile = PythonCompile {
            packages: python::pinned(&locked.sdists)?,
            prefix: home.prefix.clone(),
            tools: self.tools()?,
            venv: matches!(self.composer.python, Python::Venv(_)),
            parts,
            settings,
            key,
            wheels,
            max_jobs: self.composer.options.max_jobs(),
        };
        let work = match locked.name {
            Component::FlashAttn => Work::FlashAttn(compile),
            _ => Work::TransformerEngine(compile),
        };
        let from = self.devel(locked.name)?;
        let stage = self.composer.push(&name, from, work)?;
        self.composer.keep(&stage, &home.prefix)
    }

    /// Returns what `component` is compiled against: SMP or PyTorch with its libraries. flash-attn and Transformer Engine are no
    /// ingredients of each other, so that a new version of one leaves the other as it is.
    fn python_parts(&self, component: Component) -> Vec<Part> {
        let ingredient = |part: &&Part| match part.stage.as_str() {
            "smp" | "pytorch" | "cuda" | "cudnn" | "nccl" | python::BEYOND => true,
            stage => stage == component.name(),
        };
        self.composer.parts.iter().filter(ingredient).cloned().collect()
    }

    /// Returns the packages of the distribution that Python extensions are built with.
    fn tools(&self) -> Result<Vec<AptPackage>, PlanError> {
        let mut tools = vec!["cmake", "g++", "ninja-build", "pybind11-dev"];
        if matches!(self.composer.python, Python::Venv(_)) {
            tools.extend([
                "python3-dev",
                "python3-pybind11",
                "python3-setuptools",
                "python3-venv",
                "python3-wheel",
            ]);
        }
        tools.into_iter().map(|tool| Ok(tool.parse()?)).collect()
    }

    /// Returns the variables that a package is compiled with. Both packages would otherwise fetch a wheel of theirs from a release
    /// page, unverified; compiling is forced.
    fn settings(&self, locked: &LockedComponent, home: &Home) -> Result<Vec<Variable>, PlanError> {
        let target = self.composer.target;
        let mut settings = vec![("TORCH_CUDA_ARCH_LIST", target.torch_archs())];
        if locked.name == Component::FlashAttn {
            settings.push(("FLASH_ATTENTION_FORCE_BUILD", "TRUE".to_owned()));
            settings.push(("FLASH_ATTN_CUDA_ARCHS", target.flash_attn_archs()));
            settings.push(("NVCC_THREADS", "1".to_owned()));
        } else {
            settings.push(("NVTE_FRAMEWORK", "pytorch".to_owned()));
            settings.push(("NVTE_CUDA_ARCHS", target.nvte_archs()));
            settings.push(("NVTE_BUILD_THREADS_PER_JOB", "1".to_owned()));
            settings.push(("NVTE_PYTORCH_FORCE_BUILD", "TRUE".to_owned()));
            let builds_nccl_ep: Version = "2.18".parse()?;
            if known_version(locked)? >= builds_nccl_ep {
                // Expert parallelism over NCCL wants NCCL's device headers, which its wheel lacks.
                settings.push(("NVTE_WITH_NCCL_EP", "0".to_owned()));
            }
            if self.composer.component(Component::Cudnn, Origin::Wheels).is_some() {
                settings.push(("CUDNN_PATH", home.in_packages("nvidia/cudnn")?.to_string()));
            }
        }
        settings.sort();
        let variable = |(name, value): (&str, String)| -> Result<Variable, PlanError> {
            Ok(Variable { name: name.parse()?, value: value.parse()? })
        };
        settings.into_iter().map(variable).collect()
    }
}
