//! The rules: pure functions from a merged image and what is expected of it to findings. One file each.
//!
//! To add one: write `check/rules/<name>.rs` with a `RULE`, list it in [`RULES`] and name its codes in `check/finding.rs`.

use std::collections::BTreeMap;

use super::blob::{Blob, Codec, Content};
use super::component::{self, ComponentSeen};
use super::finding::{Finding, RuleCode};
use super::instances::InstanceVerdict;
use super::inventory::Inventory;
use super::libraries;
use super::manifest::{Config, Descriptor, Joined, Mismatch};
use super::root::Root;
use super::target::{Silence, Silenced, Target};
use super::{ConfigSummary, Inspection, LayerSummary, ReadSummary};
use crate::catalog::Instance;
use crate::oci::{Digest, Platform};
use crate::plan::Expectation;
use crate::recipe::{Component, Version};

mod components;
mod cuda_compat;
mod declared;
mod digests;
mod duplicates;
mod environment;
mod fabric;
mod gpu_code;
mod layer_sizes;
mod leftovers;
mod link;
mod machines;
mod media_types;
mod nccl;
mod needs;
mod packages;
mod platform;
mod plugin;
mod python_requirements;
mod replaced_links;
mod secrets;
mod silences;
mod size_limits;
mod stock_pytorch;
mod transformer_engine;
mod waste;

/// A rule: what it looks for and why.
pub struct Rule {
    /// The codes of its findings.
    pub codes: &'static [RuleCode],
    /// What it promises, in one sentence.
    pub promise: &'static str,
    /// What goes wrong without it, in a few sentences.
    pub story: &'static str,
    run: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every rule, in the order in which documents list them.
pub static RULES: &[Rule] = &[
    platform::RULE,
    machines::RULE,
    link::RULE,
    digests::RULE,
    gpu_code::RULE,
    needs::RULE,
    components::RULE,
    declared::RULE,
    nccl::RULE,
    plugin::RULE,
    fabric::RULE,
    python_requirements::RULE,
    transformer_engine::RULE,
    stock_pytorch::RULE,
    packages::RULE,
    cuda_compat::RULE,
    environment::RULE,
    media_types::RULE,
    layer_sizes::RULE,
    size_limits::RULE,
    waste::RULE,
    duplicates::RULE,
    leftovers::RULE,
    secrets::RULE,
    replaced_links::RULE,
    silences::RULE,
];

/// What a rule may look at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    image: &'a Image,
    platform: Platform,
    expectations: &'a [Expectation],
    components: &'a [ComponentSeen],
    /// The instances on which it must run; empty where nobody named any.
    instances: &'a [&'a Instance],
    target: &'a Target,
}

impl Subject<'_> {
    /// Returns the version of `component` that was found; none where it is not there or does not say.
    fn version(&self, component: Component) -> Option<Version> {
        let seen = self.components.iter().find(|seen| seen.component == component)?;
        let found = component::upstream_version(seen.found.as_deref()?);
        found.parse().ok()
    }

    /// Returns the instances of which `which` holds, by name.
    fn named(&self, which: impl Fn(&Instance) -> bool) -> Vec<&str> {
        self.instances
            .iter()
            .filter(|instance| which(instance))
            .map(|instance| instance.name.as_str())
            .collect()
    }
}

/// An image with its layers merged.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) root: Root,
    pub(super) inventory: Inventory,
    pub(super) config: Config,
    pub(super) config_digest: Digest,
    pub(super) manifest: Option<Descriptor>,
    pub(super) layers: Vec<Layer>,
    pub(super) mismatches: Vec<Mismatch>,
}

/// A layer, after its members went into the root.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) summary: LayerSummary,
    /// What the manifest says of it, where there is one.
    pub(super) described: Option<String>,
    pub(super) codec: Codec,
    pub(super) damage: Option<String>,
}

impl Image {
    /// Merges the layers that `joined` names, out of `blobs`.
    pub(super) fn new(joined: Joined, mut blobs: BTreeMap<String, Blob>) -> Self {
        let steps: Vec<&str> = made_layers(&joined.config);
        let mut root = Root::default();
        let mut layers = Vec::new();
        for (at, (path, descriptor)) in joined.layers.iter().enumerate() {
            let Some(Blob { digest, size, content: Content::Layer(layer) }) = blobs.get_mut(path) else {
                continue;
            };
            let last_use = !joined.layers[at + 1..].iter().any(|(later, _)| later == path);
            let entries = if last_use { std::mem::take(&mut layer.entries) } else { layer.entries.clone() };
            let described = descriptor.as_ref().map(|descriptor| descriptor.media_type.clone());
            let summary = LayerSummary {
                digest: *digest,
                diff_id: layer.diff_id,
                media_type: described.clone().unwrap_or_else(|| layer.codec.media_type().to_owned()),
                size: *size,
                unpacked: layer.unpacked,
                files: entries.len() as u64,
                created_by: shown_step(steps.get(at).copied().unwrap_or_default()),
            };
            layers.push(Layer { summary, described, codec: layer.codec, damage: layer.damage.clone() });
            root.apply(at + 1, entries);
        }
        let inventory = Inventory::of(&root);
        let Joined { config, config_digest, manifest, mismatches, .. } = joined;
        Self { root, inventory, config, config_digest, manifest, layers, mismatches }
    }
}

