//! The network: EFA installers, the plugin that some of them bring, and which NCCL speaks with which plugin.

use super::{Poser, Way, like};
use crate::catalog::{EfaRelease, NcclAbi, PluginAbi};
use crate::recipe::{Component, Version};
use crate::resolve::problem::{Binds, Line, Row, Rule, Set, Value};

impl Poser<'_> {
    pub(super) fn of_fabric(&mut self) {
        if self.way(Component::Efa).is_some() {
            self.verifiable();
            self.distribution();
            self.bundled();
        }
        self.second_plugin();
        self.one_language();
    }

    /// Returns the installer that is there already, which nobody has to download.
    fn carried_efa(&self) -> Set {
        self.carried(Component::Efa).map_or(Set::NONE, |version| like(&self.domain(Component::Efa), &version))
    }

    /// Nothing that cannot be verified is installed.
    fn verifiable(&mut self) {
        let efa = self.domain(Component::Efa);
        let here = self.carried_efa();
        for release in self.catalog.efa.iter().filter(|release| release.sha256.is_none()) {
            let without = like(&efa, &release.version).and(here.not());
            let sentence = format!(
                "no published checksum of EFA installer {} is known, and a download that cannot be verified is not installed",
                release.version
            );
            let fact = Some(release.fact.clone());
            self.add(Rule::always(Component::Efa, without.not(), sentence, fact));
        }
        if !self.question.wishes.allow_unknown {
            return;
        }
        let listed = efa
            .set(|value| value.version().is_some_and(|version| self.catalog.efa_release(version).is_some()));
        let sentence = "an EFA installer that the catalogue does not know has no checksum to verify it by";
        self.add(Rule::always(Component::Efa, listed, sentence, None));
    }

    /// Installers know some distributions and forget others.
    fn distribution(&mut self) {
        let os = self.base.os.clone();
        let (efa, here) = (self.domain(Component::Efa), self.carried_efa());
        let rows: Vec<_> = self.catalog.os_support.iter().collect();
        for support in rows {
            if support.component != Component::Efa
                || support.os.id != os.id
                || support.os.version != os.version
            {
                continue;
            }
            let runs = efa.within(&support.versions);
            let allows = runs.not().and(here.not()).not();
            let sentence = format!(
                "EFA installers support {} {} only where they are {}",
                os.id,
                os.version,
                support.versions.spoken()
            );
            let fact = Some(support.fact.clone());
            self.add(Rule::always(Component::Efa, allows, sentence, fact).because_of(Line::Base));
        }
    }

    /// From 1.38.0 the installer brings the plugin; before, it is built from source.
    fn bundled(&mut self) {
        if self.way(Component::AwsOfiNccl) != Some(Way::Made) {
            return;
        }
        let (efa, plugin) = (self.domain(Component::Efa), self.domain(Component::AwsOfiNccl));
        let (first, sources) = (self.first_with_plugin(), self.archives(Component::AwsOfiNccl));
        let absent = plugin.set(|value| *value == Value::Absent);
        let unstated = plugin.set(|value| *value == Value::Unstated);
        let asked = self.question.asked.contains_key(&Component::AwsOfiNccl);
        let row = |release: &EfaRelease| {
            let given = like(&efa, &release.version);
            let bundles = first.as_ref().is_some_and(|first| release.version >= *first);
            let (allows, sentence) = match release.plugin.as_ref().map(|plugin| plugin.parse::<Version>()) {
                Some(Ok(version)) => (
                    like(&plugin, &version),
                    format!("EFA installer {} brings aws-ofi-nccl {version}", release.version),
                ),
                _ if bundles => (
                    unstated,
                    format!(
                        "EFA installer {} brings an aws-ofi-nccl whose version its notes do not state",
                        release.version
                    ),
                ),
                _ if asked => (
                    sources,
                    format!(
                        "EFA installer {} brings no aws-ofi-nccl, and sources are known of {} only",
                        release.version,
                        super::listed(&plugin, sources)
                    ),
                ),
                _ => (absent, format!("EFA installer {} brings no aws-ofi-nccl", release.version)),
            };
            Row { given, allows, sentence, fact: Some(release.fact.clone()) }
        };
        let rows = self.catalog.efa.iter().map(row).collect();
        self.add(Rule::between(Component::Efa, Component::AwsOfiNccl, rows).binding(Binds::Always));
    }

    /// Returns the first installer that brings the plugin.
    fn first_with_plugin(&self) -> Option<Version> {
        let with = self.catalog.efa.iter().filter(|release| release.plugin.is_some());
        with.map(|release| release.version.clone()).min()
    }

    /// An installer that brings the plugin must not meet an image that has its own.
    fn second_plugin(&mut self) {
        let (Some(plugin), Some(first)) = (self.carried(Component::AwsOfiNccl), self.first_with_plugin())
        else {
            return;
        };
        let efa = self.domain(Component::Efa);
        let brings = efa.set(|value| value.version().is_some_and(|version| *version >= first));
        let here = self.carried_efa();
        if !brings.and(here).is_none() {
            // The image's own plugin is the installer's; another installer replaces both.
            return;
        }
        let fact = self.catalog.efa_release(&first).map(|release| release.fact.clone());
        let sentence = format!(
            "EFA installers from {first} on bring an aws-ofi-nccl of their own: beside the image's {plugin} there would be two, and path order would decide which one NCCL loads"
        );
        self.add(Rule::always(Component::Efa, brings.not(), sentence, fact).because_of(Line::Base));
    }

    /// NCCL and its plugin must have a version of the network interface in common.
    fn one_language(&mut self) {
        let (plugin, nccl) = (self.domain(Component::AwsOfiNccl), self.domain(Component::Nccl));
        let row = |known: &PluginAbi| {
            let deaf = |abi: &&NcclAbi| known.net.common(abi.net).is_none();
            let deaf: Vec<Set> =
                self.catalog.nccl_abi.iter().filter(deaf).map(|abi| nccl.within(&abi.nccl)).collect();
            let allows = deaf.into_iter().fold(Set::ALL, |left, set| left.and(set.not()));
            Row {
                given: plugin.within(&known.aws_ofi_nccl),
                allows,
                sentence: format!(
                    "aws-ofi-nccl {} speaks versions {} of NCCL's network interface, which that NCCL does not",
                    known.aws_ofi_nccl.spoken(),
                    known.net
                ),
                fact: Some(known.fact.clone()),
            }
        };
        let rows = self.catalog.plugin_abi.iter().map(row).collect();
        self.add(Rule::between(Component::AwsOfiNccl, Component::Nccl, rows));
        let tested = |known: &PluginAbi| {
            let range = known.tested_nccl.as_ref()?;
            let newest = nccl.picked(nccl.within(range)).filter_map(Value::version).max()?.clone();
            Some(Row {
                given: plugin.within(&known.aws_ofi_nccl),
                allows: nccl.set(|value| value.version().is_none_or(|version| *version <= newest)),
                sentence: format!(
                    "aws-ofi-nccl {} was tested with NCCL {}; a newer NCCL falls back to an older interface",
                    known.aws_ofi_nccl.spoken(),
                    range.spoken()
                ),
                fact: Some(known.fact.clone()),
            })
        };
        let rows = self.catalog.plugin_abi.iter().filter_map(tested).collect();
        self.add(Rule::between(Component::AwsOfiNccl, Component::Nccl, rows).binding(Binds::AsAdvice));
    }
}
