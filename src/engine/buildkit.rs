//! Builds through BuildKit: our own session beside its control API.
//!
//! On the session *we* are the server: BuildKit asks for files, secrets and logins when it needs them. On the control API we are the
//! client: `Solve` runs the build, `Status` reports on it. Both live in the future of the build and nowhere else, so that dropping
//! it closes them, and BuildKit stops the build. [`door`] knows how an engine and a BuildKit daemon of its own are reached; a
//! builder that only buildx knows is driven by [`buildx`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard_buildkit_proto::moby::buildkit::v1::{ListWorkersRequest, SolveResponse, StatusRequest};

use super::credentials::Credentials;
use super::{BuildRequest, Built, EngineError, Events, Store};
use crate::oci::{Digest, Platform};
use door::{Control, Http2, ORIGIN, Opened};
use progress::Progress;
use session::Session;

pub(super) use archive::Pieces;
pub(super) use door::Door;
pub(super) use progress::{TAIL, last_of_overwritten};
pub(super) use solve::random_id;
pub(super) use trial::runs;

mod archive;
mod base;
pub(super) mod buildx;
mod door;
mod failure;
mod progress;
mod rawjson;
mod session;
mod solve;
mod sync;
mod trial;

/// What is said to be done when a connection breaks.
const BUILDING: &str = "building";

/// How long the last progress is waited for after the build has ended.
const LAST_PROGRESS: Duration = Duration::from_secs(5);

/// Where the result of a build goes.
pub(super) enum Output {
    /// Into the engine that builds, which keeps images in this way.
    Store(Store),
    /// To us, as an archive that an engine can load.
    Archive(Pieces),
}

/// Returns the platforms whose programs the BuildKit behind `door` says it runs, its own first; nothing where there is none.
pub(super) async fn platforms(door: &Door) -> Result<Option<Vec<Platform>>, EngineError> {
    let doing = "looking for BuildKit";
    let Opened { mut client, connection, .. } = match door.control(doing).await {
        Ok(control) => control,
        Err(EngineError::Api { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let request = ListWorkersRequest::default();
    let asked = super::http::within(Duration::from_secs(30), doing, async {
        tokio::select! {
            answer = client.list_workers(request) => Ok(answer.ok()),
            _ = connection => Ok(None),
        }
    });
    let Some(answer) = asked.await? else { return Ok(None) };
    let named = answer.into_inner().record.into_iter().flat_map(|worker| worker.platforms);
    let named = named.map(|platform| format!("{}/{}", platform.os, platform.architecture));
    Ok(Some(each_once(named)))
}

/// Returns the platforms that we know among `names`, each once and in their order: a builder's own is the first.
fn each_once(names: impl Iterator<Item = String>) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in names.filter_map(|name| name.parse().ok()) {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

/// Builds one image.
pub(super) async fn build(
    door: &Door,
    credentials: &Credentials,
    output: Output,
    request: &BuildRequest,
    events: &Events,
) -> Result<Built, EngineError> {
    let began = Instant::now();
    let id = random_id();
    let solve_request = solve::request(request, &output, &id)?;
    let session = Arc::new(Session::new(request, credentials.clone(), output)?);
    let Opened { http, mut client, connection } = door.control(BUILDING).await?;
    let serving = door.serve(&session, &id, client.clone()).await?;
    let mut observer = client.clone();
    let mut progress = Progress::new(events.clone());

    let work = async {
        base::check(&http, client.clone(), &id, request).await?;
        let mut watch = Box::pin(async {
            // Nothing depends on progress: where it cannot be had, the build still ends in its own result.
            let Ok(stream) = observer.status(StatusRequest { r#ref: id.clone() }).await else { return };
            let mut stream = stream.into_inner();
            while let Ok(Some(status)) = stream.message().await {
                progress.take(status);
            }
        });
        let mut solve = Box::pin(client.solve(solve_request));
        let (solved, watched) = tokio::select! {
            solved = &mut solve => (solved, false),
            () = &mut watch => (solve.await, true),
        };
        if !watched {
            let _late = tokio::time::timeout(LAST_PROGRESS, watch).await;
        }
        Ok(solved)
    };
    let gone = |reason: Option<String>| EngineError::Died {
        endpoint: door.endpoint(),
        doing: BUILDING.to_owned(),
        reason: reason.unwrap_or_else(|| "it closed the connection".into()),
    };
    let solved = tokio::select! {
        solved = work => solved?,
        reason = serving => return Err(session.take_fault().unwrap_or_else(|| gone(reason))),
        reason = connection => return Err(session.take_fault().unwrap_or_else(|| gone(reason))),
    };
    progress.finish();
    match solved {
        Ok(response) => Ok(Built {
            id: image_id(&response.into_inner())?,
            took: began.elapsed(),
            steps: progress.count(),
            context_bytes: session.sent(),
        }),
        Err(status) => Err(session.take_fault().unwrap_or_else(|| {
            failure::of(&status, request, &progress).unwrap_or_else(|| door.lost(BUILDING, &status))
        })),
    }
}

fn image_id(response: &SolveResponse) -> Result<Digest, EngineError> {
    let nonsense = |reason: String| EngineError::Protocol { doing: BUILDING.into(), reason };
    let digest = response
        .exporter_response
        .get("containerimage.digest")
        .ok_or_else(|| nonsense("the build ended without the digest of an image".into()))?;
    digest.parse().map_err(|error: crate::oci::BadDigest| nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builders_own_platform_stays_the_first() {
        let named = ["linux/arm64", "linux/amd64", "linux/386", "linux/arm64"].map(str::to_owned);
        let platforms: Vec<String> = each_once(named.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm64", "linux/amd64"]);
    }
}
