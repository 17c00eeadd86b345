//! Whether programs of a platform can be started where a builder of buildx builds.
#![expect(clippy::disallowed_methods, reason = "buildx takes a context only as a folder")]

use std::path::Path;

use super::{Buildx, BuildxBuilder};
use crate::engine::EngineError;
use crate::engine::buildkit::trial;
use crate::engine::http::within;
use crate::oci::Platform;

impl Buildx {
    /// Starts a program of `platform` where `builder` builds; whether that went well.
    pub(in crate::engine) async fn runs(
        &self,
        builder: &BuildxBuilder,
        platform: Platform,
    ) -> Result<bool, EngineError> {
        let folder = tempfile::Builder::new().prefix("smp-image-").tempdir().map_err(EngineError::Sink)?;
        let arguments = prepared(&builder.name, folder.path(), platform)?;
        let mut command = self.command();
        let output = command.args(arguments).env("TMPDIR", folder.path()).output();
        let output = within(trial::LIMIT, trial::TRYING, async {
            output.await.map_err(|error| self.unstarted(&error))
        });
        let output = output.await?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || trial::says_no(&said) {
            return Ok(output.status.success());
        }
        let reason = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
        Err(EngineError::BuilderLost {
            builder: format!("`{}`", builder.name),
            doing: trial::TRYING.into(),
            reason: reason.trim_start_matches("ERROR: ").to_owned(),
        })
    }
}

/// Writes the smallest program of `platform` into `folder`, and returns the arguments that start it in `builder` and keep nothing.
fn prepared(builder: &str, folder: &Path, platform: Platform) -> Result<Vec<String>, EngineError> {
    let name = trial::PROGRAM;
    std::fs::write(folder.join(name), trial::program(platform.arch)).map_err(EngineError::Sink)?;
    let dockerfile = format!("FROM scratch\nCOPY --chmod=755 {name} /\nRUN [\"/{name}\"]\n");
    std::fs::write(folder.join("Dockerfile"), dockerfile).map_err(EngineError::Sink)?;
    let fixed =
        ["build", "--progress", "plain", "--no-cache", "--network", "none", "--output", "type=cacheonly"];
    let said = ["--builder", builder, "--platform", &platform.to_string(), &folder.display().to_string()]
        .map(str::to_owned);
    Ok(fixed.into_iter().map(str::to_owned).chain(said).collect())
}
