//! Why this version of a component, and what keeps out the next newer one.

use serde::Serialize;

use super::conflict::minimal;
use super::explain::{origin, reason};
use super::problem::{Line, Problem, Rule, Set, Value};
use super::question::place;
use super::select::base_of;
use super::solve::{all, solve};
use super::{ResolveError, Solved, Wishes};
use crate::catalog::Catalog;
use crate::recipe::{Component, Recipe, Source};

/// Why a component has its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Why {
    /// The component.
    pub component: Component,
    /// Its version, or that there is none to tell.
    pub chosen: String,
    /// What narrowed the choice, the lines of the recipe first. Empty where nothing did: then it is the newest that is known.
    pub because: Vec<Ground>,
    /// What keeps out the next newer version; absent where the chosen one is the newest that is known.
    pub newer: Option<Newer>,
    /// Whether the base image or the lock at hand has it, so that no newer one was looked for.
    pub preferred: bool,
    /// What is known to go wrong with it, and what helps.
    pub issues: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Ground {
    /// The reason in one sentence.
    pub sentence: String,
    /// Where it comes from: a line of the recipe as `FILE:LINE`, or source, confidence and date of a fact.
    pub origin: String,
    /// How many known versions it excludes.
    pub excludes: usize,
}

/// A version that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Newer {
    /// The version.
    pub version: String,
    /// What excludes it, together; empty where nothing does and the chosen one is only preferred.
    pub because: Vec<Ground>,
}

/// Explains the version that `recipe` gets of `component`; none where the image has no such component.
///
/// Fails as locking would: where nothing fits there is nothing to explain.
pub fn why(
    source: &Source,
    recipe: &Recipe,
    catalog: &Catalog,
    wishes: &Wishes,
    component: Component,
) -> Result<Option<Why>, ResolveError> {
    let base = base_of(source, recipe, catalog)?;
    let solved = Solved::of(source, recipe, catalog, &base, wishes)?;
    let Some(value) = solved.value(component) else { return Ok(None) };
    let asker = Asker { source, recipe, solved: &solved };
    let problem = solved.problem();
    let at = solved.solution.get(&component).copied().unwrap_or_default();
    let newer = problem.domains.get(&component).and_then(|domain| {
        let place = at.checked_sub(1)?;
        let version = domain.values().get(place)?.version()?;
        Some(Newer { version: version.to_string(), because: asker.excluding(component, place) })
    });
    let preferred = problem.preferred.get(&component).is_some_and(|places| places.contains(&at));
    let known = catalog.known_issues.iter().filter(|issue| {
        issue.component == component && value.version().is_some_and(|version| issue.versions.admits(version))
    });
    let issues = known.map(|issue| format!("{} {} [{}]", issue.sentence, issue.remedy, origin(&issue.fact)));
    Ok(Some(Why {
        component,
        chosen: value.to_string(),
        because: asker.grounds(component),
        newer,
        preferred,
        issues: issues.collect(),
    }))
}

struct Asker<'a> {
    source: &'a Source,
    recipe: &'a Recipe,
    solved: &'a Solved,
}

impl Asker<'_> {
    /// Returns what narrows `component` under the chosen versions.
    fn grounds(&self, component: Component) -> Vec<Ground> {
        let problem = self.solved.problem();
        let mut grounds: Vec<(bool, Ground)> = Vec::new();
        for rule in problem.rules.iter().filter(|rule| rule.then == Some(component)) {
            let leaves = self.solved.leaves(rule);
            let excludes = excluded(problem, component, leaves);
            if excludes > 0 {
                grounds.extend(
                    self.told(rule)
                        .into_iter()
                        .map(|ground| (!rule.is_line(), Ground { excludes, ..ground })),
                );
            }
        }
        grounds.sort_by(|(a, one), (b, other)| a.cmp(b).then(other.excludes.cmp(&one.excludes)));
        grounds.into_iter().map(|(_, ground)| ground).collect()
    }

    /// Returns what excludes the value at `place`, together with everything else that is asked.
    fn excluding(&self, component: Component, place: usize) -> Vec<Ground> {
        let mut problem = self.solved.problem().clone();
        let forced = problem.rules.len();
        problem.rules.push(Rule::always(component, Set::of([place]), "", None));
        let Err(suspects) = solve(&problem, &all(&problem)) else { return Vec::new() };
        let core = minimal(&problem, suspects);
        let rules = core.iter().filter(|at| **at != forced).filter_map(|at| problem.rules.get(*at));
        rules
            .flat_map(|rule| {
                let given = if rule.when == Some(component) { Set::of([place]) } else { self.given(rule) };
                self.rows(rule, given)
            })
            .collect()
    }

    /// Returns the value of the component that `rule` looks at, as a set; everything where it looks at none.
    fn given(&self, rule: &Rule) -> Set {
        rule.when
            .map_or(Set::ALL, |when| self.solved.solution.get(&when).map_or(Set::ALL, |at| Set::of([*at])))
    }

    fn told(&self, rule: &Rule) -> Vec<Ground> {
        self.rows(rule, self.given(rule))
    }

    fn rows(&self, rule: &Rule, given: Set) -> Vec<Ground> {
        let rows = rule.rows.iter().filter(|row| !row.given.and(given).is_none());
        rows.map(|row| {
            let fact = reason(row);
            let line = rule.lines.first().filter(|_| rule.is_line());
            let origin = line.map_or(fact.origin, |line| self.at(line));
            Ground { sentence: fact.sentence, origin, excludes: 0 }
        })
        .collect()
    }

    /// Returns where `line` stands, as `FILE:LINE`.
    fn at(&self, line: &Line) -> String {
        let (span, _) = place(self.recipe, line);
        let before = span.and_then(|span| self.source.text.get(..span.start)).unwrap_or_default();
        format!("{}:{}", self.source.origin, before.matches('\n').count() + 1)
    }
}

/// Returns how many known versions of `component` are not in `leaves`.
fn excluded(problem: &Problem, component: Component, leaves: Set) -> usize {
    let domain = problem.domains.get(&component);
    domain.map_or(0, |domain| {
        domain.picked(leaves.not()).filter(|value| matches!(value, Value::Version(_))).count()
    })
}
