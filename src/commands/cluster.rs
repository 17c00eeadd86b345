//! x
use crate::cli::{Cli, Smoke};
use crate::commands::World;
use crate::error::{Failure, Fault};
pub(super) async fn run(_verb: &Smoke, _name: &str, _cli: &Cli, _world: &World) -> Result<(), Failure> {
    Err(Failure::said(Fault::Defect, "x"))
}
