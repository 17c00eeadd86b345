//! Why an image could not be looked into.

use crate::engine::EngineError;

/// Why an image could not be looked into. What is wrong *with* the image is a [`Finding`](super::Finding) instead.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The stream broke off.
    #[error("cannot read the exported image to its end: {0}")]
    Read(#[source] std::io::Error),
    /// It is not what `docker save` writes.
    #[error("this is no exported image (docker save): {0}")]
    NotAnImage(String),
    /// A part does not have the form that it must have.
    #[error("{what} in the exported image is malformed: {message}")]
    Malformed {
        /// The part.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// A part that the manifest names is missing.
    #[error("{0} is missing from the exported image")]
    Incomplete(String),
    /// The image would cost more than any honest one.
    #[error("the image has more than {limit} {what}: refused, as no training image needs that")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is let through.
        limit: u64,
    },
    /// The engine could not export it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
