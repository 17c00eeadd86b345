//! What changed from one image to another: versions, GPU code, sizes, environment, findings. Text and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::ReportError;
use super::plain::{bytes, line};
use crate::check::{Finding, Inspection, LayerSummary};

/// What changed from one image to another.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// The image before.
    pub before: String,
    /// The image after.
    pub after: String,
    /// Components, by name.
    pub components: Vec<Change>,
    /// Packages of every manager, by manager and name.
    pub packages: Vec<Change>,
    /// The GPU code of libraries, by file name.
    pub gpu_code: Vec<Change>,
    /// Variables of the environment.
    pub environment: Vec<Change>,
    /// Layers that both have, from the bottom.
    pub shared_layers: usize,
    /// Bytes of the layers: before and after.
    pub size: (u64, u64),
    /// Bytes of the layers that only one has: those taken away and those to be pulled anew.
    pub moved: (u64, u64),
    /// Whether the image runs on each instance.
    pub instances: Vec<Change>,
    /// Findings that were there before and are not any more.
    pub gone: Vec<Finding>,
    /// Findings that were not there before.
    pub new: Vec<Finding>,
}

/// Something that is not the same in both images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// What.
    pub name: String,
    /// Before; none where it was not there.
    pub before: Option<String>,
    /// After; none where it is gone.
    pub after: Option<String>,
}

impl Difference {
    /// Compares two images, each given by name and what was found in it.
    pub fn new((before, old): (&str, &Inspection), (after, new): (&str, &Inspection)) -> Self {
        let sum = |layers: &[LayerSummary]| layers.iter().map(|layer| layer.size).sum();
        let only = |layers: &[LayerSummary], others: &[LayerSummary]| {
            let there = |layer: &&LayerSummary| others.iter().any(|other| other.diff_id == layer.diff_id);
            layers.iter().filter(|layer| !there(layer)).map(|layer| layer.size).sum()
        };
        let missing = |findings: &[Finding], others: &[Finding]| {
            findings.iter().filter(|finding| !others.contains(finding)).cloned().collect()
        };
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            components: changes(&components(old), &components(new)),
            packages: changes(&old.packages, &new.packages),
            gpu_code: changes(&gpu_code(old), &gpu_code(new)),
            environment: changes(&environment(old), &environment(new)),
            shared_layers: old
                .layers
                .iter()
                .zip(&new.layers)
                .take_while(|(a, b)| a.diff_id == b.diff_id)
                .count(),
            size: (sum(&old.layers), sum(&new.layers)),
            moved: (only(&old.layers, &new.layers), only(&new.layers, &old.layers)),
            instances: changes(&instances(old), &instances(new)),
            gone: missing(&old.findings, &new.findings),
            new: missing(&new.findings, &old.findings),
        }
    }

    /// Returns whether nothing that is compared differs.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.components, &self.packages, &self.gpu_code, &self.environment, &self.instances];
        lists.iter().all(|list| list.is_empty())
            && self.moved == (0, 0)
            && self.gone.is_empty()
            && self.new.is_empty()
    }

    /// Returns the schema of [`Self::json`].
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// Returns the difference as one JSON document.
    pub fn json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Returns the difference as text: `-` was there, `+` is there now, `~` changed.
    pub fn text(&self) -> String {
        let mut text = format!("- {}\n+ {}\n", line(&self.before), line(&self.after));
        if self.is_empty() {
            return text + "\nNothing that is compared differs.\n";
        }
        let (before, after) = self.size;
        let (taken, pulled) = self.moved;
        // Writing into a text cannot fail.
        let _always_fits = writeln!(
            text,
            "\nSize       {} before, {} after; the same layers from the bottom: {}, {} are to be pulled anew, {} are gone",
            bytes(before),
            bytes(after),
            self.shared_layers,
            bytes(pulled),
            bytes(taken)
        );
        for (title, changes) in [
            ("Components", &self.components),
            ("Runs on", &self.instances),
            ("GPU code", &self.gpu_code),
            ("Environment", &self.environment),
            ("Packages", &self.packages),
        ] {
            if !changes.is_empty() {
                text.extend([format!("\n{title}\n")]);
                text.extend(changes.iter().map(said));
            }
        }
        for (title, mark, findings) in
            [("Findings that are new", '+', &self.new), ("Findings that are gone", '-', &self.gone)]
        {
            if !findings.is_empty() {
                text.extend([format!("\n{title}\n")]);
                text.extend(findings.iter().map(|finding| {
                    format!(
                        "  {mark} {:<8} {}: {}\n             {}\n",
                        finding.severity.name(),
                        finding.rule,
                        line(&finding.subject),
                        line(&finding.evidence)
                    )
                }));
            }
        }
        text
    }
}

fn said(change: &Change) -> String {
    let name = line(&change.name);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("  ~ {name}: {} -> {}\n", line(before), line(after)),
        (None, Some(after)) => format!("  + {name}: {}\n", line(after)),
        (Some(before), None) => format!("  - {name}: {}\n", line(before)),
        (None, None) => String::new(),
    }
}

type Named = BTreeMap<String, String>;

fn changes(before: &Named, after: &Named) -> Vec<Change> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Change {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

fn components(inspection: &Inspection) -> Named {
    let there = inspection.components.iter().filter(|seen| !seen.seen.is_empty());
    there
        .map(|seen| {
            (seen.component.to_string(), seen.found.clone().unwrap_or_else(|| "version unknown".to_owned()))
        })
        .collect()
}

/// By file name: the folder of a library often holds a version.
fn gpu_code(inspection: &Inspection) -> Named {
    let mut named = Named::new();
    for library in &inspection.libraries {
        let name = library.path.rsplit('/').next().unwrap_or_default().to_owned();
        let ptx = library.ptx.iter().map(|arch| arch.replace("sm_", "compute_"));
        let code: Vec<String> = library
            .sass
            .iter()
            .cloned()
            .chain(ptx)
            .chain(library.flags.iter().filter(|flag| *flag == "unreadable").cloned())
            .collect();
        named
            .entry(name)
            .and_modify(|other| {
                other.push_str(" | ");
                other.push_str(&code.join(" "));
            })
            .or_insert_with(|| code.join(" "));
    }
    named
}

fn environment(inspection: &Inspection) -> Named {
    let pairs = inspection.environment.iter().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn instances(inspection: &Inspection) -> Named {
    let said = |verdict: &crate::check::InstanceVerdict| match verdict.reasons.first() {
        Some(reason) => format!("{}: {reason}", verdict.verdict.words()),
        None => verdict.verdict.words().to_owned(),
    };
    inspection.instances.iter().map(|verdict| (verdict.instance.clone(), said(verdict))).collect()
}
