//! Tests that need nothing: no engine, no network, no GPU.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read files, start the program and look at what it leaves"
)]

mod architecture;
mod catalog;
mod catalog_texts;
mod cluster;
mod command;
mod dockerfiles;
mod errors;
mod golden;
mod grade;
mod injection;
mod job;
#[path = "../support/plain.rs"]
mod plain;
mod plan;
#[path = "../support/program.rs"]
mod program;
mod registry;
mod resolve;
mod resolver;
mod rules;
mod templates;
mod texts;
