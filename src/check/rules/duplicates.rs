//! Large libraries are in the image once.

use std::collections::BTreeMap;

use super::super::elf::ElfNote;
use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, human};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::DuplicateContent],
    promise: "No large library is there twice with the same content.",
    story: "cuDNN in /usr/local/cuda and again in a wheel, a virtual environment that was copied instead of built in its place: every \
            node pulls both (runpod/containers#144: a CUDA image with PyTorch of 11 GB compressed). Hard links take no space and do \
            not count. Content is compared by name, size and everything that the ELF tables say, not byte by byte.",
    run,
};

/// Smaller files cost nobody time.
const FLOOR: u64 = 16 << 20;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let root = &subject.image.root;
    let mut alike: BTreeMap<(&str, u64), Vec<(&str, &ElfNote)>> = BTreeMap::new();
    for (path, note, _) in
        root.files().filter(|(path, note, _)| note.size >= FLOOR && !root.hard_links.contains(*path))
    {
        if let Some(elf) = &note.elf {
            let name = path.rsplit('/').next().unwrap_or(path);
            alike.entry((name, note.size)).or_default().push((path, elf));
        }
    }
    let mut findings = Vec::new();
    for ((_, size), files) in alike {
        let Some(((first, elf), others)) = files.split_first() else { continue };
        let same: Vec<String> =
            others.iter().filter(|(_, other)| other == elf).map(|(path, _)| format!("/{path}")).collect();
        if !same.is_empty() {
            findings.push(Finding::new(
                Severity::Warning,
                RuleCode::DuplicateContent,
                format!("/{first}"),
                format!("{} are pulled again for {}", human(size * same.len() as u64), same.join(", ")),
                "install it once, or put a link in the place of the other",
            ));
        }
    }
    findings
}
