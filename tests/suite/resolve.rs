//! The resolver against a fake upstream: what facts decide, what the world is asked, what stays unresolved.

use std::sync::Mutex;

use async_trait::async_trait;
use smp_image::catalog::Catalog;
use smp_image::lock::{CondaFile, Freshness, Lock, LockedPackage, Origin, Pin, PinnedRequirement};
use smp_image::oci::{Digest, Platform, Reference};
use smp_image::recipe::{ArtefactUrl, Component, CondaPackage, Recipe, Source, Version, builtin};
use smp_image::resolve::upstream::{AptQuestion, PythonQuestion, Upstream, UpstreamError};
use smp_image::resolve::{self, Moves, Renewal, ResolveError, upstream::offline::Offline};

/// A fake of the package index and of registries: knows one version of everything, or no registry at all.
#[derive(Default)]
struct FakeUpstream {
    registry_out_of_reach: bool,
    /// Answers in another order.
    shuffled: bool,
    asked: Mutex<Vec<PythonQuestion>>,
}

fn pinned(requirement: &str, source: bool) -> PinnedRequirement {
    PinnedRequirement {
        requirement: requirement.parse().unwrap(),
        hashes: vec![Digest::of(requirement)],
        size: None,
        source,
    }
}

#[async_trait]
impl Upstream for FakeUpstream {
    async fn python(&self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError> {
        self.asked.lock().unwrap().push(question.clone());
        let name = |text: &str| text.split(['=', '<', '>', '!', '~', '[']).next().unwrap().trim().to_owned();
        let exact = |text: &str| {
            text.split_once("==").map_or("7.7.7".to_owned(), |(_, version)| {
                version.split(',').next().unwrap().replace(".*", ".0")
            })
        };
        let answer = |asked: &smp_image::recipe::Requirement| {
            pinned(&format!("{}=={}", name(asked.as_str()), exact(asked.as_str())), false)
        };
        let mut wheels: Vec<PinnedRequirement> = question.requirements.iter().map(answer).collect();
        if self.shuffled {
            wheels.reverse();
        }
        Ok(wheels)
    }

    async fn sdist(
        &self,
        package: &str,
        admits: &(dyn for<'v> Fn(&'v Version) -> bool + Sync),
    ) -> Result<PinnedRequirement, UpstreamError> {
        let catalog = Catalog::embedded().unwrap();
        let compiled = [Component::TransformerEngine, Component::FlashAttn];
        for version in compiled.into_iter().flat_map(|component| catalog.versions(component)) {
            if admits(&version) {
                return Ok(pinned(&format!("{package}=={version}"), true));
            }
        }
        Err(UpstreamError::NoSdist { package: package.to_owned(), known: "7.7.7".to_owned() })
    }

    async fn image(&self, image: &Reference, _: Platform) -> Result<(Digest, Option<u64>), UpstreamError> {
        self.reach(image.registry())?;
        Ok((Digest::of(image.whole()), Some(7)))
    }

    async fn download_digest(&self, url: &ArtefactUrl) -> Result<(Digest, u64), UpstreamError> {
        Ok((Digest::of(url.as_str()), 7))
    }

    async fn apt(&self, question: &AptQuestion) -> Result<Vec<LockedPackage>, UpstreamError> {
        self.reach("deb.debian.org")?;
        let version = |name: &str| Pin::Known(format!("{}-1", name.len()).parse().unwrap());
        let package = |name: &smp_image::recipe::AptPackage| LockedPackage {
            name: name.clone(),
            version: version(name.as_str()),
            file: None,
        };
        let mut packages: Vec<LockedPackage> = question.names.iter().map(package).collect();
        if self.shuffled {
            packages.reverse();
        }
        Ok(packages)
    }

    async fn is_there(&self, _: &str) -> Result<bool, UpstreamError> {
        Ok(true)
    }

    async fn conda(
        &self,
        _: &[ArtefactUrl],
        package: &CondaPackage,
        _: Platform,
    ) -> Result<CondaFile, UpstreamError> {
        self.reach("conda")?;
        let exact: CondaPackage = package.as_str().replace('*', "0").parse().unwrap();
        let file = format!("{}.conda", exact.as_str().replace('=', "-"));
        Ok(CondaFile { package: exact, file, sha256: Digest::of(package.as_str()), size: 7 })
    }
}

