//! NCCL finds its network plugin by the name that it tries, there is one, and both speak a common version of the interface.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::loader::{Asker, Loader};
use super::super::note::FileNote;
use super::{Image, Rule, Subject};
use crate::recipe::Version;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::NcclPlugin, RuleCode::PluginInterface, RuleCode::PluginOlder, RuleCode::OpenedByName],
    promise: "The network plugin is reachable as NCCL looks for it, only one is there, and it fits the NCCL that loads it.",
    story: "Where NCCL does not find libnccl-net.so it says so once in a log that nobody reads and uses TCP sockets: a p5 trains at a \
            tenth of its speed (aws/aws-ofi-nccl#174). Since EFA 1.38 the installer brings aws-ofi-nccl; on an image that has its \
            own there are two, and the order of paths decides. A plugin that opens libcudart.so by that name finds nothing in a \
            runtime image, which has libcudart.so.12 only, and runs at half speed or not at all (aws/aws-ofi-nccl#244).",
    run,
};

/// A plugin in the image.
struct Plugin<'a> {
    path: &'a str,
    note: &'a FileNote,
}

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let image = subject.image;
    let loader = Loader::of(image);
    let nccl = super::nccl::torch(image).and_then(|torch| loader.find(Some(torch), "libnccl.so.2"));
    let Some(nccl) = nccl.or_else(|| loader.find(None, "libnccl.so.2")) else { return Vec::new() };
    let plugins = plugins(image);
    let efa = subject.named(|instance| instance.efa > 0);
    let dynamic = |path: &str| image.root.file(path).and_then(|note| note.elf.as_ref()?.dynamic.as_deref());
    let asker = Asker { path: &nccl, dynamic: dynamic(&nccl) };
    let names = names(image);
    let found = names.iter().find_map(|name| loader.find(Some(asker), name));
    let mut findings = Vec::new();
    findings.extend(several(&plugins));
    let Some(found) = found else {
        findings.extend(unreachable(&names, &plugins, &efa));
        return findings;
    };
    let Some(plugin) = image.root.file(&found).map(|note| Plugin { path: &found, note }) else {
        return findings;
    };
    let of_aws = |plugin: &Plugin<'_>| plugin.note.marker().is_some();
    if !of_aws(&plugin)
        && let Some(other) = plugins.values().find(|other| of_aws(other))
    {
        findings.push(Finding::new(
            if efa.is_empty() { Severity::Warning } else { Severity::Error },
            RuleCode::NcclPlugin,
            format!("/{found}"),
            format!("NCCL loads it, and it is not aws-ofi-nccl, which lies in /{}", other.path),
            "put the folder of aws-ofi-nccl first on the loader's path, or set NCCL_NET_PLUGIN=ofi",
        ));
    }
    if let Some(library) = image.root.file(&nccl) {
        findings.extend(interface(&plugin, &nccl, library));
        findings.extend(older(subject, &plugin, library));
    }
    let opens =
        plugin.note.elf.as_ref().is_some_and(|elf| elf.mentions.iter().any(|name| &**name == "libcudart.so"));
    let asker = Asker { path: &found, dynamic: dynamic(&found) };
    if opens && loader.find(Some(asker), "libcudart.so").is_none() {
        findings.push(Finding::new(
            Severity::Error,
            RuleCode::OpenedByName,
            format!("/{found}"),
            "it opens libcudart.so by this name; the loader finds no such file",
            "add a link libcudart.so beside libcudart.so.12 (or .13), in a folder on the loader's path",
        ));
    }
    findings
}

/// Returns the names that NCCL tries (NVIDIA/nccl v2.30.7-1, `src/plugin/plugin_open.cc`).
fn names(image: &Image) -> Vec<String> {
    let variable =
        image.config.run.env.iter().filter_map(|line| line.strip_prefix("NCCL_NET_PLUGIN=")).next_back();
    match variable.filter(|name| !name.is_empty()) {
        None => vec!["libnccl-net.so".to_owned()],
        Some(name) if name.contains('/') || name.contains(".so") => vec![name.to_owned()],
        Some(name) => vec![name.to_owned(), format!("libnccl-net-{name}.so")],
    }
}

/// Returns every plugin by its real path: a link is no second one.
fn plugins(image: &Image) -> BTreeMap<&str, Plugin<'_>> {
    let named = |path: &str| {
        path.rsplit('/').next().is_some_and(|name| name.starts_with("libnccl-net") && name.contains(".so"))
    };
    let files = image.root.files().filter(|(path, ..)| named(path));
    files.map(|(path, note, _)| (path, Plugin { path, note })).collect()
}

