//! The final report as text: what was built, what is in it, what is wrong with it, where it went.

use std::time::Duration;

mod checked;

pub use checked::explained;

use super::plain::{bytes, count, line, middle, short, took, wrapped};
use super::{Building, Judgement, Report};
use crate::catalog::Own;
use crate::check::{ComponentSeen, Inspection, Severity};
use crate::engine::Built;
use crate::oci::Profile;
use crate::registry::{self, Checked, Identity, Receipt};
use crate::smoke::{Answer, Outcome};

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether words carry colour too; everything is said without.
    pub colour: bool,
    /// The width of the terminal in characters.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 120 }
    }
}

/// The colours that words may carry, as ANSI numbers.
#[derive(Clone, Copy)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
}

impl Style {
    pub(super) fn paint(self, text: &str, colour: Colour) -> String {
        if self.colour { format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8) } else { text.to_owned() }
    }
}

/// Returns `report` as text that ends with a line end.
pub fn render(report: &Report, style: Style) -> String {
    let mut parts = vec![heading(report)];
    if let Some(inspection) = &report.inspection {
        parts.extend(checked::instances(inspection, style));
        parts.extend(components(inspection, style));
        parts.extend(layers(inspection, style));
        parts.push(findings(inspection, style));
        parts.extend(checked::silenced(inspection));
    }
    if let Some(outcomes) = &report.probes {
        parts.push(probes(outcomes, style));
    }
    if let Some(grade) = &report.grade {
        parts.push(super::grade::section(grade, style, "Log says"));
    }
    if let Some(judgement) = &report.verdict {
        parts.push(verdict(judgement, style));
    }
    if let Some(push) = &report.push {
        parts.push(pushed(push));
    }
    parts.join("\n")
}

fn heading(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(image) = &report.image {
        lines.push(format!("Image      {}", line(&image.reference)));
        lines.push(format!("           {}, {}", image.platform, image.id));
    }
    if let Some(machine) = &report.machine {
        lines.push(format!("Machine    {}", line(&machine.host)));
        lines.push(format!("           {}", line(&machine.python)));
    }
    lines.extend(report.recipe.iter().map(|recipe| format!("Recipe     {}", line(recipe))));
    let own = report.catalog.iter().flat_map(Own::sentences);
    lines.extend(own.map(|said| format!("Facts      {}", line(&said))));
    lines.extend(report.build.iter().map(built));
    lines.extend(report.inspection.iter().map(looked_at));
    paragraph(&lines)
}

fn built(build: &Building) -> String {
    let Building::Built(build) = build else {
        return "Unchanged  nothing to build: it was made from the same recipe, lock and files".to_owned();
    };
    let Built { took: duration, steps, context_bytes, .. } = build;
    let context = bytes(*context_bytes);
    let (run, cached) = (steps.run, steps.cached);
    format!(
        "Built      in {}: {run} steps run, {cached} from the cache, {context} of context sent",
        took(*duration)
    )
}

fn looked_at(inspection: &Inspection) -> String {
    let read = &inspection.read;
    let duration = took(Duration::try_from_secs_f64(read.took).unwrap_or_default());
    let (size, files, elf_files) = (bytes(read.bytes), read.files, read.elf_files);
    let files = count(usize::try_from(files).unwrap_or(usize::MAX), "file");
    format!("Looked at  {size} in {duration}: {files}, {elf_files} of them ELF")
}

