//! The image stays within what engines and runtimes take: layers, labels.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::LayerCount, RuleCode::LabelSize],
    promise: "The image has no more layers than Docker mounts, and no label that Kubernetes' containerd drops.",
    story: "Docker refuses an image with more than 125 layers when it is pulled (`max depth exceeded`; moby, \
            layer/layer_store.go), after it was built and pushed elsewhere. containerd takes labels up to 4096 bytes, name and \
            value together (containerd, pkg/labels/validate.go): with a longer one, such as a manifest pasted into a label, a \
            container of Kubernetes starts without that label (internal/cri/util/util.go).",
    run,
};

/// Docker's limit: `maxLayerDepth`, as some storage drivers take 127 and a container adds two.
const LAYERS: usize = 125;
/// Name and value of a label together: `maxSize` of containerd's `Validate`.
const LABEL: usize = 4096;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let count = subject.image.layers.len();
    let mut findings = Vec::new();
    if count > LAYERS {
        findings.push(Finding::new(
            Severity::Error,
            RuleCode::LayerCount,
            "layers",
            format!("there are {count}, and Docker takes at most {LAYERS}"),
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
