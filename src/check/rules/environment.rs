//! The environment of the image sets nothing that belongs to the job.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, shorten};
use crate::catalog::Rdma;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::TransportVariable],
    promise: "No variable of libfabric, RDMA or NCCL's protocol is baked into the image.",
    story: "`FI_EFA_USE_DEVICE_RDMA=1` aborts the process on a g5, which has no RDMA; `NCCL_PROTO=simple` was needed for plugins \
            up to 1.5.0 and costs performance since; `RDMAV_FORK_SAFE` is never right. Such lines are copied from one \
            Dockerfile to the next. They belong to the job, which knows its instances.",
    run,
};

/// Variables and why each does not belong into an image. A name that ends in `_` stands for all that begin so.
const BELONG_TO_THE_JOB: [(&str, &str); 7] = [
    ("FI_EFA_USE_DEVICE_RDMA", "it aborts the process on instances without RDMA, such as g5 (fi_efa(7))"),
    ("FI_", "libfabric chooses better on each instance type"),
    ("RDMAV_", "it is never needed with EFA"),
    ("NCCL_PROTO", "only aws-ofi-nccl up to 1.5.0 needed it; it costs performance since"),
    ("NCCL_ALGO", "NCCL chooses better for each size and topology"),
    ("LD_PRELOAD", "it forces a library on every program in the container"),
    ("CUDA_VISIBLE_DEVICES", "the job decides which GPUs it uses"),
];

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let aborts = subject.named(|instance| instance.rdma == Rdma::None);
    subject
        .image
        .config
        .run
        .env
        .iter()
        .filter_map(|line| aborting(line, &aborts).or_else(|| judge(line)))
        .collect()
}

/// Says that the image asks for RDMA on `instances`, whose EFA devices have none.
fn aborting(line: &str, instances: &[&str]) -> Option<Finding> {
    let value = line.strip_prefix("FI_EFA_USE_DEVICE_RDMA=")?;
    if instances.is_empty() || !matches!(value, "1" | "true" | "yes" | "on") {
        return None;
    }
    Some(Finding::new(
        Severity::Error,
        RuleCode::TransportVariable,
        "FI_EFA_USE_DEVICE_RDMA",
        format!(
            "it aborts the process on {}, whose EFA devices have no RDMA; the image sets it to `{}` (fi_efa(7))",
            instances.join(", "),
            shorten(value)
        ),
        "take it out of the image: since libfabric 1.18 and aws-ofi-nccl 1.7.0 nothing needs it",
    ))
}

fn judge(line: &str) -> Option<Finding> {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let fits = |known: &str| name == known || (known.ends_with('_') && name.starts_with(known));
    let (_, why) = BELONG_TO_THE_JOB.iter().find(|(known, _)| fits(known))?;
    Some(Finding::new(
        Severity::Warning,
        RuleCode::TransportVariable,
        name,
        format!("the image sets it to `{}`: {why}", shorten(value)),
        "take it out of the image and set it in the job that needs it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_for_rdma_where_there_is_none_is_an_error_only_for_those_instances() {
        let found = aborting("FI_EFA_USE_DEVICE_RDMA=1", &["ml.g5.8xlarge"]).unwrap();
        assert_eq!(found.severity, Severity::Error);
        assert!(aborting("FI_EFA_USE_DEVICE_RDMA=0", &["ml.g5.8xlarge"]).is_none());
        assert!(aborting("FI_EFA_USE_DEVICE_RDMA=1", &[]).is_none());
    }

    #[test]
    fn variables_of_the_job_are_named_and_the_images_own_are_not() {
        for line in ["FI_PROVIDER=efa", "RDMAV_FORK_SAFE=1", "NCCL_PROTO=simple", "LD_PRELOAD=/x.so"] {
            assert!(judge(line).is_some(), "{line}");
        }
        for line in ["PATH=/usr/bin", "NCCL_DEBUG=INFO", "FIRST=1", "LD_LIBRARY_PATH=/opt/amazon/efa/lib"] {
            assert!(judge(line).is_none(), "{line}");
        }
    }
}
