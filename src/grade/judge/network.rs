//! The network: whether its plugin was found, whether it is EFA where it must be, whether GPUs reach it without the CPU.

use super::{Aspect, Case, Hosts, Status, aspect};
use crate::catalog::LogEvent;
use crate::grade::state::Lines;
use crate::grade::{Expected, Line};

/// What helps wherever EFA was expected and is not used.
const CHECK_PLUGIN: &str = "the plugin must be on the loader's path (`smp-image check` says), vpc.amazonaws.com/efa requested for the pod, \
                            and NCCL_NET_PLUGIN unset or `ofi`; NCCL_NET=\"AWS Libfabric\" makes a fallback an error";

/// Whether NCCL found its network plugin.
pub(super) fn plugin(case: &Case<'_>) -> Aspect {
    let name = "plugin";
    let failed = case.event(LogEvent::PluginFailed);
    if failed.count > 0 {
        let said = "a network plugin was found and did not start";
        return aspect(name, Status::Failed, said, CHECK_PLUGIN, failed.first);
    }
    let mut unfit = case.event(LogEvent::PluginUnfit);
    let last = case.event(LogEvent::PluginLastSymbol);
    let nothing_newer = |voice: &crate::grade::state::Voice| voice.last_symbol && !voice.plugin_loaded;
    if last.count > 0 && case.state.voices.values().any(nothing_newer) {
        unfit.count += last.count;
        unfit.first.extend(last.first);
    }
    let missing = case.event(LogEvent::PluginMissing);
    let named = |lines: &std::collections::BTreeMap<String, Lines>| -> Vec<Line> {
        lines.values().filter_map(|lines| lines.first.first().cloned()).take(2).collect()
    };
    let (loaded, plugins) = (&case.state.loaded, &case.state.plugins);
    let both = (!loaded.is_empty() || !plugins.is_empty()) && missing.count + unfit.count > 0;
    if both && case.means_efa() && case.state.networks.keys().any(|network| network != "Libfabric") {
        let lines = if missing.count > 0 { missing.first } else { unfit.first };
        return aspect(name, Status::Failed, "some ranks found no network plugin", CHECK_PLUGIN, lines);
    }
    if !plugins.is_empty() || !loaded.is_empty() {
        let versions = plugins.keys().map(|version| format!("aws-ofi-nccl {version}"));
        let found: Vec<String> = versions.chain(loaded.keys().cloned()).collect();
        let lines = named(if plugins.is_empty() { loaded } else { plugins });
        return aspect(name, Status::Passed, found.join(", "), "", lines);
    }
    if unfit.count > 0 {
        let said = "a network plugin was found that has no interface for this NCCL";
        return aspect(
            name,
            Status::Failed,
            said,
            "take an aws-ofi-nccl that was made for this NCCL",
            unfit.first,
        );
    }
    if missing.count > 0 {
        let (status, said) = if case.means_efa() {
            (Status::Failed, "NCCL found no network plugin")
        } else {
            (Status::Passed, "no network plugin; NCCL's own networks are used")
        };
        return aspect(name, status, said, CHECK_PLUGIN, missing.first);
    }
    if case.state.providers.is_empty() && case.state.networks.is_empty() {
        let remedy = "run with NCCL_DEBUG=INFO, and keep the log from its beginning";
        let said = if case.state.speaks_of_efa {
            "the log speaks of EFA or libfabric, and does not say which plugin was loaded"
        } else {
            "the log says nothing of network plugins"
        };
        return aspect(name, Status::Unknown, said, remedy, Vec::new());
    }
    let said = "loaded or not needed: the log names the network that was chosen";
    aspect(name, Status::Passed, said, "", Vec::new())
}

