//! The resolver: every SMP release as it was released, and on random recipes a naive checker, brute force, repairs that solve.

mod naive;
mod order;

use std::sync::LazyLock;

use proptest::prelude::*;
use smp_image::catalog::Catalog;
use smp_image::recipe::{Component, Recipe, Source, Version};
use smp_image::resolve::{ResolveError, Selection, Wishes, select, why};

use naive::{Versions, broken};
use order::{Order, orders};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap());

fn solve(source: &Source, catalog: &Catalog) -> Result<Selection, ResolveError> {
    select(source, &Recipe::parse(source).unwrap(), catalog, &Wishes::default())
}

fn recipe(base: &str, components: &str) -> Source {
    let text = format!(
        "name = \"case\"\ninstances = [\"ml.p4d.24xlarge\"]\n[base]\nimage = \"{base}\"\n[components]\n{components}\n"
    );
    Source::new("case.toml", text)
}

#[test]
fn each_smp_release_alone_is_exactly_its_row() {
    for release in &CATALOG.smp {
        let base = format!(
            "658645717510.dkr.ecr.us-west-2.amazonaws.com/smdistributed-modelparallel:{}",
            release.tag
        );
        let selection = solve(&recipe(&base, &format!("smp = \"{}\"", release.version)), &CATALOG);
        let selection = selection.unwrap_or_else(|error| panic!("SMP {}: {error}", release.version));
        assert_eq!(selection.versions[&Component::Smp], release.version);
        for (component, version) in &release.carries {
            let got = selection.versions.get(component).map(ToString::to_string);
            let got: Option<Version> = got.map(|text| text.parse().unwrap());
            assert_eq!(got.as_ref(), Some(version), "SMP {}: {component}", release.version);
        }
    }
}

#[test]
fn smp_from_its_parts_takes_the_versions_of_its_release_unasked() {
    let source = recipe(
        "nvidia/cuda:12.4.1-base-ubuntu22.04",
        "smp = \"2.8.0\"\nnccl = \"*\"\nefa = \"*\"\ntransformer-engine = \"*\"\nflash-attn = \"*\"",
    );
    let versions = solve(&source, &CATALOG).unwrap().versions;
    for (component, version) in [
        (Component::Nccl, "2.23.4"),
        (Component::Efa, "1.36.0"),
        (Component::TransformerEngine, "1.10"),
        (Component::FlashAttn, "2.5.8"),
    ] {
        assert_eq!(versions[&component], version.parse().unwrap(), "{component}");
    }
}

#[test]
fn a_lock_s_versions_are_kept_where_they_still_fit() {
    let source = recipe("debian:trixie-slim", "python = \"*\"\ncuda = \"12\"\nnccl = \"*\"\ncudnn = \"*\"");
    let parsed = Recipe::parse(&source).unwrap();
    let keep = [(Component::Nccl, "2.27.5".parse().unwrap())].into_iter().collect();
    let kept = select(&source, &parsed, &CATALOG, &Wishes { keep, ..Wishes::default() }).unwrap();
    assert_eq!(kept.versions[&Component::Nccl].to_string(), "2.27.5");
    let newest = solve(&source, &CATALOG).unwrap();
    assert_eq!(Some(&newest.versions[&Component::Nccl]), CATALOG.versions(Component::Nccl).first());
}

#[test]
fn an_unknown_version_is_taken_only_when_allowed_and_said_to_be_unknown() {
    let source = recipe("debian:trixie-slim", "python = \"*\"\ncuda = \"12\"\nnccl = \"2.99.1\"");
    let error = solve(&source, &CATALOG).unwrap_err().to_string();
    assert!(error.contains("nccl 2.99.1") && error.contains("knows no such version"), "{error}");
    let wishes = Wishes { allow_unknown: true, ..Wishes::default() };
    let selection = select(&source, &Recipe::parse(&source).unwrap(), &CATALOG, &wishes).unwrap();
    assert_eq!(selection.versions[&Component::Nccl].to_string(), "2.99.1");
    let said =
        selection.warnings.iter().any(|warning| warning.starts_with("nothing is known of nccl 2.99.1"));
    assert!(said, "{:?}", selection.warnings);
}

#[test]
fn facts_that_may_only_warn_warn() {
    let text = "name = \"case\"\ninstances = [\"ml.g5.xlarge\"]\n[base]\nimage = \"nvidia/cuda:13.0.2-base-ubuntu22.04\"\n[components]\nefa = \"*\"\n";
    let selection = solve(&Source::new("case.toml", text), &CATALOG).unwrap();
    let said = selection.warnings.iter().any(|warning| warning.contains("ml.g5.xlarge has no EFA device"));
    assert!(said, "{:?}", selection.warnings);
}

