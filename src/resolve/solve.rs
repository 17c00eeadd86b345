//! Solves a [`Problem`] with `PubGrub`; where there is no solution, names the rules that its proof used.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use pubgrub::{
    Dependencies, DependencyProvider, DerivationTree, External, PackageResolutionStatistics, PubGrubError,
};

use super::problem::{Assignment, Problem, Rule, Set};
use crate::recipe::Component;

/// Which rules hold: those of a problem that are not left out.
pub(super) type Rules = BTreeSet<usize>;

/// A package of the solver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Package {
    /// The image, which needs every component.
    Image,
    /// A component.
    Of(Component),
}

impl std::fmt::Display for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image => f.pad("the image"),
            Self::Of(component) => component.fmt(f),
        }
    }
}

/// The order in which components are decided: those that decide most of the others first.
const ORDER: &[Component] = &[
    Component::Os,
    Component::Driver,
    Component::Smp,
    Component::Pytorch,
    Component::Cuda,
    Component::Python,
    Component::TransformerEngine,
    Component::FlashAttn,
    Component::Efa,
    Component::Nccl,
    Component::Cudnn,
    Component::AwsOfiNccl,
];

struct Provider<'a> {
    problem: &'a Problem,
    rules: &'a Rules,
}

impl Provider<'_> {
    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter_map(|at| self.problem.rules.get(*at))
    }

    /// Returns what the image asks of each component, whatever else is chosen; nothing where the rules contradict themselves.
    fn of_image(&self) -> Option<BTreeMap<Component, Set>> {
        let mut asked: BTreeMap<Component, Set> =
            self.problem.domains.keys().map(|component| (*component, Set::ALL)).collect();
        for rule in self.rules().filter(|rule| rule.when.is_none()) {
            let narrowed = asked.get_mut(&rule.then?);
            if let Some(set) = narrowed {
                *set = set.and(rule.allows(0));
            }
        }
        Some(asked)
    }

    fn of_component(&self, component: Component, place: usize) -> BTreeMap<Component, Set> {
        let mut needs = BTreeMap::new();
        for rule in self.rules().filter(|rule| rule.when == Some(component)) {
            let Some(then) = rule.then.filter(|then| self.problem.domains.contains_key(then)) else {
                continue;
            };
            let allows = rule.allows(place);
            if allows != Set::ALL {
                needs.entry(then).and_modify(|set: &mut Set| *set = set.and(allows)).or_insert(allows);
            }
        }
        needs
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Package;
    type V = usize;
    type VS = Set;
    type M = &'static str;
    type Err = Infallible;
    type Priority = std::cmp::Reverse<usize>;

    fn prioritize(&self, package: &Package, _: &Set, _: &PackageResolutionStatistics) -> Self::Priority {
        let place = match package {
            Package::Image => 0,
            Package::Of(component) => {
                let named = ORDER.iter().position(|known| known == component);
                1 + named.unwrap_or(ORDER.len() + *component as usize)
            }
        };
        std::cmp::Reverse(place)
    }

    fn choose_version(&self, package: &Package, set: &Set) -> Result<Option<usize>, Infallible> {
        let Package::Of(component) = package else { return Ok(Some(0)) };
        let preferred = self.problem.preferred.get(component).into_iter().flatten().copied();
        let known = self.problem.domains.get(component).map_or(0, |domain| domain.values().len());
        Ok(preferred.chain(0..known).find(|place| *place < known && set.holds(*place)))
    }

    fn get_dependencies(
        &self,
        package: &Package,
        place: &usize,
    ) -> Result<Dependencies<Package, Set, &'static str>, Infallible> {
        let needs = match package {
            Package::Image => match self.of_image() {
                Some(needs) => needs,
                None => return Ok(Dependencies::Unavailable("the recipe contradicts itself")),
            },
            Package::Of(component) => self.of_component(*component, *place),
        };
        let needs = needs.into_iter().map(|(component, set)| (Package::Of(component), set));
        Ok(Dependencies::Available(needs.collect()))
    }
}

/// Returns the most wanted values that keep every rule of `rules`; else the rules that a proof of the contrary used.
///
/// Components are decided in a fixed order, each for the most wanted value that is not refuted, so the same problem always has the
/// same solution.
pub(super) fn solve(problem: &Problem, rules: &Rules) -> Result<Assignment, Rules> {
    let provider = Provider { problem, rules };
    match pubgrub::resolve(&provider, Package::Image, 0_usize) {
        Ok(chosen) => {
            let component = |(package, place)| match package {
                Package::Of(component) => Some((component, place)),
                Package::Image => None,
            };
            Ok(chosen.into_iter().filter_map(component).collect())
        }
        Err(PubGrubError::NoSolution(proof)) => Err(used(problem, rules, &proof)),
        // The provider cannot fail; should the solver find another way to, every rule is under suspicion.
        Err(_) => Err(rules.clone()),
    }
}

/// Returns every rule of the problem.
pub(super) fn all(problem: &Problem) -> Rules {
    (0..problem.rules.len()).collect()
}

type Proof = DerivationTree<Package, Set, &'static str>;

/// Returns the rules that `proof` used: those between the components whose dependencies it names.
fn used(problem: &Problem, rules: &Rules, proof: &Proof) -> Rules {
    let (mut pairs, mut contradiction) = (BTreeSet::new(), false);
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Proof> = vec![proof];
    while let Some(tree) = open.pop() {
        match tree {
            DerivationTree::External(External::FromDependencyOf(when, _, Package::Of(then), _)) => {
                let when = match when {
                    Package::Of(component) => Some(*component),
                    Package::Image => None,
                };
                pairs.insert((when, *then));
            }
            DerivationTree::External(External::Custom(..)) => contradiction = true,
            DerivationTree::External(_) => {}
            DerivationTree::Derived(derived) => {
                for cause in [&derived.cause1, &derived.cause2] {
                    if seen.insert(Arc::as_ptr(cause)) {
                        open.push(cause);
                    }
                }
            }
        }
    }
    let is_used = |at: &&usize| {
        problem.rules.get(**at).is_some_and(|rule| match rule.then {
            Some(then) => pairs.contains(&(rule.when, then)),
            None => contradiction,
        })
    };
    rules.iter().filter(is_used).copied().collect()
}
