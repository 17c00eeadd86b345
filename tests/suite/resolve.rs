//! The resolver against a fake upstream: what facts decide, what the world is asked, what stays unresolved.

use std::sync::Mutex;

use async_trait::async_trait;
use smp_image::catalog::Catalog;
use smp_image::lock::{Freshness, Lock, Origin, Pin, PinnedRequirement};
use smp_image::oci::{Digest, Platform, Reference};
use smp_image::recipe::{ArtefactUrl, Component, Recipe, Source, Version, builtin};
use smp_image::resolve::upstream::{PythonQuestion, Upstream, UpstreamError};
use smp_image::resolve::{self, ResolveError, Wishes};

/// A fake of the package index and of registries: knows one version of everything, or no registry at all.
#[derive(Default)]
struct FakeUpstream {
    registry_out_of_reach: bool,
    asked: Mutex<Vec<PythonQuestion>>,
}

fn pinned(requirement: &str, source: bool) -> PinnedRequirement {
    PinnedRequirement {
        requirement: requirement.parse().unwrap(),
        hashes: vec![Digest::of(requirement)],
        source,
    }
}

#[async_trait]
impl Upstream for FakeUpstream {
    async fn python(&self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, UpstreamError> {
        self.asked.lock().unwrap().push(question.clone());
        let name = |text: &str| text.split(['=', '<', '>', '!', '~', '[']).next().unwrap().trim().to_owned();
        let exact = |text: &str| {
            text.split_once("==").map_or("7.7.7".to_owned(), |(_, version)| version.replace(".*", ".0"))
        };
        Ok(question
            .requirements
            .iter()
            .map(|asked| pinned(&format!("{}=={}", name(asked.as_str()), exact(asked.as_str())), false))
            .collect())
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

    async fn image_digest(&self, image: &Reference, _: Platform) -> Result<Digest, UpstreamError> {
        if self.registry_out_of_reach {
            let what = image.registry().to_owned();
            return Err(UpstreamError::Unreachable { what, reason: "no route to host".to_owned() });
        }
        Ok(Digest::of(image.whole()))
    }

    async fn download_digest(&self, url: &ArtefactUrl) -> Result<(Digest, u64), UpstreamError> {
        Ok((Digest::of(url.as_str()), 7))
    }
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn lock(source: &Source, upstream: &FakeUpstream) -> Result<Lock, ResolveError> {
    let recipe = Recipe::parse(source).unwrap();
    let catalog = Catalog::embedded().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(resolve::lock(source, &recipe, amd64(), &catalog, &Wishes::default(), upstream))
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
fn no_requirement_may_replace_the_pytorch_of_the_base() {
    let upstream = FakeUpstream::default();
    lock(&of_builtin("smp-2.8"), &upstream).unwrap();
    let asked = upstream.asked.lock().unwrap();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|question| question.requirements.iter().all(|asked| asked.as_str() != "torch")));
    assert_eq!(asked[0].held_back, ["torch"]);
}

#[test]
fn a_registry_out_of_reach_leaves_the_digest_unresolved_with_the_reason() {
    let upstream = FakeUpstream { registry_out_of_reach: true, ..FakeUpstream::default() };
    let lock = lock(&of_builtin("quickstart"), &upstream).unwrap();
    assert!(matches!(&lock.base.digest, Pin::Unresolved(reason) if reason.contains("no route to host")));
    assert!(lock.unresolved()[0].starts_with("digest of docker.io/library/debian:trixie-slim"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pinned = runtime.block_on(resolve::pin(&lock, &FakeUpstream::default()));
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
fn a_lock_of_a_newer_tool_is_named_before_its_syntax_is_read() {
    let error = Lock::parse("x.lock", "version = 9\n[[unknown]]\nfield = 1\n").unwrap_err();
    assert!(error.to_string().contains("lock format 9"), "{error}");
}

#[test]
fn a_lock_edited_by_hand_is_refused_with_the_place() {
    let text = builtin::find("quickstart").unwrap().lock.unwrap();
    let broken = text.replacen("sha256:", "sha256:zz", 1);
    let error = Lock::parse("quickstart.lock", &broken).unwrap_err().to_string();
    assert!(error.contains("line") && error.contains("quickstart.lock"), "{error}");
    let twice = format!(
        "{text}\n[[component]]\nname = \"nccl\"\nversion = \"1\"\norigin = \"wheels\"\nreason = \"\"\n"
    );
    assert!(Lock::parse("quickstart.lock", &twice).unwrap_err().to_string().contains("nccl"));
}
