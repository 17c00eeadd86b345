//! What a training loads is there, and defines what it is asked for.

use std::collections::BTreeSet;

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::link;
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[
        RuleCode::LibraryMissing,
        RuleCode::SymbolVersion,
        RuleCode::TorchInterface,
        RuleCode::ExecutableStack,
        RuleCode::LibraryUnread,
    ],
    promise: "The libraries that a training loads find what they need, in versions that define what they ask for.",
    story: "A wheel built on a newer distribution asks for `GLIBC_2.34`; a base image lost libnuma; an extension was compiled for \
            another torch and importing it ends with `undefined symbol: _ZN3c10…`. Since glibc 2.41 (Debian 13) a library that wants \
            an executable stack is refused when it is imported (glibc's NEWS for 2.41). All of it is written in the files, and nobody reads \
            it before a container starts. Judged are torch and its extensions, NCCL and its plugins, libfabric, and what these load, and \
            whether other modules of Python find the runtime of their compiler (libgomp, libstdc++); \
            what the node's driver brings (libcuda.so.1, libnvidia-*) is exempt, and a sibling among Python's packages counts as \
            there, as `import torch` loads it first.",
    run,
};

/// So many askers or symbols are named for each fault.
const NAMED: usize = 3;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let closure = link::closure(subject.image);
    let vital = closure.vital;
    let stops = |askers: &BTreeSet<String>| askers.iter().any(|path| vital.contains(path));
    let missing = closure.missing.into_iter().map(|(soname, askers)| {
        let stops = stops(&askers);
        missing(soname, askers).stopping(stops)
    });
    let lacking = closure.lacking.into_iter().map(|(soname, askers)| lacking(soname, askers));
    let versions = closure.versions.into_iter().map(|((library, version), askers)| {
        let stops = stops(&askers);
        Finding::new(
            Severity::Error,
            RuleCode::SymbolVersion,
            format!("/{library}"),
            format!("it does not define {version}; {} asks for it", named(paths(askers))),
            "take a base image with a newer library, or a build of the asker for this one",
        )
        .stopping(stops)
    });
    let symbols = closure.symbols.into_iter().map(|(path, absent)| {
        let count =
            if absent.len() == 1 { "a symbol".to_owned() } else { format!("{} symbols", absent.len()) };
        Finding::new(
            Severity::Error,
            RuleCode::TorchInterface,
            format!("/{path}"),
            format!("the installed torch does not define {count} that it wants: {}", named(absent)),
            "install a build for this version of torch, or build it against the torch in the image",
        )
        .stopping(vital.contains(&path))
    });
    let stacks = closure.stacks.into_iter().map(|path| {
        Finding::new(
            Severity::Error,
            RuleCode::ExecutableStack,
            format!("/{path}"),
            "the image's glibc refuses to load it, because it wants an executable stack (`cannot enable executable stack as shared object requires`)",
            "take a newer build of it, a base image with an older glibc, or clear the mark (`patchelf --clear-execstack`)",
        )
        .stopping(vital.contains(&path))
    });
    let unread = closure.unread.into_iter().map(|(path, why)| {
        Finding::new(
            Severity::Unknown,
            RuleCode::LibraryUnread,
            format!("/{path}"),
            format!("what it loads cannot be read; {why}"),
            "run `ldd` on it in a container of the image",
        )
    });
    missing.chain(lacking).chain(versions).chain(symbols).chain(stacks).chain(unread).collect()
}

/// Says that a library is nowhere, without which what a training loads does not load.
fn missing(soname: String, askers: BTreeSet<String>) -> Finding {
    Finding::new(
        Severity::Error,
        RuleCode::LibraryMissing,
        soname,
        format!("no file of the search path has this name; {} asks for it", named(paths(askers))),
        "install the package that has it, or put its folder on the loader's path (LD_LIBRARY_PATH, /etc/ld.so.conf.d)",
    )
}

/// Says the same where nobody may import the modules that ask for it.
fn lacking(soname: String, askers: BTreeSet<String>) -> Finding {
    Finding::new(
        Severity::Warning,
        RuleCode::LibraryMissing,
        soname,
        format!("no file of the search path has this name; importing {} ends there", named(paths(askers))),
        "install the package that has it (libgomp1, libgfortran5, …), unless nothing imports these modules",
    )
}

/// Returns paths as an image's user writes them.
fn paths(askers: BTreeSet<String>) -> impl Iterator<Item = String> {
    askers.into_iter().map(|path| format!("/{path}"))
}

fn named(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