/// Says that there are plugins of several versions.
fn several(plugins: &BTreeMap<&str, Plugin<'_>>) -> Option<Finding> {
    let versions: BTreeSet<&str> = plugins.values().filter_map(|plugin| plugin.note.marker()).collect();
    if versions.len() < 2 {
        return None;
    }
    let said: Vec<String> = plugins
        .values()
        .map(|plugin| format!("/{} ({})", plugin.path, plugin.note.marker().unwrap_or("version unknown")))
        .collect();
    Some(Finding::new(
        Severity::Error,
        RuleCode::NcclPlugin,
        "aws-ofi-nccl",
        format!(
            "there are several versions, and the order of paths decides which one NCCL loads; {}",
            said.join(", ")
        ),
        "remove all but one: the EFA installer takes --skip-plugin where the image has its own",
    ))
}

/// Says that NCCL finds no plugin although one is there, or that none is there.
fn unreachable(names: &[String], plugins: &BTreeMap<&str, Plugin<'_>>, efa: &[&str]) -> Option<Finding> {
    let tried = names.join(" and ");
    match plugins.values().next() {
        Some(plugin) => Some(Finding::new(
            if efa.is_empty() { Severity::Warning } else { Severity::Error },
            RuleCode::NcclPlugin,
            format!("/{}", plugin.path),
            format!("NCCL tries {tried} and does not find it; between nodes it will use TCP sockets"),
            "put its folder into LD_LIBRARY_PATH or /etc/ld.so.conf.d, and set NCCL_NET_PLUGIN=ofi where its name is libnccl-net-ofi.so",
        )),
        None if efa.is_empty() => None,
        None => Some(Finding::new(
            Severity::Info,
            RuleCode::NcclPlugin,
            "aws-ofi-nccl",
            format!("it is not there; between nodes of {} NCCL will use TCP sockets", efa.join(", ")),
            "add aws-ofi-nccl to the recipe where a job spans several nodes",
        )),
    }
}

/// Says that plugin and NCCL have no version of the interface in common.
fn interface(plugin: &Plugin<'_>, nccl: &str, library: &FileNote) -> Option<Finding> {
    let symbols = plugin.note.elf.as_ref()?.dynamic.as_ref()?.symbols.as_ref()?;
    let versions = |names: &[Box<str>]| -> BTreeSet<u32> {
        names.iter().filter_map(|name| name.strip_prefix("ncclNetPlugin_v")?.parse().ok()).collect()
    };
    let (offers, takes) = (versions(&symbols.entry_points), versions(&library.elf.as_ref()?.mentions));
    if offers.is_empty() || takes.is_empty() || !offers.is_disjoint(&takes) {
        return None;
    }
    let list = |set: &BTreeSet<u32>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(Finding::new(
        Severity::Error,
        RuleCode::PluginInterface,
        format!("/{}", plugin.path),
        format!(
            "it offers versions {} of the network interface and /{nccl} takes {}; between nodes NCCL will use TCP sockets",
            list(&offers),
            list(&takes)
        ),
        "take a plugin that was tested with this NCCL",
    ))
}

/// Says that the plugin was never tested with an NCCL as new as this one.
fn older(subject: &Subject<'_>, plugin: &Plugin<'_>, library: &FileNote) -> Option<Finding> {
    let version: Version = plugin.note.marker()?.parse().ok()?;
    let nccl: Version = library.marker()?.parse().ok()?;
    let row = subject.target.catalog.plugin_abi.iter().find(|row| row.aws_ofi_nccl.admits(&version))?;
    let tested = row.tested_nccl.as_ref()?;
    // The newest version that the range names; a later patch of the same minor version is as good.
    let named = tested.to_string();
    let versions = named
        .split(',')
        .filter_map(|part| part.trim_start_matches(['<', '>', '=', '~', '!', ' ']).parse().ok());
    let newest: Version = versions.max()?;
    let minor = |version: &Version| version.pep440().release().iter().take(2).copied().collect::<Vec<_>>();
    (minor(&nccl) > minor(&newest)).then(|| {
        Finding::new(
            Severity::Warning,
            RuleCode::PluginOlder,
            format!("/{}", plugin.path),
            format!("aws-ofi-nccl {version} was tested with NCCL up to {newest}, and {nccl} loads it"),
            "take a newer plugin, or measure with nccl-tests before a long job",
        )
    })
}
