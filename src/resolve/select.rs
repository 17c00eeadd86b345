//! The choice for each component from facts alone: base, wheels, installer, archive or conda; pure, asks nobody.

mod components;

use std::collections::BTreeMap;

use crate::catalog::{BaseImage, Catalog};
use crate::lock::{Artefact, Conda, Origin};
use crate::recipe::{
    AptPackage, Component, Recipe, RecipeError, Requirement, Source, Version, VersionRange, nearest,
};

use super::question::Question;
use super::rules::whole;
use super::{ResolveError, Solved, Wishes};

/// What was decided from facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// One choice per component of the image, also of those that the base carries unasked.
    pub choices: Vec<Choice>,
    /// The version of Python in the image.
    pub python: Version,
    /// The version of its C library.
    pub glibc: Version,
    /// The version of everything that has one, also of what decides without being in the image: the driver of the nodes.
    pub versions: BTreeMap<Component, Version>,
    /// What a person should know: facts that may only warn, versions of which nothing is known. Each a sentence.
    pub warnings: Vec<String>,
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
    base: BaseImage,
    solved: Solved,
}

/// Decides from facts how each component of `recipe` comes into the image.
pub fn select(
    source: &Source,
    recipe: &Recipe,
    catalog: &Catalog,
    wishes: &Wishes,
) -> Result<Selection, ResolveError> {
    let bench = Bench::new(source, recipe, catalog, wishes)?;
    let mut choices = Vec::new();
    for (&component, range) in &recipe.components {
        let choice =
            bench.choose(component, range.get_ref()).map_err(|refusal| refusal.at(source, range.span()))?;
        choices.push(choice);
    }
    for &component in bench.base.carries.keys() {
        if !recipe.components.contains_key(&component) {
            choices.push(bench.carried(component, &any()));
        }
    }
    choices.extend(bench.implied(&choices));
    let python = bench.version(Component::Python).cloned();
    let python = python.unwrap_or_else(|| bench.base.os.python.clone());
    Ok(Selection {
        choices,
        python,
        glibc: bench.base.os.glibc.clone(),
        versions: bench.solved.versions(),
        warnings: bench.solved.warnings(catalog),
    })
}

impl<'a> Bench<'a> {
    fn new(
        source: &Source,
        recipe: &'a Recipe,
        catalog: &'a Catalog,
        wishes: &Wishes,
    ) -> Result<Self, ResolveError> {
        for instance in &recipe.instances {
            known_instance(source, instance, catalog)?;
        }
        for precision in &recipe.precision {
            known_precision(source, precision, catalog)?;
        }
        let base = base_of(source, recipe, catalog)?;
        let question = Question::of(recipe, wishes);
        for (component, range) in &recipe.components {
            known_at_all(catalog, wishes, *component, range.get_ref())
                .map_err(|refusal| refusal.at(source, range.span()))?;
            possible(&question, catalog, &base, *component)
                .map_err(|refusal| refusal.at(source, range.span()))?;
        }
        let solved = Solved::of(source, recipe, catalog, &base, wishes)?;
        Ok(Self { recipe, catalog, base, solved })
    }
}

/// Refuses a component of which no version is known.
fn known_at_all(
    catalog: &Catalog,
    wishes: &Wishes,
    component: Component,
    range: &VersionRange,
) -> Result<(), Refusal> {
    let versionless = matches!(component, Component::Libfabric | Component::Os | Component::Driver);
    let named = wishes.allow_unknown && range.named().is_some();
    if versionless || named || !catalog.versions(component).is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        format!("the catalogue knows no version of {component}"),
        "name one and say --allow-unknown, or add it with --catalog",
    ))
}

/// Refuses what no choice of versions could mend.
pub(super) fn possible(
    question: &Question,
    catalog: &Catalog,
    base: &BaseImage,
    component: Component,
) -> Result<(), Refusal> {
    let has = |component| question.asked.contains_key(&component) || base.carries.contains_key(&component);
    let has_torch = has(Component::Pytorch) || has(Component::Smp);
    let compiled =
        catalog.packages.iter().any(|packages| packages.component == component && packages.compiled);
    match component {
        Component::Os | Component::Driver => Err(Refusal::new(
            format!("{component} cannot be installed into an image"),
            "take it out of [components]: the base decides the distribution, the node the driver (`nodes.driver`)",
        )),
        Component::AwsOfiNccl if !has(Component::Efa) && !base.carries.contains_key(&component) => {
            Err(Refusal::new(
                "aws-ofi-nccl needs libfabric of AWS's EFA installer",
                "add `efa = \"*\"` to [components]",
            ))
        }
        _ if compiled && !has_torch => Err(Refusal::new(
            format!("{component} needs PyTorch"),
            "add `pytorch = \"*\"` to [components], or take a base image that carries it",
        )),
        _ => Ok(()),
    }
}

