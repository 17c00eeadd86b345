//! All texts of the log table, looked for in one pass over a line.

use aho_corasick::AhoCorasick;

use crate::catalog::{LogEvent, NcclLog};

/// What a text stands for: a line or a symptom, by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Line(usize, LogEvent),
    Symptom(usize),
}

/// The texts, ready to be looked for.
#[derive(Debug)]
pub(super) struct Patterns {
    heads: AhoCorasick,
    // Of each text what follows its first `*`, lower-case.
    tails: Vec<(Meaning, Vec<String>)>,
}

/// A text that was found: what it stands for, and where it ends in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) meaning: Meaning,
    pub(super) end: usize,
}

impl Patterns {
    /// Returns the patterns of `log`; none where they are too many for one pass, which the embedded table never is.
    pub(super) fn new(log: &NcclLog) -> Option<Self> {
        let lines = log.lines.iter().enumerate();
        let lines = lines.map(|(at, line)| (Meaning::Line(at, line.event), line.text.as_str()));
        let symptoms = log.symptoms.iter().enumerate().flat_map(|(at, symptom)| {
            symptom.texts.iter().map(move |text| (Meaning::Symptom(at), text.as_str()))
        });
        let mut heads = Vec::new();
        let mut tails = Vec::new();
        for (meaning, text) in lines.chain(symptoms) {
            let mut parts = text.split('*').map(str::to_ascii_lowercase);
            heads.push(parts.next().unwrap_or_default());
            tails.push((meaning, parts.collect()));
        }
        let heads = AhoCorasick::builder().ascii_case_insensitive(true).build(heads).ok()?;
        Some(Self { heads, tails })
    }

    /// Returns every text that is in `line`, each meaning once, in the order of the line.
    pub(super) fn find(&self, line: &str) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        for found in self.heads.find_overlapping_iter(line) {
            let (meaning, tails) = &self.tails[found.pattern().as_usize()];
            if hits.iter().any(|hit| hit.meaning == *meaning) {
                continue;
            }
            if let Some(end) = follow(line, found.end(), tails) {
                hits.push(Hit { meaning: *meaning, end });
            }
        }
        hits
    }
}

/// Returns where the last of `parts` ends, if they follow each other in `line` after `from`.
fn follow(line: &str, from: usize, parts: &[String]) -> Option<usize> {
    if parts.is_empty() {
        return Some(from);
    }
    // Lower-case ASCII keeps every byte in its place.
    let lower = line.to_ascii_lowercase();
    parts.iter().try_fold(from, |at, part| Some(at + lower.get(at..)?.find(part.as_str())? + part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_without_regard_to_case_and_with_gaps() {
        let log = NcclLog::embedded().unwrap();
        let patterns = Patterns::new(&log).unwrap();
        let meanings =
            |line: &str| -> Vec<Meaning> { patterns.find(line).into_iter().map(|hit| hit.meaning).collect() };
        let events = |line: &str| -> Vec<LogEvent> {
            let event = |meaning| if let Meaning::Line(_, event) = meaning { Some(event) } else { None };
            meanings(line).into_iter().filter_map(event).collect()
        };
        assert_eq!(events("NET/OFI Selected provider is efa"), [LogEvent::Provider]);
        assert_eq!(events("External network plugin libnccl-net.so is unsupported"), [LogEvent::PluginUnfit]);
        assert_eq!(events("External network plugin libnccl-net.so is fine"), []);
        let found = meanings("register_rail_mr_buffer:617 NCCL WARN Unable to register memory. RC: -22, E");
        assert_eq!(found.len(), 1, "one symptom, however many of its texts: {found:?}");
    }
}
