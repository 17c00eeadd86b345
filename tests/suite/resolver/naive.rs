//! A naive checker: reads the catalogue's tables one by one and says which facts a set of versions breaks. Shares nothing with the
//! solver but the catalogue.

use std::collections::BTreeMap;

use smp_image::catalog::{BaseImage, Catalog, Fact, Rdma};
use smp_image::recipe::{Component, Recipe, Version, VersionRange, package_name};

pub(super) type Versions = BTreeMap<Component, Version>;

struct Checker<'a> {
    recipe: &'a Recipe,
    catalog: &'a Catalog,
    versions: &'a Versions,
    base: &'a BaseImage,
    broken: Vec<String>,
}

/// Returns a sentence for each fact that may fail a build and that `versions` break.
pub(super) fn broken(recipe: &Recipe, catalog: &Catalog, versions: &Versions) -> Vec<String> {
    let base = catalog.image(recipe.base.image.get_ref()).unwrap();
    let mut checker = Checker { recipe, catalog, versions, base, broken: Vec::new() };
    checker.asked();
    checker.base();
    checker.smp();
    checker.torch();
    checker.transformer_engine();
    checker.between();
    checker.efa();
    checker.plugin();
    checker.nodes();
    checker.instances();
    checker.packages();
    checker.broken
}

fn starts_like(version: &Version, stated: &Version) -> bool {
    let (version_release, stated_release) = (version.pep440().release(), stated.pep440().release());
    version == stated
        || version_release.len() > stated_release.len() && version_release.starts_with(stated_release)
}

fn major(version: &Version) -> u64 {
    version.pep440().release()[0]
}