/// Whether the network is the one that it must be.
pub(super) fn network(case: &Case<'_>) -> Aspect {
    let name = "network";
    let (networks, providers) = (&case.state.networks, &case.state.providers);
    let first = |lines: Option<&Lines>| lines.map(|lines| lines.first.clone()).unwrap_or_default();
    let names = networks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if networks.is_empty() {
        let remedy = "run with NCCL_DEBUG=INFO, and keep the log from its beginning";
        return aspect(name, Status::Unknown, "the log does not say `Using network`", remedy, Vec::new());
    }
    let astray = networks.keys().find(|network| *network != "Libfabric");
    let elsewhere = providers.keys().find(|provider| *provider != "efa");
    if !case.means_efa() {
        return without_efa(case, &names, first(networks.values().next()));
    }
    if let Some(astray) = astray {
        let said = match (networks.len(), astray.as_str()) {
            (1, "Socket") => "fell back to sockets: EFA is not used".to_owned(),
            (1, other) => format!("{other} is used, not EFA"),
            _ => format!("not all ranks use EFA: {names}"),
        };
        return aspect(name, Status::Failed, said, CHECK_PLUGIN, first(networks.get(astray)));
    }
    if let Some(elsewhere) = elsewhere {
        let said = format!("libfabric runs over `{elsewhere}`, not over EFA");
        let remedy = "request vpc.amazonaws.com/efa; leave FI_PROVIDER unset";
        return aspect(name, Status::Failed, said, remedy, first(providers.get(elsewhere)));
    }
    if providers.is_empty() {
        let said = "libfabric is used, and the log does not say over which provider";
        let remedy = "keep the lines of NET/OFI in the log";
        return aspect(name, Status::Unknown, said, remedy, first(networks.values().next()));
    }
    aspect(name, Status::Passed, "EFA through libfabric", "", first(providers.get("efa")))
}

fn without_efa(case: &Case<'_>, names: &str, lines: Vec<Line>) -> Aspect {
    let (status, said) = match (case.expected, case.hosts) {
        (Some(expected), _) => {
            (Status::Passed, format!("{names}; {} has no EFA", expected.instances.join(", ")))
        }
        (None, Hosts::One) => {
            (Status::Passed, format!("{names}; all ranks are on one host and do not use it"))
        }
        (None, Hosts::Many | Hosts::Untold) if names == "Libfabric" || names.starts_with("IB") => {
            (Status::Passed, names.to_owned())
        }
        (None, Hosts::Many | Hosts::Untold) => {
            (Status::Unknown, format!("{names}; nobody said whether the instances have something better"))
        }
    };
    aspect("network", status, said, "name the instances: --instances ml.p5.48xlarge", lines)
}

/// Whether data goes between GPU and network without the CPU, where it must.
pub(super) fn gpu_direct(case: &Case<'_>) -> Aspect {
    let name = "gpu-direct";
    let (direct, copied) = (&case.state.direct, &case.state.copied);
    let all = direct.count + copied.count;
    let uses = format!("{} of {all} channels over the network use GPUDirect RDMA", direct.count);
    match case.expected {
        Some(Expected { gpu_direct: Some(false), instances, .. }) => {
            let said = format!("not required on {}", instances.join(", "));
            aspect(name, Status::Passed, said, "", Vec::new())
        }
        Some(Expected { gpu_direct: None, instances, .. }) => {
            let said =
                format!("{uses}; not required: nothing citable says that {} has it", instances.join(", "));
            aspect(name, Status::Passed, said, "", direct.first.clone())
        }
        _ if all == 0 && case.hosts == Hosts::One => {
            aspect(name, Status::Passed, "no channel leaves the host", "", Vec::new())
        }
        _ if all == 0 => {
            let remedy = "keep the lines `Channel … via NET/…` in the log";
            aspect(name, Status::Unknown, "the log shows no channel over the network", remedy, Vec::new())
        }
        _ if copied.count == 0 => aspect(name, Status::Passed, uses, "", direct.first.clone()),
        Some(_) => {
            let remedy = "the instance has it: look at the EFA driver of the node (efa_nv_peermem or DMA-BUF), and at aws-ofi-nccl's version";
            aspect(name, Status::Failed, uses, remedy, copied.first.clone())
        }
        None => {
            let remedy = "name the instances: --instances ml.p5.48xlarge";
            aspect(name, Status::Unknown, uses, remedy, copied.first.clone())
        }
    }
}
