//! What an image is checked for: platform, instances, what it must hold, which registry profile, what a person silenced.

use std::sync::Arc;

use globset::{Glob, GlobMatcher};
use serde::Serialize;

use super::finding::{Finding, RuleCode};
use crate::catalog::{Catalog, Instance};
use crate::oci::{Arch, Platform, Profile};
use crate::plan::Expectation;

/// What an image is checked for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The platform that it must be for.
    pub platform: Platform,
    /// What it must hold; empty where neither recipe nor lock says.
    pub expectations: Vec<Expectation>,
    /// The instances on which it must run; empty where nobody named any.
    pub instances: Vec<Instance>,
    /// Who named the instances.
    pub chosen: Chosen,
    /// For which kind of registry and runtime it is made, where that was said.
    pub profile: Option<Profile>,
    /// What the recipe silences.
    pub silences: Vec<Silence>,
    /// The facts of the field.
    pub catalog: Arc<Catalog>,
}

/// Who named the instances of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Chosen {
    /// The command line.
    Given,
    /// The recipe.
    Recipe,
    /// Nobody: one instance type of each GPU is judged, and none of these verdicts fails the check.
    #[default]
    Nobody,
}

impl Target {
    /// Returns a target that asks for nothing but `platform`.
    pub fn new(platform: Platform, catalog: Arc<Catalog>) -> Self {
        Self {
            platform,
            expectations: Vec::new(),
            instances: Vec::new(),
            chosen: Chosen::Nobody,
            profile: None,
            silences: Vec::new(),
            catalog,
        }
    }

    /// Asks for `expectations`.
    #[must_use]
    pub fn expecting(mut self, expectations: Vec<Expectation>) -> Self {
        self.expectations = expectations;
        self
    }

    /// Asks for the instances with these names; returns the first name that the catalogue does not know.
    pub fn on<'a>(
        mut self,
        names: impl IntoIterator<Item = &'a str>,
        chosen: Chosen,
    ) -> Result<Self, &'a str> {
        for name in names {
            let known = self.catalog.instances.get(name).ok_or(name)?;
            if !self.instances.contains(known) {
                self.instances.push(known.clone());
            }
        }
        self.chosen = if self.instances.is_empty() { Chosen::Nobody } else { chosen };
        Ok(self)
    }

    /// Returns the instances to judge: those that were named, else the largest of each GPU. All that the catalogue knows are x86-64:
    /// for another platform none is judged that nobody named.
    pub(super) fn judged(&self) -> Vec<&Instance> {
        if !self.instances.is_empty() {
            return self.instances.iter().collect();
        }
        if self.platform.arch != Arch::Amd64 {
            return Vec::new();
        }
        let mut largest: Vec<&Instance> = Vec::new();
        for instance in self.catalog.instances.values() {
            match largest.iter_mut().find(|other| other.gpu == instance.gpu) {
                Some(other) if instance.gpus > other.gpus => *other = instance,
                Some(_) => {}
                None => largest.push(instance),
            }
        }
        largest.sort_by(|a, b| (a.sm, &a.name).cmp(&(b.sm, &b.name)));
        largest
    }
}

/// A finding that a person does not want to hear of, and why.
#[derive(Debug, Clone)]
pub struct Silence {
    /// The rule.
    pub rule: RuleCode,
    /// Which subjects; every one where absent.
    subject: Option<(String, GlobMatcher)>,
    /// Why.
    pub reason: String,
}

impl Silence {
    /// Returns a silence of `rule`, for subjects that match the glob `subject` where it is given.
    pub fn new(rule: RuleCode, subject: Option<&str>, reason: &str) -> Result<Self, globset::Error> {
        let subject = match subject {
            Some(pattern) => Some((pattern.to_owned(), Glob::new(pattern)?.compile_matcher())),
            None => None,
        };
        Ok(Self { rule, subject, reason: reason.to_owned() })
    }

    /// Returns whether it silences `finding`.
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        let fits = |(_, glob): &(String, GlobMatcher)| glob.is_match(&finding.subject);
        self.rule == finding.rule && self.subject.as_ref().is_none_or(fits)
    }

    /// Returns what it silences, in words.
    pub(super) fn shown(&self) -> String {
        match &self.subject {
            Some((pattern, _)) => format!("{} on {pattern}", self.rule),
            None => self.rule.to_string(),
        }
    }
}

/// A finding that was silenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Silenced {
    /// The finding.
    pub finding: Finding,
    /// Why, in the words of the recipe.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;

    fn target() -> Target {
        Target::new(Platform { arch: Arch::Amd64 }, Arc::new(Catalog::embedded().unwrap()))
    }

    #[test]
    fn an_instance_that_nobody_knows_is_named() {
        assert_eq!(target().on(["ml.p5.48xlarge", "ml.p9.huge"], Chosen::Given).unwrap_err(), "ml.p9.huge");
    }

    #[test]
    fn without_a_target_one_instance_of_each_gpu_is_judged() {
        let target = target();
        let mut gpus: Vec<&str> = target.judged().iter().map(|instance| instance.gpu.as_str()).collect();
        let all = gpus.len();
        gpus.sort_unstable();
        gpus.dedup();
        assert!(all == gpus.len() && gpus.contains(&"H100") && gpus.contains(&"A10G"), "{gpus:?}");
        let arm64 = Target { platform: Platform { arch: Arch::Arm64 }, ..target };
        assert!(arm64.judged().is_empty(), "no instance of the catalogue runs it");
    }

    #[test]
    fn a_silence_covers_its_rule_and_the_subjects_of_its_glob() {
        let silence = Silence::new(RuleCode::Secret, Some("/root/.ssh/*"), "test key").unwrap();
        let finding = |rule, subject: &str| {
            Finding::new(Severity::Warning, rule, subject, String::new(), String::new())
        };
        assert!(silence.covers(&finding(RuleCode::Secret, "/root/.ssh/id_rsa")));
        assert!(!silence.covers(&finding(RuleCode::Secret, "HF_TOKEN")));
        assert!(!silence.covers(&finding(RuleCode::CaBundle, "/root/.ssh/id_rsa")));
        assert!(Silence::new(RuleCode::Secret, Some("[x"), "r").is_err());
    }
}
