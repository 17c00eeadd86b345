//! The environment of the image sets nothing that belongs to the job.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, shorten};

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
    subject.image.config.run.env.iter().filter_map(|line| judge(line)).collect()
}

fn judge(line: &str) -> Option<Finding> {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let fits = |known: &str| name == known || (known.ends_with('_') && name.starts_with(known));
    let (_, why) = BELONG_TO_THE_JOB.iter().find(|(known, _)| fits(known))?;
    Some(Finding {
        severity: Severity::Warning,
        rule: RuleCode::TransportVariable,
        subject: name.to_owned(),
        evidence: format!("the image sets it to `{}`: {why}", shorten(value)),
        remedy: "take it out of the image and set it in the job that needs it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
