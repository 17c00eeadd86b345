//! What `uv` is asked for: the Python packages of the image, and those that build what exists only as source.

use super::upstream::PythonQuestion;
use super::{Choice, Renewal, Selection};
use crate::catalog::Catalog;
use crate::lock::{LockedComponent, Origin, PinnedRequirement};
use crate::oci::Platform;
use crate::recipe::{Component, Recipe, Requirement};

impl Selection {
    /// Returns what `uv` must answer, if the image has Python packages at all.
    pub(super) fn python_question(
        &self,
        recipe: &Recipe,
        catalog: &Catalog,
        renewal: &Renewal<'_>,
        platform: Platform,
    ) -> Option<PythonQuestion> {
        let mut requirements: Vec<Requirement> =
            self.choices.iter().flat_map(|choice| choice.asks.clone()).collect();
        requirements.extend(recipe.python.packages.iter().map(|package| package.get_ref().clone()));
        if requirements.is_empty() {
            return None;
        }
        Some(PythonQuestion {
            requirements,
            python: self.python.clone(),
            glibc: self.glibc.clone(),
            platform,
            held_back: self.held_back(catalog),
            preferred: renewal.preferred(),
        })
    }

    /// Returns the Python packages that the base or SMP's channel brings in a form of its own: no requirement may replace them.
    fn held_back(&self, catalog: &Catalog) -> Vec<String> {
        let own = |choice: &&Choice| matches!(choice.origin, Origin::Base | Origin::Conda);
        let brought: Vec<Component> =
            self.choices.iter().filter(own).map(|choice| choice.component).collect();
        let rows = catalog
            .packages
            .iter()
            .filter(|packages| brought.contains(&packages.component) && !packages.modules.is_empty());
        let mut names: Vec<String> = rows
            .flat_map(|packages| {
                std::iter::once(&packages.leader).chain(&packages.wheels).chain(&packages.sdists)
            })
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns which packages the stages need that build what exists only as source, if there are any.
    ///
    /// They are pinned like everything else: pip's own build isolation would fetch whatever is newest on the day of the build.
    pub(super) fn build_question(
        &self,
        components: &[LockedComponent],
        python: &[PinnedRequirement],
        renewal: &Renewal<'_>,
        platform: Platform,
    ) -> Option<PythonQuestion> {
        let mut names: Vec<&str> =
            self.choices.iter().flat_map(|choice| choice.build.iter().map(String::as_str)).collect();
        let from_source = python.iter().any(|pinned| pinned.source)
            || components.iter().any(|component| !component.sdists.is_empty());
        if !from_source {
            return None;
        }
        names.extend(["setuptools", "wheel"]);
        names.sort_unstable();
        names.dedup();
        let requirements = names.iter().filter_map(|name| name.parse().ok()).collect();
        let (python, glibc) = (self.python.clone(), self.glibc.clone());
        let (held_back, preferred) = (Vec::new(), renewal.preferred_to_build());
        Some(PythonQuestion { requirements, python, glibc, platform, held_back, preferred })
    }
}
