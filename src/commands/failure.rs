//! Whose fault each room's error was, and what helps: the one table.

use crate::catalog::CatalogError;
use crate::engine::{EngineError, StepFailure};
use crate::error::{Failure, Fault};
use crate::plan::PlanError;
use crate::render::RenderError;
use crate::report::plain;
use crate::resolve::ResolveError;
use crate::resolve::upstream::UpstreamError;
use crate::wheelhouse::WheelhouseError;

mod elsewhere;

/// Standard output could not be written.
pub(super) fn stdout(error: &std::io::Error) -> Failure {
    Failure::said(Fault::Machine, format!("cannot write to standard output: {error}"))
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let fault = match error {
            PlanError::UnknownInstance { .. }
            | PlanError::NoInstances
            | PlanError::MovingBase { .. }
            | PlanError::Missing { .. }
            | PlanError::Unhashed { .. }
            | PlanError::Twice { .. }
            | PlanError::Unsupported { .. }
            | PlanError::Value(_) => Fault::Input,
            _ => Fault::NoFit,
        };
        Self::said(fault, error.to_string())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let (fault, hints) = of_engine(&error);
        let message = match &error {
            EngineError::RanTooLong { tail, .. } => format!("{error}{}", last_words(tail.lines())),
            EngineError::Step(step) => told(step, ""),
            _ => error.to_string(),
        };
        hints.into_iter().fold(Self::said(fault, message), Self::hint)
    }
}

/// Returns why the build of `dockerfile` failed, with the lines of it that are meant.
pub(super) fn of_build(error: EngineError, dockerfile: &str) -> Failure {
    match error {
        EngineError::Step(step) if says(&step, &["No space left on device"]) => {
            Failure::said(Fault::Machine, told(&step, dockerfile)).hint(FREE_SPACE)
        }
        EngineError::Step(step) => {
            let failure = Failure::said(Fault::Build, told(&step, dockerfile));
            advice(&step).into_iter().fold(failure, Failure::hint).hint(PRINTED)
        }
        EngineError::Dockerfile { line, .. } if line > 0 => {
            let message = format!("{error}\n{}", quoted(dockerfile, (line, line)));
            Failure::said(Fault::Build, message.trim_end()).hint(PRINTED)
        }
        other => other.into(),
    }
}

/// What helps where the engine has no space.
const FREE_SPACE: &str = "free space where the engine keeps its data (docker system df, docker system prune), then build again: what was built is in the cache";

/// What helps wherever a Dockerfile is at fault.
const PRINTED: &str = "the Dockerfile is what `smp-image render` prints";

/// How much of a step's name is told: the lines of the Dockerfile say the rest.
const NAME_LENGTH: usize = 80;

/// Returns which step failed, where, and its last words.
fn told(step: &StepFailure, dockerfile: &str) -> String {
    let name = plain::step(&step.name, NAME_LENGTH);
    let mut message = match step.status {
        // What the engine says beyond the status is the command once more.
        Some(status) => format!("a step of the build ended with status {status}: {name}"),
        None => format!("a step of the build failed: {name}\n{}", step.message),
    };
    if let Some((first, last)) = step.lines {
        let place = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
        message = format!("{message}\nDockerfile, {place}:\n{}", quoted(dockerfile, (first, last)));
    }
    format!("{}{}", message.trim_end(), last_words(step.tail.iter().map(String::as_str)))
}

/// Returns the lines `first` to `last` of `text` with their numbers.
fn quoted(text: &str, (first, last): (u32, u32)) -> String {
    let numbered = (1_u32..).zip(text.lines()).filter(|(number, _)| (first..=last).contains(number));
    numbered.map(|(number, line)| format!("{number:>4} | {line}\n")).collect::<Vec<_>>().concat()
}

fn last_words<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let said: Vec<String> = lines.map(|line| format!("\n  {}", plain::line(line))).collect();
    if said.is_empty() { String::new() } else { format!("\nits last output:{}", said.concat()) }
}

/// Returns whether the last words of a step hold one of `words`.
fn says(step: &StepFailure, words: &[&str]) -> bool {
    let mut lines = step.tail.iter().chain(std::iter::once(&step.message));
    lines.any(|line| words.iter().any(|word| line.contains(word)))
}

