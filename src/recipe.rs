//! What a person wrote: the recipe as written, with the place of every value, checked for form but not for sense.

pub mod builtin;
mod check;
mod component;
mod values;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

pub use check::{Check, Silence};
pub use component::{Component, UnknownComponent};
pub use values::{
    AptPackage, ArtefactUrl, BadValue, CondaPackage, EnvName, EnvValue, ImagePath, LocalPath, Name,
    Repository, Requirement, package_name,
};
pub use version::{Version, VersionRange};

use crate::oci::{Digest, Reference};

/// The text of a recipe and where it came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as the person gave it, or `built-in:NAME`.
    pub origin: String,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// Returns a source for `text` that was read from `origin`.
    pub fn new(origin: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { origin: origin.into(), text: text.into() }
    }

    /// Returns the digest of the text, by which a lock knows its recipe.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// A recipe as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// The name of the image and of the files made from it.
    pub name: Spanned<Name>,
    /// One line for `smp-image recipes`.
    #[serde(default)]
    pub description: String,
    /// SageMaker instance types on which the image must run, such as `ml.p5.48xlarge`.
    pub instances: Vec<Spanned<String>>,
    /// What the image starts from.
    pub base: Base,
    /// What the nodes bring: the NVIDIA driver is theirs, not the image's.
    #[serde(default)]
    pub nodes: Nodes,
    /// Number formats beyond bf16 that training uses, such as `fp8`: every instance must have them.
    #[serde(default)]
    pub precision: Vec<Spanned<String>>,
    /// Components and the versions asked for; absent means not in the image.
    #[serde(default)]
    pub components: BTreeMap<Component, Spanned<VersionRange>>,
    /// Python packages beyond the components.
    #[serde(default)]
    pub python: Python,
    /// Packages of the base's distribution beyond the components.
    #[serde(default)]
    pub apt: Apt,
    /// Files of the user that go into the image.
    #[serde(default)]
    pub copy: Vec<Copy>,
    /// How the finished image is configured and called.
    #[serde(default)]
    pub image: Image,
    /// Which findings of a check are meant so.
    #[serde(default)]
    pub check: Check,
}

/// What the image starts from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Base {
    /// The base image; compiling stages use `devel` where it is given.
    #[serde(deserialize_with = "spanned_reference")]
    pub image: Spanned<Reference>,
    /// The image with compilers for stages that build, of the same distribution; `image` where it is absent.
    #[serde(default, deserialize_with = "optional_spanned_reference")]
    pub devel: Option<Spanned<Reference>>,
}

/// What the nodes bring.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nodes {
    /// The version of the NVIDIA driver; the oldest of AWS's current node images where absent.
    #[serde(default)]
    pub driver: Option<Spanned<Version>>,
}

/// Python packages beyond the components.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Python {
    /// Requirements as pip writes them, such as `datasets==2.19.0`.
    #[serde(default)]
    pub packages: Vec<Spanned<Requirement>>,
}

/// Packages of the base's distribution.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Apt {
    /// Names of Debian or Ubuntu packages.
    #[serde(default)]
    pub packages: Vec<Spanned<AptPackage>>,
}

/// One `COPY` of the user's files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Copy {
    /// A file or folder below the recipe's folder.
    pub from: Spanned<LocalPath>,
    /// An absolute path in the image.
    pub to: Spanned<ImagePath>,
}

/// How the finished image is configured and called.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// The repository that `push` and `release` use where none is given.
    #[serde(default)]
    pub repository: Option<Spanned<Repository>>,
    /// The working directory; `/` where absent.
    #[serde(default)]
    pub workdir: Option<Spanned<ImagePath>>,
    /// Environment variables of the image.
    #[serde(default)]
    pub env: BTreeMap<EnvName, Spanned<EnvValue>>,
}

/// Why a text is not a recipe, with the place in the text.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error(transparent)]
#[diagnostic(transparent)]
pub struct RecipeError(Box<Pointed>);

/// What is wrong, where, and what helps.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
struct Pointed {
    message: String,
    #[source_code]
    source_code: miette::NamedSource<Arc<str>>,
    #[label("{label}")]
    span: Option<miette::SourceSpan>,
    label: String,
    #[help]
    help: Option<String>,
}

