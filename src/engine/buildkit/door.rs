//! How BuildKit is reached: inside an engine, over connections that it hijacks for us; or as a daemon of its own, over plain gRPC.
//!
//! An engine turns `POST /grpc` into the control API and `POST /session` into a connection on which we are the server. A daemon
//! speaks the control API at once, and carries the session inside one call of it (`Control.Session`).

use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use hyper::client::conn::http2::SendRequest;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;
use tonic::body::Body;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};

use super::BUILDING;
use super::session::{self, Session};
use crate::engine::EngineError;
use crate::engine::transport::{Transport, chain};

/// How often BuildKit is asked whether it is still there, and how long it may take to say so. A `RUN` step may be silent for
/// an hour, so its silence means nothing.
const ALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));

/// What requests say they are for; the connection alone decides where they go.
pub(super) const ORIGIN: &str = "http://localhost";

/// Messages of BuildKit, such as the whole graph of a build, may be large.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// How much of a session waits between us and a daemon.
const PIPE: usize = 1024 * 1024;

/// How much of a session one message to a daemon carries.
const PIECE: usize = 32 * 1024;

/// Where BuildKit is. Cheap to clone.
#[derive(Clone)]
pub(in crate::engine) enum Door {
    /// Inside an engine.
    Engine(Transport),
    /// A daemon of its own.
    Daemon(Transport),
}

/// The client of the control API.
pub(super) type Control = ControlClient<Http2>;

/// What says, when it ends, why a connection did.
type Ending = BoxFuture<'static, Option<String>>;

/// The control API, with what drives its connection.
pub(super) struct Opened {
    /// The connection itself, for the other services on it.
    pub(super) http: Http2,
    /// The control API.
    pub(super) client: Control,
    /// Drives the connection, and says why it ended where it knows.
    pub(super) connection: Ending,
}

impl Door {
    /// Returns where BuildKit is, for people.
    pub(super) fn endpoint(&self) -> String {
        self.transport().endpoint()
    }

    /// Returns the error of a connection that broke.
    pub(super) fn lost(&self, doing: &str, error: &(dyn std::error::Error + 'static)) -> EngineError {
        self.transport().lost(doing, error)
    }

    fn transport(&self) -> &Transport {
        match self {
            Self::Engine(transport) | Self::Daemon(transport) => transport,
        }
    }

    /// Opens the control API.
    pub(super) async fn control(&self, doing: &str) -> Result<Opened, EngineError> {
        match self {
            Self::Engine(transport) => {
                let stream = transport.upgrade("/grpc", "h2c", Vec::new(), doing).await?;
                self.client(stream, doing).await
            }
            Self::Daemon(transport) => self.client(TokioIo::new(transport.dial().await?), doing).await,
        }
    }

    async fn client<S>(&self, stream: S, doing: &str) -> Result<Opened, EngineError>
    where
        S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    {
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(ALIVE.0)
            .keep_alive_timeout(ALIVE.1)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .handshake(stream)
            .await
            .map_err(|error| self.lost(doing, &error))?;
        let http = Http2(sender);
        let client = ControlClient::with_origin(http.clone(), Uri::from_static(ORIGIN))
            .max_decoding_message_size(MESSAGE_LIMIT);
        let connection = Box::pin(async move { connection.await.err().map(|error| chain(&error)) });
        Ok(Opened { http, client, connection })
    }

    /// Serves the session until the returned future ends, which says why where it knows.
    pub(super) async fn serve(
        &self,
        session: &Arc<Session>,
        id: &str,
        client: Control,
    ) -> Result<Ending, EngineError> {
        let words = words(session, id);
        match self {
            Self::Engine(transport) => {
                let headers = words.into_iter().map(|(name, value)| {
                    let value =
                        HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(""));
                    (HeaderName::from_static(name), value)
                });
                let stream = transport
                    .upgrade("/session", "h2c", headers.collect(), BUILDING)
                    .await
                    .map_err(no_buildkit)?;
                Ok(served(stream, session))
            }
            Self::Daemon(_) => Ok(Box::pin(carried(client, Arc::clone(session), words))),
        }
    }
}

/// What BuildKit is told of a session: its name, the key of its files, and what it may ask for.
fn words(session: &Session, id: &str) -> Vec<(&'static str, String)> {
    let mut words = vec![
        ("x-docker-expose-session-uuid", id.to_owned()),
        ("x-docker-expose-session-name", "smp-image".to_owned()),
        ("x-docker-expose-session-sharedkey", session.key()),
    ];
    let methods = session.methods();
    words.extend(methods.map(|method| ("x-docker-expose-session-grpc-method", method.to_owned())));
    words
}

/// Answers what BuildKit asks on `stream`.
fn served<S>(stream: S, session: &Arc<Session>) -> Ending
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_send_buf_size(1024 * 1024)
        .serve_connection(stream, TowerToHyperService::new(session::routes(session)));
    Box::pin(async move { connection.await.err().map(|error| chain(&error)) })
}

/// Answers what a daemon asks inside one call of its control API.
async fn carried(
    mut client: Control,
    session: Arc<Session>,
    words: Vec<(&'static str, String)>,
) -> Option<String> {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (from_us, mut to_us) = tokio::io::split(theirs);
    let pieces = ReaderStream::with_capacity(from_us, PIECE)
        .filter_map(|piece| async { piece.ok().map(|data| BytesMessage { data: data.to_vec() }) });
    let mut call = tonic::Request::new(pieces);
    for (name, value) in words {
        let value =
            AsciiMetadataValue::try_from(value).unwrap_or_else(|_| AsciiMetadataValue::from_static(""));
        call.metadata_mut().append(AsciiMetadataKey::from_static(name), value);
    }
    let mut asked = match client.session(call).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Some(status.message().to_owned()),
    };
    let pump = async {
        loop {
            match asked.message().await {
                Ok(Some(message)) if to_us.write_all(&message.data).await.is_ok() => {}
                Ok(_) => return None,
                Err(status) => return Some(status.message().to_owned()),
            }
        }
    };
    tokio::select! {
        reason = pump => reason,
        reason = served(TokioIo::new(ours), &session) => reason,
    }
}

/// An HTTP/2 connection as tonic wants it.
#[derive(Clone)]
pub(super) struct Http2(SendRequest<Body>);

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
pub(super) fn no_buildkit(error: EngineError) -> EngineError {
    match error {
        EngineError::Api { status: 301 | 400 | 403 | 404 | 405 | 501, message, .. } => {
            EngineError::Unsupported {
                what: "build with BuildKit".into(),
                reason: format!("{message}; use the classic dialect, or Docker 20.10 or newer"),
            }
        }
        other => other,
    }
}
