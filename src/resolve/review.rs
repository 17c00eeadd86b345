//! What is known today of a lock that may be older than the catalogue.

use super::problem::{Assignment, Value};
use super::question::{Question, Wishes};
use super::rules::{pose, whole};
use super::solved::Solved;
use crate::catalog::Catalog;
use crate::lock::Lock;
use crate::recipe::{Component, Recipe};

/// Returns what a person should know of the versions in `lock`: facts that may only warn, facts that were learnt since it was written,
/// versions of which nothing is known. Each a sentence.
pub fn review(recipe: &Recipe, lock: &Lock, catalog: &Catalog) -> Vec<String> {
    let Some(base) = catalog.image(recipe.base.image.get_ref()) else { return Vec::new() };
    let base = whole(catalog, base);
    // Whatever the lock holds is a value, known or not.
    let wishes = Wishes { keep: lock.versions(), allow_unknown: true };
    let question = Question::of(recipe, &wishes);
    let posed = pose(&question, catalog, &base);
    let mut locked = Assignment::new();
    for (component, domain) in &posed.problem.domains {
        let version = wishes.keep.get(component);
        let place = match version {
            Some(version) => domain.values().iter().position(|value| value.version() == Some(version)),
            None if *component == Component::AwsOfiNccl => {
                let there = lock.component(*component).is_some();
                let wanted = if there { Value::Unstated } else { Value::Absent };
                domain.values().iter().position(|value| *value == wanted)
            }
            None => None,
        };
        locked.extend(place.map(|place| (*component, place)));
    }
    let solved = Solved::given(posed, locked, wishes);
    let mut warnings = solved.warnings(catalog);
    warnings.extend(
        solved
            .broken()
            .into_iter()
            .map(|sentence| format!("the lock does not keep this: {sentence}; lock again")),
    );
    warnings
}
