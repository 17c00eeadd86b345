//! `smp-image smoke --grade-log`: judges the log of a job.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::output;
use crate::catalog::{Catalog, Instance, NcclLog};
use crate::cli::{Cli, Format, Smoke};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::grade::{Expected, Grade, Grader, Status};
use crate::recipe::nearest;
use crate::report;

pub(super) fn run(verb: &Smoke, cli: &Cli, world: &World) -> Result<(), Failure> {
    let catalog = super::catalog::load(world)?;
    let expected = Expected::on(&instances(&verb.cluster.instances, &catalog)?);
    let table = NcclLog::embedded()?;
    let mut grader = Grader::new(&table, expected);
    for path in &verb.grade_log {
        read(&mut grader, path, world)?;
    }
    let grade = grader.finish();
    print(&grade, cli, world)?;
    passed(&grade)
}

/// Returns the verdict as the end of a command.
pub(super) fn passed(grade: &Grade) -> Result<(), Failure> {
    match grade.verdict {
        Status::Passed => Ok(()),
        Status::Failed => {
            Err(Failure::said(Fault::Verdict, "the log shows that the job did not run as it should"))
        }
        Status::Unknown => {
            Err(Failure::said(Fault::Verdict, "the log does not say whether the job ran as it should")
                .hint("what is unknown is not passed: see the hints above"))
        }
    }
}

/// Finds instance types in the catalogue.
pub(super) fn instances<'a>(names: &[String], catalog: &'a Catalog) -> Result<Vec<&'a Instance>, Failure> {
    let find = |name: &String| {
        catalog.instances.get(name).ok_or_else(|| {
            let shown = name.escape_debug();
            let near = nearest(name, catalog.instances.keys().map(String::as_str));
            let failure = Failure::said(
                Fault::Usage,
                format!("`{shown}` is not an instance type that the catalogue knows"),
            );
            match near {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint("instance types are named as SageMaker does, such as ml.p5.48xlarge"),
            }
        })
    };
    names.iter().map(find).collect()
}

fn read(grader: &mut Grader<'_>, path: &Path, world: &World) -> Result<(), Failure> {
    let name = path.display().to_string();
    let read = if name == "-" {
        grader.read("standard input", std::io::stdin().lock())
    } else {
        let file = File::open(world.path(path)).map_err(|error| {
            Failure::said(Fault::Usage, format!("cannot read the log {name}: {error}"))
                .hint("--grade-log takes a file, or `-` for standard input")
        })?;
        grader.read(&name, BufReader::with_capacity(1 << 16, file))
    };
    read.map_err(|error| {
        let fault =
            if error.kind() == std::io::ErrorKind::IsADirectory { Fault::Usage } else { Fault::Machine };
        Failure::said(fault, format!("cannot read the log {name} to its end: {error}"))
            .hint("--grade-log takes a file, or `-` for standard input")
    })
}

fn print(grade: &Grade, cli: &Cli, world: &World) -> Result<(), Failure> {
    let text = match cli.format {
        Format::Text | Format::Sarif => report::grade::text(grade, output::style(world)),
        Format::Json => report::grade::json(grade)?,
        Format::Junit => report::grade::junit(grade)?,
    };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}
