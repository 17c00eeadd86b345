//! From what was selected to a lock: the world is asked for what facts cannot hold, and what was known before is kept.

use std::collections::BTreeMap;

use super::upstream::{AptQuestion, PythonQuestion, Upstream, UpstreamError};
use super::{Choice, Renewal, ResolveError, select};
use crate::catalog::Catalog;
use crate::lock::{
    Artefact, Conda, Lock, LockedComponent, LockedImage, LockedPackage, Pin, PinnedRequirement, RecipeId,
};
use crate::oci::{Platform, Reference};
use crate::recipe::{AptPackage, Component, Recipe, Requirement, Source, Version, package_name};

/// What stands in a lock is for everybody who reads it, not for this machine on this day.
const OUT_OF_REACH: &str = "out of reach when this was locked";

/// A lock, and what a person should know of how it came to be.
#[derive(Debug, Clone)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// Facts that may only warn; what could not be asked and was kept. Each a sentence.
    pub notes: Vec<String>,
}

/// Returns why a pin stays open, without what this machine says of its network.
fn for_everybody(error: &UpstreamError) -> String {
    match error {
        UpstreamError::Unreachable { .. } => OUT_OF_REACH.to_owned(),
        other => other.to_string(),
    }
}

/// Everything that locking looks at.
struct Locking<'a> {
    catalog: &'a Catalog,
    platform: Platform,
    renewal: &'a Renewal<'a>,
    upstream: &'a dyn Upstream,
    notes: Vec<String>,
    open: Vec<String>,
}

/// Locks `recipe` for `platform`: decides from the catalogue, then asks `upstream` for checksums.
///
/// What cannot be asked from here (a registry out of reach) stays as the lock at hand has it, else it becomes an unresolved pin with
/// its reason. That no wheels fit, or that the package index cannot be asked, is an error: a lock without Python packages would be
/// no lock, unless nobody was to be asked at all.
pub async fn lock(
    source: &Source,
    recipe: &Recipe,
    platform: Platform,
    catalog: &Catalog,
    renewal: &Renewal<'_>,
    upstream: &dyn Upstream,
) -> Result<Locked, ResolveError> {
    let selection = select(source, recipe, catalog, &renewal.wishes())?;
    let notes = selection.warnings.clone();
    let mut locking = Locking { catalog, platform, renewal, upstream, notes, open: Vec::new() };
    let wheels = match selection.python_question(recipe, catalog, renewal, platform) {
        Some(question) => locking.wheels(&question).await?,
        None => Vec::new(),
    };
    let mut components = Vec::new();
    let mut taken = Vec::new();
    for choice in &selection.choices {
        components.push(locking.component(choice, &wheels, &mut taken).await?);
    }
    components.sort_by_key(|locked| locked.name);
    let python: Vec<PinnedRequirement> =
        wheels.into_iter().filter(|pinned| !taken.contains(&pinned.package().to_owned())).collect();
    let build = match selection.build_question(&components, &python, renewal, platform) {
        Some(question) => locking.wheels(&question).await?,
        None => Vec::new(),
    };
    let base = locking.image(recipe.base.image.get_ref()).await;
    let devel = match &recipe.base.devel {
        Some(image) => Some(locking.image(image.get_ref()).await),
        None => None,
    };
    let packages: Vec<AptPackage> =
        recipe.apt.packages.iter().map(|package| package.get_ref().clone()).collect();
    let apt = locking.packages(&base.image, &packages, &components).await;
    let lock = Lock {
        recipe: RecipeId { name: recipe.name.get_ref().clone(), digest: source.digest() },
        catalog: catalog.revision.clone(),
        platform,
        base,
        devel,
        packages,
        apt,
        python,
        build,
        components,
        open: locking.open,
    };
    Ok(Locked { lock, notes: locking.notes })
}

