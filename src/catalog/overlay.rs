//! Facts of the user's: which files they came in, what they add, what they override.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::oci::Digest;
use crate::recipe::Source;

/// What the user's files did to the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Own {
    /// The files, in the order in which they were given.
    pub files: Vec<OwnFile>,
    /// Rows about things of which the built-in catalogue says nothing.
    pub additions: Vec<Addition>,
    /// Rows that stand in place of built-in ones.
    pub overrides: Vec<Override>,
}

/// A file of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct OwnFile {
    /// Its path as given.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
}

/// A row about something of which the built-in catalogue says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Addition {
    /// The table.
    pub table: &'static str,
    /// What the row is about.
    pub subject: String,
    /// `FILE:LINE`.
    pub place: String,
}

/// A row that stands in place of a built-in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Override {
    /// The table.
    pub table: &'static str,
    /// What the row is about.
    pub subject: String,
    /// `FILE:LINE`.
    pub place: String,
    /// What is different; empty where only the source is.
    pub changes: Vec<Change>,
}

/// A field that an override changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Change {
    /// The field.
    pub field: String,
    /// What the built-in catalogue says, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What the user's file says, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

impl Own {
    /// Returns what `files` are before they are read.
    pub(super) fn of(files: &[Source]) -> Self {
        let file = |source: &Source| OwnFile { name: source.origin.clone(), digest: source.digest() };
        Self { files: files.iter().map(file).collect(), ..Self::default() }
    }

    /// Returns whether there is anything of the user's.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns what is to be said wherever these facts were used: first the files, then each override.
    pub fn sentences(&self) -> Vec<String> {
        let counted = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let all = format!(
            "facts of {} were used: {}, {}",
            names.join(", "),
            counted(self.additions.len(), "addition"),
            counted(self.overrides.len(), "override"),
        );
        std::iter::once(all).chain(self.overrides.iter().map(Override::sentence)).collect()
    }
}

impl Override {
    /// Returns the override as one sentence: what, old and new, where.
    pub fn sentence(&self) -> String {
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let changes: Vec<String> = self
            .changes
            .iter()
            .map(|change| format!("{} {} instead of {}", change.field, said(&change.new), said(&change.old)))
            .collect();
        let changes = if changes.is_empty() { "another source".to_owned() } else { changes.join("; ") };
        format!("{} overrides {} {}: {changes}", self.place, self.table, self.subject)
    }
}

/// Returns which fields `new` states otherwise than `old`.
pub(super) fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Change> {
    let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
    fields.sort();
    fields.dedup();
    let change = |field: &String| {
        let (before, after) = (old.get(field), new.get(field));
        (before != after).then(|| Change {
            field: field.clone(),
            old: before.map(shown),
            new: after.map(shown),
        })
    };
    fields.into_iter().filter_map(change).collect()
}

/// Returns a value as a person would write it in a sentence.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", shown(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}
