//! From a question and the catalogue to a [`Problem`]: which values each component may take, and every fact as a rule.
//!
//! Facts that may not fail a build (inferred, community) become rules too, but those are only looked at afterwards: what they forbid
//! is a warning ([`Posed::doubts`]).

mod base;
mod fabric;
mod python;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::problem::{Binds, Domain, Line, Problem, Row, Rule, Set, Value};
use super::question::Question;
use crate::catalog::{BaseImage, Catalog, Fact};
use crate::recipe::{Component, Version, VersionRange};

/// A problem, and what is only doubtful.
#[derive(Debug, Clone, Default)]
pub(super) struct Posed {
    /// What the solver solves.
    pub(super) problem: Problem,
    /// Rules from facts that may only warn.
    pub(super) doubts: Vec<Rule>,
}

/// How components come into the image, as far as it is known before versions are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The base carries it.
    Carried,
    /// SMP's conda packages bring it.
    Conda,
    /// It is installed, built or brought by another component.
    Made,
}

/// Poses `question`, whose base image is `base`.
pub(super) fn pose(question: &Question, catalog: &Catalog, base: &BaseImage) -> Posed {
    let mut poser = Poser { question, catalog, base: whole(catalog, base), posed: Posed::default() };
    poser.domains();
    poser.asked();
    poser.of_base();
    poser.of_smp();
    poser.of_python();
    poser.of_fabric();
    poser.of_target();
    poser.of_constraints();
    poser.preferences();
    poser.posed
}

/// Returns `base` with everything that any SMP release carried under its tag: which one it is now, only the image tells.
pub(super) fn whole(catalog: &Catalog, base: &BaseImage) -> BaseImage {
    let mut whole = base.clone();
    for release in catalog.smp.iter().filter(|release| base.was.contains(&release.version)) {
        for (component, version) in &release.carries {
            whole.carries.entry(*component).or_insert_with(|| version.clone());
        }
    }
    whole
}

/// Everything that rules are made from.
pub(super) struct Poser<'a> {
    pub(super) question: &'a Question,
    pub(super) catalog: &'a Catalog,
    pub(super) base: BaseImage,
    posed: Posed,
}