/// Faults of steps that are known by their words, and what helps against them.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["DO NOT MATCH THE HASHES", "did NOT match"],
        "a download is not what was locked: was the lock edited, does an index or a proxy serve other files? If the new file is right, lock again",
    ),
    (
        &[
            "CERTIFICATE_VERIFY_FAILED",
            "certificate verify failed",
            "self-signed certificate",
            "SSL certificate problem",
        ],
        "a server's certificate is not trusted in the build: name your organisation's certificates with --ca-bundle FILE; the classic builder cannot take them, its base image must trust them",
    ),
    (
        &[
            "Temporary failure resolving",
            "Temporary failure in name resolution",
            "Could not resolve host",
            "Network is unreachable",
        ],
        "the build's steps do not reach the network: mend the engine's, or say --network host (in SageMaker Studio --network sagemaker)",
    ),
    (
        // apt: E: Version '3.13.5-1' for 'python3' was not found
        &["' was not found"],
        "the archive no longer has a package at its locked version: move to what it has now with `smp-image lock RECIPE --upgrade` (the lock names the instant at which a snapshot service still has the old one)",
    ),
    (
        &["Unable to locate package", "has no installation candidate"],
        "the base's distribution has no such package: look at [apt] packages and the versions in the recipe",
    ),
];

/// Returns what helps against the fault of a step, if it is known by its words.
fn advice(step: &StepFailure) -> Option<String> {
    ADVICE.iter().find(|(words, _)| says(step, words)).map(|(_, advice)| (*advice).to_owned())
}

/// Whose fault an engine's error was, and what helps.
fn of_engine(error: &EngineError) -> (Fault, Vec<String>) {
    let hint = |text: &str| vec![text.to_owned()];
    match error {
        EngineError::Unreachable { .. } => (
            Fault::Machine,
            hint("say where an engine is with --host, DOCKER_HOST or --context, or start one here"),
        ),
        EngineError::Endpoint(_) => (Fault::Usage, hint("see --host and --context")),
        EngineError::Builder(_)
        | EngineError::NoBuilder { .. }
        | EngineError::BuilderLost { .. }
        | EngineError::Cache { .. } => elsewhere::of_builder(error),
        EngineError::Api { message, .. } if elsewhere::in_studio(message).is_some() => {
            (Fault::Machine, elsewhere::in_studio(message).into_iter().collect())
        }
        EngineError::Died { .. } | EngineError::Stalled { .. } => {
            (Fault::Machine, hint("look at the engine's log; what was built so far is in its cache"))
        }
        EngineError::NoSpace(_) => (Fault::Machine, hint(FREE_SPACE)),
        EngineError::Unauthorised { registry, .. } => (
            Fault::Unauthorised,
            vec![format!("log in first: docker login {registry} (Amazon ECR: aws ecr get-login-password)")],
        ),
        EngineError::Credentials { .. } => (
            Fault::Unauthorised,
            hint("mend `credsStore` or `credHelpers` in Docker's config.json, or install the helper"),
        ),
        EngineError::Registry { .. } => (Fault::Machine, hint("try again; --mirror names another registry")),
        EngineError::Step(_) | EngineError::Dockerfile { .. } => (Fault::Build, hint(PRINTED)),
        EngineError::Platform { wanted, .. } => (
            Fault::Build,
            vec![format!(
                "take an image that is made for {wanted}, or say --arch for what this one is made for"
            )],
        ),
        EngineError::NotFound(_) => (
            Fault::Build,
            hint(
                "check its name and tag; a registry answers so too where a login may not see it (docker login)",
            ),
        ),
        EngineError::Context { .. } => {
            (Fault::Build, hint("files to copy must lie below the recipe's folder, and be readable"))
        }
        EngineError::RanTooLong { .. } | EngineError::Sink(_) | EngineError::Unsupported { .. } => {
            (Fault::Machine, Vec::new())
        }
        EngineError::Api { .. } | EngineError::Protocol { .. } => (Fault::Machine, Vec::new()),
    }
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let message = error.to_string();
        match error {
            RenderError::Template { .. } => Self::said(Fault::Defect, message),
            RenderError::Foreign { .. } => Self::said(Fault::Machine, message).hint(
                "take BuildKit (Docker Engine 23.0 or later), or a builder of the image's architecture",
            ),
        }
    }
}