/// A choice that cannot be made: the sentence and what helps.
pub(super) struct Refusal {
    message: String,
    help: String,
}

impl Refusal {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    fn at(self, source: &Source, span: std::ops::Range<usize>) -> ResolveError {
        ResolveError::Impossible(
            RecipeError::at(source, span, self.message).with_label("asked for here").with_help(self.help),
        )
    }
}

impl Bench<'_> {
    /// Returns the version that was chosen for `component`.
    fn version(&self, component: Component) -> Option<&Version> {
        self.solved.version(component)
    }

    fn choose(&self, component: Component, range: &VersionRange) -> Result<Choice, Refusal> {
        if self.is_carried(component) {
            return Ok(self.carried(component, range));
        }
        match component {
            Component::Python => Ok(self.python(range)),
            Component::Efa => self.efa(range),
            Component::Libfabric => Ok(Self::libfabric(range)),
            Component::AwsOfiNccl => self.plugin(range),
            Component::Smp => self.smp(range),
            Component::Pytorch if self.asks(Component::Smp) => Ok(self.of_smp(component, range)),
            Component::Gdrcopy | Component::NcclTests => self.archive(component, range),
            _ => self.packages(component, range),
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
            let parts = [Component::Pytorch, Component::Python].into_iter().filter(|part| absent(*part));
            implied.extend(parts.map(|part| self.of_smp(part, &any())));
        }
        if origin(Component::Efa) == Some(Origin::Installer) && absent(Component::AwsOfiNccl) {
            implied.extend(self.plugin(&any()).ok().filter(|choice| choice.origin == Origin::Bundled));
        }
        implied
    }

    /// Returns whether the recipe or the base has `component`.
    fn asks(&self, component: Component) -> bool {
        self.recipe.components.contains_key(&component) || self.base.carries.contains_key(&component)
    }

    /// Returns whether the base carries the version that was chosen.
    fn is_carried(&self, component: Component) -> bool {
        let carried = self.base.carries.get(&component);
        carried.is_some_and(|carried| component != Component::Efa || self.version(component) == Some(carried))
    }

    fn carried(&self, component: Component, range: &VersionRange) -> Choice {
        let reason = format!("the base image carries it ({})", self.base.fact.source);
        let mut choice = Choice::new(component, range, Origin::Base, reason);
        choice.version = self.version(component).or_else(|| self.base.carries.get(&component)).cloned();
        choice
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

/// Returns what is known of the recipe's base image.
pub(super) fn base_of(
    source: &Source,
    recipe: &Recipe,
    catalog: &Catalog,
) -> Result<BaseImage, ResolveError> {
    let image = &recipe.base.image;
    let known = catalog.image(image.get_ref()).map(|known| whole(catalog, known));
    known.ok_or_else(|| {
        let known: Vec<String> =
            catalog.images.iter().map(|image| format!("{}:{}", image.repository, image.tag)).collect();
        ResolveError::Impossible(
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

/// Refuses a number format of which the catalogue says nothing.
fn known_precision(
    source: &Source,
    precision: &toml::Spanned<String>,
    catalog: &Catalog,
) -> Result<(), ResolveError> {
    let name = precision.get_ref();
    let names = || catalog.precisions.iter().map(|format| format.format.as_str());
    if names().any(|known| known == name) {
        return Ok(());
    }
    let error = RecipeError::at(source, precision.span(), format!("unknown number format `{name}`"));
    let known = names().collect::<Vec<_>>().join(", ");
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {known}; bf16, fp16 and fp32 run everywhere and are not asked for"),
    };
    Err(ResolveError::Recipe(error.with_help(help)))
}

fn any() -> VersionRange {
    VersionRange::any()
}
