//! Whose fault each room's error was, and what helps: the one table.

use crate::catalog::CatalogError;
use crate::engine::{EngineError, StepFailure};
use crate::error::{Failure, Fault};
use crate::plan::PlanError;
use crate::report::plain;
use crate::resolve::ResolveError;
use crate::resolve::upstream::UpstreamError;

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

/// Returns what helps against the faults of a step that are known by their words.
fn advice(step: &StepFailure) -> Option<String> {
    let said = |words: &[&str]| {
        let mut lines = step.tail.iter().chain(std::iter::once(&step.message));
        lines.any(|line| words.iter().any(|word| line.contains(word)))
    };
    let advice = if said(&["DO NOT MATCH THE HASHES", "did NOT match"]) {
        "a download is not what was locked: was the lock edited, does an index or a proxy serve other files? If the new file is right, lock again"
    } else if said(&[
        "CERTIFICATE_VERIFY_FAILED",
        "certificate verify failed",
        "self-signed certificate",
        "SSL certificate problem",
    ]) {
        "a server's certificate is not trusted in the build: name your organisation's certificates with --ca-bundle FILE; the classic builder cannot take them, its base image must trust them"
    } else if said(&[
        "Temporary failure resolving",
        "Temporary failure in name resolution",
        "Could not resolve host",
        "Network is unreachable",
    ]) {
        "the build's steps do not reach the network: mend the engine's, or say --network host (in SageMaker Studio --network sagemaker)"
    } else if said(&["Unable to locate package", "has no installation candidate"]) {
        "the base's distribution has no such package: look at [apt] packages and the versions in the recipe"
    } else {
        return None;
    };
    Some(advice.to_owned())
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
        EngineError::Died { .. } | EngineError::Stalled { .. } => {
            (Fault::Machine, hint("look at the engine's log; what was built so far is in its cache"))
        }
        EngineError::NoSpace(_) => {
            (Fault::Machine, hint("free space where the engine keeps its data: docker system prune"))
        }
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

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::said(Fault::Defect, error.to_string())
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Recipe(error) => Self::new(Fault::Input, error),
            ResolveError::NoFit(error) => Self::new(Fault::NoFit, error),
            ResolveError::Upstream(error) => Self::from(error),
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        let message = error.to_string();
        match error {
            UpstreamError::NoUv => Self::said(Fault::Machine, message).hint("install it: `pip install uv`"),
            UpstreamError::NoWheels(_) | UpstreamError::NoSdist { .. } => Self::said(Fault::NoFit, message),
            UpstreamError::Unreachable { .. } => Self::said(Fault::Machine, message)
                .hint("with a lock at hand `--locked` asks nobody")
                .hint("behind a company's proxy set HTTPS_PROXY, and SSL_CERT_FILE to its certificates"),
            UpstreamError::NotAsked(_) => Self::said(Fault::Input, message),
            UpstreamError::Nonsense { .. } => Self::said(Fault::Machine, message),
        }
    }
}