impl From<WheelhouseError> for Failure {
    fn from(error: WheelhouseError) -> Self {
        let message = error.to_string();
        match error {
            WheelhouseError::Folder { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::said(Fault::Machine, message).hint("make room there, or name another --wheelhouse")
            }
            WheelhouseError::Folder { .. } => Self::said(Fault::Machine, message)
                .hint("name a folder that can be read and written, or leave --wheelhouse away"),
            WheelhouseError::Corrupt { path, .. } => Self::said(Fault::Machine, message)
                .hint(format!("remove {} and it is compiled again", path.display())),
            WheelhouseError::Tampered { path, .. } => {
                let folder = path.parent().unwrap_or(&path).display().to_string();
                Self::said(Fault::Build, message)
                    .hint(format!("find out who changed it; when {folder} is removed, it is compiled again"))
            }
        }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Own(report) => Self::new(Fault::Input, report),
            CatalogError::BuiltIn(report) => Self::new(Fault::Defect, report),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Recipe(error) => Self::new(Fault::Input, error),
            ResolveError::Impossible(error) => Self::new(Fault::NoFit, error),
            ResolveError::NoFit(error) => Self::new(Fault::NoFit, *error),
            ResolveError::Upstream(error) => Self::from(error),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        let message = error.to_string();
        match error {
            UpstreamError::NoUv => Self::said(Fault::Machine, message).hint("install it: `pip install uv`"),
            UpstreamError::NoWheels(_) | UpstreamError::NoSdist { .. } | UpstreamError::NoConda(_) => {
                Self::said(Fault::NoFit, message)
            }
            UpstreamError::Unreachable { .. } => Self::said(Fault::Machine, message)
                .hint("with a lock at hand `--locked` asks nobody")
                .hint("behind a company's proxy set HTTPS_PROXY, and SSL_CERT_FILE to its certificates"),
            UpstreamError::NotAsked(_) => Self::said(Fault::Input, message),
            UpstreamError::Nonsense { .. } => Self::said(Fault::Machine, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM a\nRUN one && \\\n    two\nCOPY x /\n";

    fn failed(tail: &str) -> Failure {
        let step = StepFailure {
            name: "[image 2/3] RUN one &&     two".to_owned(),
            lines: Some((2, 3)),
            status: Some(1),
            tail: tail.lines().map(str::to_owned).collect(),
            message: "process \"/bin/sh -c one &&     two\" did not complete successfully".to_owned(),
        };
        of_build(EngineError::Step(Box::new(step)), DOCKERFILE)
    }

    #[test]
    fn a_failed_step_is_told_with_its_lines_and_its_last_words() {
        let failure = failed("before\n\u{1b}[31mred\u{1b}[0m");
        assert_eq!(
            failure.report.to_string(),
            "a step of the build ended with status 1: [image 2/3] RUN one && two\n\
             Dockerfile, lines 2 to 3:\n   2 | RUN one && \\\n   3 |     two\n\
             its last output:\n  before\n  red"
        );
        assert_eq!((failure.fault, failure.hints), (Fault::Build, vec![PRINTED.to_owned()]));
    }

    #[test]
    fn each_fault_that_is_known_by_its_words_has_its_advice() {
        for (words, advice) in ADVICE {
            for word in *words {
                assert_eq!(failed(&format!("x\nERROR: {word}: y\nz")).hints[0], *advice, "{word}");
            }
        }
    }

    #[test]
    fn a_step_that_finds_no_space_is_the_machines_fault() {
        let failure = failed("write /a: No space left on device");
        assert_eq!((failure.fault, failure.hints), (Fault::Machine, vec![FREE_SPACE.to_owned()]));
    }

    #[test]
    fn a_refused_dockerfile_is_quoted_at_its_line() {
        let error = EngineError::Dockerfile { line: 4, message: "no such flag".to_owned() };
        let failure = of_build(error, DOCKERFILE);
        assert!(failure.report.to_string().ends_with("   4 | COPY x /"), "{}", failure.report);
        assert_eq!(failure.fault, Fault::Build);
    }
}
