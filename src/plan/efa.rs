//! AWS's EFA installer: the stage that runs it, its options, and the folders that it fills.

use super::compose::{Composer, source_stage};
use super::stage::StartsFrom;
use super::{PlanError, Work, policy};
use crate::catalog::BaseImage;
use crate::lock::Origin;
use crate::recipe::{Component, Version};

impl Composer<'_> {
    /// Adds the stage that runs the installer on `trunk`; returns what the image then starts from.
    pub(super) fn efa(&mut self, version: Version, trunk: StartsFrom) -> Result<StartsFrom, PlanError> {
        let base = self.catalog.image(&self.lock.base.image);
        let work = Work::Efa {
            flags: installer_flags(&version, base)?,
            plugin: version >= policy::brings_plugin()?,
            source: source_stage(Component::Efa).parse()?,
            download: self.download(Component::Efa)?,
            version,
        };
        self.folders.push("/opt/amazon/efa/lib".parse()?);
        if self.component(Component::AwsOfiNccl, Origin::Archive).is_none() {
            // The plugin's folder lost its architecture in some release between 1.44 and 1.48.
            let machine = self.target.platform.arch.machine();
            self.folders.push(format!("/opt/amazon/ofi-nccl/lib/{machine}-linux-gnu").parse()?);
            self.folders.push("/opt/amazon/ofi-nccl/lib".parse()?);
        }
        Ok(StartsFrom::Stage(self.push("efa", trunk, work)?))
    }
}

/// Returns the options of EFA installer `version` in a container on `base`.
///
/// From 1.48.0 the installer takes any image with `/opt/nvidia/nvidia_entrypoint.sh` for one of NGC and leaves out rdma-core or its
/// plugin; older installers do not know the options that stop it.
fn installer_flags(version: &Version, base: Option<&BaseImage>) -> Result<Vec<String>, PlanError> {
    let mut flags = vec!["-y", "--skip-kmod", "--skip-limit-conf", "--no-verify"];
    let knows_ngc: Version = "1.48.0".parse()?;
    if *version >= knows_ngc && base.is_none_or(|image| image.nvidia_entrypoint) {
        flags.extend(["--disable-ngc", "--disable-build-ngc"]);
    }
    Ok(flags.into_iter().map(str::to_owned).collect())
}
