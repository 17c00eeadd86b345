//! Facts of the catalogue as text and JSON: tables with columns where values are short, paragraphs where they are sentences.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::ReportError;
use super::plain::line;
use crate::catalog::{Catalog, FactRef, Override, TABLES, shown};

/// A value longer than this stands on a line of its own.
const CELL: usize = 20;
/// A subject longer than this stands above its values.
const SUBJECT: usize = 40;

/// What facts are listed from, and how.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The catalogue.
    pub catalog: &'a Catalog,
    /// The day that it is.
    pub today: Date,
    /// Whether sources are shown.
    pub sources: bool,
}

/// Returns `facts` as one JSON document that ends with a line end.
pub fn json(listing: &Listing<'_>, facts: &[FactRef<'_>]) -> Result<String, ReportError> {
    let row = |fact: &FactRef<'_>| {
        json!({
            "table": fact.table,
            "subject": fact.subject,
            "says": fact.fields,
            "source": fact.fact.source,
            "date": fact.fact.date,
            "age_days": fact.age(listing.today),
            "confidence": fact.fact.confidence,
            "may_fail": fact.fact.confidence.may_fail(),
            "place": fact.fact.place,
            "overrides": fact.overrides.map(|own| &own.changes),
        })
    };
    let document = json!({
        "revision": listing.catalog.revision,
        "own": (!listing.catalog.own().is_empty()).then(|| listing.catalog.own()),
        "facts": facts.iter().map(row).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Returns the names of the tables with how many facts each has and how old the oldest is.
pub fn overview(listing: &Listing<'_>, facts: &[FactRef<'_>]) -> String {
    let name_width = TABLES.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines = vec![
        format!("catalogue {}: {} facts", listing.catalog.revision, facts.len()),
        String::new(),
        format!("{:<name_width$}  facts  oldest      what", "table"),
    ];
    for (name, about) in TABLES {
        let of_table = || facts.iter().filter(|fact| fact.table == *name);
        let oldest = of_table().map(|fact| fact.fact.date.as_str()).min().unwrap_or("-");
        lines.push(format!("{name:<name_width$}  {:>5}  {oldest:<10}  {about}", of_table().count()));
    }
    lines.push(String::new());
    lines.push(
        "`smp-image catalog TABLE` lists one, `smp-image catalog COMPONENT` what is known of a component; --sources says where from"
            .to_owned(),
    );
    text(&lines)
}

/// Returns `facts` table by table.
pub fn list(listing: &Listing<'_>, facts: &[FactRef<'_>], width: usize) -> String {
    let mut parts = Vec::new();
    for (name, about) in TABLES {
        let rows: Vec<&FactRef<'_>> = facts.iter().filter(|fact| fact.table == *name).collect();
        if !rows.is_empty() {
            let heading = format!("{name}: {about} ({})", rows.len());
            let lines: Vec<String> = std::iter::once(heading).chain(table(listing, &rows, width)).collect();
            parts.push(text(&lines));
        }
    }
    parts.extend(legend(facts));
    parts.join("\n")
}

