//! What PyTorch and Transformer Engine require of other Python packages is there; Transformer Engine's parts fit each other.

use pep440_rs::{Version, VersionSpecifiers};

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::inventory::{Inventory, Requirement};
use super::{Rule, Subject};
use crate::recipe::package_name;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::PythonRequirement, RuleCode::TransformerEngineParts],
    promise: "The NVIDIA packages that PyTorch's metadata asks for, and all that the metadata of Transformer Engine's PyTorch package does, are installed in those versions; Transformer Engine's three packages are of one version.",
    story: "torch's wheel names one NCCL and one cuDNN. A later `pip install` of something else moves them without a word, and the \
            first collective fails with `undefined symbol: ncclCommRegister` (pytorch/pytorch#119932). Transformer Engine's PyTorch \
            package is compiled without its dependencies, and `import transformer_engine.pytorch` then misses one. Importing Transformer Engine \
            asserts that its metapackage, its CUDA package and its PyTorch package have equal versions (NVIDIA/TransformerEngine).",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let inventory = &subject.image.inventory;
    let of_interest = |requirement: &&Requirement| {
        let name = requirement.name.as_str();
        let asked = match package_name(&requirement.of).as_str() {
            "torch" => name.starts_with("nvidia-nccl") || name.starts_with("nvidia-cudnn"),
            "transformer-engine-torch" => true,
            _ => false,
        };
        asked && requirement.counts_on(subject.platform.arch.machine())
    };
    let unmet =
        inventory.requires.iter().filter(of_interest).filter_map(|required| unmet(required, inventory));
    unmet.chain(parts(inventory)).collect()
}

/// Says that a requirement is not met. It warns: a newer NCCL beside an older PyTorch is common and mostly works.
fn unmet(required: &Requirement, inventory: &Inventory) -> Option<Finding> {
    let asks = format!("{} asks for {}{}", required.of, required.name, required.versions);
    let evidence = match inventory.distribution(&required.name) {
        None => format!("{asks}, which is not installed ({})", required.path),
        Some(installed) => {
            let specifiers: VersionSpecifiers = required.versions.parse().ok()?;
            let version: Version = installed.version.parse().ok()?;
            if specifiers.contains(&version) {
                return None;
            }
            format!("{asks}, and {} is installed ({})", installed.version, installed.path)
        }
    };
    Some(Finding::new(
        Severity::Warning,
        RuleCode::PythonRequirement,
        required.name.clone(),
        evidence,
        "find the step that moved it, or silence this where the other version is meant",
    ))
}

/// Says that the packages of Transformer Engine have different versions, which its import refuses.
fn parts(inventory: &Inventory) -> Option<Finding> {
    const PARTS: [&str; 4] = [
        "transformer-engine",
        "transformer-engine-cu12",
        "transformer-engine-cu13",
        "transformer-engine-torch",
    ];
    let installed: Vec<(&str, &str)> = PARTS
        .into_iter()
        .filter_map(|part| Some((part, inventory.distribution(part)?.version.as_str())))
        .collect();
    let public = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    let (_, first) = installed.first()?;
    if installed.iter().all(|(_, version)| public(version) == public(first)) {
        return None;
    }
    let said: Vec<String> = installed.iter().map(|(part, version)| format!("{part} {version}")).collect();
    Some(Finding::new(
        Severity::Error,
        RuleCode::TransformerEngineParts,
        "transformer-engine",
        format!(
            "its packages have different versions, and importing it asserts that they are equal: {}",
            said.join(", ")
        ),
        "install all of them in one step with one version",
    ))
}
