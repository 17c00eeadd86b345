//! Why nothing fits, as a person reads it: the lines of the recipe, the facts with their sources, what helps.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::conflict::{Conflict, conflicts};
use super::problem::{Line, Problem, Row, Rule, Set};
use super::question::{Edit, Question, place};
use super::repair::{repairs, together};
use super::rules::Posed;
use crate::catalog::{Catalog, Confidence, Fact};
use crate::recipe::{Component, Recipe, Source};

/// How many rows of one table are told.
const ROWS: usize = 3;

/// No versions fit: every independent conflict, each with its reasons and what helps.
#[derive(Debug)]
pub struct NoFit {
    told: Vec<Told>,
    together: Option<Vec<Edit>>,
}

impl NoFit {
    /// Returns the conflicts in the order in which they are told.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// Returns the changes of one line that are offered, for each conflict, as they are printed.
    pub fn repairs(&self) -> Vec<Vec<String>> {
        self.told.iter().map(Told::repairs).collect()
    }

    /// Returns the changes that settle every conflict together, where they were found, as they are printed.
    pub fn together(&self) -> Option<Vec<String>> {
        self.together.as_ref().map(|edits| edits.iter().map(ToString::to_string).collect())
    }
}

/// One conflict, told.
#[derive(Debug)]
pub struct Told {
    message: String,
    help: String,
    labels: Vec<LabeledSpan>,
    source: NamedSource<Arc<str>>,
    facts: Vec<Reason>,
    repairs: Vec<Edit>,
}

impl Told {
    /// Returns the facts that exclude each other.
    pub fn facts(&self) -> &[Reason] {
        &self.facts
    }

    /// Returns the changes of one line that are offered, as they are printed.
    pub fn repairs(&self) -> Vec<String> {
        self.repairs.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Told {}

impl Diagnostic for Told {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.labels.is_empty()).then_some(&self.source)
    }
}

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told.as_slice() {
            [one] => one.fmt(f),
            many => write!(
                f,
                "no versions fit, for {} reasons that have nothing to do with each other",
                many.len()
            ),
        }
    }
}

impl std::error::Error for NoFit {}

impl Diagnostic for NoFit {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        if let [one] = self.told.as_slice() { one.help() } else { None }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if let [one] = self.told.as_slice() { one.labels() } else { None }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        if let [one] = self.told.as_slice() { one.source_code() } else { None }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        (self.told.len() > 1)
            .then(|| Box::new(self.told.iter().map(|told| told as &dyn Diagnostic)) as Box<_>)
    }
}

/// Explains why `posed`, which `question` of `recipe` poses, has no solution.
pub(super) fn explain(
    source: &Source,
    recipe: &Recipe,
    question: &Question,
    posed: &Posed,
    catalog: &Catalog,
) -> NoFit {
    let mut found = conflicts(&posed.problem);
    let first = |conflict: &Conflict| {
        conflict.lines.iter().filter_map(|line| place(recipe, line).0).map(|span| span.start).min()
    };
    found.sort_by_key(|conflict| first(conflict));
    let helps: Vec<Vec<Edit>> = found
        .iter()
        .map(|conflict| {
            let others = found.iter().filter(|other| *other != conflict);
            let others: Vec<Line> = others
                .flat_map(|other| other.lines.iter().cloned())
                .filter(|line| !conflict.lines.contains(line))
                .collect();
            repairs(question, posed, conflict, &others, catalog)
        })
        .collect();
    let mut told: Vec<Told> = found
        .iter()
        .zip(&helps)
        .map(|(conflict, helps)| tell(source, recipe, &posed.problem, conflict, helps))
        .collect();
    let together = if found.len() > 1 { together(question, &helps, catalog) } else { None };
    if let (Some(last), Some(edits)) = (told.last_mut(), &together) {
        let all: Vec<String> = edits.iter().map(ToString::to_string).collect();
        last.help = format!("{}\nall of it together: {}", last.help, all.join("; "));
    }
    NoFit { told, together }
}

fn tell(source: &Source, recipe: &Recipe, problem: &Problem, conflict: &Conflict, helps: &[Edit]) -> Told {
    let facts = facts(problem, conflict);
    let mut labels = Vec::new();
    for line in &conflict.lines {
        if let (Some(span), words) = place(recipe, line) {
            labels.push(LabeledSpan::new_with_span(Some(words), span));
        }
    }
    labels.sort_by_key(LabeledSpan::offset);
    let message = match (facts.as_slice(), unknown(problem, conflict)) {
        (_, Some(sentence)) => sentence,
        ([one], None) => format!("no versions fit: {}", one.sentence),
        _ => format!("no versions fit: {} cannot all be had", subjects(problem, conflict)),
    };
    let mut help = Vec::new();
    match facts.as_slice() {
        [] => {}
        [one] => help.push(format!("that is known from {}", one.origin)),
        many => {
            help.push("because".to_owned());
            help.extend(many.iter().map(|fact| format!("  - {} [{}]", fact.sentence, fact.origin)));
        }
    }
    if unknown(problem, conflict).is_some() {
        help.push("a version that is newer than the catalogue: --catalog FILE adds what you know of it, --allow-unknown takes it unjudged".to_owned());
    }
    if helps.is_empty() {
        help.push("no change of one line was found that helps".to_owned());
    } else {
        help.push("what helps, each one tried:".to_owned());
        help.extend(helps.iter().map(|edit| format!("  - {edit}")));
    }
    Told {
        message,
        help: help.join("\n"),
        labels,
        facts,
        repairs: helps.to_vec(),
        source: NamedSource::new(&source.origin, Arc::clone(&source.text)),
    }
}

