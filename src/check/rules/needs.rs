//! CUDA runs on the driver of the node, and components are as new as each instance asks.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};
use crate::catalog::NodeImage;
use crate::recipe::{Component, Version};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::CudaDriver, RuleCode::InstanceNeeds],
    promise: "The image's CUDA runs on the driver that HyperPod nodes have, and NCCL, EFA and the plugin are as new as the instance needs.",
    story: "An image for CUDA 12.9 met a SageMaker host with driver 470 and could not start (aws/deep-learning-containers#4990). Within \
            a major version CUDA runs on every driver from the first of it on (NVIDIA, CUDA compatibility); across, it does not. \
            And P5 needs NCCL 2.18 and aws-ofi-nccl 1.7.2 (awslabs/awsome-distributed-ai, 1.architectures/efa-cheatsheet.md).",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = driver(subject).into_iter().collect();
    for row in &subject.target.catalog.instance_needs {
        let instances = subject.named(|instance| row.concerns(&instance.name));
        let Some(version) = found(subject, row.component) else { continue };
        if instances.is_empty() || row.versions.admits(&version) {
            continue;
        }
        let light = row.advice || !row.fact.confidence.may_fail();
        findings.push(Finding::new(
            if light { Severity::Warning } else { Severity::Error },
            RuleCode::InstanceNeeds,
            row.component.name(),
            format!("{version} is there; {} ({}; {})", row.because, instances.join(", "), row.fact.source),
            format!("take {} {}", row.component, row.versions),
        ));
    }
    findings
}

/// Returns the version of a component, if it was told precisely enough to be compared.
fn found(subject: &Subject<'_>, component: Component) -> Option<Version> {
    let cuda = subject.image.inventory.torch_cuda.as_ref().filter(|_| component == Component::Cuda);
    let version = match cuda {
        Some(cuda) => cuda.version.parse().ok()?,
        None => subject.version(component)?,
    };
    // `libcudart.so.12` says the major version only.
    (version.pep440().release().len() > 1).then_some(version)
}

/// Says that no node image, or not every one, has a driver on which the image's CUDA runs.
fn driver(subject: &Subject<'_>) -> Option<Finding> {
    let cuda = found(subject, Component::Cuda)?;
    let catalog = &subject.target.catalog;
    let Some(row) = catalog.cuda_driver.iter().find(|row| row.cuda.admits(&cuda)) else {
        return Some(Finding::new(
            Severity::Unknown,
            RuleCode::CudaDriver,
            "cuda",
            format!("no fact says which driver CUDA {cuda} needs"),
            "add the fact with --catalog, or update smp-image",
        ));
    };
    let (runs, fails): (Vec<&NodeImage>, Vec<&NodeImage>) =
        catalog.node_images.iter().partition(|node| row.driver.admits(&node.driver));
    if fails.is_empty() {
        return None;
    }
    let said: Vec<String> = fails.iter().map(|node| format!("{} has {}", node.name, node.driver)).collect();
    Some(Finding::new(
        if runs.is_empty() { Severity::Error } else { Severity::Warning },
        RuleCode::CudaDriver,
        "cuda",
        format!("CUDA {cuda} needs a driver {}; {} ({})", row.driver, said.join(", "), row.fact.source),
        "take a base image with an older CUDA, or nodes with a newer driver",
    ))
}
