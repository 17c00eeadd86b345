//! What buildx is told: arguments, environment, and the few files that it cannot do without.
#![expect(
    clippy::disallowed_methods,
    reason = "buildx takes large secrets and gives results only through files"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{BuildxBuilder, Metadata};
use crate::engine::endpoint::{Endpoint, Environment, Tls};
use crate::engine::{BuildRequest, Context, EngineError, Secret};
use crate::oci::Digest;

/// How large a secret may be that goes through the environment; Linux takes 128 KiB for one variable.
const IN_ENVIRONMENT: usize = 64 * 1024;

/// Returns the environment of buildx: the user's, with the engine that was found as the one that is meant.
pub(super) fn environment(environment: &Environment, endpoint: &Endpoint) -> Environment {
    let mut all: BTreeMap<String, String> =
        environment.all().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    for name in ["DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "BUILDX_BUILDER"] {
        all.remove(name);
    }
    all.insert("DOCKER_HOST".into(), endpoint.to_string());
    if let Endpoint::Tcp { tls: Some(Tls { folder, verify }), .. } = endpoint {
        let name = if *verify { "DOCKER_TLS_VERIFY" } else { "DOCKER_TLS" };
        all.insert(name.into(), "1".into());
        if let Some(folder) = folder {
            all.insert("DOCKER_CERT_PATH".into(), folder.display().to_string());
        }
    }
    all.into_iter().collect()
}

/// What lies in a folder of its own for one build, which only this user can read, and goes with it.
pub(super) struct Files {
    metadata: PathBuf,
    context: String,
    /// The secrets by their ids: the argument of buildx, and the variable where it is one.
    secrets: Vec<(String, Option<(String, String)>)>,
}

impl Files {
    /// Writes what has to be files.
    pub(super) fn write(folder: &Path, request: &BuildRequest) -> Result<Self, EngineError> {
        let context = match &request.context {
            // Without a context the Dockerfile on standard input is all that is sent.
            Context::Empty => "-".to_owned(),
            Context::Folder(path) => path.display().to_string(),
            Context::Memory(files) => {
                let place = folder.join("context");
                for (name, bytes) in files {
                    let path = place.join(name);
                    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(EngineError::Sink)?;
                    std::fs::write(&path, bytes).map_err(EngineError::Sink)?;
                }
                place.display().to_string()
            }
        };
        let secrets = request.secrets.iter().enumerate();
        let secrets = secrets.map(|(number, (id, secret))| secret_of(folder, number, id, secret));
        Ok(Self {
            metadata: folder.join("metadata.json"),
            context,
            secrets: secrets.collect::<Result<_, _>>().map_err(EngineError::Sink)?,
        })
    }

    /// Returns the variables that hold secrets.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.secrets
            .iter()
            .filter_map(|(_, variable)| variable.as_ref())
            .map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Returns what the builder calls the image.
    pub(super) fn digest(&self) -> Result<Digest, EngineError> {
        let nonsense = |reason: String| EngineError::Protocol { doing: super::BUILDING.into(), reason };
        let text = std::fs::read(&self.metadata)
            .map_err(|error| nonsense(format!("buildx wrote no metadata: {error}")))?;
        let metadata: Metadata = serde_json::from_slice(&text).map_err(|error| {
            nonsense(format!("buildx wrote metadata without the image's digest: {error}"))
        })?;
        Ok(metadata.digest)
    }
}

/// Small secrets never touch a disk; large ones (certificates) lie in a file of this user for the time of the build.
fn secret_of(
    folder: &Path,
    number: usize,
    id: &str,
    secret: &Secret,
) -> std::io::Result<(String, Option<(String, String)>)> {
    let text = std::str::from_utf8(secret.expose()).ok();
    if let Some(text) = text.filter(|text| text.len() <= IN_ENVIRONMENT && !text.contains('\0')) {
        let name = format!("SMP_IMAGE_SECRET_{number}");
        return Ok((format!("id={id},env={name}"), Some((name, text.to_owned()))));
    }
    let path = folder.join(format!("secret-{number}"));
    let mut file = std::fs::File::create_new(&path)?;
    file.write_all(secret.expose())?;
    Ok((format!("id={id},src={}", path.display()), None))
}

/// Returns the arguments of a build in `builder` that ends in the engine.
pub(super) fn of(builder: &BuildxBuilder, request: &BuildRequest, files: &Files) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["build", "--builder", &builder.name, "--progress", "rawjson", "--load"].map(str::to_owned).to_vec();
    let mut say = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    say("--metadata-file", files.metadata.display().to_string());
    say("--platform", request.platform.to_string());
    request.tags.iter().for_each(|tag| say("--tag", tag.whole()));
    request.labels.iter().for_each(|(key, value)| say("--label", format!("{key}={value}")));
    request.args.iter().for_each(|(key, value)| say("--build-arg", format!("{key}={value}")));
    if let Some(epoch) = request.source_date_epoch {
        say("--build-arg", format!("SOURCE_DATE_EPOCH={epoch}"));
    }
    files.secrets.iter().for_each(|(secret, _)| say("--secret", secret.clone()));
    request.cache_from.iter().for_each(|cache| say("--cache-from", cache.to_string()));
    request.cache_to.iter().for_each(|cache| say("--cache-to", cache.to_string()));
    if !matches!(request.network.as_str(), "" | "default") {
        say("--network", request.network.clone());
    }
    if request.network == "host" {
        say("--allow", "network.host".into());
    }
    if request.no_cache {
        arguments.push("--no-cache".into());
    }
    // One manifest and not an index around it: the same inputs give the same digest, and every engine loads it.
    arguments.push("--provenance=false".into());
    if files.context != "-" {
        arguments.extend(["--file".to_owned(), "-".to_owned(), "--".to_owned()]);
    }
    arguments.push(files.context.clone());
    arguments
}