/// A fact in a conflict.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Reason {
    /// What it says, in one plain sentence.
    pub sentence: String,
    /// Where it is from, how sure that is, and when it was read.
    pub origin: String,
}

/// Returns the facts of `conflict`, those of one table shortened to the rows that matter.
fn facts(problem: &Problem, conflict: &Conflict) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for rule in conflict.rules.iter().filter_map(|at| problem.rules.get(*at)).filter(|rule| !rule.is_line()) {
        let left = rule.when.map_or(Set::ALL, |when| left_over(problem, conflict, when));
        let rows: Vec<&Row> = rule.rows.iter().filter(|row| !row.given.and(left).is_none()).collect();
        reasons.extend(rows.iter().take(ROWS).map(|row| reason(row)));
        if rows.len() > ROWS
            && let Some(last) = reasons.last_mut()
        {
            last.sentence = format!("{}, and so on for {} more", last.sentence, rows.len() - ROWS);
        }
    }
    reasons.dedup();
    reasons
}

pub(super) fn reason(row: &Row) -> Reason {
    let origin = row.fact.as_ref().map_or_else(|| "smp-image's own rule".to_owned(), origin);
    Reason { sentence: row.sentence.clone(), origin }
}

/// Returns source, date and confidence of `fact`.
pub(super) fn origin(fact: &Fact) -> String {
    let confidence = match fact.confidence {
        Confidence::Documented => "documented",
        Confidence::Computed => "computed",
        Confidence::SecondHand => "second-hand",
        Confidence::Community => "community",
        Confidence::Inferred => "inferred",
    };
    format!("{}; {confidence}, {}", fact.source, fact.date)
}

/// Returns the values of `component` that the other rules of `conflict` leave, whatever is chosen.
fn left_over(problem: &Problem, conflict: &Conflict, component: Component) -> Set {
    let known = problem.domains.get(&component).map_or(Set::NONE, |domain| domain.set(|_| true));
    let rules = conflict.rules.iter().filter_map(|at| problem.rules.get(*at));
    let always = rules.filter(|rule| rule.when.is_none() && rule.then == Some(component));
    always.fold(known, |left, rule| left.and(rule.allows(0)))
}

/// Returns what to say where the recipe names what nobody knows.
fn unknown(problem: &Problem, conflict: &Conflict) -> Option<String> {
    let rules: Vec<&Rule> = conflict.rules.iter().filter_map(|at| problem.rules.get(*at)).collect();
    let [rule] = rules.as_slice() else { return None };
    let (component, row) = (rule.then?, rule.rows.first()?);
    let domain = problem.domains.get(&component)?;
    if !rule.is_line() || !domain.set(|_| true).and(row.allows).is_none() {
        return None;
    }
    let newest: Vec<String> = domain.versions().take(6).map(ToString::to_string).collect();
    Some(format!(
        "{}, and the catalogue knows no such version; the newest that it knows: {}",
        row.sentence,
        newest.join(", ")
    ))
}

fn subjects(problem: &Problem, conflict: &Conflict) -> String {
    let rules = conflict.rules.iter().filter_map(|at| problem.rules.get(*at));
    let mut names: Vec<String> = Vec::new();
    for component in rules.flat_map(|rule| [rule.when, rule.then]).flatten() {
        let name = component.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.split_last() {
        Some((last, [])) => format!("what is asked of {last}"),
        Some((last, rest)) => format!("what is asked of {} and {last}", rest.join(", ")),
        None => "what is asked".to_owned(),
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(component, version) => write!(f, "{component} = \"{version}\""),
            Self::Drop(component) => write!(f, "take {component} out of [components]"),
            Self::DropInstance(name) => write!(f, "take {name} out of `instances`"),
            Self::TakeBase(image) => write!(f, "base.image = \"{image}\""),
            Self::TakeDriver(version) => {
                write!(f, "nodes with driver {version} (nodes.driver = \"{version}\")")
            }
            Self::Leave(Line::Precision(name)) => write!(f, "take {name} out of `precision`"),
            Self::Leave(Line::Variable(name)) => write!(f, "take {name} out of [image.env]"),
            Self::Leave(Line::Package(text)) => write!(f, "take {text} out of python.packages"),
            Self::Leave(_) => f.write_str("take the line out"),
        }
    }
}
