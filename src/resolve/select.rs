//! The choice for each component from facts alone: base, wheels, installer, archive or conda; pure, asks nobody.

mod components;

use crate::catalog::{BaseImage, Catalog};
use crate::lock::{Artefact, Conda, Origin};
use crate::recipe::{
    AptPackage, Component, Recipe, RecipeError, Requirement, Source, Version, VersionRange, nearest,
};

use super::ResolveError;

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
