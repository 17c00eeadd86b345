//! Images in registries: what stands behind a name, and pushing with proof that what arrived is what was built.

pub mod clock;
pub mod distribution;
pub mod ecr;
pub mod manifest;

mod destination;
mod error;
mod found;
mod ground;
mod local_name;
mod reason;
mod receipt;

use std::time::{Duration, Instant};

pub use self::destination::{BadDestination, Destination};
use self::distribution::{Distribution, RegistryError, at};
use self::ecr::{AwsSettings, NewRepository};
pub use self::error::PushError;
use self::found::Found;
use self::ground::Ground;
use self::local_name::LocalName;
pub use self::receipt::{Checked, Identity, Outcome, Pushable, Receipt};
use crate::engine::{Engine, EngineError, Events, Login, Pushed};
use crate::oci::{Profile, Reference};

/// How an image is pushed.
#[derive(Debug)]
pub struct PushOptions {
    /// For whom; the image must then have the form that they take.
    pub profile: Profile,
    /// The door through which the registry is asked what it has.
    pub door: Distribution,
    /// The login at registries other than Amazon ECR; absent: the engine's own configuration, and no login for the questions.
    pub login: Option<Login>,
    /// How AWS is reached, for Amazon ECR.
    pub aws: AwsSettings,
    /// How a repository of Amazon ECR is made that is not there; absent: it is not.
    pub create_repository: Option<NewRepository>,
    /// The host that stands for Amazon ECR's registry (not for its API): for tests and for proxies before it.
    pub registry_override: Option<String>,
}

/// Pushes `pushable` through `engine` to `destination` and returns what the registry then has.
///
/// Nothing is sent where the tag names the image already, and nothing where the tag cannot be moved. Afterwards the manifest is
/// fetched back by digest and by tag: it must be the image that the engine has, in a form that fits the profile. The name that
/// the image needs in the engine for this is put back as it was, also when the future is dropped.
pub async fn push(
    engine: &dyn Engine,
    pushable: &Pushable,
    destination: &Destination,
    options: &PushOptions,
    events: &Events,
) -> Result<Receipt, PushError> {
    let started = Instant::now();
    let ground = ground::prepare(destination, options).await?;
    let there = found(&ground, &ground.target, pushable, options).await?;
    let done = there.as_ref().and_then(|there| there.identity(pushable));
    let (found, verified, outcome) = match (there, done) {
        (Some(there), Some(identity)) if there.faults(pushable, options.profile).is_empty() => {
            (there, identity, Outcome::AlreadyThere)
        }
        // The same image in another form cannot be replaced either.
        (Some(there), Some(_)) if ground.keeps_tag => return Err(unfit(&there, pushable, &ground, options)),
        (Some(there), None) if ground.keeps_tag => {
            let reference = ground.target.whole();
            return Err(PushError::TagImmutable { reference, there: there.named.digest });
        }
        _ => {
            let name = LocalName::take(engine, pushable.subject(), &ground.target).await?;
            let pushed = send(engine, &ground, (destination, options), events).await?;
            name.put_back().await?;
            let (found, identity) = verified(&pushed, pushable, &ground, options).await?;
            (found, identity, Outcome::Pushed)
        }
    };
    let (size, layers) = found.image.map(|(_, image)| (image.bytes(), image.layers)).unwrap_or_default();
    Ok(Receipt {
        reference: ground.target.whole(),
        digest: found.named.digest,
        media_type: found.named.media_type,
        platform: pushable.subject().platform,
        profile: options.profile,
        layers,
        size,
        verified,
        checked: pushable.checked().clone(),
        outcome,
        repository_created: ground.created,
        took: started.elapsed(),
    })
}

/// Returns what the registry has under `reference`.
async fn found(
    ground: &Ground,
    reference: &Reference,
    pushable: &Pushable,
    options: &PushOptions,
) -> Result<Option<Found>, RegistryError> {
    Found::under(&options.door, reference, pushable.subject().platform, ground.login.as_ref()).await
}

