//! What a plan costs: what is downloaded, what is compiled, with how much memory and how long, each with its basis.
//!
//! Sizes are those that registries and indexes stated when the recipe was locked. Times are ranges that others reported, no promise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Options, Runs, Stage};
use crate::catalog::Catalog;
use crate::lock::{Lock, LockedComponent, LockedImage, Origin, Pin};
use crate::recipe::{Component, Version};

/// A component as it was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedComponent {
    /// Its version; absent where only the distribution or its bringer decides it.
    pub version: Option<Version>,
    /// How it comes into the image.
    pub origin: Origin,
    /// Why this version.
    pub reason: String,
}

/// What a build downloads of one kind; what is in its caches it does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Volume {
    /// For what, in words: `base image`, a component, `Python packages beyond the components`.
    pub what: String,
    /// How many files or images.
    pub count: usize,
    /// The bytes of those whose size is known.
    pub bytes: u64,
    /// How many have no known size; they come on top.
    pub unknown: usize,
}

/// What is compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Compilation {
    /// The component.
    pub component: Component,
    /// Its version.
    pub version: Option<Version>,
    /// How many compilers run at once on the builder that was named: what its memory lets.
    pub max_jobs: u64,
    /// The memory that they take together in GiB; absent where nobody reports it.
    pub memory_gib: Option<u64>,
    /// Where that figure comes from.
    pub memory_basis: Option<String>,
    /// Minutes at least; absent where nobody reports as many compilers.
    pub minutes_from: Option<u64>,
    /// Minutes at most; absent where nobody reports so few compilers, or nothing at all.
    pub minutes_to: Option<u64>,
    /// The reports that the minutes come from; none where the time is unknown.
    pub minutes_basis: Vec<String>,
}

/// What it costs that a builder which is another machine must emulate steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Emulated {
    /// What the steps do: `compile`, or `other`, of which nobody reports what it costs.
    pub what: String,
    /// How many they are.
    pub steps: usize,
    /// How many times as long they take as on a machine that is one; absent where nobody reports it.
    pub times: Option<u64>,
    /// Where that figure comes from.
    pub basis: Option<String>,
}

impl Emulated {
    /// Returns it in words.
    pub fn told(&self) -> String {
        let (steps, take) = if self.steps == 1 { ("step", "takes") } else { ("steps", "take") };
        let what = if self.what == COMPILE { "emulated that compile" } else { "emulated besides" };
        let cost = match (self.times, &self.basis) {
            (Some(times), Some(basis)) => format!("about {times} times as long as natively, by {basis}"),
            _ => "many times as long as natively; how many is unknown: nobody reports it".to_owned(),
        };
        format!("{} {steps} {what}: {take} {cost}", self.steps)
    }
}

/// What compiling steps are called.
const COMPILE: &str = "compile";

/// Returns what the emulated steps of `stages` cost: those that compile, and the others.
pub(super) fn emulated<'a>(stages: impl Iterator<Item = &'a Stage>, catalog: &Catalog) -> Vec<Emulated> {
    let mut counted = [0, 0];
    for stage in stages {
        for step in stage.steps.iter().filter(|step| step.runs == Runs::Target) {
            counted[usize::from(!step.does.starts_with(COMPILE))] += 1;
        }
    }
    // The slowest emulator that was measured: what a builder has is not known here.
    let slowest = catalog.emulation.iter().max_by_key(|emulation| emulation.times);
    let compile = Emulated {
        what: COMPILE.to_owned(),
        steps: counted[0],
        times: slowest.map(|emulation| emulation.times),
        basis: slowest.map(|emulation| format!("{} under {}", emulation.fact.source, emulation.emulator)),
    };
    let other = Emulated { what: "other".to_owned(), steps: counted[1], times: None, basis: None };
    [compile, other].into_iter().filter(|emulated| emulated.steps > 0).collect()
}

/// Returns every component of `lock` as it was resolved.
pub(super) fn components(lock: &Lock) -> BTreeMap<Component, PlannedComponent> {
    let planned = |locked: &LockedComponent| PlannedComponent {
        version: locked.version.known().cloned(),
        origin: locked.origin,
        reason: locked.reason.clone(),
    };
    lock.components.iter().map(|locked| (locked.name, planned(locked))).collect()
}

