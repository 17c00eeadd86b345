//! A repository of Amazon ECR: which of its tags can be moved, and how a new one is made.

use serde::{Deserialize, Serialize};

/// A repository as ECR describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrRepository {
    /// The repository with its host, such as `123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2`.
    pub uri: String,
    /// Whether tags that are there can be moved.
    pub mutability: Mutability,
    /// Tags for which the opposite holds: patterns with `*`.
    pub exceptions: Vec<String>,
}

/// Whether a tag that is there can be moved to another image.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mutability {
    /// It stays where it is: a tag names one image for ever.
    #[default]
    Immutable,
    /// It can.
    Mutable,
}

/// How a repository is made that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRepository {
    /// Whether ECR looks for known vulnerabilities in each image that is pushed.
    pub scan_on_push: bool,
    /// Whether its tags can be moved.
    pub mutability: Mutability,
}

impl Default for NewRepository {
    fn default() -> Self {
        Self { scan_on_push: true, mutability: Mutability::Immutable }
    }
}

impl EcrRepository {
    /// Returns whether `tag`, once there, cannot be moved.
    pub fn keeps(&self, tag: &str) -> bool {
        let excepted = self.exceptions.iter().any(|pattern| matches(pattern, tag));
        (self.mutability == Mutability::Immutable) != excepted
    }
}

/// Returns whether `text` is `pattern` with something, or nothing, in the place of each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.into_iter().any(|at| matches(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_turn_the_rule_of_the_repository_round() {
        let repository = |mutability, exceptions: &[&str]| EcrRepository {
            uri: String::new(),
            mutability,
            exceptions: exceptions.iter().map(ToString::to_string).collect(),
        };
        assert!(repository(Mutability::Immutable, &[]).keeps("v1"));
        assert!(!repository(Mutability::Mutable, &[]).keeps("v1"));
        assert!(!repository(Mutability::Immutable, &["latest*"]).keeps("latest-cu124"));
        assert!(repository(Mutability::Immutable, &["latest*"]).keeps("v1-latest"));
        assert!(repository(Mutability::Mutable, &["v*.*"]).keeps("v1.2"));
        assert!(!repository(Mutability::Mutable, &["v*.*"]).keeps("v1"));
    }
}