impl Poser<'_> {
    /// Returns how `component` comes into the image; none where it does not.
    pub(super) fn way(&self, component: Component) -> Option<Way> {
        way(self.question, &self.base, component)
    }

    /// Returns the version of `component` that the base carries.
    pub(super) fn carried(&self, component: Component) -> Option<Version> {
        self.base.carries.get(&component).cloned()
    }

    /// Returns the domain of `component`; empty where it is not in the image.
    pub(super) fn domain(&self, component: Component) -> Arc<Domain> {
        self.posed.problem.domains.get(&component).cloned().unwrap_or_default()
    }

    /// Adds `rule`, its doubtful rows apart. A rule about a component that is not in the image is none.
    pub(super) fn add(&mut self, rule: Rule) {
        let domains = &self.posed.problem.domains;
        let there =
            |component: Option<Component>| component.is_none_or(|component| domains.contains_key(&component));
        let narrows = rule.rows.iter().any(|row| !row.given.is_none());
        if !there(rule.when) || !there(rule.then) || rule.when.is_some() && rule.when == rule.then || !narrows
        {
            return;
        }
        let sure = |row: &Row| match rule.binds {
            Binds::AsItsFacts => row.fact.as_ref().is_none_or(|fact| fact.confidence.may_fail()),
            Binds::AsAdvice => false,
            Binds::Always => true,
        };
        let (sure, doubtful): (Vec<Row>, Vec<Row>) = rule.rows.iter().cloned().partition(sure);
        if !sure.is_empty() {
            self.posed.problem.rules.push(Rule { rows: sure, ..rule.clone() });
        }
        if !doubtful.is_empty() {
            self.posed.doubts.push(Rule { rows: doubtful, ..rule });
        }
    }

    fn domains(&mut self) {
        let asked = self.question.asked.keys().copied();
        let brought = [
            Component::Python,
            Component::Pytorch,
            Component::Cuda,
            Component::AwsOfiNccl,
            Component::Driver,
        ];
        let mut components: Vec<Component> =
            asked.chain(self.base.carries.keys().copied()).chain(brought).collect();
        components.sort_unstable();
        components.dedup();
        for component in components {
            if self.way(component).is_some() || matches!(component, Component::Cuda | Component::Driver) {
                let domain = self.domain_of(component);
                self.posed.problem.domains.insert(component, Arc::new(domain));
            }
        }
    }

    /// Returns every version of `component` that anything names, newest first.
    fn domain_of(&self, component: Component) -> Domain {
        // Of two forms of one version (12.4 and 12.4.0) the base's own is told.
        let mut versions: Vec<Version> = self.base.carries.get(&component).cloned().into_iter().collect();
        versions.extend(self.catalog.versions(component));
        match component {
            Component::Python => versions.push(self.base.os.python.clone()),
            Component::Driver => versions.extend(self.question.driver.clone()),
            _ => {}
        }
        if self.question.wishes.allow_unknown {
            versions.extend(self.question.asked.get(&component).and_then(VersionRange::named));
            versions.extend(self.question.wishes.keep.get(&component).cloned());
        }
        versions.sort_by(|a, b| b.cmp(a));
        let mut values: Vec<Value> = versions.into_iter().map(Value::Version).collect();
        if component == Component::AwsOfiNccl {
            values.extend([Value::Unstated, Value::Absent]);
        }
        Domain::new(values)
    }

    /// Adds a rule for each range of the recipe.
    fn asked(&mut self) {
        for (component, range) in &self.question.asked {
            let domain = self.domain(*component);
            let admitted = domain.set(|value| match value {
                Value::Version(version) => range.admits(version),
                Value::Unstated => range.is_any(),
                Value::Absent => false,
            });
            // CUDA and cuDNN number their packages more finely than people name their releases.
            let finer = matches!(component, Component::Cuda | Component::Cudnn) && admitted.is_none();
            let admitted = match range.named() {
                Some(version) if finer => like(&domain, &version),
                _ => admitted,
            };
            let sentence = format!("the recipe asks for {component} {range}");
            self.add(
                Rule::always(*component, admitted, sentence, None).because_of(Line::Component(*component)),
            );
        }
    }

    /// Adds the catalogue's own constraints between components.
    fn of_constraints(&mut self) {
        for constraint in &self.catalog.constraints {
            for (when, given) in &constraint.when {
                for (then, needs) in &constraint.needs {
                    let row = self.row(
                        (*when, given),
                        (*then, needs),
                        constraint.because.clone(),
                        &constraint.fact,
                    );
                    self.add(
                        Rule::between(*when, *then, vec![row]).binding(Binds::advice(constraint.advice)),
                    );
                }
            }
        }
    }

    /// Returns the row: where `when` is in its range, `then` must be in its own.
    pub(super) fn row(
        &self,
        (when, given): (Component, &VersionRange),
        (then, needs): (Component, &VersionRange),
        sentence: String,
        fact: &Fact,
    ) -> Row {
        Row {
            given: self.domain(when).within(given),
            allows: self.domain(then).within(needs),
            sentence,
            fact: Some(fact.clone()),
        }
    }

    /// Says which values are taken before the newest: those of the lock, those that the base carries, those of the SMP release.
    fn preferences(&mut self) {
        let mut preferred: BTreeMap<Component, Vec<usize>> = BTreeMap::new();
        for (component, domain) in &self.posed.problem.domains {
            let kept = self.question.wishes.keep.get(component);
            let carried = self.base.carries.get(component);
            let released = self.released_with_smp(*component);
            let places = kept.into_iter().chain(carried).chain(released);
            let places = places.flat_map(|version| places_of(domain, like(domain, version)));
            preferred.insert(*component, places.collect());
        }
        if !self.question.asked.contains_key(&Component::AwsOfiNccl) {
            let absent = self.domain(Component::AwsOfiNccl);
            let absent = absent.set(|value| *value == Value::Absent);
            let places = places_of(&self.domain(Component::AwsOfiNccl), absent);
            preferred.entry(Component::AwsOfiNccl).or_default().extend(places);
        }
        self.posed.problem.preferred = preferred;
    }
}

/// Returns the versions in `set` as a person lists them.
pub(super) fn listed(domain: &Domain, set: Set) -> String {
    let versions: Vec<String> = domain.picked(set).map(ToString::to_string).collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

/// Returns how `component` comes into the image that `question` asks for; none where it does not.
pub(super) fn way(question: &Question, base: &BaseImage, component: Component) -> Option<Way> {
    let carries = |component| base.carries.contains_key(&component);
    let asks = |component| question.asked.contains_key(&component);
    let from_parts = asks(Component::Smp) && !carries(Component::Smp);
    match component {
        Component::Os | Component::Libfabric => None,
        _ if carries(component) => Some(Way::Carried),
        Component::Driver => None,
        Component::Smp | Component::Pytorch | Component::Python if from_parts => Some(Way::Conda),
        Component::Python => Some(Way::Made),
        Component::AwsOfiNccl if asks(Component::Efa) => Some(Way::Made),
        _ => asks(component).then_some(Way::Made),
    }
}

fn places_of(domain: &Domain, set: Set) -> Vec<usize> {
    (0..domain.values().len()).filter(|place| set.holds(*place)).collect()
}

/// Returns the values that are `version`, or more exact forms of it: `12.4.1` is like `12.4`.
pub(super) fn like(domain: &Domain, version: &Version) -> Set {
    let stated = version.pep440().release();
    domain.set(|value| {
        let Some(known) = value.version() else { return false };
        let finer = known.pep440().release();
        known == version || finer.len() > stated.len() && finer.starts_with(stated)
    })
}

/// Returns the values whose major version is that of `version`.
pub(super) fn same_major(domain: &Domain, version: &Version) -> Set {
    let major = |version: &Version| version.pep440().release().first().copied();
    domain.set(|value| value.version().is_some_and(|known| major(known) == major(version)))
}