/// Returns what a build of `lock` downloads.
pub(super) fn downloads(lock: &Lock) -> Vec<Volume> {
    let mut volumes = vec![volume("base image", [lock.base.size])];
    let devel = lock.devel.as_ref().filter(|devel| devel.image != lock.base.image);
    volumes.extend(devel.map(|devel: &LockedImage| volume("image with compilers", [devel.size])));
    let apt = lock.apt.iter().map(|package| package.file.as_ref().map(|file| file.size));
    volumes.push(volume("packages of the distribution, without what they pull in", apt));
    for locked in &lock.components {
        let wheels = locked.wheels.iter().chain(&locked.sdists).map(|pinned| pinned.size);
        let files = locked.artefacts.iter().map(|artefact| artefact.size.known().copied());
        let conda = locked.conda.iter().flat_map(|conda| &conda.packages);
        let conda = conda.map(|package| match &package.found {
            Pin::Known(found) => Some(found.size),
            Pin::Unresolved(_) => None,
        });
        volumes.push(volume(locked.name.name(), wheels.chain(files).chain(conda)));
    }
    volumes
        .push(volume("Python packages beyond the components", lock.python.iter().map(|pinned| pinned.size)));
    volumes.push(volume("Python packages that build others", lock.build.iter().map(|pinned| pinned.size)));
    volumes.retain(|volume| volume.count > 0);
    volumes
}

fn volume(what: &str, sizes: impl IntoIterator<Item = Option<u64>>) -> Volume {
    let mut volume = Volume { what: what.to_owned(), count: 0, bytes: 0, unknown: 0 };
    for size in sizes {
        volume.count += 1;
        match size {
            Some(size) => volume.bytes = volume.bytes.saturating_add(size),
            None => volume.unknown += 1,
        }
    }
    volume
}

/// Returns what a build of `lock` compiles on the builder of `options`.
pub(super) fn compilations(lock: &Lock, catalog: &Catalog, options: &Options) -> Vec<Compilation> {
    let compiled = |locked: &&LockedComponent| locked.origin == Origin::Archive || !locked.sdists.is_empty();
    let max_jobs = options.max_jobs();
    let compilation = |locked: &LockedComponent| {
        let memory = catalog.memory_per_job(locked.name);
        let minutes = catalog.compile_minutes(locked.name, max_jobs);
        Compilation {
            component: locked.name,
            version: locked.version.known().cloned(),
            max_jobs,
            memory_gib: memory.map(|(gib, _)| gib.saturating_mul(max_jobs)),
            memory_basis: memory.map(|(_, source)| source.to_owned()),
            minutes_from: minutes.as_ref().and_then(|minutes| minutes.from),
            minutes_to: minutes.as_ref().and_then(|minutes| minutes.to),
            minutes_basis: minutes.map(|minutes| minutes.basis).unwrap_or_default(),
        }
    };
    lock.components.iter().filter(compiled).map(compilation).collect()
}

impl Compilation {
    /// Returns how long it may take, in words.
    pub fn duration(&self) -> String {
        match (self.minutes_from, self.minutes_to) {
            _ if self.minutes_basis.is_empty() => "time unknown: nobody reports it".to_owned(),
            (Some(from), Some(to)) if from == to => format!("about {from} minutes"),
            (Some(from), Some(to)) => format!("{from} to {to} minutes"),
            (Some(from), None) => format!("{from} minutes or more"),
            (None, Some(to)) => format!("up to {to} minutes"),
            (None, None) => "time unknown".to_owned(),
        }
    }
}

/// What can be said of an image without asking anybody: the versions that the catalogue chooses, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Outline {
    /// The recipe's name.
    pub recipe: String,
    /// The revision of the catalogue.
    pub catalog: String,
    /// The components as they were resolved.
    pub components: BTreeMap<Component, PlannedComponent>,
    /// What would be compiled.
    pub compile: Vec<Compilation>,
    /// What is not known without asking, each a sentence.
    pub unresolved: Vec<String>,
}

impl Outline {
    /// Returns the outline of a lock that may have open ends.
    pub fn new(lock: &Lock, catalog: &Catalog, options: &Options) -> Self {
        Self {
            recipe: lock.recipe.name.to_string(),
            catalog: lock.catalog.clone(),
            components: components(lock),
            compile: compilations(lock, catalog, options),
            unresolved: lock.unresolved(),
        }
    }
}
