//! The readers of `check`, compiled from the files of the product itself; what they need of other rooms stands in for it here.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "the product's files, of which fuzzing reaches the readers")]

mod oci;

/// Stands in for the engine: no reader of bytes needs one.
mod engine {
    #[derive(Debug, thiserror::Error)]
    #[error("an engine")]
    pub struct EngineError;
}

mod check;

pub use check::doors::*;
