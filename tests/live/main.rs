//! Tests against real parts: container engines, a registry (see `workbench/README.md`).
#![expect(clippy::disallowed_methods, reason = "the workbench says in the environment where its parts are")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on stops")]

mod check;
