//! Parses the command line, runs the verb, exits. The only exit.

use std::process::ExitCode;

use clap::Parser as _;
use smp_image::cli::Cli;
use smp_image::commands::{self, World};
use smp_image::error::{Failure, Fault};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let world = match World::of_this_process() {
        Ok(world) => world,
        Err(error) => {
            return tell(
                &Failure::said(Fault::Machine, format!("cannot see the current folder: {error}")),
                (false, None),
            );
        }
    };
    match commands::run_to_end(&cli, &world) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => tell(&failure, (world.color, world.margin)),
    }
}

/// Writes what happened to standard error, hints last.
fn tell(failure: &Failure, (color, margin): (bool, Option<usize>)) -> ExitCode {
    commands::tell(failure, color, margin);
    failure.fault.into()
}
