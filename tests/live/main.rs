//! Tests against real engines and registries. `make live` starts those and names them in `SMP_WB_…` variables.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod check;
mod engine;
mod proxy;
mod smoke;
mod registry;
mod workbench;