#[test]
fn why_tells_the_rule_that_decided_and_what_keeps_out_the_next_newer() {
    let source =
        recipe("nvidia/cuda:13.0.2-base-ubuntu24.04", "python = \"*\"\npytorch = \"2.13\"\nnccl = \"*\"");
    let parsed = Recipe::parse(&source).unwrap();
    let why = why(&source, &parsed, &CATALOG, &Wishes::default(), Component::Nccl).unwrap().unwrap();
    assert_eq!(why.chosen, "2.29.7");
    assert_eq!(why.because[0].sentence, "PyTorch 2.13.0 needs exactly nccl 2.29.7");
    let newer = why.newer.unwrap();
    assert_eq!(newer.version, "2.30.3");
    assert_eq!(newer.because.len(), 1);
    assert!(newer.because[0].origin.contains("torch 2.13.0"), "{:?}", newer.because);
    let absent = smp_image::resolve::why(&source, &parsed, &CATALOG, &Wishes::default(), Component::Efa);
    assert_eq!(absent.unwrap(), None);
}

/// Returns whether any choice of known versions keeps every fact, by trying all.
fn by_force(order: &Order, catalog: &Catalog) -> bool {
    let recipe = order.recipe();
    let base = catalog.image(recipe.base.image.get_ref()).unwrap();
    let mut components: Vec<Component> = order.components.keys().copied().collect();
    components.extend(base.carries.keys().copied());
    components.extend([Component::Cuda, Component::Driver, Component::Python]);
    if order.components.contains_key(&Component::Smp) {
        components.push(Component::Pytorch);
    }
    if order.components.contains_key(&Component::Efa) {
        components.push(Component::AwsOfiNccl);
    }
    components.sort_unstable();
    components.dedup();
    let mut every: Vec<Versions> = vec![Versions::new()];
    for component in components {
        let mut known: Vec<Option<Version>> = catalog.versions(component).into_iter().map(Some).collect();
        known.extend(
            recipe
                .nodes
                .driver
                .iter()
                .filter(|_| component == Component::Driver)
                .map(|own| Some(own.get_ref().clone())),
        );
        if component == Component::AwsOfiNccl {
            known.push(None);
        }
        every = every
            .into_iter()
            .flat_map(|left| {
                known.iter().map(move |version| {
                    let mut more = left.clone();
                    more.extend(version.clone().map(|version| (component, version)));
                    more
                })
            })
            .collect();
    }
    every.iter().any(|versions| broken(&recipe, catalog, versions).is_empty())
}

/// A small catalogue: three versions of a few components, with one fact of each kind.
static SMALL: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::read(&[("small.toml", include_str!("resolver/small.toml"))]).unwrap());

#[test]
fn random_recipes_are_of_both_kinds() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    for catalog in [&*CATALOG, &*SMALL] {
        let mut runner = TestRunner::deterministic();
        let (mut fit, mut refused) = (0, 0);
        for _ in 0..200 {
            let order = orders(catalog).new_tree(&mut runner).unwrap().current();
            match solve(&order.source(), catalog) {
                Ok(_) => fit += 1,
                Err(ResolveError::NoFit(_)) => refused += 1,
                Err(_) => {}
            }
        }
        assert!(fit >= 10 && refused >= 40, "{fit} fit, {refused} do not");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_chosen_keeps_every_fact(order in orders(&CATALOG)) {
        if let Ok(selection) = solve(&order.source(), &CATALOG) {
            let broken = broken(&order.recipe(), &CATALOG, &selection.versions);
            prop_assert!(broken.is_empty(), "{broken:?}\n{:?}", selection.versions);
        }
    }

    #[test]
    fn whenever_nothing_is_chosen_brute_force_finds_nothing(order in orders(&SMALL)) {
        match solve(&order.source(), &SMALL) {
            Ok(selection) => {
                let broken = broken(&order.recipe(), &SMALL, &selection.versions);
                prop_assert!(broken.is_empty(), "{broken:?}\n{:?}", selection.versions);
            }
            Err(ResolveError::NoFit(_)) => prop_assert!(!by_force(&order, &SMALL), "something fits"),
            Err(_) => {}
        }
    }

    #[test]
    fn every_printed_repair_solves(order in orders(&CATALOG)) {
        let Err(ResolveError::NoFit(report)) = solve(&order.source(), &CATALOG) else { return Ok(()) };
        let repairs = report.repairs();
        if let [only] = repairs.as_slice() {
            for repair in only {
                let repaired = solve(&order.repaired(repair).source(), &CATALOG);
                prop_assert!(repaired.is_ok(), "{repair}: {:?}", repaired.err().map(|error| error.to_string()));
            }
        }
        if let Some(together) = report.together() {
            let all = together.iter().fold(order, |order, repair| order.repaired(repair));
            let repaired = solve(&all.source(), &CATALOG);
            prop_assert!(repaired.is_ok(), "{together:?}: {:?}", repaired.err().map(|error| error.to_string()));
        }
    }
}