/// Returns the lines as text, each with its end.
pub(super) fn paragraph(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn components(inspection: &Inspection, style: Style) -> Option<String> {
    if inspection.components.is_empty() {
        return None;
    }
    let mut rows = vec![["Component", "Locked", "Found", "Where"].map(str::to_owned)];
    rows.extend(inspection.components.iter().map(|seen| component(seen, inspection, style)));
    if inspection.components.iter().any(|seen| seen.declared.is_some()) {
        return Some(table(&rows, style.width));
    }
    // Without a lock a column of `as it comes` tells nothing.
    let rows: Vec<[String; 3]> =
        rows.into_iter().map(|[name, _, found, place]| [name, found, place]).collect();
    Some(table(&rows, style.width))
}

fn component(seen: &ComponentSeen, inspection: &Inspection, style: Style) -> [String; 4] {
    let name = seen.component.name();
    let about = |severity| inspection.of_severity(severity).any(|finding| finding.subject == name);
    let found = match (&seen.found, seen.seen.is_empty()) {
        (Some(version), _) => line(version),
        (None, true) => "nothing".to_owned(),
        (None, false) => "version unknown".to_owned(),
    };
    let found = if about(Severity::Error) {
        style.paint(&found, Colour::Red)
    } else if about(Severity::Unknown) {
        style.paint(&found, Colour::Yellow)
    } else {
        found
    };
    let leading = seen.seen.iter().find(|sighting| sighting.version == seen.found);
    [
        name.to_owned(),
        seen.declared.as_ref().map_or_else(|| "as it comes".to_owned(), ToString::to_string),
        found,
        leading.map_or_else(String::new, |sighting| line(&sighting.path)),
    ]
}

fn layers(inspection: &Inspection, style: Style) -> Option<String> {
    if inspection.layers.is_empty() {
        return None;
    }
    let sum = |size: fn(&crate::check::LayerSummary) -> u64| bytes(inspection.layers.iter().map(size).sum());
    let mut rows = vec![["Layer", "Size", "Unpacked", "Files", "Made by"].map(str::to_owned)];
    let mut sorted: Vec<_> = inspection.layers.iter().enumerate().collect();
    sorted.sort_by_key(|(at, layer)| (std::cmp::Reverse(layer.size), *at));
    rows.extend(sorted.iter().map(|(at, layer)| {
        [
            (at + 1).to_string(),
            bytes(layer.size),
            bytes(layer.unpacked),
            layer.files.to_string(),
            line(&layer.created_by),
        ]
    }));
    let wasted = match inspection.read.wasted {
        0 => "nothing".to_owned(),
        wasted => bytes(wasted),
    };
    let total = format!(
        "{}, {}, {} unpacked; {wasted} hidden by later layers\n",
        count(inspection.layers.len(), "layer"),
        sum(|layer| layer.size),
        sum(|layer| layer.unpacked)
    );
    Some(table(&rows, style.width) + &total)
}

fn findings(inspection: &Inspection, style: Style) -> String {
    if inspection.findings.is_empty() {
        return "Findings   none\n".to_owned();
    }
    let mut lines = vec!["Findings".to_owned()];
    for finding in &inspection.findings {
        let colour = match finding.severity {
            Severity::Error => Colour::Red,
            Severity::Unknown | Severity::Warning => Colour::Yellow,
            Severity::Info => Colour::Blue,
        };
        let severity = style.paint(&format!("{:<8}", finding.severity.name()), colour);
        lines.push(format!("  {severity} {}: {}", finding.rule, line(&finding.subject)));
        lines.extend(hanging(&finding.evidence, "", style));
        lines.extend(hanging(&finding.remedy, "hint: ", style));
    }
    paragraph(&lines)
}

/// Returns `text` in lines as wide as the terminal, below the word that begins at column eleven.
fn hanging(text: &str, mark: &str, style: Style) -> Vec<String> {
    let indent = 11 + mark.len();
    let lines = wrapped(&line(text), style.width.saturating_sub(indent).max(40));
    let marked =
        |(at, line)| if at == 0 { format!("{:11}{mark}{line}", "") } else { format!("{:indent$}{line}", "") };
    lines.into_iter().enumerate().map(marked).collect()
}

fn probes(outcomes: &[Outcome], style: Style) -> String {
    if outcomes.is_empty() {
        return "Probes     none\n".to_owned();
    }
    let mut lines = vec!["Probes".to_owned()];
    for outcome in outcomes {
        let (word, colour, said) = match &outcome.answer {
            Answer::Passed { evidence, .. } => ("passed", Colour::Green, line(evidence)),
            Answer::Failed { evidence, .. } => ("failed", Colour::Red, line(evidence)),
            // The words `skipped: no GPU` are a promise: pipelines look for them.
            Answer::Skipped { reason, .. } => {
                ("skipped", Colour::Yellow, format!("skipped: {}", line(reason)))
            }
        };
        let duration = took(Duration::try_from_secs_f64(outcome.took).unwrap_or_default());
        let word = style.paint(&format!("{word:<8}"), colour);
        let mut said =
            wrapped(&format!("{said} ({duration})"), style.width.saturating_sub(34).max(40)).into_iter();
        let first = said.next().unwrap_or_default();
        lines.push(format!("  {word} {:<22} {first}", outcome.probe.name()));
        lines.extend(said.map(|more| format!("{:34}{more}", "")));
        match &outcome.answer {
            Answer::Passed { warnings, .. } => {
                let word = style.paint("warning:", Colour::Yellow);
                lines.extend(warnings.iter().map(|warning| format!("           {word} {}", line(warning))));
            }
            Answer::Failed { cause, tail, .. } => {
                lines.extend(tail.iter().map(|written| format!("           | {}", line(written))));
                lines.extend(hint(cause));
            }
            Answer::Skipped { .. } => {}
        }
    }
    let tiers = tiers(outcomes);
    let whole = tiers.join("; ");
    if whole.chars().count() + 11 <= style.width {
        lines.push(format!("Reached    {whole}"));
    } else {
        let leads = std::iter::once("Reached").chain(std::iter::repeat(""));
        lines.extend(leads.zip(&tiers).map(|(lead, tier)| format!("{lead:<10} {tier}")));
    }
    paragraph(&lines)
}

/// Says how far the probes went: for each tier how many passed, failed and were skipped, and why.
fn tiers(outcomes: &[Outcome]) -> Vec<String> {
    let mut said = Vec::new();
    for tier in 1..=4 {
        let of_tier =
            || outcomes.iter().filter(|outcome| outcome.probe.tier() == tier).map(|outcome| &outcome.answer);
        if of_tier().next().is_none() {
            continue;
        }
        let count = |counts: fn(&Answer) -> bool| of_tier().filter(|answer| counts(answer)).count();
        let mut reasons: Vec<&str> = of_tier()
            .filter_map(|answer| match answer {
                Answer::Skipped { reason, .. } => Some(reason.as_str()),
                _ => None,
            })
            .collect();
        let skipped = reasons.len();
        reasons.sort_unstable();
        reasons.dedup();
        let mut parts = Vec::new();
        for (number, word) in [
            (count(|answer| matches!(answer, Answer::Passed { .. })), "passed"),
            (count(|answer| matches!(answer, Answer::Failed { .. })), "failed"),
            (skipped, "skipped"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {word}"));
            }
        }
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        said.push(format!("tier {tier}: {}{why}", parts.join(", ")));
    }
    said.iter().map(|part| line(part)).collect()
}

fn hint(remedy: &str) -> Option<String> {
    (!remedy.is_empty()).then(|| format!("           hint: {}", line(remedy)))
}

fn verdict(judgement: &Judgement, style: Style) -> String {
    let (word, mut lines): (String, Vec<String>) = match judgement {
        Judgement::Passed { notes, .. } => (
            style.paint("passed", Colour::Green),
            notes.iter().flat_map(|note| hanging(note, "note: ", style)).collect(),
        ),
        Judgement::Refused { reasons } => (
            style.paint("refused", Colour::Red),
            reasons.iter().flat_map(|reason| hanging(&reason.what, "", style)).collect(),
        ),
    };
    lines.insert(0, format!("Verdict    {word}"));
    paragraph(&lines)
}

fn pushed(receipt: &Receipt) -> String {
    let word = match receipt.outcome {
        registry::Outcome::AlreadyThere => "Unchanged",
        registry::Outcome::Pushed => "Pushed",
    };
    let verified = match receipt.verified {
        Identity::ManifestDigest => "verified there by the digest of its manifest",
        Identity::ConfigDigest => "verified there by the digest of its configuration",
    };
    let profile = match receipt.profile {
        Profile::SageMaker => "SageMaker",
        Profile::Oci => "EKS and HyperPod",
    };
    let mut lines = vec![
        format!("{word:<10} {}@{}", line(&receipt.reference), receipt.digest),
        format!(
            "           {}, {}, for {profile}, {verified}",
            count(receipt.layers.len(), "layer"),
            bytes(receipt.size)
        ),
    ];
    if receipt.repository_created {
        lines.push("           note: the repository was created".to_owned());
    }
    if receipt.checked == Checked::Unchecked {
        lines.push("           note: nobody checked this image before it was pushed".to_owned());
    }
    paragraph(&lines)
}

/// Returns rows as columns, two spaces apart; the last column is cut to the `width`.
fn table<const N: usize>(rows: &[[String; N]], width: usize) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(visible(cell));
        }
    }
    let before: usize = widths[..N - 1].iter().map(|width| width + 2).sum();
    let mut text = String::new();
    for row in rows {
        let mut written = String::new();
        for (cell, width) in row[..N - 1].iter().zip(widths) {
            written += cell;
            written.extend(std::iter::repeat_n(' ', width + 2 - visible(cell)));
        }
        let room = width.saturating_sub(before).max(20);
        written +=
            &if row[N - 1].starts_with('/') { middle(&row[N - 1], room) } else { short(&row[N - 1], room) };
        text += written.trim_end();
        text.push('\n');
    }
    text
}

/// Returns how many characters of `cell` are seen: colours are not.
fn visible(cell: &str) -> usize {
    line(cell).chars().count()
}