impl Codec {
    /// Returns the media type that Docker's layout without manifest means.
    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.docker.image.rootfs.diff.tar",
            Self::Gzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Returns the steps that made a layer each; none where the history does not match the layers.
fn made_layers(config: &Config) -> Vec<&str> {
    let steps: Vec<&str> =
        config.history.iter().filter(|step| !step.empty_layer).map(|step| step.created_by.as_str()).collect();
    if steps.len() == config.rootfs.diff_ids.len() { steps } else { Vec::new() }
}

/// What stands for a value that the report must not spread further than the image does.
const HIDDEN: &str = "(hidden: it looks like a secret)";

fn shown_step(step: &str) -> String {
    if secrets::step_holds_secret(step) {
        return HIDDEN.to_owned();
    }
    // What the builders put around a step, old and new.
    let step = step.trim().trim_end_matches("# buildkit").trim_start_matches("/bin/sh -c #(nop) ");
    shorten(&step.replacen("RUN /bin/sh -c ", "RUN ", 1))
}

fn shown_value(name: &str, value: &str) -> String {
    if secrets::looks_secret(name, value) { HIDDEN.to_owned() } else { value.to_owned() }
}

/// Returns the text on one line, at most 160 characters long.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 160 { line } else { line.chars().take(159).chain(['…']).collect() }
}

/// Applies every rule; `read` is asked last, so that it can say how long all of it took.
pub(super) fn judge(image: &Image, target: &Target, read: impl FnOnce(&Image) -> ReadSummary) -> Inspection {
    let expected = !target.expectations.is_empty();
    let components: Vec<ComponentSeen> = if expected {
        target.expectations.iter().map(|expectation| component::see(image, expectation)).collect()
    } else {
        component::infer(image, &target.catalog)
    };
    let anywhere = Subject {
        image,
        platform: target.platform,
        expectations: &target.expectations,
        components: &components,
        instances: &[],
        target,
    };
    let (everywhere, by_instance): (Vec<&Rule>, Vec<&Rule>) =
        RULES.iter().partition(|rule| !rule.codes.iter().any(|code| code.depends_on_instances()));
    let mut found = Vec::new();
    for rule in everywhere {
        found.extend((rule.run)(&anywhere));
    }
    let of_instances = |instances: &[&Instance]| -> Vec<Finding> {
        let subject = Subject { instances, ..anywhere };
        by_instance.iter().flat_map(|rule| (rule.run)(&subject)).collect()
    };
    let instances = target.judged().into_iter().map(|instance| {
        let mut all: Vec<Finding> = found.iter().cloned().chain(of_instances(&[instance])).collect();
        all.retain(|finding| !target.silences.iter().any(|silence| silence.covers(finding)));
        all.sort();
        InstanceVerdict::new(instance, &all)
    });
    let instances = instances.collect();
    found.extend(of_instances(&target.instances.iter().collect::<Vec<_>>()));
    let (findings, silenced) = silenced(found, &target.silences);
    let config = summary(image);
    let layers = image.layers.iter().map(|layer| layer.summary.clone()).collect();
    Inspection {
        platform: target.platform,
        findings,
        silenced,
        target: target.chosen,
        instances,
        libraries: libraries::of(image),
        components,
        packages: image.inventory.versions(),
        environment: image.config.run.env.iter().map(|line| shown_variable(line)).collect(),
        layers,
        config,
        read: read(image),
    }
}

/// Returns the findings that are to be heard, the gravest first, and those that the recipe silences.
fn silenced(found: Vec<Finding>, silences: &[Silence]) -> (Vec<Finding>, Vec<Silenced>) {
    let mut used = vec![false; silences.len()];
    let (mut heard, mut quiet) = (Vec::new(), Vec::new());
    for finding in found {
        match silences.iter().position(|silence| silence.covers(&finding)) {
            Some(at) => {
                used[at] = true;
                quiet.push(Silenced { finding, reason: silences[at].reason.clone() });
            }
            None => heard.push(finding),
        }
    }
    let idle = silences.iter().zip(used).filter(|(_, used)| !used);
    heard.extend(idle.map(|(silence, _)| silences::idle(silence)));
    heard.sort();
    quiet.sort_by(|a, b| a.finding.cmp(&b.finding));
    (heard, quiet)
}

/// Returns a line of the environment as reports show it.
fn shown_variable(line: &str) -> String {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    format!("{name}={}", shown_value(name, value))
}

fn summary(image: &Image) -> ConfigSummary {
    let run = &image.config.run;
    ConfigSummary {
        digest: image.config_digest,
        manifest: image.manifest.as_ref().map(|manifest| manifest.digest),
        platform: format!("{}/{}", image.config.os, image.config.architecture),
        command: run.entrypoint.iter().chain(&run.cmd).cloned().collect(),
        workdir: run.working_dir.clone(),
        user: run.user.clone(),
        labels: run.labels.iter().map(|(name, value)| (name.clone(), shown_value(name, value))).collect(),
    }
}

/// Returns `bytes` as people read them, in decimal units as registries count.
pub(crate) fn human(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}
