//! Where an image that is looked into comes from: the engine, a registry, a folder, a file; by the names that skopeo uses.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{docker, workshop};
use crate::check::{self, Blobs, CheckError, Inspection, Layout, Target};
use crate::cli::{EngineArgs, SourceArgs};
use crate::commands::World;
use crate::engine::{Credentials, Engine as _, Login};
use crate::error::{Failure, Fault};
use crate::oci::{Digest, Reference};
use crate::plan::Options;
use crate::recipe::nearest;
use crate::registry::distribution::{Distribution, Limits, RegistryError};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Not said: the engine if it has it, else its registry.
    Plain(String),
    /// `docker-daemon:`: the engine.
    Engine(String),
    /// `docker://`: a registry.
    Registry(String),
    /// `oci:`: a folder.
    Layout(PathBuf),
    /// `docker-archive:`: a file that `docker save` wrote.
    Archive(PathBuf),
}

impl Source {
    fn parse(text: &str, at: impl Fn(&str) -> PathBuf) -> Self {
        if let Some(name) = text.strip_prefix("docker-daemon:") {
            Self::Engine(name.to_owned())
        } else if let Some(name) = text.strip_prefix("docker://") {
            Self::Registry(name.to_owned())
        } else if let Some(folder) = text.strip_prefix("oci:") {
            Self::Layout(at(folder))
        } else if let Some(file) = text.strip_prefix("docker-archive:") {
            Self::Archive(at(file))
        } else {
            Self::Plain(text.to_owned())
        }
    }
}

/// Which engine and which mirrors of registries are asked.
type Doors<'a> = (&'a EngineArgs, &'a SourceArgs);

/// Looks into the image `name`, behind one of `doors` where it is in an engine or a registry.
pub(super) async fn inspect(
    name: &str,
    doors: Doors<'_>,
    target: Target,
    world: &World,
) -> Result<Inspection, Failure> {
    let source = Source::parse(name, |path| world.path(path));
    if let Source::Plain(reference) | Source::Engine(reference) | Source::Registry(reference) = &source {
        docker::names_an_image(reference).map_err(|failure| failure.hint(meant(reference, world)))?;
    }
    match source {
        Source::Engine(name) => engine(doors.0, &name, target, world).await,
        Source::Registry(name) => registry(doors.1, &name, target, world).await,
        Source::Plain(name) => plain(doors, &name, target, world).await,
        Source::Layout(folder) => {
            is_layout(&folder)?;
            aside(move || {
                let (layout, index) = Layout::open(&folder)?;
                check::inspect_blobs(index, &layout, &target)
            })
            .await
        }
        Source::Archive(path) => {
            let unopened = |reason: String| {
                Failure::said(Fault::Usage, format!("cannot open {}: {reason}", path.display()))
                    .hint("docker-archive:FILE is what `docker save --output FILE IMAGE` wrote")
            };
            let file = std::fs::File::open(&path).map_err(|error| unopened(error.to_string()))?;
            if path.is_dir() {
                return Err(unopened("it is a folder".to_owned()).hint("oci:DIR is a folder in OCI's layout"));
            }
            aside(move || check::inspect_file(file, &target)).await
        }
    }
}

/// Returns what to say instead of a name that can name no image.
fn meant(name: &str, world: &World) -> String {
    let path = world.path(name);
    if name.is_empty() || !path.exists() {
        format!("{}; oci:DIR and docker-archive:FILE name a place", docker::FORM)
    } else if path.is_dir() {
        format!("a folder in OCI's layout is named oci:{name}")
    } else {
        format!("a file that `docker save` wrote is named docker-archive:{name}")
    }
}

/// Refuses a folder that cannot be a layout.
fn is_layout(folder: &Path) -> Result<(), Failure> {
    let refused = |why: &str| {
        Failure::said(Fault::Usage, format!("{} {why}", folder.display()))
            .hint("oci:DIR is a folder in OCI's layout, with index.json and blobs; docker-archive:FILE is what `docker save` wrote")
    };
    if !folder.is_dir() {
        return Err(refused(if folder.exists() { "is no folder" } else { "is not there" }));
    }
    if !folder.join("index.json").is_file() {
        return Err(refused("is no folder in OCI's layout: it has no index.json"));
    }
    Ok(())
}

async fn engine(
    arguments: &EngineArgs,
    name: &str,
    target: Target,
    world: &World,
) -> Result<Inspection, Failure> {
    let engine = docker::connect(arguments, world)?;
    docker::image(&engine, name, target.platform).await?;
    Ok(check::image(&engine, name, target).await?)
}

