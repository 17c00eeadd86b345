//! libfabric has the `efa` provider, and the EFA installer supports the distribution.

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::loader::Loader;
use super::{Rule, Subject};
use crate::recipe::{Component, Version};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::EfaProvider, RuleCode::EfaDistribution],
    promise: "The libfabric that programs get speaks to EFA devices; the EFA installer knows the distribution.",
    story: "libfabric is built with the providers for which it found libraries. One without `efa` (a build from source, a package of \
            another vendor first on the path) answers `fi_getinfo: -61 No data available`, and NCCL falls back to sockets \
            (aws/aws-ofi-nccl#889). EFA 1.43.0 dropped Ubuntu 20.04, on which SMP images up to 2.7.0 stand (EC2 User Guide, \
            EFA release notes).",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    provider(subject).into_iter().chain(distribution(subject)).collect()
}

/// Says that libfabric has no `efa` provider. With it, it asks for libefa, or has it as a module beside itself.
fn provider(subject: &Subject<'_>) -> Option<Finding> {
    let image = subject.image;
    let path = Loader::of(image).find(None, "libfabric.so.1")?;
    let elf = image.root.file(&path)?.elf.as_ref()?;
    let module = image.root.names().any(|path| path.ends_with("/libefa-fi.so"));
    let efa = subject.named(|instance| instance.efa > 0);
    let Some(dynamic) = &elf.dynamic else {
        return elf.unread.as_ref().map(|unread| {
            Finding::new(
                Severity::Unknown,
                RuleCode::EfaProvider,
                format!("/{path}"),
                format!("whether it has the efa provider cannot be read; {unread}"),
                "run the probe fabric-provider of `smp-image smoke`",
            )
        });
    };
    if module || dynamic.needed.iter().any(|name| name.starts_with("libefa.so")) {
        return None;
    }
    Some(Finding::new(
        if efa.is_empty() { Severity::Warning } else { Severity::Error },
        RuleCode::EfaProvider,
        format!("/{path}"),
        "it has no efa provider; it asks for no libefa, and no provider module is there",
        "install libfabric by the EFA installer or the distribution, and put its folder first on the loader's path",
    ))
}

/// Says that the EFA installer does not support the distribution.
fn distribution(subject: &Subject<'_>) -> Option<Finding> {
    let inventory = &subject.image.inventory;
    let installed = inventory.efa.as_ref()?;
    let version: Version = installed.version.parse().ok()?;
    let (id, os) = inventory.os.as_ref()?;
    let rows = subject.target.catalog.os_support.iter();
    let row = rows
        .filter(|row| row.component == Component::Efa)
        .find(|row| row.os.id == *id && row.os.version == os.version)?;
    (!row.versions.admits(&version)).then(|| {
        Finding::new(
            if row.fact.confidence.may_fail() { Severity::Error } else { Severity::Warning },
            RuleCode::EfaDistribution,
            "efa",
            format!(
                "EFA {version} is installed on {id} {}, which {} supports ({})",
                os.version, row.versions, row.fact.source
            ),
            "take an installer that supports the distribution, or a newer base image",
        )
    })
}
