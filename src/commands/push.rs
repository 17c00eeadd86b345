//! `smp-image push`: to Amazon ECR or any registry, verified there.

use super::progress::Watcher;
use super::{docker, output};
use crate::cli::{Cli, Push, PushArgs};
use crate::commands::World;
use crate::engine::{DockerEngine, Engine as _, EngineError};
use crate::error::{Failure, Fault};
use crate::oci::Profile;
use crate::registry::distribution::{Distribution, Limits};
use crate::registry::ecr::{AwsSettings, Mutability, NewRepository};
use crate::registry::{self, Destination, PushError, PushOptions, Pushable, Receipt};
use crate::verdict;

/// The tag where none is named.
const DEFAULT_TAG: &str = "latest";

pub(super) async fn run(verb: &Push, cli: &Cli, world: &World) -> Result<(), Failure> {
    let destination = destination(&verb.push, None)?;
    docker::names_an_image(&verb.image).map_err(|failure| failure.hint(docker::FORM))?;
    let engine = docker::connect(&verb.engine, world)?;
    let image = engine.image(&verb.image).await?.ok_or_else(|| {
        Failure::said(Fault::Usage, format!("the engine has no image `{}`", verb.image))
            .hint("build it first: smp-image build")
    })?;
    let about = verdict::Subject { reference: verb.image.clone(), id: image.id, platform: image.platform };
    let pushable = Pushable::unchecked(about.clone());
    world.say("note: nobody checked this image; `smp-image release` checks and tests before it pushes");
    let receipt = push(&engine, &pushable, &destination, &verb.push, verb.profile, cli, world).await?;
    let mut report = output::about(about);
    report.push = Some(receipt);
    output::print(&report, cli, world)
}

/// Returns where to push: what was said, else the repository of the recipe.
pub(super) fn destination(arguments: &PushArgs, of_recipe: Option<&str>) -> Result<Destination, Failure> {
    let text = arguments.to.as_deref().or(of_recipe).ok_or_else(|| {
        Failure::said(Fault::Usage, "where to push was not said")
            .hint("--to REPOSITORY for Amazon ECR, --to HOST/REPOSITORY for another registry")
    })?;
    Destination::parse(text, DEFAULT_TAG)
        .map_err(|error| Failure::said(Fault::Usage, format!("--to: {error}")))
}

/// Pushes `pushable` and shows the progress.
pub(super) async fn push(
    engine: &DockerEngine,
    pushable: &Pushable,
    destination: &Destination,
    arguments: &PushArgs,
    profile: Profile,
    cli: &Cli,
    world: &World,
) -> Result<Receipt, Failure> {
    let mutability = if arguments.immutable_tags { Mutability::Immutable } else { Mutability::Mutable };
    let create = NewRepository { scan_on_push: arguments.scan_on_push, mutability };
    let login = match destination.host() {
        Some(host) if !destination.is_ecr() => {
            crate::engine::Credentials::from_docker(&world.environment())?.login(host).await?
        }
        _ => None,
    };
    let options = PushOptions {
        profile,
        door: Distribution::new(Limits::default(), None),
        login,
        aws: AwsSettings { region: arguments.region.clone(), ..AwsSettings::default() },
        create_repository: arguments.create_repository.then_some(create),
        registry_override: arguments.ecr_host.clone(),
    };
    let watcher = Watcher::start("push", pushable.subject().reference.clone(), cli, world);
    let receipt = registry::push(engine, pushable, destination, &options, watcher.events()).await;
    watcher.finish().await;
    Ok(receipt?)
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        // An engine that went away or has no space is no fault of the push.
        if let PushError::Engine(
            engine @ (EngineError::Died { .. } | EngineError::Unreachable { .. } | EngineError::NoSpace(_)),
        ) = error
        {
            return engine.into();
        }
        let fault = if error.is_authorisation() { Fault::Unauthorised } else { Fault::Push };
        error.hints().into_iter().fold(Self::said(fault, error.to_string()), Self::hint)
    }
}