impl FakeUpstream {
    fn reach(&self, what: &str) -> Result<(), UpstreamError> {
        let reason = "no route to host".to_owned();
        let gone = UpstreamError::Unreachable { what: what.to_owned(), reason };
        if self.registry_out_of_reach { Err(gone) } else { Ok(()) }
    }
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn renewed(source: &Source, renewal: &Renewal<'_>, upstream: &dyn Upstream) -> Result<Lock, ResolveError> {
    let recipe = Recipe::parse(source).unwrap();
    let catalog = Catalog::embedded().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let locked = runtime.block_on(resolve::lock(source, &recipe, amd64(), &catalog, renewal, upstream))?;
    Ok(locked.lock)
}

fn lock(source: &Source, upstream: &FakeUpstream) -> Result<Lock, ResolveError> {
    renewed(source, &Renewal::default(), upstream)
}

fn of_builtin(name: &str) -> Source {
    Source::new(format!("built-in:{name}"), builtin::find(name).unwrap().text)
}

#[test]
fn every_built_in_recipe_locks_and_its_committed_lock_is_fresh() {
    for recipe in builtin::all() {
        let source = of_builtin(recipe.name);
        lock(&source, &FakeUpstream::default()).unwrap_or_else(|error| panic!("{}: {error:?}", recipe.name));
        let committed = Lock::parse(recipe.name, recipe.lock.unwrap()).unwrap();
        assert_eq!(
            committed.freshness(&source, amd64()),
            Freshness::Fresh,
            "{}: run `make lock`",
            recipe.name
        );
        assert_eq!(
            committed.to_text(),
            recipe.lock.unwrap(),
            "{}: written and read are not the same",
            recipe.name
        );
    }
}

#[test]
fn smp_from_parts_is_exactly_the_release_that_was_asked_for() {
    let lock = lock(&of_builtin("smp-2.8-from-parts"), &FakeUpstream::default()).unwrap();
    let version = |component| lock.component(component).unwrap().version.to_string();
    assert_eq!(version(Component::Smp), "2.8.0");
    assert_eq!(version(Component::Pytorch), "2.5.1");
    assert_eq!(version(Component::Python), "3.11");
    assert_eq!(version(Component::Efa), "1.36.0");
    assert_eq!(version(Component::AwsOfiNccl), "1.13.2");
    assert_eq!(lock.component(Component::AwsOfiNccl).unwrap().origin, Origin::Archive);
}

#[test]
fn an_efa_installer_that_brings_the_plugin_brings_it_into_the_lock() {
    let lock = lock(&of_builtin("pytorch-te"), &FakeUpstream::default()).unwrap();
    let plugin = lock.component(Component::AwsOfiNccl).unwrap();
    assert_eq!(plugin.origin, Origin::Bundled);
    assert_eq!(plugin.version.to_string(), "1.21.1");
}

#[test]
fn what_transformer_engine_opens_and_nothing_requires_is_locked_with_it_in_a_version_of_its_own() {
    let lock = lock(&of_builtin("pytorch-te"), &FakeUpstream::default()).unwrap();
    let engine = lock.component(Component::TransformerEngine).unwrap();
    let curand: Vec<_> = engine.wheels.iter().filter(|pinned| pinned.package() == "nvidia-curand").collect();
    assert_eq!(curand.len(), 1, "{:?}", engine.wheels);
    assert_eq!(curand[0].requirement.as_str(), "nvidia-curand==7.7.7");
}

#[test]
fn what_an_extension_imports_is_locked_where_it_is_compiled_and_only_by_the_versions_that_import_it() {
    let python = |name: &str| {
        let lock = lock(&of_builtin(name), &FakeUpstream::default()).unwrap();
        lock.python.iter().map(|pinned| pinned.package().to_owned()).collect::<Vec<_>>()
    };
    let has = |packages: &[String], name: &str| packages.iter().any(|package| package == name);
    let current = python("pytorch-te");
    for package in ["einops", "nvdlfw-inspect", "nvidia-cudnn-frontend", "onnx", "onnxscript", "pydantic"] {
        assert!(has(&current, package), "{package}: {current:?}");
    }
    // Transformer Engine 1.10 imports none of them, flash-attn one.
    let old = python("smp-2.8-from-parts");
    assert!(has(&old, "einops") && !has(&old, "onnx") && !has(&old, "pydantic"), "{old:?}");
    // The core alone is no extension.
    assert_eq!(python("quickstart"), [""; 0]);
}

#[test]
fn no_requirement_may_replace_the_pytorch_of_the_base() {
    let upstream = FakeUpstream::default();
    lock(&of_builtin("smp-2.8"), &upstream).unwrap();
    let asked = upstream.asked.lock().unwrap();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|question| question.requirements.iter().all(|asked| asked.as_str() != "torch")));
    assert!(asked[0].held_back.contains(&"torch".to_owned()));
    assert!(asked[0].held_back.contains(&"flash-attn".to_owned()), "nor anything else that the base carries");
}

