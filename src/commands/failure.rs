//! Whose fault each room's error was, and what helps: the one table.

use crate::catalog::CatalogError;
use crate::engine::EngineError;
use crate::error::{Failure, Fault};
use crate::plan::PlanError;
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
        let tail = match &error {
            EngineError::Step(step) => step.tail.clone(),
            EngineError::RanTooLong { tail, .. } => tail.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let mut message = error.to_string();
        if let EngineError::Step(step) = &error {
            if let Some((first, last)) = step.lines {
                message = format!("{message}\nDockerfile, lines {first} to {last}");
            }
            message = format!("{message}\n{}", step.message);
        }
        if !tail.is_empty() {
            message = format!("{message}\nits last output:\n  {}", tail.join("\n  "));
        }
        hints.into_iter().fold(Self::said(fault, message), Self::hint)
    }
}

/// Whose fault an engine's error was, and what helps.
fn of_engine(error: &EngineError) -> (Fault, Vec<String>) {
    let hint = |text: &str| vec![text.to_owned()];
    match error {
        EngineError::Unreachable { .. } => (
            Fault::Machine,
            vec![
                "start Docker, or say where it is: --host, DOCKER_HOST or --context".to_owned(),
                "`make demo` starts an engine of its own where there is none".to_owned(),
            ],
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
        EngineError::Step(_) | EngineError::Dockerfile { .. } => {
            (Fault::Build, hint("the Dockerfile is what `smp-image render` prints"))
        }
        EngineError::Platform { .. } | EngineError::NotFound(_) | EngineError::Context { .. } => {
            (Fault::Build, Vec::new())
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
