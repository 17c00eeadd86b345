//! The variables of an image.

use std::collections::BTreeMap;

use super::PlanError;
use super::compose::{Composer, facts_of};
use super::foreign::OVERLAY;
use super::stage::Variable;
use crate::recipe::{Component, EnvName, EnvValue};

impl Composer<'_> {
    /// Returns the image's variables: the recipe's, over what makes container runtimes hand out GPUs and components find headers.
    pub(super) fn variables(&self, overlaid: bool) -> Result<Vec<Variable>, PlanError> {
        let mut env = BTreeMap::new();
        let base = self.catalog.image(&self.lock.base.image);
        if base.is_some_and(|image| !image.carries.contains_key(&Component::Cuda)) {
            env.insert("NVIDIA_VISIBLE_DEVICES".parse::<EnvName>()?, "all".parse()?);
            env.insert("NVIDIA_DRIVER_CAPABILITIES".parse()?, "compute,utility".parse()?);
        }
        if overlaid {
            env.insert("PYTHONPATH".parse()?, OVERLAY.parse()?);
        }
        env.extend(self.headers()?);
        let own = self.recipe.image.env.iter();
        env.extend(own.map(|(name, value)| (name.clone(), value.get_ref().clone())));
        Ok(env.into_iter().map(|(name, value)| Variable { name, value }).collect())
    }

    /// Returns the variables that name headers which a package of the lock brings. A component that compiles kernels as it runs looks
    /// only into the folder of a CUDA toolkit by itself, and its older versions into none of the folders that wheels have.
    fn headers(&self) -> Result<Vec<(EnvName, EnvValue)>, PlanError> {
        let Some(home) = self.python.home() else { return Ok(Vec::new()) };
        let components = &self.lock.components;
        let packages = || self.lock.python.iter().chain(components.iter().flat_map(|locked| &locked.wheels));
        let wanted = components.iter().filter_map(|locked| facts_of(locked, self.catalog)?.headers.as_ref());
        let brought = wanted.filter(|headers| packages().any(|pinned| pinned.package() == headers.package));
        brought
            .map(|headers| {
                Ok((headers.variable.clone(), home.in_packages(headers.folder.as_str())?.as_str().parse()?))
            })
            .collect()
    }
}
