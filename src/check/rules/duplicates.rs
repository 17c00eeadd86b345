//! Large libraries are in the image once.

use std::collections::BTreeMap;

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, human};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::DuplicateContent],
    promise: "No large library is there twice with the same content.",
    story: "cuDNN in /usr/local/cuda and again in a wheel, a virtual environment that was copied instead of built in its place: every \
            node pulls both (runpod/containers#144: a CUDA image with PyTorch of 11 GB compressed). Hard links take no space and do \
            not count. Compared is the whole content, by its hash.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let root = &subject.image.root;
    let mut alike: BTreeMap<(u64, u128), Vec<&str>> = BTreeMap::new();
    for (path, note, _) in root.files().filter(|(path, ..)| !root.hard_links.contains(*path)) {
        if let Some(content) = note.elf.as_ref().and_then(|elf| elf.content) {
            alike.entry((note.size, content)).or_default().push(path);
        }
    }
    let mut findings = Vec::new();
    for ((size, _), paths) in alike {
        let Some((first, others)) = paths.split_first().filter(|(_, others)| !others.is_empty()) else {
            continue;
        };
        let same: Vec<String> = others.iter().map(|path| format!("/{path}")).collect();
        findings.push(Finding::new(
            Severity::Warning,
            RuleCode::DuplicateContent,
            format!("/{first}"),
            format!("{} are pulled again for {}", human(size * same.len() as u64), same.join(", ")),
            "install it once, or put a link in the place of the other",
        ));
    }
    findings
}
