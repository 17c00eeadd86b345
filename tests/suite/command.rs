//! The command line as a user meets it on a machine that has nothing: no engine, no network, no account.

mod documentation;
mod failing;
mod help;
mod locking;
mod upgrading;
mod recipes;
mod refusals;
mod speaking;

use crate::plain::{NO_ARCHIVE, NOBODY, PLAIN, locked};
use crate::program::{Ended, Place};

impl Place {
    /// Runs the program with `arguments` to its end.
    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.program(arguments))
    }
}