/// Lets the engine push; with a second login where the registry refused the first one of Amazon ECR.
async fn send(
    engine: &dyn Engine,
    ground: &Ground,
    (destination, options): (&Destination, &PushOptions),
    events: &Events,
) -> Result<Pushed, PushError> {
    let mut answer = engine.push(&ground.target, ground.login.as_ref(), events).await;
    if let Err(EngineError::Unauthorised { message, .. }) = &answer
        && !is_missing_permission(message)
        && let Some(login) = ground::renewed(destination, options).await?
    {
        answer = engine.push(&ground.target, Some(&login), events).await;
    }
    match answer {
        Ok(pushed) => Ok(pushed),
        Err(error) => Err(refused(error, ground, options).await),
    }
}

/// Returns what a refusal of the registry, as the engine tells it, is for us.
async fn refused(error: EngineError, ground: &Ground, options: &PushOptions) -> PushError {
    match (&error, &ground.arn) {
        (EngineError::Unauthorised { message, .. }, Some(arn)) if is_missing_permission(message) => {
            ecr::denied(message, "ecr:PutImage", arn.clone()).into()
        }
        // Somebody took the tag while we pushed, or we may not ask whether tags stay.
        (EngineError::Registry { message, .. } | EngineError::Unauthorised { message, .. }, Some(_))
            if message.contains("immutable") =>
        {
            match options.door.resolve(&ground.target, ground.login.as_ref()).await {
                Ok(there) => {
                    PushError::TagImmutable { reference: ground.target.whole(), there: there.digest }
                }
                Err(_) => error.into(),
            }
        }
        _ => error.into(),
    }
}

/// Returns whether AWS says that the login is good, for other things.
fn is_missing_permission(message: &str) -> bool {
    message.contains("is not authorized to perform")
}

/// Fetches back what was pushed and compares it with what the engine has.
async fn verified(
    pushed: &Pushed,
    pushable: &Pushable,
    ground: &Ground,
    options: &PushOptions,
) -> Result<(Found, Identity), PushError> {
    let reference = ground.target.whole();
    let differs = |what: String| PushError::Differs { reference: reference.clone(), what };
    let by_digest = at(&ground.target, pushed.digest);
    let unverified = |source| PushError::Unverified { reference: reference.clone(), source };
    let mut there = found(ground, &by_digest, pushable, options).await.map_err(unverified)?;
    for pause in VERIFY_PAUSES {
        if there.is_some() {
            break;
        }
        tokio::time::sleep(pause).await;
        there = found(ground, &by_digest, pushable, options).await.map_err(unverified)?;
    }
    let there = there.ok_or_else(|| differs(format!("the registry does not have {}", pushed.digest)))?;
    let Some(identity) = there.identity(pushable) else {
        return Err(differs(format!("{} holds another image than {}", pushed.digest, pushable.subject().id)));
    };
    let named = options.door.resolve(&ground.target, ground.login.as_ref()).await.map_err(unverified)?;
    if named.digest != pushed.digest {
        return Err(differs(format!("the tag names {}, {} was pushed", named.digest, pushed.digest)));
    }
    if there.faults(pushable, options.profile).is_empty() {
        Ok((there, identity))
    } else {
        Err(unfit(&there, pushable, ground, options))
    }
}

fn unfit(there: &Found, pushable: &Pushable, ground: &Ground, options: &PushOptions) -> PushError {
    let faults = there.faults(pushable, options.profile);
    PushError::Unfit { reference: ground.target.whole(), profile: options.profile, faults }
}

/// How long a registry may take to show what it took: some answer from copies.
const VERIFY_PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// Makes ring the provider of cryptography for TLS in this process, unless another is set already.
fn use_ring() {
    // An error says that one is set: by us before, or by a program that uses this library and knows why.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}