impl RecipeError {
    /// Returns an error that points at `span` of the recipe's text.
    #[must_use]
    pub fn at(source: &Source, span: std::ops::Range<usize>, message: impl Into<String>) -> Self {
        Self(Box::new(Pointed {
            message: message.into(),
            source_code: miette::NamedSource::new(&source.origin, Arc::clone(&source.text)),
            span: Some(span.into()),
            label: "here".to_owned(),
            help: None,
        }))
    }

    /// Adds what the person can do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Sets the words beside the caret.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        label.into().clone_into(&mut self.0.label);
        self
    }
}

impl Recipe {
    /// Reads the recipe in `source`.
    ///
    /// Fails on TOML syntax, unknown keys (naming the nearest known one), wrong types and malformed values, each with its place.
    pub fn parse(source: &Source) -> Result<Self, RecipeError> {
        toml::from_str(&source.text).map_err(|error| {
            let explained = explain(source, &error, "not a key of a recipe");
            match error.message().split('`').nth(1).filter(|_| error.message().starts_with("missing field `"))
            {
                Some(key) => explained.with_label("it is missing here").with_help(begin(source, key)),
                None => explained,
            }
        })
    }

    /// Returns the version range that the recipe asks of `component`.
    pub fn asks(&self, component: Component) -> Option<&VersionRange> {
        self.components.get(&component).map(Spanned::get_ref)
    }
}

/// Returns how to add `key`, which a recipe must have.
fn begin(source: &Source, key: &str) -> String {
    let line = match key {
        "name" => "name = \"my-image\"",
        "instances" => "instances = [\"ml.p5.48xlarge\"]",
        "base" => "[base] with image = \"debian:trixie-slim\" below it",
        "image" => "image = \"debian:trixie-slim\"",
        other => return format!("add `{other}`"),
    };
    let blank = source.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let whole = if blank { "; `smp-image new` writes a whole recipe" } else { "" };
    format!("such as {line}{whole}")
}

/// Turns a TOML error into one that names the place and, for a misspelt key, which is `no_key`, the nearest known key.
pub(crate) fn explain(source: &Source, error: &toml::de::Error, no_key: &str) -> RecipeError {
    let message = error.message().trim().to_owned();
    let span = error.span().unwrap_or(0..0);
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, rest)) = unknown else {
        return mistyped(source, span, &message);
    };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let report = RecipeError::at(source, span, format!("unknown key `{key}`")).with_label(no_key);
    match nearest(key, known.iter().copied()) {
        Some(near) => report.with_help(format!("did you mean `{near}`?")),
        None => report.with_help(format!("known keys here: {}", known.join(", "))),
    }
}

/// Tells that a value has another form than it must, in TOML's own words, and how it would be written.
fn mistyped(source: &Source, span: std::ops::Range<usize>, message: &str) -> RecipeError {
    let (is, wants) = message.split_once(", expected ").unwrap_or((message, ""));
    let typed = is.starts_with("invalid type: ");
    let wants = match wants {
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let said = if wants.is_empty() { is.to_owned() } else { format!("{is}, expected {wants}") };
    let report = RecipeError::at(source, span.clone(), said);
    match (wants, source.text.get(span).filter(|_| typed)) {
        ("a list", Some(written)) => report.with_help(format!("a list stands in brackets: [{written}]")),
        ("a string", Some(written)) => report.with_help(format!("a text stands in quotes: \"{written}\"")),
        ("a table", Some(_)) => {
            report.with_help("a table is a heading in brackets, such as [base], with its keys below it")
        }
        _ => report,
    }
}

/// Returns the candidate most like `word`, if any is alike at all.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn spanned_reference<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Spanned<Reference>, D::Error> {
    let text = Spanned::<String>::deserialize(input)?;
    let span = text.span();
    let reference = values::reference(text.get_ref()).map_err(serde::de::Error::custom)?;
    Ok(Spanned::new(span, reference))
}

fn optional_spanned_reference<'de, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<Spanned<Reference>>, D::Error> {
    spanned_reference(input).map(Some)
}