/// Asks for what is unresolved in `lock` and leaves everything else as it is.
pub async fn pin(lock: &Lock, catalog: &Catalog, upstream: &dyn Upstream) -> Lock {
    let renewal = Renewal { old: Some(lock), ..Renewal::default() };
    let (notes, open) = (Vec::new(), Vec::new());
    let mut locking = Locking { catalog, platform: lock.platform, renewal: &renewal, upstream, notes, open };
    let mut pinned = lock.clone();
    for image in std::iter::once(&mut pinned.base).chain(&mut pinned.devel) {
        *image = locking.image(&image.image).await;
    }
    for component in &mut pinned.components {
        for artefact in &mut component.artefacts {
            *artefact = locking.artefact(artefact.clone()).await;
        }
        component.conda = match component.conda.take() {
            Some(conda) => Some(locking.conda(component.name, conda).await),
            None => None,
        };
    }
    pinned.apt = locking.packages(&lock.base.image, &lock.packages, &lock.components).await;
    pinned
}

/// Returns `lock` without the pins of packages that their archives no longer have, and these packages as `name=version`.
///
/// What cannot be asked stays: apt says in the build what it misses.
pub async fn without_gone(lock: &Lock, upstream: &dyn Upstream) -> (Lock, Vec<String>) {
    let (mut left, mut gone) = (lock.clone(), Vec::new());
    for package in &mut left.apt {
        let (Some(version), Some(file)) = (package.version.known(), &package.file) else { continue };
        if let Ok(false) = upstream.is_there(&file.url).await {
            gone.push(format!("{}={version}", package.name));
            package.version = Pin::Unresolved("its archive no longer has what was locked".to_owned());
            package.file = None;
        }
    }
    (left, gone)
}