#[test]
fn a_registry_out_of_reach_leaves_the_digest_unresolved_with_the_reason() {
    let upstream = FakeUpstream { registry_out_of_reach: true, ..FakeUpstream::default() };
    let lock = lock(&of_builtin("quickstart"), &upstream).unwrap();
    assert!(matches!(&lock.base.digest, Pin::Unresolved(reason) if reason.contains("no route to host")));
    assert!(lock.unresolved()[0].starts_with("digest of docker.io/library/debian:trixie-slim"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pinned =
        runtime.block_on(resolve::pin(&lock, &Catalog::embedded().unwrap(), &FakeUpstream::default()));
    assert!(pinned.base.digest.known().is_some());
    assert_eq!(pinned.components, lock.components);
}

#[test]
fn a_changed_recipe_makes_the_lock_stale_and_says_so() {
    let source = of_builtin("quickstart");
    let lock = lock(&source, &FakeUpstream::default()).unwrap();
    let changed = Source::new("smp-image.toml", format!("{}\n# later\n", source.text));
    let Freshness::Stale(reasons) = lock.freshness(&changed, amd64()) else { panic!("not stale") };
    assert_eq!(reasons, ["smp-image.toml changed since it was locked"]);
    let arm: Platform = "linux/arm64".parse().unwrap();
    assert!(matches!(lock.freshness(&source, arm), Freshness::Stale(_)));
}

#[test]
fn the_same_answers_in_another_order_give_the_same_bytes() {
    for recipe in builtin::all() {
        let source = of_builtin(recipe.name);
        let text = |shuffled| {
            let upstream = FakeUpstream { shuffled, ..FakeUpstream::default() };
            lock(&source, &upstream).unwrap().to_text()
        };
        assert_eq!(text(false), text(true), "{}", recipe.name);
    }
}

#[test]
fn what_cannot_be_asked_stays_as_the_lock_at_hand_has_it() {
    let source = of_builtin("smp-2.8-from-parts");
    let old = lock(&source, &FakeUpstream::default()).unwrap();
    let down = FakeUpstream { registry_out_of_reach: true, ..FakeUpstream::default() };
    let renewal = Renewal { old: Some(&old), moves: Moves::Everything, allow_unknown: false };
    let kept = renewed(&source, &renewal, &down).unwrap();
    assert_eq!(kept.base, old.base);
    assert_eq!(kept.apt, old.apt);
    assert_eq!(kept.component(Component::Smp).unwrap().conda, old.component(Component::Smp).unwrap().conda);
    let offline = renewed(&source, &Renewal { old: Some(&old), ..Renewal::default() }, &Offline).unwrap();
    assert_eq!(offline.components, old.components, "offline keeps what is at hand");
    assert_eq!((offline.base, offline.apt), (old.base, old.apt));
    let nothing = lock(&source, &down).unwrap();
    assert!(nothing.unresolved().iter().any(|open| open.contains("conda package pytorch=2.5.1")));
}

#[test]
fn packages_of_the_distribution_are_pinned_and_only_a_component_that_moves_asks_for_its_own_again() {
    let source = of_builtin("quickstart");
    let mut old = lock(&source, &FakeUpstream::default()).unwrap();
    assert!(old.apt.iter().all(|package| package.version.known().is_some()));
    for package in &mut old.apt {
        package.version = Pin::Known("0.1".parse().unwrap());
    }
    let renewal =
        Renewal { old: Some(&old), moves: Moves::These([Component::Python].into()), allow_unknown: false };
    let new = renewed(&source, &renewal, &FakeUpstream::default()).unwrap();
    let moved: Vec<&str> = new
        .apt
        .iter()
        .filter(|package| package.version.to_string() != "0.1")
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(moved, ["python3"]);
}
