//! What the resolver is asked: the lines of a recipe that decide about versions, apart from where they stand in its text.
//!
//! A question can be changed line by line. That is how a repair is proven: the changed question is solved.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::problem::Line;
use crate::oci::Reference;
use crate::recipe::{Component, Recipe, Requirement, Version, VersionRange};

/// What is preferred and what is allowed, beyond what the recipe says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Versions to keep wherever they still fit: those of the lock at hand.
    pub keep: BTreeMap<Component, Version>,
    /// Whether a version that the catalogue does not know may be taken; nothing is then known of it, and every report says so.
    pub allow_unknown: bool,
}

/// The lines of a recipe that decide about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) base: Reference,
    pub(super) asked: BTreeMap<Component, VersionRange>,
    pub(super) instances: Vec<String>,
    pub(super) driver: Option<Version>,
    pub(super) precision: Vec<String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) packages: Vec<Requirement>,
    pub(super) wishes: Wishes,
}

/// A change of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// Ask for this version.
    Take(Component, Version),
    /// Leave the component out of the image.
    Drop(Component),
    /// Do not run on this instance type.
    DropInstance(String),
    /// Start from this base image.
    TakeBase(Reference),
    /// Run on nodes with this driver.
    TakeDriver(Version),
    /// Leave the line out.
    Leave(Line),
}

impl Question {
    /// Returns the question that `recipe` asks.
    pub(super) fn of(recipe: &Recipe, wishes: &Wishes) -> Self {
        let variables = recipe.image.env.iter();
        Self {
            base: recipe.base.image.get_ref().clone(),
            asked: recipe.components.iter().map(|(name, range)| (*name, range.get_ref().clone())).collect(),
            instances: recipe.instances.iter().map(|name| name.get_ref().clone()).collect(),
            driver: recipe.nodes.driver.as_ref().map(|driver| driver.get_ref().clone()),
            precision: recipe.precision.iter().map(|name| name.get_ref().clone()).collect(),
            variables: variables
                .map(|(name, value)| (name.to_string(), value.get_ref().as_str().to_owned()))
                .collect(),
            packages: recipe.python.packages.iter().map(|package| package.get_ref().clone()).collect(),
            wishes: wishes.clone(),
        }
    }

    /// Returns the question after `edit`; none where the edit leaves it as it is, or nothing to build for.
    pub(super) fn edited(&self, edit: &Edit) -> Option<Self> {
        let mut edited = self.clone();
        match edit {
            Edit::Take(component, version) => {
                edited.asked.insert(*component, VersionRange::exactly(version));
            }
            Edit::Drop(component) => {
                edited.asked.remove(component);
            }
            Edit::DropInstance(name) => edited.instances.retain(|instance| instance != name),
            Edit::TakeBase(image) => edited.base = image.clone(),
            Edit::TakeDriver(version) => edited.driver = Some(version.clone()),
            Edit::Leave(line) => edited.give_up(line),
        }
        (edited != *self && !edited.instances.is_empty()).then_some(edited)
    }

    /// Makes the question ask nothing in `line`: any version, no such instance.
    pub(super) fn give_up(&mut self, line: &Line) {
        match line {
            Line::Component(component) => {
                self.asked.entry(*component).and_modify(|range| *range = VersionRange::any());
            }
            Line::Instance(name) => self.instances.retain(|instance| instance != name),
            Line::Base => {}
            Line::Driver => self.driver = None,
            Line::Precision(name) => self.precision.retain(|precision| precision != name),
            Line::Variable(name) => {
                self.variables.remove(name);
            }
            Line::Package(text) => self.packages.retain(|package| package.as_str() != text),
        }
    }
}

/// Returns where `line` stands in the text of `recipe`, and how a person would call it.
pub(super) fn place(recipe: &Recipe, line: &Line) -> (Option<Range<usize>>, String) {
    fn named(list: &[Spanned<String>], name: &str) -> Option<Range<usize>> {
        list.iter().find(|entry| entry.get_ref() == name).map(Spanned::span)
    }
    match line {
        Line::Component(component) => {
            let range = recipe.components.get(component);
            let asks = match range.map(Spanned::get_ref) {
                Some(range) if !range.is_any() => format!("asks for {component} {range}"),
                _ => format!("asks for {component}"),
            };
            (range.map(Spanned::span), asks)
        }
        Line::Instance(name) => (named(&recipe.instances, name), format!("must run on {name}")),
        Line::Base => (Some(recipe.base.image.span()), "starts from this image".to_owned()),
        Line::Driver => {
            (recipe.nodes.driver.as_ref().map(Spanned::span), "the nodes have this driver".to_owned())
        }
        Line::Precision(name) => (named(&recipe.precision, name), format!("trains in {name}")),
        Line::Variable(name) => {
            let value = recipe.image.env.iter().find(|(known, _)| known.as_str() == name);
            (value.map(|(_, value)| value.span()), format!("sets {name} in the image"))
        }
        Line::Package(text) => {
            let package = recipe.python.packages.iter().find(|package| package.get_ref().as_str() == text);
            (package.map(Spanned::span), format!("installs {text}"))
        }
    }
}
