//! Where an image that is looked into comes from: the engine, a registry, a folder, a file; by the names that skopeo uses.

use std::io::Read;
use std::path::PathBuf;

use super::{docker, workshop};
use crate::check::{self, Blobs, CheckError, Inspection, Layout, Target};
use crate::cli::{EngineArgs, SourceArgs};
use crate::commands::World;
use crate::engine::{Credentials, Engine as _, Login};
use crate::error::{Failure, Fault};
use crate::oci::{Digest, Reference};
use crate::plan::Options;
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
    match Source::parse(name, |path| world.path(path)) {
        Source::Engine(name) => engine(doors.0, &name, target, world).await,
        Source::Registry(name) => registry(doors.1, &name, target, world).await,
        Source::Plain(name) => plain(doors, &name, target, world).await,
        Source::Layout(folder) => {
            blocking(move || {
                let (layout, index) = Layout::open(&folder)?;
                check::inspect_blobs(index, &layout, &target)
            })
            .await
        }
        Source::Archive(path) => {
            let file = std::fs::File::open(&path).map_err(|error| {
                Failure::said(Fault::Usage, format!("cannot open {}: {error}", path.display()))
            })?;
            blocking(move || check::inspect_file(file, &target)).await
        }
    }
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
            Ok(None) => Failure::said(Fault::Usage, format!("the engine has no image `{name}`")),
            Err(error) => error.into(),
        },
        Err(failure) => failure,
    };
    // Without a registry in its name, an image that the engine does not have is more likely misspelt than on Docker Hub.
    let names_registry = name.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']));
    if names_registry {
        return registry(doors.1, name, target, world).await;
    }
    Err(without.hint("`docker image ls` lists what it has; `docker pull` brings one from a registry").hint(
        format!(
            "docker://{name} looks into the image in its registry, oci:DIR and docker-archive:FILE into files"
        ),
    ))
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

/// Runs what waits for bytes on a thread that may wait.
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
