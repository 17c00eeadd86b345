//! The image stays within what engines and runtimes take: layers, labels.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::LayerCount, RuleCode::LabelSize],
    promise: "The image has no more layers than Docker mounts, and no label that containerd drops.",
    story: "Docker refuses an image with more than 127 layers when it is pulled (`max depth exceeded`), after it was built and \
            pushed elsewhere. containerd takes labels up to 4096 bytes, name and value together (containerd, labels/validate.go): \
            a longer one, such as a manifest pasted into a label, is dropped or stops the container.",
    run,
};

/// Docker's own limit (moby, `layer/layer_store.go`: `maxLayerDepth` is 125, and two are the container's own).
const LAYERS: usize = 127;
/// Name and value of a label together.
const LABEL: usize = 4096;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let count = subject.image.layers.len();
    let mut findings = Vec::new();
    if count > LAYERS {
        findings.push(Finding::new(
            Severity::Error,
            RuleCode::LayerCount,
            "layers",
            format!("there are {count}, and Docker mounts at most {LAYERS}"),
            "join steps, or copy the result of a build stage in one layer",
        ));
    }
    for (name, value) in &subject.image.config.run.labels {
        let size = name.len() + value.len();
        if size > LABEL {
            findings.push(Finding::new(
                Severity::Warning,
                RuleCode::LabelSize,
                super::shorten(name),
                format!("name and value take {size} bytes, and containerd takes {LABEL}"),
                "put the text into a file of the image",
            ));
        }
    }
    findings
}
