//! What the base image decides: what it carries, its distribution, and what an SMP release is made of.

use super::{Poser, Way, like};
use crate::catalog::SmpRelease;
use crate::recipe::{Component, Version};
use crate::resolve::problem::{Line, Row, Rule, Set, Value};

/// What an SMP release fixes. The rest of what its image carries is preferred, and warned of where it differs.
const FIXED_BY_SMP: &[Component] = &[
    Component::Pytorch,
    Component::Python,
    Component::Cuda,
    Component::TransformerEngine,
    Component::FlashAttn,
];

impl Poser<'_> {
    /// Adds what the base carries, and the version of Python that its distribution has.
    pub(super) fn of_base(&mut self) {
        for (component, version) in &self.base.carries.clone() {
            // Another installer may run over the one that is there.
            if *component == Component::Efa {
                continue;
            }
            let domain = self.domain(*component);
            let releases = self.moved().filter_map(|release| release.carries.get(component));
            let carried = releases
                .chain([version])
                .fold(Set::NONE, |set, version| set.or(domain.set(|value| value.version() == Some(version))));
            let sentence = format!("the base image carries {component} {}", super::listed(&domain, carried));
            let fact = Some(self.base.fact.clone());
            self.add(Rule::always(*component, carried, sentence, fact).because_of(Line::Base));
        }
        if self.way(Component::Python) == Some(Way::Made) {
            let os = &self.base.os;
            let own = like(&self.domain(Component::Python), &os.python);
            let sentence = format!("python3 of {} {} is {}", os.id, os.version, os.python);
            let fact = Some(self.base.fact.clone());
            self.add(Rule::always(Component::Python, own, sentence, fact).because_of(Line::Base));
        }
    }

    /// Returns the SMP releases that the base's tag was, if it moved.
    fn moved(&self) -> impl Iterator<Item = &SmpRelease> {
        self.catalog.smp.iter().filter(|release| self.base.was.contains(&release.version))
    }

    /// Adds what each SMP release is made of, where SMP comes from its conda channel or its image does not say which release it is.
    pub(super) fn of_smp(&mut self) {
        if self.way(Component::Smp).is_none() {
            return;
        }
        let releases = self.domain(Component::Smp);
        let parts: Vec<Component> = match self.way(Component::Smp) {
            // Another EFA installer may run over the one that is there.
            Some(Way::Carried) => {
                self.base.carries.keys().copied().filter(|part| *part != Component::Efa).collect()
            }
            _ => FIXED_BY_SMP.to_vec(),
        };
        for component in &parts {
            let parts = self.domain(*component);
            let row = |release: &SmpRelease| {
                let part = release.carries.get(component)?;
                Some(Row {
                    given: like(&releases, &release.version),
                    allows: like(&parts, part),
                    sentence: format!("SMP {} is made with {component} {part}", release.version),
                    fact: Some(release.fact.clone()),
                })
            };
            let rows = self.catalog.smp.iter().filter_map(row).collect();
            self.add(Rule::between(Component::Smp, *component, rows));
        }
    }

    /// Returns the version of `component` in the newest SMP release that the recipe admits, if SMP comes from its parts.
    pub(super) fn released_with_smp(&self, component: Component) -> Option<&Version> {
        let range = self.question.asked.get(&Component::Smp)?;
        let release = self.catalog.smp.iter().find(|release| range.admits(&release.version))?;
        release.carries.get(&component)
    }

    /// Adds that a component can only be built from a source that the catalogue knows.
    pub(super) fn of_archives(&mut self) {
        for component in [Component::Gdrcopy, Component::NcclTests] {
            if self.way(component) == Some(Way::Made) {
                let known = self.archives(component);
                let sentence = format!("no source of another {component} is in the catalogue");
                self.add(Rule::always(component, known, sentence, None));
            }
        }
    }

    /// Returns the versions of `component` whose source the catalogue knows.
    pub(super) fn archives(&self, component: Component) -> Set {
        self.domain(component).set(|value| {
            let Value::Version(version) = value else { return false };
            self.catalog.archive(component, version).is_some()
        })
    }
}
