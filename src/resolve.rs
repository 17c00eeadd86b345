//! From recipe and catalogue to a lock: which version of each component, how it comes into the image, and why.
//!
//! [`select`] decides from facts alone and asks nobody. [`lock`] then asks the world for what facts cannot hold: the newest wheels
//! that fit each other (through `uv`), checksums, the digest of the base image.

mod asking;
mod conflict;
mod explain;
mod hold;
mod locking;
mod problem;
mod question;
mod repair;
mod review;
mod rules;
mod select;
mod solve;
mod solved;
#[cfg(test)]
mod solver_tests;
pub mod upstream;
mod why;

use crate::recipe::RecipeError;

pub use explain::{NoFit, Reason, Told};
pub use hold::{Moves, Renewal};
pub use locking::{Locked, lock, pin, without_gone};
pub use question::Wishes;
pub use review::review;
pub use select::{Choice, Selection, select};
pub use why::{Ground, Newer, Why, why};

use solved::Solved;

use upstream::UpstreamError;

/// Why a recipe could not be locked.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResolveError {
    /// The recipe names something that does not exist.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(RecipeError),
    /// Something is asked for that no choice of versions could mend.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Impossible(RecipeError),
    /// No versions fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoFit(Box<NoFit>),
    /// The world could not be asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}
