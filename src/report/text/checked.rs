//! What a check says beside its findings: whether the image runs on each instance, what was silenced, what a rule is about.

use super::super::plain;
use super::{Colour, Style, line, paragraph};
use crate::check::{Chosen, Inspection, InstanceVerdict, Rule, RuleCode, Runs};

/// Returns a line for each instance.
pub(super) fn instances(inspection: &Inspection, style: Style) -> Option<String> {
    let verdicts = &inspection.instances;
    let widest = verdicts.iter().map(|verdict| verdict.instance.len()).max()?;
    let mut lines: Vec<String> = Vec::new();
    if inspection.target == Chosen::Nobody {
        lines
            .push("no target was named (--instances, --recipe): one of each GPU, for information".to_owned());
    }
    lines.extend(verdicts.iter().flat_map(|verdict| said(verdict, widest, style)));
    for (at, line) in lines.iter_mut().enumerate() {
        line.insert_str(0, if at == 0 { "Runs on    " } else { "           " });
    }
    Some(paragraph(&lines))
}

fn said(verdict: &InstanceVerdict, widest: usize, style: Style) -> Vec<String> {
    let colour = match verdict.verdict {
        Runs::Ok => Colour::Green,
        Runs::CannotRun | Runs::Refused => Colour::Red,
        Runs::Unknown => Colour::Yellow,
    };
    let words = verdict.verdict.words();
    let why = match verdict.reasons.as_slice() {
        [] => words.to_owned(),
        [only] => format!("{words}: {}", line(only)),
        [first, rest @ ..] => format!("{words}: {} (and {} more)", line(first), rest.len()),
    };
    let mut lines = plain::wrapped(&why, style.width.saturating_sub(widest + 13).max(40));
    if let Some(first) = lines.first_mut() {
        *first = format!(
            "{:<widest$}  {}",
            verdict.instance,
            first.replacen(words, &style.paint(words, colour), 1)
        );
    }
    for more in lines.iter_mut().skip(1) {
        more.insert_str(0, &" ".repeat(widest + 2));
    }
    lines
}

/// Returns what the recipe silences, with its reasons.
pub(super) fn silenced(inspection: &Inspection) -> Option<String> {
    if inspection.silenced.is_empty() {
        return None;
    }
    let mut lines = vec!["Silenced by the recipe".to_owned()];
    for silenced in &inspection.silenced {
        let finding = &silenced.finding;
        lines.push(format!("  {:<8} {}: {}", finding.severity.name(), finding.rule, line(&finding.subject)));
        lines.push(format!("           reason: {}", line(&silenced.reason)));
    }
    Some(paragraph(&lines))
}

/// Returns what `rule` is about, as `check --explain` tells it, in lines of at most `width` characters.
pub fn explained(code: RuleCode, rule: &Rule, width: usize) -> String {
    let mut text = format!("{code}: {}\n\n", code.meaning());
    for paragraph in
        wrapped(rule.promise, width).into_iter().chain([String::new()]).chain(wrapped(rule.story, width))
    {
        text += &paragraph;
        text.push('\n');
    }
    let others: Vec<&str> =
        rule.codes.iter().filter(|other| **other != code).map(|other| other.name()).collect();
    if !others.is_empty() {
        text.extend([format!("\nThe same rule finds: {}\n", others.join(", "))]);
    }
    text
}

/// Breaks `text` between words into lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
