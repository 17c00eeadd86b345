//! Tests that need nothing: no engine, no registry, no network.

mod registry;
