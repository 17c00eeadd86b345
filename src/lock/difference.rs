//! What moved between two locks of one recipe, in words and as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Lock, LockedImage, Pin, PinnedRequirement};
use crate::recipe::{Component, package_name};

/// What moved between two locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Each change: components first, in their order; then images, packages of the distribution, Python packages.
    pub changes: Vec<Change>,
}

/// One thing that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What kind of thing.
    pub thing: Thing,
    /// Its name.
    pub name: String,
    /// What it was; absent where it was not there.
    pub from: Option<String>,
    /// What it is; absent where it is no longer there.
    pub to: Option<String>,
    /// Whether it was asked to move; else it moved with something, or because what it was does not fit any more.
    pub asked: bool,
    /// Why it is what it is, where the lock says it.
    pub why: Option<String>,
}

/// Kinds of things that a lock pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    /// A component.
    Component,
    /// A base image.
    Image,
    /// A package of the distribution.
    Package,
    /// A Python package.
    Python,
    /// A file that is downloaded.
    File,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Component => "component",
            Self::Image => "image",
            Self::Package => "package",
            Self::Python => "Python package",
            Self::File => "file",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thing, name, from, to, asked, why } = self;
        match (from, to) {
            (Some(from), Some(to)) => write!(f, "{thing} {name}: {from} → {to}")?,
            (None, Some(to)) => write!(f, "{thing} {name}: new, {to}")?,
            (Some(from), None) => write!(f, "{thing} {name}: gone, was {from}")?,
            (None, None) => write!(f, "{thing} {name}")?,
        }
        if *asked {
            f.write_str(", as asked")?;
        }
        match why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

type Pins = BTreeMap<String, String>;

impl Lock {
    /// Returns what moved from `old` to this lock; `asked` are the components that were asked to move.
    pub fn difference(&self, old: &Self, asked: &BTreeSet<Component>) -> Difference {
        let mut changes = Vec::new();
        for &component in Component::ALL {
            let told = |lock: &Self| lock.component(component).map(|locked| locked.version.to_string());
            let why = self.component(component).map(|locked| locked.reason.clone());
            let asked = asked.contains(&component);
            let (from, to) = (told(old), told(self));
            if from != to {
                let name = component.to_string();
                changes.push(Change { thing: Thing::Component, name, from, to, asked, why });
            }
        }
        for (thing, of) in [
            (Thing::Image, images as fn(&Self) -> Pins),
            (Thing::Package, packages),
            (Thing::Python, python),
            (Thing::File, files),
        ] {
            changes.extend(moved(thing, &of(old), &of(self)));
        }
        Difference { changes }
    }
}

fn moved(thing: Thing, old: &Pins, new: &Pins) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |name: &String| {
        let (from, to) = (old.get(name).cloned(), new.get(name).cloned());
        (from != to).then(|| Change { thing, name: name.clone(), from, to, asked: false, why: None })
    };
    names.into_iter().filter_map(change).collect()
}

fn images(lock: &Lock) -> Pins {
    let pin = |image: &LockedImage| (image.image.whole(), told(&image.digest));
    std::iter::once(&lock.base).chain(&lock.devel).map(pin).collect()
}

fn packages(lock: &Lock) -> Pins {
    lock.apt.iter().map(|package| (package.name.to_string(), told(&package.version))).collect()
}

fn python(lock: &Lock) -> Pins {
    let pin = |pinned: &PinnedRequirement| {
        let version = pinned.version().map_or_else(String::new, |version| version.to_string());
        (package_name(pinned.package()), version)
    };
    lock.requirements().map(pin).collect()
}

fn files(lock: &Lock) -> Pins {
    let all = lock.components.iter().flat_map(|locked| &locked.artefacts);
    all.map(|artefact| (artefact.url.to_string(), told(&artefact.sha256))).collect()
}

fn told<T: fmt::Display>(pin: &Pin<T>) -> String {
    match pin {
        Pin::Known(value) => value.to_string(),
        Pin::Unresolved(reason) => format!("open ({reason})"),
    }
}
