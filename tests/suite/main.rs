//! Tests that need nothing: no engine, no network, no GPU.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod dockerfiles;
mod errors;
mod golden;
mod registry;
mod resolve;
