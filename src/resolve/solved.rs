//! A solved question: the versions, why each was chosen, what is doubtful about them.

use std::collections::BTreeMap;

use super::ResolveError;
use super::explain::{self, origin};
use super::problem::{Assignment, Line, Problem, Row, Rule, Set, Value};
use super::question::{Question, Wishes};
use super::rules::{Posed, pose};
use super::solve::{all, solve};
use crate::catalog::{BaseImage, Catalog};
use crate::recipe::{Component, Recipe, Source, Version};

/// A solved question.
pub(super) struct Solved {
    pub(super) posed: Posed,
    pub(super) solution: Assignment,
    wishes: Wishes,
}

impl Solved {
    /// Solves what `recipe` asks on `base`; where nothing fits, explains why.
    pub(super) fn of(
        source: &Source,
        recipe: &Recipe,
        catalog: &Catalog,
        base: &BaseImage,
        wishes: &Wishes,
    ) -> Result<Self, ResolveError> {
        let question = Question::of(recipe, wishes);
        let posed = pose(&question, catalog, base);
        match solve(&posed.problem, &all(&posed.problem)) {
            Ok(solution) => Ok(Self { posed, solution, wishes: question.wishes }),
            Err(_) => Err(ResolveError::NoFit(Box::new(explain::explain(
                source, recipe, &question, &posed, catalog,
            )))),
        }
    }

    /// Takes `solution` as the answer to what `posed` asks, whether it keeps every rule or not.
    pub(super) fn given(posed: Posed, solution: Assignment, wishes: Wishes) -> Self {
        Self { posed, solution, wishes }
    }

    /// Returns the sentences of the rules that the versions break.
    pub(super) fn broken(&self) -> Vec<String> {
        self.told(&self.posed.problem.rules)
    }

    pub(super) fn problem(&self) -> &Problem {
        &self.posed.problem
    }

    pub(super) fn value(&self, component: Component) -> Option<&Value> {
        self.problem().value(&self.solution, component)
    }

    pub(super) fn version(&self, component: Component) -> Option<&Version> {
        self.value(component).and_then(Value::version)
    }

    /// Returns every version that was chosen.
    pub(super) fn versions(&self) -> BTreeMap<Component, Version> {
        let known = |component: &Component| Some((*component, self.version(*component)?.clone()));
        self.solution.keys().filter_map(known).collect()
    }

    /// Returns whether the EFA installer that was chosen brings the plugin.
    pub(super) fn is_bundled(&self, catalog: &Catalog) -> bool {
        let stated = self.version(Component::Efa).and_then(|version| catalog.efa_release(version));
        let unstated = self.value(Component::AwsOfiNccl) == Some(&Value::Unstated);
        unstated || stated.is_some_and(|release| release.plugin.is_some())
    }

    /// Returns what `rule` leaves of its component under the chosen versions.
    pub(super) fn leaves(&self, rule: &Rule) -> Set {
        let place = rule.when.map_or(Some(0), |when| self.solution.get(&when).copied());
        place.map_or(Set::ALL, |place| rule.allows(place))
    }

    /// Returns the sentence of the rule that leaves `component` no other version, with its source.
    pub(super) fn reason(&self, component: Component) -> Option<String> {
        let domain = self.problem().domains.get(&component)?;
        let deciding = |rule: &&Rule| {
            rule.then == Some(component)
                && rule.when.is_some()
                && domain.picked(self.leaves(rule)).count() == 1
        };
        let rule = self.problem().rules.iter().find(deciding)?;
        let place = rule.when.and_then(|when| self.solution.get(&when))?;
        let row = rule.rows.iter().find(|row| row.given.holds(*place))?;
        let source = row.fact.as_ref().map(|fact| format!(" ({})", fact.source)).unwrap_or_default();
        Some(format!("{}{source}", row.sentence))
    }

    /// Returns what a person should know of the chosen versions and may ignore.
    pub(super) fn warnings(&self, catalog: &Catalog) -> Vec<String> {
        let mut warnings = self.told(&self.posed.doubts);
        if self.wishes.allow_unknown {
            warnings.extend(self.unknown(catalog));
        }
        warnings.sort();
        warnings.dedup();
        warnings
    }

    /// Returns the sentences of those of `rules` that the versions break, each with its source.
    fn told(&self, rules: &[Rule]) -> Vec<String> {
        let mut sentences = Vec::new();
        for rule in rules {
            let given = match rule.when {
                Some(when) => self.solution.get(&when).copied(),
                None => Some(0),
            };
            let then = rule.then.map(|then| self.solution.get(&then).copied());
            // A component without a version breaks nothing.
            let (Some(given), None | Some(Some(_))) = (given, then) else { continue };
            let forbids = |row: &&Row| {
                row.given.holds(given) && then.flatten().is_none_or(|place| !row.allows.holds(place))
            };
            sentences.extend(rule.rows.iter().filter(forbids).map(|row| match &row.fact {
                Some(fact) => format!("{} [{}]", row.sentence, origin(fact)),
                None => row.sentence.clone(),
            }));
        }
        sentences
    }

    /// Returns a sentence for each version that the catalogue does not know.
    fn unknown<'a>(&'a self, catalog: &'a Catalog) -> impl Iterator<Item = String> + 'a {
        let asked = |rule: &&Rule| rule.lines.iter().any(|line| matches!(line, Line::Component(_)));
        let components = self.problem().rules.iter().filter(asked).filter_map(|rule| rule.then);
        components.filter_map(|component| {
            let version = self.version(component)?;
            let known = catalog.versions(component).contains(version);
            (!known)
                .then(|| format!("nothing is known of {component} {version}: whether it fits was not judged"))
        })
    }
}
