//! What NCCL and its network plugin write into a log, by version, and what known failures look like: `catalog/nccl-log.toml`.
//!
//! It stands apart from the rest of the catalogue: a log is judged without any recipe, lock or image.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{CatalogError, Fact};
use crate::recipe::{Source, VersionRange};

const FILE: &str = "nccl-log.toml";
const TEXT: &str = include_str!("../../catalog/nccl-log.toml");

/// Everything that is known of the lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NcclLog {
    /// Lines that say what happens.
    #[serde(rename = "line")]
    pub lines: Vec<LogLine>,
    /// Lines that say what went wrong.
    #[serde(rename = "symptom")]
    pub symptoms: Vec<Symptom>,
}

/// A line that says what happens, in some versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogLine {
    /// What it says.
    pub event: LogEvent,
    /// Its text; `*` stands for anything.
    pub text: String,
    /// In which versions of NCCL it means that; in all where absent.
    pub nccl: Option<VersionRange>,
    /// Where this comes from.
    pub fact: Fact,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogEvent {
    /// No network plugin was found; NCCL goes on with its own.
    PluginMissing,
    /// A plugin was found, and none of its interfaces is known to this NCCL.
    PluginUnfit,
    /// The oldest interface that this NCCL knows is not in the plugin; unfit if nothing newer was loaded.
    PluginLastSymbol,
    /// A plugin was found and did not start.
    PluginFailed,
    /// A plugin was loaded; its name and interface follow.
    PluginLoaded,
    /// The network that was chosen; its name follows.
    Network,
    /// The version of aws-ofi-nccl follows.
    OfiVersion,
    /// The libfabric provider follows.
    Provider,
}

/// What a known failure looks like.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Symptom {
    /// Its name.
    pub code: String,
    /// Any of these texts; `*` stands for anything.
    pub texts: Vec<String>,
    /// How grave it is.
    pub severity: SymptomSeverity,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// In which versions of NCCL it means that; in all where absent.
    pub nccl: Option<VersionRange>,
    /// In which versions of aws-ofi-nccl it means that; in all where absent.
    pub plugin: Option<VersionRange>,
    /// Where this comes from.
    pub fact: Fact,
}

/// How grave a symptom is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SymptomSeverity {
    /// The job fails, or is far slower than it should be.
    Error,
    /// Look at it.
    Warning,
    /// Worth knowing.
    Info,
    /// It looks bad and means nothing; not reported.
    Benign,
}

impl NcclLog {
    /// Returns what is embedded in the program.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::read(TEXT)
    }

    /// Reads the file's text.
    pub fn read(text: &str) -> Result<Self, CatalogError> {
        let source = Source::new(FILE, text);
        let read: Self =
            toml::from_str(text).map_err(|error| CatalogError::malformed(&source, false, &error))?;
        let wrong = |message: String| CatalogError::at(&source, false, 0..0, message);
        let mut codes = BTreeSet::new();
        if let Some(twice) = read.symptoms.iter().find(|symptom| !codes.insert(&symptom.code)) {
            return Err(wrong(format!("symptom `{}` is named twice", twice.code)));
        }
        let texts = read.lines.iter().map(|line| &line.text);
        let mut texts = texts.chain(read.symptoms.iter().flat_map(|symptom| &symptom.texts));
        match texts.find(|text| text.split('*').any(|part| part.trim().len() < 2)) {
            Some(text) => Err(wrong(format!("`{text}` has a part that is too short to tell lines apart"))),
            None => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_log_table_reads_and_only_sure_facts_may_fail_a_log() {
        let log = NcclLog::embedded().unwrap();
        assert!(log.symptoms.len() >= 38, "{} symptoms", log.symptoms.len());
        for symptom in &log.symptoms {
            assert!(
                symptom.severity != SymptomSeverity::Error || symptom.fact.confidence.may_fail(),
                "{} may only warn",
                symptom.code
            );
        }
    }

    #[test]
    fn a_symptom_named_twice_or_without_a_source_is_refused() {
        let symptom = "[[symptom]]\ncode = \"x\"\ntexts = [\"some text\"]\nseverity = \"error\"\ncause = \"c\"\nremedy = \"r\"\n";
        let fact = "fact = { source = \"s\", date = \"2026-01-01\", confidence = \"documented\" }\n";
        let twice = format!("line = []\n{symptom}{fact}{symptom}{fact}");
        let refused = |text: &str| NcclLog::read(text).unwrap_err().to_string();
        assert_eq!(refused(&twice), "symptom `x` is named twice");
        assert!(refused(&format!("line = []\n{symptom}")).contains("fact"));
        let short = format!("line = []\n{symptom}{fact}").replace("some text", "some * x");
        assert!(refused(&short).contains("too short"), "{}", refused(&short));
    }
}
