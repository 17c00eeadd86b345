//! What Python packages need of each other: PyTorch's NVIDIA libraries, Transformer Engine's CUDA and flash-attn, packages by CUDA.

use super::{Poser, Way, like, same_major};
use crate::catalog::{PytorchRelease, TransformerEngineRelease};
use crate::recipe::{Component, Version, VersionRange, package_name};
use crate::resolve::problem::{Line, Row, Rule, Set, Value};

/// What a wheel of PyTorch pins.
type Pinned = fn(&PytorchRelease) -> Option<&Version>;
/// What a Transformer Engine needs.
type Needed = fn(&TransformerEngineRelease) -> Option<&VersionRange>;

impl Poser<'_> {
    pub(super) fn of_python(&mut self) {
        if self.way(Component::Pytorch) == Some(Way::Made) {
            self.pytorch();
        }
        if self.way(Component::TransformerEngine) == Some(Way::Made)
            || self.way(Component::FlashAttn) == Some(Way::Made)
        {
            self.transformer_engine();
        }
        for component in [Component::Cudnn, Component::Nccl, Component::TransformerEngine, Component::Cuda] {
            if self.way(component) == Some(Way::Made) {
                self.by_cuda(component);
            }
        }
        self.of_archives();
        self.own_packages();
    }

    /// Adds what a wheel of PyTorch needs: exactly one NCCL and cuDNN, its CUDA, some Pythons.
    fn pytorch(&mut self) {
        let torch = self.domain(Component::Pytorch);
        let pins: [(Component, Pinned); 2] = [
            (Component::Nccl, |release| release.nccl.as_ref()),
            (Component::Cudnn, |release| release.cudnn.as_ref()),
        ];
        for (component, pinned) in pins {
            let parts = self.domain(component);
            let row = |release: &PytorchRelease| {
                let version = pinned(release)?;
                Some(Row {
                    given: like(&torch, &release.version),
                    allows: like(&parts, version),
                    sentence: format!("PyTorch {} needs exactly {component} {version}", release.version),
                    fact: Some(release.fact.clone()),
                })
            };
            let rows = self.catalog.pytorch.iter().filter_map(row).collect();
            self.add(Rule::between(Component::Pytorch, component, rows));
        }
        let (cuda, python) = (self.domain(Component::Cuda), self.domain(Component::Python));
        let of_cuda = |release: &PytorchRelease| {
            let version = release.cuda.as_ref()?;
            Some(Row {
                given: like(&torch, &release.version),
                allows: same_major(&cuda, version),
                sentence: format!(
                    "the wheel of PyTorch {} is built for CUDA {version}, and what is compiled against it must have the same major version",
                    release.version
                ),
                fact: Some(release.fact.clone()),
            })
        };
        let of_python = |release: &PytorchRelease| {
            let range = release.python.as_ref()?;
            Some(Row {
                given: like(&torch, &release.version),
                allows: python.within(range),
                sentence: format!("PyTorch {} needs Python {}", release.version, range.spoken()),
                fact: Some(release.fact.clone()),
            })
        };
        let rows = self.catalog.pytorch.iter().filter_map(of_cuda).collect();
        self.add(Rule::between(Component::Pytorch, Component::Cuda, rows));
        let rows = self.catalog.pytorch.iter().filter_map(of_python).collect();
        self.add(Rule::between(Component::Pytorch, Component::Python, rows));
    }

    /// Adds what each Transformer Engine needs; a row of the catalogue holds for later versions up to the next one.
    fn transformer_engine(&mut self) {
        let needs: [(Component, Needed); 5] = [
            (Component::Cuda, |release| Some(&release.cuda)),
            (Component::FlashAttn, |release| Some(&release.flash_attn)),
            (Component::Cudnn, |release| release.cudnn.as_ref()),
            (Component::Pytorch, |release| release.pytorch.as_ref()),
            (Component::Python, |release| release.python.as_ref()),
        ];
        for (component, needed) in needs {
            let parts = self.domain(component);
            let row = |(release, given): (&TransformerEngineRelease, Set)| {
                let range = needed(release)?;
                let verb = if component == Component::FlashAttn { "accepts" } else { "needs" };
                Some(Row {
                    given,
                    allows: parts.within(range),
                    sentence: format!(
                        "Transformer Engine from {} on {verb} {component} {}",
                        release.version,
                        range.spoken()
                    ),
                    fact: Some(release.fact.clone()),
                })
            };
            let rows = self.rows_of_transformer_engine().into_iter().filter_map(row).collect();
            self.add(Rule::between(Component::TransformerEngine, component, rows));
        }
    }

    /// Returns the rows of Transformer Engine, each with the versions for which it holds.
    fn rows_of_transformer_engine(&self) -> Vec<(&TransformerEngineRelease, Set)> {
        let domain = self.domain(Component::TransformerEngine);
        let mut later: Option<&Version> = None;
        let mut rows = Vec::new();
        for release in &self.catalog.transformer_engine {
            let given = domain.set(|value| {
                let Value::Version(version) = value else { return false };
                *version >= release.version && later.is_none_or(|later| version < later)
            });
            rows.push((release, given));
            later = Some(&release.version);
        }
        rows
    }

    /// Adds for which CUDA there are packages that bring `component`.
    fn by_cuda(&mut self, component: Component) {
        let cuda = self.domain(Component::Cuda);
        let mut majors: Vec<u64> =
            cuda.versions().filter_map(|version| version.pep440().release().first().copied()).collect();
        majors.dedup();
        for major in majors {
            let given = cuda.set(|value| {
                value.version().is_some_and(|version| version.pep440().release().first() == Some(&major))
            });
            let known = self.catalog.packages_of(component, major);
            if component == Component::Cuda {
                if known.is_none() {
                    let sentence = format!("no Python package brings CUDA {major}");
                    self.add(Rule::always(component, given.not(), sentence, None));
                }
                continue;
            }
            if known.is_none() {
                let sentence = format!("no Python package brings {component} for CUDA {major}");
                let row = Row { given, allows: Set::NONE, sentence, fact: None };
                self.add(Rule::between(Component::Cuda, component, vec![row]));
            }
        }
    }

    /// Adds what the recipe's own Python packages mean for components: a range, or SMP's PyTorch replaced.
    fn own_packages(&mut self) {
        for requirement in &self.question.packages {
            let line = Line::Package(requirement.as_str().to_owned());
            let name = package_name(requirement.package());
            let Some(owner) =
                self.catalog.packages.iter().find(|packages| package_name(&packages.leader) == name)
            else {
                continue;
            };
            let component = owner.component;
            let has_smp = self.way(Component::Smp).is_some();
            if component == Component::Pytorch && has_smp {
                let sentence =
                    "SMP v2 is AWS's own build of PyTorch, and a stock wheel of torch silently replaces it";
                let release = self.catalog.smp.first().map(|release| release.fact.clone());
                self.add(Rule::never(sentence, release).because_of(line));
                continue;
            }
            if let Some(range) = requirement.range() {
                let admitted = self.domain(component).within(&range);
                let sentence = format!("{} narrows {component}", requirement.as_str());
                self.add(Rule::always(component, admitted, sentence, None).because_of(line));
            }
        }
    }
}
