//! The command line as a user meets it on a machine that has nothing: no engine, no network, no account.

mod documentation;
mod help;
mod locking;
mod upgrading;
mod recipes;
mod refusals;
mod speaking;

use crate::program::{Ended, Place};

/// A recipe that is locked without asking a package index: all of it comes from the distribution.
const PLAIN: &str = r#"name = "plain"
instances = ["ml.g5.8xlarge"]

[base]
image = "debian:trixie-slim"

[components]
python = "*"
libfabric = "*"
"#;

/// A mirror at which nobody listens: a registry is asked, and does not answer.
const NOBODY: &str = "docker.io=127.0.0.1:1";
/// The same for the archive of the distribution.
const NO_ARCHIVE: &str = "deb.debian.org=127.0.0.1:1";

/// Returns a place with a recipe and its lock.
fn locked() -> Place {
    let place = Place::new();
    place.write("plain.toml", PLAIN);
    let _told = place.run(&["lock", "plain.toml", "--mirror", NOBODY, "--mirror", NO_ARCHIVE]).fine();
    place
}

impl Place {
    /// Runs the program with `arguments` to its end.
    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.program(arguments))
    }
}
