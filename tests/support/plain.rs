//! A recipe that is locked without asking a package index: all of it comes from the distribution.

use crate::program::{Ended, Place};

/// The recipe.
pub(crate) const PLAIN: &str = include_str!("plain.toml");

/// A mirror at which nobody listens: a registry is asked, and does not answer.
pub(crate) const NOBODY: &str = "docker.io=127.0.0.1:1";
/// The same for the archive of the distribution.
pub(crate) const NO_ARCHIVE: &str = "deb.debian.org=127.0.0.1:1";

/// Returns a place with the recipe and its lock.
pub(crate) fn locked() -> Place {
    let place = Place::new();
    place.write("plain.toml", PLAIN);
    let lock = ["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE];
    let _told = Ended::of(&mut place.program(&lock)).fine();
    place
}
