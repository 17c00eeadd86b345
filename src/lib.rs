//! From a recipe to a training image that is known to work.
//!
//! The rooms below stand in walking order. A room may name the data of rooms above it, never of rooms below;
//! `tests/suite/architecture.rs` holds the table and enforces it. `ARCHITECTURE.md` says why these rooms.

pub mod cli;
pub mod error;
pub mod oci;
pub mod recipe;
pub mod catalog;
pub mod lock;
pub mod resolve;
pub mod plan;
pub mod render;
pub mod wheelhouse;
pub mod job;
pub mod engine;
pub mod cluster;
pub mod check;
pub mod grade;
pub mod smoke;
pub mod verdict;
pub mod registry;
pub mod doctor;
pub mod report;
pub mod commands;
