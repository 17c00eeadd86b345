//! The instructions of each kind of stage, in order, and which of them must run the target's programs.

use super::stage::{Checksum, Instruction, Part, Runs, Step};
use super::{PinnedPackage, Work};

impl Work {
    /// Returns the instructions after `FROM`.
    pub(super) fn steps(&self) -> Vec<Step> {
        match self {
            Self::System { packages, venv } => {
                let environment = if venv.is_some() { " and make the Python environment" } else { "" };
                vec![on_target(format!("install {}{environment}", words(packages)))]
            }
            Self::Python { venv } => vec![on_target(format!("make the Python environment {venv} with pip"))],
            Self::Wheels { packages, tools, .. } => {
                let names: Vec<_> = packages.iter().map(|package| &package.requirement).collect();
                let mut steps = Vec::new();
                if !tools.is_empty() {
                    steps.push(on_target(format!("install {}", words(tools))));
                }
                steps.push(native(Instruction::Run, format!("fetch, verify and unpack {}", words(&names))));
                steps
            }
            Self::Fetch => vec![on_target("install curl")],
            Self::Source { download } => {
                let mut steps = argument(&download.checksum);
                steps.push(native(Instruction::Run, format!("fetch, verify and unpack {}", download.url)));
                steps
            }
            Self::Efa { version, download, .. } => {
                let mut steps = argument(&download.checksum);
                steps.push(on_target(format!("run EFA installer {version}")));
                steps
            }
            Self::Image { .. } => self.image_steps(),
            _ => self.foreign_steps().unwrap_or_else(|| self.compiling_steps()),
        }
    }

    /// Returns the instructions of a stage that only foreign builds have.
    fn foreign_steps(&self) -> Option<Vec<Step>> {
        let steps = match self {
            Self::Tools { packages, .. } => {
                vec![native(Instruction::Run, format!("install {} for unpacking", words(packages)))]
            }
            Self::Base => Vec::new(),
            Self::Twin { packages } => {
                vec![native(
                    Instruction::Run,
                    format!("install {} on the builder's architecture", words(packages)),
                )]
            }
            Self::Debs { packages, theirs, .. } => {
                vec![native(Instruction::Run, format!("choose and fetch {} for {theirs}", words(packages)))]
            }
            Self::Distribution { theirs, .. } => vec![
                native(Instruction::Arg, "the builder's architecture"),
                copy("the program that unpacks and registers packages"),
                native(Instruction::Run, format!("unpack and register the packages for {theirs}")),
            ],
            Self::Files { parts } => copies(parts).collect(),
            Self::Loader { machine, .. } => vec![
                copy("the program that writes the loader's cache"),
                native(Instruction::Run, format!("tell the loader of {machine} where the libraries are")),
            ],
            Self::Overlay { packages, sources, .. } => overlay(packages, sources),
            _ => return None,
        };
        Some(steps)
    }

    /// Returns the instructions of a stage that compiles, or takes what was compiled.
    fn compiling_steps(&self) -> Vec<Step> {
        match self {
            Self::AwsOfiNccl(compile) => {
                let mut steps = vec![jobs(), on_target("install the tools that aws-ofi-nccl is built with")];
                steps.push(copy("the sources"));
                steps.extend(copies(&compile.parts));
                steps.push(on_target(format!("compile aws-ofi-nccl {}", compile.version)));
                steps
            }
            Self::Gdrcopy(compile) => compiled(&compile.parts, &format!("GDRCopy {}", compile.version)),
            Self::NcclTests { compile, .. } => {
                compiled(&compile.parts, &format!("nccl-tests {}", compile.version))
            }
            Self::Smp { download, listed, .. } => {
                let mut steps = argument(&download.checksum);
                steps.extend(argument(listed));
                steps.push(native(Instruction::Run, format!("fetch and verify {}", download.url)));
                steps.push(on_target("install SMP's conda packages and verify their list"));
                steps
            }
            Self::Taken { packages, .. } => {
                let names: Vec<_> = packages.iter().map(|package| &package.requirement).collect();
                let names = words(&names);
                vec![
                    copy(&format!("{names}, compiled before")),
                    native(Instruction::Run, format!("verify and unpack {names}")),
                ]
            }
            Self::TransformerEngine(compile) | Self::FlashAttn(compile) => {
                let mut steps =
                    vec![jobs(), on_target("install the tools that Python extensions are built with")];
                steps.extend(copies(&compile.parts));
                let names: Vec<_> = compile.packages.iter().map(|package| &package.requirement).collect();
                steps.push(on_target(format!("compile {}", words(&names))));
                steps
            }
            _ => Vec::new(),
        }
    }

    fn image_steps(&self) -> Vec<Step> {
        let Self::Image { parts, packages, folders, copies: own, path, env, workdir } = self else {
            return Vec::new();
        };
        let mut steps: Vec<Step> = copies(parts).collect();
        if !packages.is_empty() {
            let names: Vec<_> = packages.iter().map(|package| &package.requirement).collect();
            steps.push(on_target(format!("install {} into the base's Python", words(&names))));
        }
        if !folders.is_empty() {
            steps.push(on_target("tell the loader where the libraries are"));
        }
        if !(path.is_empty() && env.is_empty()) {
            steps.push(native(Instruction::Env, "set the environment"));
        }
        steps.extend(workdir.as_ref().map(|workdir| native(Instruction::Workdir, workdir.to_string())));
        steps.extend(own.iter().map(|own| copy(&format!("{} to {}", own.from, own.to))));
        steps
    }
}

fn overlay(packages: &[PinnedPackage], sources: &[PinnedPackage]) -> Vec<Step> {
    let all: Vec<_> = packages.iter().chain(sources).map(|package| &package.requirement).collect();
    vec![native(Instruction::Run, format!("fetch, verify and unpack {} for the base's Python", words(&all)))]
}

fn compiled(parts: &[Part], what: &str) -> Vec<Step> {
    let mut steps = vec![jobs(), copy("the sources")];
    steps.extend(copies(parts));
    steps.push(on_target(format!("compile {what}")));
    steps
}

fn copies(parts: &[Part]) -> impl Iterator<Item = Step> {
    parts.iter().map(|part| copy(&format!("{} of {} to {}", part.from, part.stage, part.to)))
}

fn copy(what: &str) -> Step {
    native(Instruction::Copy, format!("copy {what}"))
}

fn jobs() -> Step {
    native(Instruction::Arg, "how many compilers run at once")
}

fn argument(checksum: &Checksum) -> Vec<Step> {
    match checksum {
        Checksum::Sha256(_) => Vec::new(),
        Checksum::Argument(name) => {
            vec![native(Instruction::Arg, format!("{name}, which the lock does not know"))]
        }
    }
}

fn on_target(does: impl Into<String>) -> Step {
    Step { instruction: Instruction::Run, does: does.into(), runs: Runs::Target }
}

fn native(instruction: Instruction, does: impl Into<String>) -> Step {
    Step { instruction, does: does.into(), runs: Runs::Native }
}

/// Returns `items` joined by commas; only their number where there are many.
fn words<T: std::fmt::Display>(items: &[T]) -> String {
    if items.len() > 6 {
        return format!("{} packages", items.len());
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
