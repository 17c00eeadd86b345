//! Recipes made at random out of what the catalogue knows, and changed as a repair says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use smp_image::catalog::Catalog;
use smp_image::recipe::{Component, Recipe, Source};

/// What a recipe says.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) base: String,
    pub(super) instances: Vec<String>,
    pub(super) components: BTreeMap<Component, String>,
    pub(super) driver: Option<String>,
    pub(super) precision: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) packages: Vec<String>,
}

impl Order {
    pub(super) fn source(&self) -> Source {
        let quoted =
            |list: &[String]| list.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
        let mut lines = vec![
            "name = \"case\"".to_owned(),
            format!("instances = [{}]", quoted(&self.instances)),
            format!("precision = [{}]", quoted(&self.precision)),
            format!("[base]\nimage = \"{}\"", self.base),
        ];
        lines.extend(self.driver.iter().map(|driver| format!("[nodes]\ndriver = \"{driver}\"")));
        lines.push("[components]".to_owned());
        lines.extend(self.components.iter().map(|(component, range)| format!("{component} = \"{range}\"")));
        lines.push(format!("[python]\npackages = [{}]\n[image.env]", quoted(&self.packages)));
        lines.extend(self.variables.iter().map(|name| format!("{name} = \"1\"")));
        let text = lines.join("\n") + "\n";
        Source::new("case.toml", text)
    }

    pub(super) fn recipe(&self) -> Recipe {
        Recipe::parse(&self.source()).unwrap()
    }

    /// Changes the recipe as the printed `repair` says.
    pub(super) fn repaired(&self, repair: &str) -> Self {
        let mut order = self.clone();
        let taken = |rest: &str| {
            rest.strip_prefix("take ").and_then(|rest| rest.split(" out of ").next().map(str::to_owned))
        };
        if let Some(image) = repair.strip_prefix("base.image = \"") {
            image.trim_end_matches('"').clone_into(&mut order.base);
        } else if let Some(rest) = repair.strip_prefix("nodes with driver ") {
            order.driver = Some(rest.split(' ').next().unwrap().to_owned());
        } else if let Some((name, version)) = repair.split_once(" = \"") {
            order.components.insert(name.parse().unwrap(), version.trim_end_matches('"').to_owned());
        } else {
            let what = taken(repair).unwrap_or_else(|| panic!("a repair that nobody understands: {repair}"));
            if repair.ends_with("[components]") {
                order.components.remove(&what.parse().unwrap());
            } else {
                for list in
                    [&mut order.instances, &mut order.precision, &mut order.variables, &mut order.packages]
                {
                    list.retain(|one| *one != what);
                }
            }
        }
        order
    }
}

const ASKED: &[Component] = &[
    Component::Cuda,
    Component::Cudnn,
    Component::Python,
    Component::Pytorch,
    Component::Smp,
    Component::Nccl,
    Component::Efa,
    Component::AwsOfiNccl,
    Component::Gdrcopy,
    Component::TransformerEngine,
    Component::FlashAttn,
    Component::NcclTests,
];

/// Returns recipes over what `catalog` knows; every one parses, few have a solution by chance.
pub(super) fn orders(catalog: &Catalog) -> impl Strategy<Value = Order> + use<> {
    let bases: Vec<String> = catalog
        .images
        .iter()
        .map(|image| format!("{}:{}", image.repository.replace('*', "us-west-2"), image.tag))
        .collect();
    let instances: Vec<String> = catalog.instances.keys().cloned().collect();
    let formats: Vec<String> = catalog.precisions.iter().map(|row| row.format.clone()).collect();
    let range = |component: Component| {
        let versions: Vec<String> = catalog.versions(component).iter().map(ToString::to_string).collect();
        (select(versions), 0_u8..8).prop_map(move |(version, form)| {
            let range = match form {
                0 => version,
                1 => format!(">={version}"),
                2 => format!("<={version}"),
                _ => "*".to_owned(),
            };
            (component, range)
        })
    };
    let known = |component: &&Component| !catalog.versions(**component).is_empty();
    let one_of_each: Vec<_> =
        ASKED.iter().filter(known).map(|component| prop::option::weighted(0.25, range(*component))).collect();
    let maybe = |values: &[&str]| {
        prop::option::weighted(0.15, select(values.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()))
    };
    let few = (
        maybe(&["470.256.02", "535.183.01", "580.126.09"]),
        prop::option::weighted(
            0.15,
            select(if formats.is_empty() { vec!["fp8".to_owned()] } else { formats }),
        ),
        maybe(&["FI_EFA_USE_DEVICE_RDMA"]),
        maybe(&["torch==2.5.1", "torch>=2.9", "datasets==2.19.0", "nvidia-nccl-cu12>=2.20"]),
    );
    (select(bases), prop::collection::btree_set(select(instances), 1..4), one_of_each, few).prop_map(
        |(base, instances, components, (driver, precision, variable, package))| Order {
            base,
            instances: instances.into_iter().collect(),
            components: possible(components.into_iter().flatten().collect()),
            driver,
            precision: precision.into_iter().collect(),
            variables: variable.into_iter().collect(),
            packages: package.into_iter().collect(),
        },
    )
}

/// Leaves out what cannot be without another component, so that a recipe is about versions.
fn possible(mut components: BTreeMap<Component, String>) -> BTreeMap<Component, String> {
    let has = |components: &BTreeMap<Component, String>, component| components.contains_key(&component);
    if !has(&components, Component::Pytorch) && !has(&components, Component::Smp) {
        components.remove(&Component::FlashAttn);
    }
    if !has(&components, Component::Efa) {
        components.remove(&Component::AwsOfiNccl);
    }
    components
}
