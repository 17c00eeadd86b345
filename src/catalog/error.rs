//! Why a text is not a catalogue: what, in which file and line, and what to do next.

use std::ops::Range;

use crate::recipe::{RecipeError, Source};

/// Why a text is not a catalogue, with its place.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CatalogError {
    /// In a file that came with the program.
    #[error(transparent)]
    #[diagnostic(transparent)]
    BuiltIn(RecipeError),
    /// In a file of the user's.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Own(RecipeError),
}

/// How every fact says where it comes from.
const FACT: &str = "every row says where it comes from: fact = { source = \"a public reference\", date = \"YYYY-MM-DD\", \
     confidence = \"documented\" } (or computed, second-hand, community, inferred)";

/// Where the form of a row can be seen.
const FORM: &str = "`smp-image catalog TABLE` shows rows of a table, docs/catalog.md how files write them";

impl CatalogError {
    /// Returns an error at `span` of `source`, which is the user's own file or came with the program.
    pub(super) fn at(source: &Source, own: bool, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::of(own, RecipeError::at(source, span, message))
    }

    fn of(own: bool, report: RecipeError) -> Self {
        if own { Self::Own(report) } else { Self::BuiltIn(report) }
    }

    /// Returns the error for a file that is no TOML or holds what no table has.
    pub(super) fn malformed(source: &Source, own: bool, error: &toml::de::Error) -> Self {
        let report = crate::recipe::explain(source, error, "not a key of the catalogue");
        let message = error.message();
        let unsaid = ["fact", "source", "date", "confidence"]
            .iter()
            .any(|field| message.contains(&format!("missing field `{field}`")));
        let report = match message.strip_prefix("unknown field") {
            // The nearest known key is the better advice.
            Some(_) => report,
            None if unsaid => report.with_help(FACT),
            None => report.with_help(FORM),
        };
        Self::of(own, report)
    }

    /// Returns the error for a value that no file states.
    pub(super) fn missing(first: Option<&Source>, key: &str) -> Self {
        let nowhere = Source::new("catalogue", "");
        Self::at(first.unwrap_or(&nowhere), false, 0..0, format!("no file states `{key}`"))
    }

    /// Adds what the person can do next.
    #[must_use]
    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        match self {
            Self::BuiltIn(report) => Self::BuiltIn(report.with_help(help)),
            Self::Own(report) => Self::Own(report.with_help(help)),
        }
    }
}
