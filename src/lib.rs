//! From a recipe to a training image that is known to work.
//!
//! The rooms, in walking order; each may name the data of rooms above it, never below (`tests/suite/architecture.rs` holds the
//! table).

pub mod catalog;
pub mod engine;
pub mod lock;
pub mod oci;
pub mod plan;
pub mod recipe;
pub mod registry;
