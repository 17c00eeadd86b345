//! Which engine is meant, and the first words with it.

use std::path::PathBuf;

use crate::cli::{BuildArgs, EngineArgs, GpuArg};
use crate::commands::World;
use crate::engine::{
    Builder, Cache, Credentials, DockerEngine, Endpoint, Engine as _, Gpus, ImageInfo, Secret,
};
use crate::error::{Failure, Fault};
use crate::oci::{Platform, Reference};

/// The kind of NVIDIA's GPUs in the Container Device Interface.
const CDI_KIND: &str = "nvidia.com/gpu";

/// Where a machine keeps the certificates that it trusts, most Linux distributions and macOS.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Connects to the engine that the arguments, the environment or Docker's configuration name.
pub(super) fn connect(arguments: &EngineArgs, world: &World) -> Result<DockerEngine, Failure> {
    let environment = world.environment();
    let endpoint = Endpoint::find(&environment, arguments.host.as_deref(), arguments.context.as_deref())?;
    let credentials = Credentials::from_docker(&environment)?;
    Ok(DockerEngine::connect(&endpoint, credentials)?)
}

/// Returns the engine with the builder that the arguments name, if they name one.
pub(super) async fn with_builder(
    engine: &DockerEngine,
    arguments: &BuildArgs,
    world: &World,
) -> Result<DockerEngine, Failure> {
    let Some(name) = &arguments.builder else { return Ok(engine.clone()) };
    let environment = world.environment();
    let (host, context) = (arguments.engine.host.as_deref(), arguments.engine.context.as_deref());
    let endpoint = Endpoint::find(&environment, host, context)?;
    let target = Platform { arch: arguments.recipe.arch };
    Ok(engine.clone().with_builder(Builder::find(name, target, &environment, &endpoint).await?))
}

/// Returns the caches that `texts` name, said with `option`.
pub(super) fn caches(option: &str, texts: &[String]) -> Result<Vec<Cache>, Failure> {
    let read = |text: &String| {
        text.parse().map_err(|error| Failure::said(Fault::Usage, format!("{option}: {error}")))
    };
    texts.iter().map(read).collect()
}

/// Returns the network that builds and containers get: in SageMaker Studio the only one, where none was asked for.
pub(super) fn network(asked: &str, usual: &str, studio: bool) -> String {
    if studio && asked == usual { STUDIO_NETWORK.to_owned() } else { asked.to_owned() }
}

/// The only network that SageMaker Studio allows.
const STUDIO_NETWORK: &str = "sagemaker";

/// How images are named.
pub(super) const FORM: &str = "an image is named as HOST/REPOSITORY:TAG, such as smp-image/quickstart:latest";

/// Refuses what can name no image, before anybody is asked for it.
pub(super) fn names_an_image(name: &str) -> Result<(), Failure> {
    // Engines know images by their identity too.
    match name.strip_prefix("sha256:").unwrap_or(name).parse::<Reference>() {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Failure::said(Fault::Usage, format!("`{}` names no image: {error}", name.escape_debug())))
        }
    }
}

/// Finds an image in the engine and makes sure that it is made for `platform`.
pub(super) async fn image(
    engine: &DockerEngine,
    name: &str,
    platform: Platform,
) -> Result<ImageInfo, Failure> {
    names_an_image(name).map_err(|failure| failure.hint(FORM))?;
    let image = engine.image(name).await?.ok_or_else(|| {
        Failure::said(Fault::Usage, format!("the engine has no image `{name}`"))
            .hint("`docker image ls` lists what it has; `docker pull` brings one from a registry")
    })?;
    if image.platform != platform {
        return Err(Failure::said(Fault::Usage, format!("{name} is {}, not {platform}", image.platform))
            .hint(format!("say --arch {}", image.platform.arch.name())));
    }
    Ok(image)
}

/// Returns the GPUs that probes get: those that were asked for, or what the engine offers and its machine seems to have.
pub(super) async fn gpus(asked: GpuArg, engine: &DockerEngine, world: &World) -> Result<Gpus, Failure> {
    let all_through_cdi = || Gpus::Cdi(vec!["nvidia.com/gpu=all".to_owned()]);
    match asked {
        GpuArg::Nvidia => return Ok(Gpus::NvidiaRuntime),
        GpuArg::Cdi => return Ok(all_through_cdi()),
        GpuArg::None => return Ok(Gpus::None),
        GpuArg::Auto => {}
    }
    let info = engine.info().await?;
    let offer = &info.gpus;
    if offer.cdi_devices.iter().any(|device| device.starts_with(CDI_KIND)) {
        return Ok(all_through_cdi());
    }
    if !is_local(&info.endpoint) {
        return Ok(if offer.nvidia_runtime { Gpus::NvidiaRuntime } else { Gpus::None });
    }
    // An engine that does not list the devices of the interface uses the files of its folders nevertheless.
    let folders = offer.cdi_spec_dirs.iter().map(|folder| world.path(folder));
    if folders.flat_map(|folder| specifications(&folder)).any(|text| text.contains(CDI_KIND)) {
        return Ok(all_through_cdi());
    }
    // The runtime is installed on machines without a GPU too.
    Ok(if world.path("/dev/nvidiactl").exists() { Gpus::NvidiaRuntime } else { Gpus::None })
}

/// Returns the RDMA devices that a container with GPUs gets: all of an engine's machine, where that is this one.
pub(super) async fn rdma_devices(
    gpus: &Gpus,
    engine: &DockerEngine,
    world: &World,
) -> Result<Vec<String>, Failure> {
    if *gpus == Gpus::None || !is_local(&engine.info().await?.endpoint) {
        return Ok(Vec::new());
    }
    let Ok(entries) = world.path("/dev/infiniband").read_dir() else { return Ok(Vec::new()) };
    let mut devices: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().into_os_string().into_string().ok())
        .filter(|path| path.contains("/uverbs") || path.ends_with("/rdma_cm"))
        .collect();
    devices.sort();
    Ok(devices)
}

/// Returns whether an engine's files and devices are those of this machine.
fn is_local(endpoint: &str) -> bool {
    endpoint.starts_with("unix://")
}

/// Returns the texts of the specifications of the Container Device Interface in a folder.
fn specifications(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_spec = path.extension().is_some_and(|kind| kind == "yaml" || kind == "json");
            is_spec.then(|| text(&path).ok()).flatten()
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "commands read the machine's configuration, here")]
fn text(path: &std::path::Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Returns the certificates that downloads in the build trust: those that were named, else those of this machine, where a company's
/// private authority would be. They reach the build as a secret and never a layer.
pub(super) fn ca_bundle(asked: Option<&PathBuf>, world: &World) -> Result<Option<Secret>, Failure> {
    if let Some(path) = asked {
        if path.as_os_str() == "none" {
            return Ok(None);
        }
        let path = world.path(path);
        return read(&path).map(Some).map_err(|error| {
            Failure::said(
                Fault::Usage,
                format!("cannot read the certificates in {}: {error}", path.display()),
            )
            .hint("--ca-bundle takes a PEM file, or `none`")
        });
    }
    let named = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"]
        .into_iter()
        .filter_map(|name| world.var(name));
    let candidates = named.chain(SYSTEM_BUNDLES.iter().copied());
    Ok(candidates.map(|path| world.path(path)).find_map(|path| read(&path).ok()))
}

#[expect(clippy::disallowed_methods, reason = "commands read the user's files, here")]
fn read(path: &std::path::Path) -> std::io::Result<Secret> {
    std::fs::read(path).map(Secret::new)
}