impl Checker<'_> {
    fn get(&self, component: Component) -> Option<&Version> {
        self.versions.get(&component)
    }

    fn say(&mut self, fact: Option<&Fact>, sentence: String) {
        if fact.is_none_or(|fact| fact.confidence.may_fail()) {
            self.broken.push(sentence);
        }
    }

    fn asks(&self, component: Component) -> bool {
        self.recipe.components.contains_key(&component)
    }

    fn carries(&self, component: Component) -> bool {
        let by_release = self.catalog.smp.iter().any(|release| {
            self.base.was.contains(&release.version) && release.carries.contains_key(&component)
        });
        by_release || self.base.carries.contains_key(&component)
    }

    /// Whether `component` is installed by us: asked for, and in no other way in the image.
    fn made(&self, component: Component) -> bool {
        self.asks(component) && !self.carries(component)
    }

    fn asked(&mut self) {
        for (component, range) in &self.recipe.components {
            let range = range.get_ref();
            if matches!(component, Component::Libfabric) {
                continue;
            }
            match self.get(*component).cloned() {
                Some(version) => {
                    let finer = matches!(component, Component::Cuda | Component::Cudnn)
                        && range.named().is_some_and(|named| starts_like(&version, &named));
                    if !range.admits(&version) && !finer {
                        self.say(None, format!("{component} {version} is not {range}"));
                    }
                }
                None if *component == Component::AwsOfiNccl && range.is_any() => {}
                None => self.say(None, format!("{component} has no version")),
            }
        }
    }

    fn base(&mut self) {
        let carried: Vec<(Component, Vec<Version>)> = Component::ALL
            .iter()
            .map(|component| {
                let of_releases =
                    self.catalog.smp.iter().filter(|release| self.base.was.contains(&release.version));
                let of_releases = of_releases.filter_map(|release| release.carries.get(component));
                (*component, of_releases.chain(self.base.carries.get(component)).cloned().collect())
            })
            .filter(|(_, versions): &(_, Vec<Version>)| !versions.is_empty())
            .collect();
        let fact = self.base.fact.clone();
        for (component, versions) in carried.into_iter().filter(|(component, _)| *component != Component::Efa)
        {
            let got = self.get(component).cloned();
            if got.as_ref().is_none_or(|got| !versions.contains(got)) {
                self.say(Some(&fact), format!("the base carries {component} {versions:?}, not {got:?}"));
            }
        }
        let own = self.base.os.python.clone();
        let from_parts = self.made(Component::Smp);
        if !self.carries(Component::Python)
            && !from_parts
            && self.get(Component::Python).is_some_and(|got| !starts_like(got, &own))
        {
            self.say(Some(&fact), "another Python than the distribution's".to_owned());
        }
    }

    fn smp(&mut self) {
        let Some(smp) = self.get(Component::Smp).cloned() else { return };
        let Some(release) = self.catalog.smp.iter().find(|release| release.version == smp) else { return };
        let fixed = [
            Component::Pytorch,
            Component::Python,
            Component::Cuda,
            Component::TransformerEngine,
            Component::FlashAttn,
        ];
        for (component, version) in &release.carries {
            let counts =
                fixed.contains(component) || self.carries(Component::Smp) && *component != Component::Efa;
            if let (true, Some(got)) = (counts, self.get(*component).cloned())
                && !starts_like(&got, version)
            {
                self.say(Some(&release.fact), format!("SMP {smp} has {component} {version}, not {got}"));
            }
        }
    }

    fn torch(&mut self) {
        if !self.made(Component::Pytorch) || self.get(Component::Smp).is_some() {
            return;
        }
        let Some(torch) = self.get(Component::Pytorch).cloned() else { return };
        let Some(row) = self.catalog.pytorch.iter().find(|row| row.version == torch) else { return };
        for (component, pinned) in [(Component::Nccl, &row.nccl), (Component::Cudnn, &row.cudnn)] {
            if let (Some(pinned), Some(got)) = (pinned, self.get(component).cloned())
                && !starts_like(&got, pinned)
            {
                self.say(Some(&row.fact), format!("torch {torch} pins {component} {pinned}, not {got}"));
            }
        }
        if let (Some(cuda), Some(got)) = (&row.cuda, self.get(Component::Cuda).cloned())
            && major(cuda) != major(&got)
        {
            self.say(Some(&row.fact), format!("torch {torch} is for CUDA {cuda}, not {got}"));
        }
        if let (Some(range), Some(got)) = (&row.python, self.get(Component::Python).cloned())
            && !range.admits(&got)
        {
            self.say(Some(&row.fact), format!("torch {torch} needs Python {range}, not {got}"));
        }
    }

    fn transformer_engine(&mut self) {
        if !self.made(Component::TransformerEngine) && !self.made(Component::FlashAttn) {
            return;
        }
        let Some(te) = self.get(Component::TransformerEngine).cloned() else { return };
        // The rows are sorted newest first; the first that is not newer holds.
        let Some(row) = self.catalog.transformer_engine.iter().find(|row| row.version <= te) else { return };
        let needs: [(Component, Option<&VersionRange>); 5] = [
            (Component::Cuda, Some(&row.cuda)),
            (Component::FlashAttn, Some(&row.flash_attn)),
            (Component::Cudnn, row.cudnn.as_ref()),
            (Component::Pytorch, row.pytorch.as_ref()),
            (Component::Python, row.python.as_ref()),
        ];
        for (component, range) in needs {
            if let (Some(range), Some(got)) = (range, self.get(component).cloned())
                && !range.admits(&got)
            {
                self.say(Some(&row.fact), format!("TE {te} and {component} {got} ({range})"));
            }
        }
    }

    fn between(&mut self) {
        for constraint in &self.catalog.constraints {
            let holds = |(component, range): (&Component, &VersionRange)| {
                self.versions.get(component).is_some_and(|version| range.admits(version))
            };
            if constraint.advice || !constraint.when.iter().all(holds) {
                continue;
            }
            for (component, range) in &constraint.needs {
                if self.get(*component).is_some_and(|got| !range.admits(got)) {
                    self.say(Some(&constraint.fact), constraint.because.clone());
                }
            }
        }
        let cuda = self.get(Component::Cuda).map(major).unwrap_or_default();
        for component in [Component::Nccl, Component::Cudnn, Component::TransformerEngine, Component::Cuda] {
            if self.made(component) && self.catalog.packages_of(component, cuda).is_none() {
                self.say(None, format!("nothing brings {component} for CUDA {cuda}"));
            }
        }
        for component in [Component::Gdrcopy, Component::NcclTests] {
            if let (true, Some(got)) = (self.made(component), self.get(component))
                && self.catalog.archive(component, got).is_none()
            {
                self.say(None, format!("no source of {component}"));
            }
        }
    }

    fn efa(&mut self) {
        let Some(efa) = self.get(Component::Efa).cloned() else { return };
        let carried = self.base.carries.get(&Component::Efa) == Some(&efa)
            || self.catalog.smp.iter().any(|release| {
                self.base.was.contains(&release.version) && release.carries.get(&Component::Efa) == Some(&efa)
            });
        if carried {
            return;
        }
        let Some(release) = self.catalog.efa_release(&efa) else {
            return self.say(None, format!("EFA {efa} is not known"));
        };
        if release.sha256.is_none() {
            self.say(Some(&release.fact), format!("EFA {efa} has no checksum"));
        }
        for support in &self.catalog.os_support {
            let here = support.os.id == self.base.os.id && support.os.version == self.base.os.version;
            if here && support.component == Component::Efa && !support.versions.admits(&efa) {
                self.say(Some(&support.fact), format!("EFA {efa} on {}", support.os.id));
            }
        }
        let first: Version = "1.38.0".parse().unwrap();
        let own_is_bundled = self.base.carries.get(&Component::Efa).is_some_and(|own| *own >= first);
        if efa >= first && self.carries(Component::AwsOfiNccl) && !own_is_bundled {
            self.say(None, "two plugins".to_owned());
        }
    }

    fn plugin(&mut self) {
        let plugin = self.get(Component::AwsOfiNccl).cloned();
        if self.made(Component::Efa) && !self.carries(Component::AwsOfiNccl) {
            let first: Version = "1.38.0".parse().unwrap();
            let efa = self.get(Component::Efa).cloned();
            let release = efa.as_ref().and_then(|efa| self.catalog.efa_release(efa));
            if let Some(release) = release {
                let stated: Option<Version> = release.plugin.as_ref().map(|text| text.parse().unwrap());
                match (&stated, &plugin) {
                    (Some(stated), Some(got)) if stated == got => {}
                    (Some(stated), got) => self.say(None, format!("EFA brings {stated}, not {got:?}")),
                    (None, Some(got)) if release.version >= first => {
                        self.say(None, format!("EFA does not state {got}"));
                    }
                    (None, Some(got)) if self.catalog.archive(Component::AwsOfiNccl, got).is_none() => {
                        self.say(None, format!("no source of plugin {got}"));
                    }
                    (None, _) => {}
                }
            }
        }
        let (Some(plugin), Some(nccl)) = (plugin, self.get(Component::Nccl).cloned()) else { return };
        for speaks in self.catalog.plugin_abi.iter().filter(|abi| abi.aws_ofi_nccl.admits(&plugin)) {
            for hears in self.catalog.nccl_abi.iter().filter(|abi| abi.nccl.admits(&nccl)) {
                if speaks.net.common(hears.net).is_none() {
                    self.say(Some(&speaks.fact), format!("plugin {plugin} and NCCL {nccl}"));
                }
            }
        }
    }

    fn nodes(&mut self) {
        let (Some(cuda), Some(driver)) =
            (self.get(Component::Cuda).cloned(), self.get(Component::Driver).cloned())
        else {
            return self.say(None, "no CUDA or no driver".to_owned());
        };
        if self.recipe.nodes.driver.as_ref().is_some_and(|asked| *asked.get_ref() != driver) {
            self.say(None, "another driver than the nodes'".to_owned());
        }
        for row in self.catalog.cuda_driver.iter().filter(|row| row.cuda.admits(&cuda)) {
            if !row.driver.admits(&driver) {
                self.say(Some(&row.fact), format!("CUDA {cuda} on driver {driver}"));
            }
        }
    }

    fn instances(&mut self) {
        for name in &self.recipe.instances {
            let instance = &self.catalog.instances[name.get_ref()];
            for code in &self.catalog.gpu_code {
                let Some(version) = self.get(code.component) else { continue };
                let compiled = [
                    Component::Nccl,
                    Component::Cudnn,
                    Component::Pytorch,
                    Component::Smp,
                    Component::TransformerEngine,
                    Component::FlashAttn,
                ];
                let concerned = compiled.contains(&code.component)
                    && code.concerns(code.component, version, self.get(Component::Cuda));
                let cubin = code.sm.iter().any(|sm| sm / 10 == instance.sm / 10 && *sm <= instance.sm);
                let ptx = code.ptx.iter().any(|sm| *sm <= instance.sm);
                if concerned && !cubin && !ptx {
                    self.say(Some(&code.fact), format!("{} {version} on {}", code.component, instance.name));
                }
            }
            for needs in self.catalog.instance_needs.iter().filter(|needs| needs.concerns(&instance.name)) {
                let got = self.get(needs.component);
                if !needs.advice && got.is_some_and(|got| !needs.versions.admits(got)) {
                    self.say(Some(&needs.fact), needs.because.clone());
                }
            }
            for format in &self.recipe.precision {
                let format = format.get_ref();
                let row = self.catalog.precisions.iter().find(|row| {
                    row.format == *format
                        && instance.sm >= row.from_sm
                        && row.to_sm.is_none_or(|newest| instance.sm <= newest)
                });
                match row {
                    None => self.say(None, format!("{format} on {}", instance.name)),
                    Some(row) => {
                        for (component, range) in &row.needs {
                            if self.get(*component).is_some_and(|got| !range.admits(got)) {
                                self.say(Some(&row.fact), row.because.clone());
                            }
                        }
                    }
                }
            }
            let rdma = self.recipe.image.env.iter().any(|(name, value)| {
                name.as_str() == "FI_EFA_USE_DEVICE_RDMA" && !matches!(value.get_ref().as_str(), "" | "0")
            });
            if rdma && instance.rdma == Rdma::None {
                self.say(None, format!("RDMA on {}", instance.name));
            }
        }
    }

    fn packages(&mut self) {
        for requirement in &self.recipe.python.packages {
            let requirement = requirement.get_ref();
            let name = package_name(requirement.package());
            let owner = self.catalog.packages.iter().find(|packages| package_name(&packages.leader) == name);
            let Some(owner) = owner else { continue };
            if owner.component == Component::Pytorch && self.get(Component::Smp).is_some() {
                self.say(None, "stock torch over SMP".to_owned());
            } else if let (Some(range), Some(got)) = (requirement.range(), self.get(owner.component))
                && !range.admits(got)
            {
                self.say(None, format!("{requirement} and {got}"));
            }
        }
    }
}