/// Returns the lines as text, each with its end.
fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Returns what the marks before the subjects mean, where there are any.
fn legend(facts: &[FactRef<'_>]) -> Option<String> {
    let marks = [
        ("~", "may only warn: from a community file, or our own conclusion"),
        ("+", "from a file of yours, and new"),
        ("*", "from a file of yours, in place of the built-in fact"),
    ];
    let used = |mark: &&(&str, &str)| facts.iter().any(|fact| self::mark(fact) == mark.0);
    let lines: Vec<String> =
        marks.iter().filter(used).map(|(mark, means)| format!("{mark} {means}\n")).collect();
    (!lines.is_empty()).then(|| lines.concat())
}

fn mark(fact: &FactRef<'_>) -> &'static str {
    match (&fact.fact.place, fact.overrides) {
        (Some(_), Some(_)) => "*",
        (Some(_), None) => "+",
        (None, _) if fact.fact.confidence.may_fail() => " ",
        (None, _) => "~",
    }
}

fn table(listing: &Listing<'_>, rows: &[&FactRef<'_>], width: usize) -> Vec<String> {
    let subjects = rows.iter().map(|row| row.subject.chars().count()).max().unwrap_or_default();
    if subjects > SUBJECT {
        return rows.iter().flat_map(|row| paragraph(listing, row, width)).collect();
    }
    let columns = columns(rows, width.saturating_sub(subjects + 2));
    let beside = |cells: Vec<String>| cells.join("  ").trim_end().to_owned();
    let names = columns.iter().map(|(name, width)| format!("{name:<width$}"));
    let heading = beside(std::iter::once(format!("  {:<subjects$}", "")).chain(names).collect());
    let mut lines = if columns.is_empty() { Vec::new() } else { vec![heading] };
    for row in rows {
        let subject = format!("{} {:<subjects$}", mark(row), line(&row.subject));
        let said = |name: &str| row.fields.get(name).map(cell).unwrap_or_default();
        let cells = columns.iter().map(|(name, width)| format!("{:<width$}", said(name)));
        lines.push(beside(std::iter::once(subject).chain(cells).collect()));
        let rest = row
            .fields
            .iter()
            .filter(|(name, value)| !columns.contains_key(name.as_str()) && !said_by_subject(row, value));
        lines.extend(details(listing, row, rest, width));
    }
    lines
}

/// Returns which fields become columns, with their widths: those whose values are all short, as many as fit.
fn columns<'a>(rows: &[&'a FactRef<'_>], room: usize) -> BTreeMap<&'a str, usize> {
    let mut widths: BTreeMap<&str, usize> = BTreeMap::new();
    let mut long: Vec<&str> = Vec::new();
    let mut redundant: BTreeMap<&str, bool> = BTreeMap::new();
    for row in rows {
        for (name, value) in &row.fields {
            let shown = cell(value).chars().count();
            let widest = widths.entry(name).or_insert(name.chars().count());
            *widest = (*widest).max(shown);
            if shown > CELL || value.is_object() {
                long.push(name);
            }
            *redundant.entry(name).or_insert(true) &= said_by_subject(row, value);
        }
    }
    widths.retain(|name, _| !long.contains(name) && !redundant.get(name).copied().unwrap_or_default());
    while widths.values().map(|width| width + 2).sum::<usize>() > room {
        let widest = widths.iter().max_by_key(|(_, width)| **width).map(|(name, _)| *name);
        match widest {
            Some(name) => widths.remove(name),
            None => break,
        };
    }
    widths
}

/// Returns whether the subject of `row` says `value` already.
fn said_by_subject(row: &FactRef<'_>, value: &Value) -> bool {
    !value.is_boolean() && !value.is_number() && row.subject.contains(&shown(value))
}

/// Returns a value as it stands in a column: digests by their beginning.
fn cell(value: &Value) -> String {
    let text = line(&shown(value));
    match text.strip_prefix("sha256:") {
        Some(hex) => format!("{}…", hex.chars().take(12).collect::<String>()),
        None => text,
    }
}

/// Returns the lines of a fact whose subject is a sentence.
fn paragraph(listing: &Listing<'_>, row: &FactRef<'_>, width: usize) -> Vec<String> {
    let subject = wrapped(&line(&row.subject), width.saturating_sub(2));
    let mut lines: Vec<String> = std::iter::once(mark(row))
        .chain(std::iter::repeat(" "))
        .zip(subject)
        .map(|(mark, part)| format!("{mark} {part}"))
        .collect();
    let rest = row.fields.iter().filter(|(_, value)| !said_by_subject(row, value));
    lines.extend(details(listing, row, rest, width));
    lines
}

/// Returns the lines below a fact: its long values, and where it comes from if that is asked.
fn details<'a>(
    listing: &Listing<'_>,
    row: &FactRef<'_>,
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    width: usize,
) -> Vec<String> {
    let mut said: Vec<(String, String)> =
        fields.map(|(name, value)| (name.clone(), line(&shown(value)))).collect();
    if let Some(place) = &row.fact.place {
        said.push((
            "from".to_owned(),
            line(&row.overrides.map_or_else(|| place.clone(), Override::sentence)),
        ));
    }
    if listing.sources {
        let age = row.age(listing.today).map_or_else(String::new, |days| format!(", {days} days ago"));
        let fact = row.fact;
        said.push((
            "source".to_owned(),
            line(&format!("{} ({}, read {}{age})", fact.source, fact.confidence.name(), fact.date)),
        ));
    }
    let mut lines = Vec::new();
    for (name, value) in joined(said, width) {
        let indent = name.chars().count() + 8;
        let before = std::iter::once(format!("      {name}: ")).chain(std::iter::repeat(" ".repeat(indent)));
        let parts = wrapped(&value, width.saturating_sub(indent).max(40));
        lines.extend(before.zip(parts).map(|(before, part)| before + &part));
    }
    lines
}

/// Joins values that fit beside each other on one line.
fn joined(said: Vec<(String, String)>, width: usize) -> Vec<(String, String)> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (name, value) in said {
        let room = width.saturating_sub(name.chars().count() + value.chars().count() + 16);
        match lines.last_mut() {
            Some((first, before))
                if first.chars().count() + before.chars().count() < room && name != "source" =>
            {
                *before = format!("{before} · {name}: {value}");
            }
            _ => lines.push((name, value)),
        }
    }
    lines
}

/// Returns `text` in lines of at most `width` characters, broken between words; a word that is longer stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
