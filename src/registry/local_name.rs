//! The name that an image needs in the engine to be pushed, for as long as that takes.

use std::time::Duration;

use crate::engine::{Engine, EngineError};
use crate::oci::{Digest, Reference};
use crate::verdict::Subject;

/// A name of an image in the engine that is put back as it was, also when the push fails or is cancelled.
pub(super) struct LocalName<'a> {
    engine: &'a dyn Engine,
    name: Reference,
    before: Before,
}

/// What the name meant before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Nothing,
    /// Another image.
    Other(Digest),
    /// This image; or it is this image's only name, without which the engine would delete it. It stays.
    This,
}

/// How long putting a name back may take when the push was cancelled.
const CANCELLED_LIMIT: Duration = Duration::from_secs(5);

impl<'a> LocalName<'a> {
    /// Calls the image `name` until [`LocalName::put_back`] or the drop.
    pub(super) async fn take(
        engine: &'a dyn Engine,
        subject: &Subject,
        name: &Reference,
    ) -> Result<Self, EngineError> {
        let id = subject.id;
        let before = match engine.image(&name.whole()).await? {
            Some(image) if image.id == id => Before::This,
            Some(image) => Before::Other(image.id),
            None if has_another_name(engine, subject, name).await? => Before::Nothing,
            None => Before::This,
        };
        let taken = Self { engine, name: name.clone(), before };
        engine.tag(&id.to_string(), name).await?;
        Ok(taken)
    }

    /// Lets the name mean what it meant before.
    pub(super) async fn put_back(mut self) -> Result<(), EngineError> {
        let before = std::mem::replace(&mut self.before, Before::This);
        restore(self.engine, &self.name, before).await
    }
}

impl Drop for LocalName<'_> {
    /// Puts the name back when the push was cancelled or failed, and waits for it: the program may be about to end. On a thread of
    /// its own, because a runtime cannot be waited for from within itself.
    fn drop(&mut self) {
        if self.before == Before::This {
            return;
        }
        let (engine, name, before) = (self.engine, &self.name, self.before);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let Ok(runtime) = runtime else { return };
                let work =
                    async { tokio::time::timeout(CANCELLED_LIMIT, restore(engine, name, before)).await };
                // A name too many is no harm that could be told here.
                let _too_late = runtime.block_on(work);
            });
        });
    }
}

async fn restore(engine: &dyn Engine, name: &Reference, before: Before) -> Result<(), EngineError> {
    match before {
        Before::This => Ok(()),
        Before::Other(id) => engine.tag(&id.to_string(), name).await,
        Before::Nothing => match engine.remove(&name.whole()).await {
            // The push failed before the name was given, or somebody else removed it.
            Ok(()) | Err(EngineError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        },
    }
}

/// Returns whether the engine knows the image by a tag besides `name`: an engine deletes an image with its last name.
async fn has_another_name(
    engine: &dyn Engine,
    subject: &Subject,
    name: &Reference,
) -> Result<bool, EngineError> {
    // An ID, also a shortened one, would be read as a name on Docker Hub, which the engine then does not find.
    let Ok(other) = subject.reference.parse::<Reference>() else { return Ok(false) };
    if other.digest().is_some() || other.whole() == name.whole() {
        return Ok(false);
    }
    Ok(engine.image(&other.whole()).await?.is_some_and(|image| image.id == subject.id))
}
