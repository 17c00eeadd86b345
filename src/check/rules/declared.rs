//! What the image says of NCCL elsewhere is what it has.

use super::super::component::upstream_version;
use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};
use crate::recipe::Component;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::DeclaredVersion],
    promise: "NCCL_VERSION in the environment and nccl.h agree with a libnccl that is there.",
    story: "AWS's own training images declared NCCL 2.26.2 in their configuration and shipped 2.28.9: the declared value bound to \
            nothing (aws/deep-learning-containers, .github/config/image/pytorch/2.11-sagemaker-cuda.yml against its uv.lock). People \
            read such a value, and choose flags and plugins by it.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let image = subject.image;
    let libraries: Vec<(&str, &str)> = image
        .inventory
        .library("libnccl.so.2")
        .filter_map(|(_, path)| Some((path, image.root.file(path.trim_start_matches('/'))?.marker()?)))
        .collect();
    if libraries.is_empty() {
        return Vec::new();
    }
    let said = |version: &str| libraries.iter().any(|(_, there)| *there == version);
    let there: Vec<String> = libraries.iter().map(|(path, version)| format!("{version} in {path}")).collect();
    let mut findings = Vec::new();
    let declared = image.config.run.env.iter().filter_map(|line| line.strip_prefix("NCCL_VERSION="));
    for value in declared.filter(|value| !said(upstream_version(value))) {
        findings.push(Finding::new(
            Severity::Warning,
            RuleCode::DeclaredVersion,
            "NCCL_VERSION",
            format!("the environment says {value}, and there is {}", there.join(", ")),
            "set it to what is installed, or take it out",
        ));
    }
    for (_, header) in image.inventory.headers.iter().filter(|(component, _)| *component == Component::Nccl) {
        // A header counts for the library of its own prefix: a base image's and a wheel's may differ.
        let prefix = header.path.split("/include/").next().unwrap_or_default();
        let own: Vec<&(&str, &str)> = libraries
            .iter()
            .filter(|(path, _)| path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("/lib")))
            .collect();
        if !own.is_empty() && own.iter().all(|(_, version)| *version != header.version) {
            findings.push(Finding::new(
                Severity::Warning,
                RuleCode::DeclaredVersion,
                header.path.clone(),
                format!("it is of NCCL {}, and the library beside it is {} ({})", header.version, own[0].1, own[0].0),
                "install header and library from the same release: what is compiled here is compiled for another library",
            ));
        }
    }
    findings
}
