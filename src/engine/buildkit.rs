//! Builds through BuildKit: our own session beside the engine's control API, both over connections that it hijacks for us.
//!
//! `POST /session` becomes an HTTP/2 connection on which *we* are the server: BuildKit asks for files, secrets and logins when it
//! needs them. `POST /grpc` becomes one on which we are the client: `Solve` runs the build, `Status` reports on it. Both live in
//! the future of the build and nowhere else, so that dropping it closes them, and the engine stops the build.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{ListWorkersRequest, SolveResponse, StatusRequest};
use futures_util::future::BoxFuture;
use hyper::client::conn::http2::SendRequest;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tonic::body::Body;

use super::credentials::Credentials;
use super::transport::Transport;
use super::{BuildRequest, Built, EngineError, Events, Store};
use crate::oci::{Digest, Platform};
use progress::Progress;
use session::Session;

pub(super) use progress::{TAIL, last_of_overwritten};
pub(super) use solve::random_id;

mod base;
mod failure;
mod progress;
mod session;
mod solve;
mod sync;

/// What is said to be done when a connection breaks.
const BUILDING: &str = "building";

/// How often the engine is asked whether it is still there, and how long it may take to say so. A `RUN` step may be silent for
/// an hour, so its silence means nothing.
const ALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));

/// How long the last progress is waited for after the build has ended.
const LAST_PROGRESS: Duration = Duration::from_secs(5);

/// What requests say they are for; the connection alone decides where they go.
const ORIGIN: &str = "http://localhost";

/// Messages of BuildKit, such as the whole graph of a build, may be large.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// Returns the platforms whose programs the BuildKit behind `transport` runs, natively or emulated; nothing where there is none.
pub(super) async fn platforms(transport: &Transport) -> Result<Option<Vec<Platform>>, EngineError> {
    let doing = "looking for BuildKit";
    let (_, mut client, connection) = match control(transport, doing).await {
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
    let mut platforms: Vec<Platform> = named
        .filter_map(|platform| format!("{}/{}", platform.os, platform.architecture).parse().ok())
        .collect();
    platforms.sort_unstable();
    platforms.dedup();
    Ok(Some(platforms))
}

/// Builds one image on an engine that keeps images in `store`.
pub(super) async fn build(
    transport: &Transport,
    credentials: &Credentials,
    store: Store,
    request: &BuildRequest,
    events: &Events,
) -> Result<Built, EngineError> {
    let began = Instant::now();
    let id = random_id();
    let session = Arc::new(Session::new(request, credentials.clone())?);
    let solve_request = solve::request(request, store, &id)?;
    let serving = serve(transport, &session, &id).await?;
    let (http, mut client, connection) = control(transport, BUILDING).await.map_err(no_buildkit)?;
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
        endpoint: transport.endpoint(),
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
            failure::of(&status, request, &progress).unwrap_or_else(|| transport.lost(BUILDING, &status))
        })),
    }
}

/// Serves the session until the returned future ends, which says why where it knows.
async fn serve(
    transport: &Transport,
    session: &Arc<Session>,
    id: &str,
) -> Result<impl Future<Output = Option<String>>, EngineError> {
    let header = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
        (HeaderName::from_static(name), value)
    };
    let mut headers = vec![
        header("x-docker-expose-session-uuid", id),
        header("x-docker-expose-session-name", "smp-image"),
        header("x-docker-expose-session-sharedkey", &session.key()),
    ];
    headers
        .extend(session::METHODS.iter().map(|method| header("x-docker-expose-session-grpc-method", method)));
    let stream = transport.upgrade("/session", "h2c", headers, BUILDING).await.map_err(no_buildkit)?;
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_send_buf_size(1024 * 1024)
        .serve_connection(stream, TowerToHyperService::new(session::routes(session)));
    Ok(async move { connection.await.err().map(|error| super::transport::chain(&error)) })
}

type Control = ControlClient<Http2>;

/// Opens the control API, with the future that drives its connection.
async fn control(
    transport: &Transport,
    doing: &str,
) -> Result<(Http2, Control, impl Future<Output = Option<String>>), EngineError> {
    let stream = transport.upgrade("/grpc", "h2c", Vec::new(), doing).await?;
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE.0)
        .keep_alive_timeout(ALIVE.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .handshake(stream)
        .await
        .map_err(|error| transport.lost(doing, &error))?;
    let http = Http2(sender);
    let client = ControlClient::with_origin(http.clone(), Uri::from_static(ORIGIN))
        .max_decoding_message_size(MESSAGE_LIMIT);
    Ok((http, client, async move { connection.await.err().map(|error| super::transport::chain(&error)) }))
}

/// An HTTP/2 connection as tonic wants it.
#[derive(Clone)]
struct Http2(SendRequest<Body>);

impl tower::Service<Request<Body>> for Http2 {
    type Response = Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// An engine without BuildKit refuses the path; say so.
fn no_buildkit(error: EngineError) -> EngineError {
    match error {
        EngineError::Api { status: 400 | 403 | 404 | 405 | 501, message, .. } => EngineError::Unsupported {
            what: "build with BuildKit".into(),
            reason: format!("{message}; use the classic dialect, or Docker 20.10 or newer"),
        },
        other => other,
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
