//! Tests against real engines and registries. `make live` starts those and names them in `SMP_WB_…` variables.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report, and the tests themselves read the environment and write files"
)]

mod catalog;
mod check;
mod command;
mod emulation;
mod engine;
mod hadolint;
mod oracle;
#[path = "../support/program.rs"]
mod program;
mod proxy;
mod smoke;
mod stacks;
mod registry;
mod workbench;
