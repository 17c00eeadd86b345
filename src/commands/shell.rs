//! `smp-image completions` and `smp-image man`: made from the same source as the help.

use clap::CommandFactory as _;

use super::workshop;
use crate::cli::{Cli, Completions, Man};
use crate::commands::World;
use crate::error::{Failure, Fault};

pub(super) fn completions(verb: &Completions, world: &World) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(verb.shell, &mut Cli::command(), "smp-image", &mut script);
    world.print(&String::from_utf8_lossy(&script)).map_err(|error| super::failure::stdout(&error))
}

pub(super) fn man(verb: &Man, world: &World) -> Result<(), Failure> {
    let command = Cli::command();
    let Some(folder) = &verb.out else {
        return world.print(&page(command)?).map_err(|error| super::failure::stdout(&error));
    };
    let folder = world.path(folder);
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::said(Fault::Machine, format!("cannot make {}: {error}", folder.display()))
    })?;
    for verb in command.get_subcommands() {
        // A leaked name lives as long as this short process; clap wants one that outlives the command.
        let name: &'static str = format!("smp-image-{}", verb.get_name()).leak();
        workshop::write(&folder.join(format!("{name}.1")), &page(verb.clone().name(name))?)?;
    }
    workshop::write(&folder.join("smp-image.1"), &page(command)?)
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut roff)
        .map_err(|error| Failure::said(Fault::Defect, format!("cannot write the manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}
