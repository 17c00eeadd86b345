//! What helps against a conflict: changes of one line, each proven by solving the changed question.

use std::sync::Arc;

use super::conflict::Conflict;
use super::problem::{Line, Problem, Rule, Set, Value};
use super::question::{Edit, Question};
use super::rules::{Posed, pose, whole};
use super::select::possible;
use super::solve::{all, solve};
use crate::catalog::{BaseImage, Catalog};
use crate::oci::Reference;
use crate::recipe::Component;

/// How many repairs a person is shown.
const SHOWN: usize = 5;
/// How many other base images are offered.
const BASES: usize = 2;

/// Returns changes of `question` that each settle `conflict`, the smallest first; every one was solved.
///
/// `others` are lines of other conflicts: they are given up while a repair is tried, so that each conflict has its own repairs.
pub(super) fn repairs(
    question: &Question,
    posed: &Posed,
    conflict: &Conflict,
    others: &[Line],
    catalog: &Catalog,
) -> Vec<Edit> {
    let mut alone = question.clone();
    for line in others {
        alone.give_up(line);
    }
    let mut found: Vec<Edit> = Vec::new();
    for line in &conflict.lines {
        found.extend(of_line(&alone, line, catalog));
    }
    if conflict.lines.contains(&Line::Base) {
        let mut bases: Vec<Edit> =
            other_bases(&alone, catalog).filter(|edit| solves(&alone, edit, catalog)).collect();
        bases.truncate(BASES);
        found.extend(bases);
    }
    if found.is_empty() {
        let dropped = components(&posed.problem, conflict).into_iter().map(Edit::Drop);
        found.extend(dropped.filter(|edit| solves(&alone, edit, catalog)));
    }
    found.truncate(SHOWN);
    found
}

/// Returns one change for each conflict so that all of them together settle everything, if the first repairs do.
pub(super) fn together(question: &Question, choices: &[Vec<Edit>], catalog: &Catalog) -> Option<Vec<Edit>> {
    let first: Vec<Edit> = choices.iter().map(|edits| edits.first().cloned()).collect::<Option<_>>()?;
    let mut changed = question.clone();
    for edit in &first {
        changed = changed.edited(edit).unwrap_or(changed);
    }
    solved(&changed, catalog).then_some(first)
}

fn of_line(question: &Question, line: &Line, catalog: &Catalog) -> Option<Edit> {
    let edit = match line {
        Line::Component(component) => return another_version(question, *component, catalog),
        Line::Instance(name) => Edit::DropInstance(name.clone()),
        Line::Base => return None,
        Line::Driver => Edit::TakeDriver(catalog.node_images.iter().map(|image| image.driver.clone()).max()?),
        Line::Precision(_) | Line::Variable(_) | Line::Package(_) => Edit::Leave(line.clone()),
    };
    solves(question, &edit, catalog).then_some(edit)
}

/// Returns the version nearest to what is asked of `component` with which everything else can stay.
fn another_version(question: &Question, component: Component, catalog: &Catalog) -> Option<Edit> {
    let mut freed = question.clone();
    freed.give_up(&Line::Component(component));
    let base = catalog.image(&freed.base)?;
    let mut posed = pose(&freed, catalog, base);
    solve(&posed.problem, &all(&posed.problem)).ok()?;
    let domain = Arc::clone(posed.problem.domains.get(&component)?);
    let asked = question.asked.get(&component)?;
    let place = |value: &Value| value.version().is_some_and(|version| asked.admits(version));
    let asked = domain.values().iter().position(place).unwrap_or_default();
    let mut places: Vec<usize> = (0..domain.values().len()).collect();
    let doubtful = |place: &usize| {
        let of_it = posed.doubts.iter().filter(|rule| rule.then == Some(component) && rule.when.is_none());
        of_it.fold(Set::ALL, |left, rule| left.and(rule.allows(0))).not().holds(*place)
    };
    places.sort_by_key(|place| (doubtful(place), place.abs_diff(asked)));
    for place in places {
        let Some(version) = domain.values().get(place).and_then(Value::version) else { continue };
        posed.problem.rules.push(Rule::always(component, Set::of([place]), "", None));
        let fits = solve(&posed.problem, &all(&posed.problem)).is_ok();
        posed.problem.rules.pop();
        let edit = Edit::Take(component, version.clone());
        if fits && solves(question, &edit, catalog) {
            return Some(edit);
        }
    }
    None
}

fn solves(question: &Question, edit: &Edit, catalog: &Catalog) -> bool {
    question.edited(edit).is_some_and(|edited| solved(&edited, catalog))
}

fn solved(question: &Question, catalog: &Catalog) -> bool {
    let Some(base) = catalog.image(&question.base).map(|base| whole(catalog, base)) else { return false };
    if !question.asked.keys().all(|component| possible(question, catalog, &base, *component).is_ok()) {
        return false;
    }
    let posed = pose(question, catalog, &base);
    solve(&posed.problem, &all(&posed.problem)).is_ok()
}

/// Returns the components of the recipe that the rules of `conflict` are about.
fn components(problem: &Problem, conflict: &Conflict) -> Vec<Component> {
    let rules = conflict.rules.iter().filter_map(|at| problem.rules.get(*at));
    let mut components: Vec<Component> =
        rules.flat_map(|rule: &Rule| [rule.when, rule.then]).flatten().collect();
    components.sort_unstable();
    components.dedup();
    components
}

/// Returns the other base images of the catalogue, those of the same repository first, the newest tags first.
fn other_bases<'a>(question: &'a Question, catalog: &'a Catalog) -> impl Iterator<Item = Edit> + 'a {
    let here = question.base.repository();
    let mut images: Vec<(bool, &BaseImage)> = catalog
        .images
        .iter()
        .filter(|image| !image.devel && image.tag.contains(|c: char| c.is_ascii_digit()))
        .map(|image| (image.repository.ends_with(&format!("/{here}")), image))
        .collect();
    images.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| other.tag.cmp(&one.tag)));
    images.into_iter().filter_map(|(_, image)| named(question, image)).map(Edit::TakeBase)
}

/// Returns the name of `image`, in the region of the question's base where the catalogue knows it in every region.
fn named(question: &Question, image: &BaseImage) -> Option<Reference> {
    let (pattern, path) = image.repository.split_once('/')?;
    let here = question.base.registry();
    let fits = pattern.split('.').count() == here.split('.').count()
        && pattern.split('.').zip(here.split('.')).all(|(pattern, part)| pattern == "*" || pattern == part);
    let host = if !pattern.contains('*') {
        pattern
    } else if fits {
        here
    } else {
        return None;
    };
    let name = format!("{host}/{path}:{}", image.tag);
    let reference: Reference = name.parse().ok()?;
    (reference != question.base).then_some(reference)
}