/// Asks the engine, and the registry where there is no engine or it has no such image.
async fn plain(doors: Doors<'_>, name: &str, target: Target, world: &World) -> Result<Inspection, Failure> {
    let without = match docker::connect(doors.0, world) {
        Ok(door) => match door.image(name).await {
            Ok(Some(_)) => return engine(doors.0, name, target, world).await,
            Ok(None) => absent(name),
            Err(error) => error.into(),
        },
        Err(failure) => failure,
    };
    // Without a registry in its name, an image that the engine does not have is more likely misspelt than on Docker Hub.
    let names_registry = name.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']));
    if names_registry {
        return registry(doors.1, name, target, world).await;
    }
    Err(without.hint(format!(
        "docker://{name} looks into the image in its registry, oci:DIR and docker-archive:FILE into files"
    )))
}

/// Says that the engine has no such image.
fn absent(name: &str) -> Failure {
    let failure = Failure::said(Fault::Usage, format!("the engine has no image `{name}`"));
    let transport = name.split_once(':').map(|(transport, _)| transport);
    let known = || ["docker-daemon", "docker-archive", "docker", "oci"].into_iter();
    match transport.and_then(|said| nearest(said, known())) {
        Some(near) => failure.hint(format!(
            "places are named docker-daemon:, docker://, oci: and docker-archive:; was {near} meant?"
        )),
        None => failure.hint("`docker image ls` lists what it has; `docker pull` brings one from a registry"),
    }
}

async fn registry(
    source: &SourceArgs,
    name: &str,
    target: Target,
    world: &World,
) -> Result<Inspection, Failure> {
    let named: Reference = name
        .parse()
        .map_err(|error| Failure::said(Fault::Usage, format!("`{name}` names no image: {error}")))?;
    let reference = Options { mirrors: workshop::mirrors(source)?, ..Options::default() }.mirrored(&named);
    let login = Credentials::from_docker(&world.environment())?.login(reference.registry()).await?;
    let door = Distribution::new(Limits::default(), None);
    let image =
        door.image_for(&reference, target.platform, login.as_ref()).await.map_err(|error| unread(&error))?;
    let runtime = tokio::runtime::Handle::current();
    let remote = Remote { door, reference, login, runtime };
    blocking(move || check::inspect_blobs(image.image.bytes, &remote, &target)).await
}

fn unread(error: &RegistryError) -> Failure {
    let fault = if error.is_authorisation() { Fault::Unauthorised } else { Fault::Machine };
    let failure = Failure::said(fault, format!("the image could not be looked into: {error}"));
    error.hints().into_iter().fold(failure, Failure::hint)
}

/// The blobs of one repository.
struct Remote {
    door: Distribution,
    reference: Reference,
    login: Option<Login>,
    runtime: tokio::runtime::Handle,
}

impl Blobs for Remote {
    fn open(&self, digest: Digest) -> std::io::Result<Box<dyn Read + Send + '_>> {
        let opened = self.door.blob(&self.reference, digest, self.login.as_ref(), self.runtime.clone());
        Ok(Box::new(opened.map_err(std::io::Error::other)?))
    }
}

/// Runs what reads files of this machine on a thread for which nobody waits when the user interrupts: it has nothing to clean up, and
/// a pipe may be silent for ever.
async fn aside(
    look: impl FnOnce() -> Result<Inspection, CheckError> + Send + 'static,
) -> Result<Inspection, Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Where nobody waits any more there is nobody to tell.
        let _told = answer.send(look());
    });
    let looked = answered.await.map_err(|error| CheckError::Read(std::io::Error::other(error)));
    Ok(looked.and_then(std::convert::identity)?)
}

/// Runs what waits for bytes from a registry on a thread that may wait.
async fn blocking(
    look: impl FnOnce() -> Result<Inspection, CheckError> + Send + 'static,
) -> Result<Inspection, Failure> {
    let looked = tokio::task::spawn_blocking(look).await;
    let looked = looked.map_err(|error| CheckError::Read(std::io::Error::other(error)));
    Ok(looked.and_then(std::convert::identity)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_known_by_the_names_of_skopeo() {
        let parse = |text| Source::parse(text, |path| PathBuf::from(path));
        assert_eq!(parse("docker-daemon:a:1"), Source::Engine("a:1".into()));
        assert_eq!(parse("docker://debian"), Source::Registry("debian".into()));
        assert_eq!(parse("oci:/tmp/x"), Source::Layout("/tmp/x".into()));
        assert_eq!(parse("docker-archive:/tmp/x.tar"), Source::Archive("/tmp/x.tar".into()));
        assert_eq!(parse("oci/image:tag"), Source::Plain("oci/image:tag".into()));
    }
}
