//! The engine room on real engines, old and new.

mod building;
mod failing;
