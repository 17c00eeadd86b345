//! The solver against brute force, on problems made at random.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::conflict::{conflicts, minimal};
use super::problem::{Assignment, Binds, Domain, Line, Problem, Row, Rule, Set, Value};
use super::solve::{Rules, all, solve};
use crate::recipe::Component;

const COMPONENTS: [Component; 4] =
    [Component::Smp, Component::Pytorch, Component::Nccl, Component::TransformerEngine];

fn row() -> impl Strategy<Value = Row> {
    (0_u64..16, 0_u64..16).prop_map(|(given, allows)| {
        let set = |bits: u64| Set::of((0..4).filter(move |at| bits >> at & 1 == 1));
        Row { given: set(given), allows: set(allows), sentence: String::new(), fact: None }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let component = || prop::sample::select(COMPONENTS.to_vec());
    let when = prop::option::weighted(0.7, component());
    let then = prop::option::weighted(0.97, component());
    (when, then, prop::collection::vec(row(), 1..3), prop::option::of(component())).prop_map(
        |(when, then, mut rows, line)| {
            // A component that narrows itself is no rule between two: the catalogue's check refuses it.
            let when = then.and(when).filter(|when| Some(*when) != then);
            if when.is_none() {
                for row in &mut rows {
                    row.given = Set::ALL;
                }
            }
            Rule {
                when,
                then,
                rows,
                lines: line.map(Line::Component).into_iter().collect(),
                binds: Binds::Always,
            }
        },
    )
}

fn problem() -> impl Strategy<Value = Problem> {
    let sizes = prop::collection::vec(1_usize..5, COMPONENTS.len());
    let preferred = prop::collection::vec(0_usize..5, COMPONENTS.len());
    (sizes, preferred, prop::collection::vec(rule(), 0..10)).prop_map(|(sizes, preferred, rules)| {
        let domain = |size: usize| {
            Domain::new((0..size).rev().map(|minor| Value::Version(format!("1.{minor}").parse().unwrap())))
        };
        Problem {
            domains: COMPONENTS
                .into_iter()
                .zip(sizes)
                .map(|(name, size)| (name, Arc::new(domain(size))))
                .collect(),
            rules,
            preferred: COMPONENTS.into_iter().zip(preferred).map(|(name, at)| (name, vec![at])).collect(),
        }
    })
}

/// Returns every assignment that keeps the rules of `held`, by trying all.
fn by_force(problem: &Problem, held: &Rules) -> Vec<Assignment> {
    let mut every: Vec<Assignment> = vec![BTreeMap::new()];
    for (component, domain) in &problem.domains {
        every = every
            .into_iter()
            .flat_map(|left| {
                (0..domain.values().len()).map(move |place| {
                    let mut more = left.clone();
                    more.insert(*component, place);
                    more
                })
            })
            .collect();
    }
    every.retain(|assignment| problem.broken(assignment).iter().all(|at| !held.contains(at)));
    every
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_solver_agrees_with_brute_force(problem in problem()) {
        let every = by_force(&problem, &all(&problem));
        match solve(&problem, &all(&problem)) {
            Ok(found) => prop_assert!(every.contains(&found), "{found:?} keeps not every rule"),
            Err(used) => {
                prop_assert!(every.is_empty(), "{:?} would do", every[0]);
                prop_assert!(by_force(&problem, &used).is_empty(), "the named rules are no reason");
            }
        }
    }

    #[test]
    fn a_core_is_a_reason_and_none_of_it_can_be_left_out(problem in problem()) {
        if let Err(used) = solve(&problem, &all(&problem)) {
            let core = minimal(&problem, used);
            prop_assert!(by_force(&problem, &core).is_empty());
            for at in &core {
                let mut fewer = core.clone();
                fewer.remove(at);
                prop_assert!(!by_force(&problem, &fewer).is_empty(), "rule {at} is not needed");
            }
        }
    }

    #[test]
    fn conflicts_end_and_each_has_no_solution(problem in problem()) {
        let found = conflicts(&problem);
        prop_assert_eq!(found.is_empty(), solve(&problem, &all(&problem)).is_ok());
        for conflict in &found {
            prop_assert!(by_force(&problem, &conflict.rules).is_empty());
        }
    }

    #[test]
    fn the_first_component_takes_the_most_wanted_value_that_any_solution_has(problem in problem()) {
        if let Ok(found) = solve(&problem, &all(&problem)) {
            let first = COMPONENTS[0];
            let wanted = |place: &usize| {
                (!problem.preferred[&first].contains(place), *place)
            };
            let best = by_force(&problem, &all(&problem)).iter().map(|one| one[&first]).min_by_key(wanted);
            prop_assert_eq!(Some(found[&first]), best);
        }
    }
}
