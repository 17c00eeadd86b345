//! What of the lock at hand is kept, and what may move.

use std::collections::{BTreeMap, BTreeSet};

use super::Wishes;
use crate::lock::{
    Artefact, Lock, LockedComponent, LockedConda, LockedImage, LockedPackage, PinnedRequirement,
};
use crate::oci::Reference;
use crate::recipe::{AptPackage, ArtefactUrl, Component, Version};

/// What may move although it still fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Moves {
    /// Nothing.
    #[default]
    Nothing,
    /// These components, and only what must move with them.
    These(BTreeSet<Component>),
    /// Everything.
    Everything,
}

/// What is known of a recipe from before.
#[derive(Debug, Clone, Default)]
pub struct Renewal<'a> {
    /// The lock at hand.
    pub old: Option<&'a Lock>,
    /// What of it may move.
    pub moves: Moves,
    /// Whether a version that the catalogue does not know may be taken.
    pub allow_unknown: bool,
}

impl Moves {
    fn has(&self, component: Component) -> bool {
        match self {
            Self::Nothing => false,
            Self::These(components) => components.contains(&component),
            Self::Everything => true,
        }
    }
}

impl Renewal<'_> {
    /// Returns what the solver is asked to keep.
    pub(super) fn wishes(&self) -> Wishes {
        let mut keep: BTreeMap<Component, Version> = self.old.map(Lock::versions).unwrap_or_default();
        keep.retain(|component, _| !self.moves.has(*component));
        Wishes { keep, allow_unknown: self.allow_unknown }
    }

    /// Returns the components of the lock at hand that stay as they are.
    fn kept(&self) -> impl Iterator<Item = &LockedComponent> {
        let components = self.old.into_iter().flat_map(|old| &old.components);
        components.filter(|locked| !self.moves.has(locked.name))
    }

    /// Returns the Python packages that stay at their versions where they still fit.
    pub(super) fn preferred(&self) -> Vec<PinnedRequirement> {
        if self.moves == Moves::Everything {
            return Vec::new();
        }
        let beyond = self.old.into_iter().flat_map(|old| &old.python);
        let of_components = self.kept().flat_map(|locked| locked.wheels.iter().chain(&locked.sdists));
        beyond.chain(of_components).cloned().collect()
    }

    /// Returns the Python packages that build others, which stay at their versions where they still fit.
    pub(super) fn preferred_to_build(&self) -> Vec<PinnedRequirement> {
        if self.moves == Moves::Everything {
            return Vec::new();
        }
        self.old.map(|old| old.build.clone()).unwrap_or_default()
    }

    /// Returns what was known of `image` before; whether that is an answer or only the last resort is for [`Self::asks_images`].
    pub(super) fn image(&self, image: &Reference) -> Option<&LockedImage> {
        let images = self.old.into_iter().flat_map(|old| std::iter::once(&old.base).chain(&old.devel));
        images.into_iter().find(|locked| locked.image == *image && locked.digest.known().is_some())
    }

    /// Returns whether registries are asked although a digest is at hand.
    pub(super) fn asks_images(&self) -> bool {
        self.moves == Moves::Everything
    }

    /// Returns what was known of the file at `url` before. What a URL serves does not move: a new checksum would be a defect or an attack.
    pub(super) fn artefact(&self, url: &ArtefactUrl) -> Option<&Artefact> {
        let components = self.old.into_iter().flat_map(|old| &old.components);
        components
            .flat_map(|locked| &locked.artefacts)
            .find(|known| known.url == *url && known.sha256.known().is_some())
    }

    /// Returns what was known of a package of the distribution before.
    pub(super) fn package(&self, name: &AptPackage) -> Option<&LockedPackage> {
        let packages = self.old.into_iter().flat_map(|old| &old.apt);
        packages.into_iter().find(|known| known.name == *name && known.version.known().is_some())
    }

    /// Returns whether the archive is asked for a package that `components` (none: the recipe itself) need, although it is at hand.
    pub(super) fn asks_package(&self, components: &[Component]) -> bool {
        self.moves == Moves::Everything || components.iter().any(|component| self.moves.has(*component))
    }

    /// Returns what was known of a conda package before, if it may stay.
    pub(super) fn conda(&self, component: Component, asked: &LockedConda) -> Option<&LockedConda> {
        let locked = self.old?.component(component)?;
        let known = locked.conda.iter().flat_map(|conda| &conda.packages);
        known.into_iter().find(|known| known.asked == asked.asked && known.found.known().is_some())
    }

    /// Returns whether channels are asked although a build is at hand.
    pub(super) fn asks_conda(&self, component: Component) -> bool {
        self.moves.has(component)
    }
}
