//! The configuration names the platform that was asked for.

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::manifest::matches_platform;
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::PlatformMismatch],
    promise: "The image says that it is for the platform that it was built for.",
    story: "An image built on an Apple-Silicon Mac without --arch is for arm64. Nothing complains until the job on a p5 instance \
            fails with `exec format error`, after the machines were already paid for.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let config = &subject.image.config;
    if matches_platform(config, subject.platform) {
        return Vec::new();
    }
    let named = |part: &str| if part.is_empty() { "nothing".to_owned() } else { part.to_owned() };
    vec![Finding::new(
        Severity::Error,
        RuleCode::PlatformMismatch,
        "configuration",
        format!(
            "os {}, architecture {}; {} was asked for",
            named(&config.os),
            named(&config.architecture),
            subject.platform
        ),
        format!("build again with --arch {}", subject.platform.arch.name()),
    )]
}