impl Locking<'_> {
    async fn wheels(&mut self, question: &PythonQuestion) -> Result<Vec<PinnedRequirement>, ResolveError> {
        match self.upstream.python(question).await {
            Err(UpstreamError::NotAsked(why)) => Ok(self.unasked(question, &why)),
            other => {
                // The order of an answer is nobody's promise; the lock's bytes are ours.
                let mut wheels = other?;
                wheels.sort_by(|a, b| a.requirement.cmp(&b.requirement));
                Ok(wheels)
            }
        }
    }

    /// Returns what the question pins by itself, without checksums, and says that the rest is open.
    fn unasked(&mut self, question: &PythonQuestion, why: &str) -> Vec<PinnedRequirement> {
        let at_hand = |asked: &Requirement| {
            let same = |known: &&PinnedRequirement| {
                let version = known.version();
                package_name(known.package()) == package_name(asked.package())
                    && asked.range().is_none_or(|range| version.is_some_and(|version| range.admits(&version)))
            };
            question.preferred.iter().find(same).cloned()
        };
        let exactly = |asked: &Requirement| {
            let mut parts = asked.as_str().get(asked.package().len()..)?.split(',');
            let version: Version =
                parts.find_map(|part| part.trim().strip_prefix("==")?.trim().parse().ok())?;
            let requirement = format!("{}=={version}", asked.package()).parse().ok()?;
            Some(PinnedRequirement { requirement, hashes: Vec::new(), size: None, source: false })
        };
        let known = |asked: &Requirement| at_hand(asked).or_else(|| exactly(asked));
        let names: Vec<&str> = question.requirements.iter().map(Requirement::package).collect();
        let sentence = format!("Python packages that {} pull in: {why}", names.join(", "));
        if !self.open.contains(&sentence) {
            self.open.push(sentence);
        }
        let mut pinned: Vec<_> = question.requirements.iter().filter_map(known).collect();
        pinned.sort_by(|a, b| a.requirement.cmp(&b.requirement));
        pinned.dedup();
        pinned
    }

    async fn image(&mut self, image: &Reference) -> LockedImage {
        let stated = image.digest().and_then(|digest| digest.parse().ok());
        let at_hand = self.renewal.image(image);
        if let (Some(known), false) = (at_hand, self.renewal.asks_images()) {
            return known.clone();
        }
        let asked = self.upstream.image(image, self.platform).await;
        let (digest, size) = match (asked, stated) {
            (Ok((_, size)), Some(stated)) => (Pin::Known(stated), size),
            (Ok((digest, size)), None) => (Pin::Known(digest), size),
            (Err(_), Some(stated)) => (Pin::Known(stated), None),
            (Err(error), None) => {
                // Who asks registries says it for everybody.
                let reason = match error {
                    UpstreamError::Unreachable { reason, .. } => reason,
                    other => other.to_string(),
                };
                if let Some(known) = at_hand {
                    self.notes.push(format!("the digest of {image} stays as it was: {reason}"));
                    return known.clone();
                }
                (Pin::Unresolved(reason), None)
            }
        };
        LockedImage { image: image.clone(), digest, size }
    }

    async fn artefact(&mut self, artefact: Artefact) -> Artefact {
        if artefact.sha256.known().is_some() {
            return artefact;
        }
        if let Some(known) = self.renewal.artefact(&artefact.url) {
            return known.clone();
        }
        match self.upstream.download_digest(&artefact.url).await {
            Ok((digest, size)) => {
                Artefact { url: artefact.url, sha256: Pin::Known(digest), size: Pin::Known(size) }
            }
            Err(UpstreamError::NotAsked(why)) => Artefact { sha256: Pin::Unresolved(why), ..artefact },
            Err(_) => Artefact { sha256: Pin::Unresolved(OUT_OF_REACH.to_owned()), ..artefact },
        }
    }

    async fn conda(&mut self, component: Component, mut conda: Conda) -> Conda {
        for package in &mut conda.packages {
            let at_hand = self.renewal.conda(component, package);
            if let (Some(known), false) = (at_hand, self.renewal.asks_conda(component)) {
                *package = known.clone();
                continue;
            }
            package.found = match self.upstream.conda(&conda.channels, &package.asked, self.platform).await {
                Ok(found) => Pin::Known(found),
                Err(error) => match at_hand.map(|known| &known.found) {
                    Some(known) => {
                        self.notes.push(format!("{} stays as it was: {error}", package.asked));
                        known.clone()
                    }
                    None => Pin::Unresolved(for_everybody(&error)),
                },
            };
        }
        conda
    }

    /// Pins every package of the distribution that stays in the image.
    async fn packages(
        &mut self,
        base: &Reference,
        of_recipe: &[AptPackage],
        components: &[LockedComponent],
    ) -> Vec<LockedPackage> {
        let mut wanted: BTreeMap<&AptPackage, Vec<Component>> = BTreeMap::new();
        for package in of_recipe {
            wanted.entry(package).or_default();
        }
        for locked in components {
            for package in &locked.packages {
                wanted.entry(package).or_default().push(locked.name);
            }
        }
        let renewal = self.renewal;
        let asks =
            |name: &AptPackage, by: &[Component]| renewal.package(name).is_none() || renewal.asks_package(by);
        let names: Vec<AptPackage> =
            wanted.iter().filter(|(name, by)| asks(name, by)).map(|(name, _)| (*name).clone()).collect();
        let answer = if names.is_empty() { Ok(BTreeMap::new()) } else { self.archives(base, names).await };
        if let Err(reason) = &answer
            && wanted.keys().any(|name| renewal.package(name).is_some())
        {
            self.notes.push(format!("packages of the distribution stay as they were: {reason}"));
        }
        let of = |name: &AptPackage| {
            let found = answer.as_ref().ok().and_then(|found| found.get(name)).cloned();
            found.or_else(|| renewal.package(name).cloned()).unwrap_or_else(|| {
                let gap = "the archive of the distribution has no such package".to_owned();
                let reason = answer.as_ref().err().cloned().unwrap_or(gap);
                LockedPackage { name: name.clone(), version: Pin::Unresolved(reason), file: None }
            })
        };
        wanted.keys().map(|name| of(name)).collect()
    }

    /// Asks the archives of the base's distribution for `names`; a failure is told in words.
    async fn archives(
        &self,
        base: &Reference,
        names: Vec<AptPackage>,
    ) -> Result<BTreeMap<AptPackage, LockedPackage>, String> {
        let image = self.catalog.image(base).ok_or("nothing is known of the base image's distribution")?;
        let os = &image.os;
        let known = self.catalog.archives_of(os, self.platform.arch);
        let (archives, snapshot) = known
            .ok_or_else(|| format!("the archive of {} {} is not in the catalogue", os.id, os.version))?;
        let question = AptQuestion { archives, snapshot, arch: self.platform.arch, names };
        let found = self.upstream.apt(&question).await.map_err(|error| for_everybody(&error))?;
        Ok(found.into_iter().map(|package| (package.name.clone(), package)).collect())
    }

    /// Joins the choice for one component with what the world answered about it.
    async fn component(
        &mut self,
        choice: &Choice,
        wheels: &[PinnedRequirement],
        taken: &mut Vec<String>,
    ) -> Result<LockedComponent, ResolveError> {
        let find =
            |name: &String| wheels.iter().find(|pinned| package_name(pinned.package()) == package_name(name));
        let own: Vec<PinnedRequirement> = choice.wheels.iter().filter_map(find).cloned().collect();
        taken.extend(own.iter().map(|pinned| pinned.package().to_owned()));
        let leader = choice.leader.as_ref().and_then(find).and_then(PinnedRequirement::version);
        let version = leader.or_else(|| choice.version.clone());
        let mut sdists = Vec::new();
        for package in &choice.sdists {
            sdists.push(self.sdist(package, choice, version.as_ref()).await?);
        }
        let compiled = choice.leader.as_ref().and_then(|leader| {
            let leads = |pinned: &&PinnedRequirement| package_name(pinned.package()) == package_name(leader);
            sdists.iter().find(leads).and_then(PinnedRequirement::version)
        });
        let version = version.or(compiled);
        let version = version.map_or_else(|| Pin::Unresolved(choice.undecided.clone()), Pin::Known);
        let mut artefacts = Vec::new();
        for artefact in &choice.artefacts {
            artefacts.push(self.artefact(artefact.clone()).await);
        }
        let conda = match &choice.conda {
            Some(conda) => Some(self.conda(choice.component, conda.clone()).await),
            None => None,
        };
        Ok(LockedComponent {
            name: choice.component,
            version,
            origin: choice.origin,
            reason: choice.reason.clone(),
            packages: choice.packages.clone(),
            wheels: own,
            sdists,
            conda,
            artefacts,
        })
    }

    /// Pins a package that exists only as source: at the version of the component's wheels, or the newest that the recipe admits.
    async fn sdist(
        &self,
        package: &str,
        choice: &Choice,
        of_wheels: Option<&Version>,
    ) -> Result<PinnedRequirement, ResolveError> {
        let admits = |version: &Version| match of_wheels {
            Some(wanted) => version == wanted,
            None => choice.range.admits(version),
        };
        match (self.upstream.sdist(package, &admits).await, of_wheels) {
            (Err(UpstreamError::NotAsked(_)), Some(version)) => {
                let unreadable = |error| UpstreamError::Nonsense {
                    what: "the catalogue".to_owned(),
                    reason: format!("{error}"),
                };
                let requirement: Requirement = format!("{package}=={version}").parse().map_err(unreadable)?;
                let known =
                    self.renewal.preferred().into_iter().find(|known| known.requirement == requirement);
                let hashless =
                    PinnedRequirement { requirement, hashes: Vec::new(), size: None, source: true };
                Ok(known.unwrap_or(hashless))
            }
            (other, _) => Ok(other?),
        }
    }
}
