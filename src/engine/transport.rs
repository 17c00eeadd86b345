//! Connections to an engine: Unix socket, TCP, TLS, `ssh`; one HTTP/1.1 request on each, or an upgrade to a raw stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OnceCell;

use super::EngineError;
use super::endpoint::Endpoint;

mod ssh;
mod tls;
mod version;

/// How long an engine may take to accept a connection.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// A stream of bytes in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens connections to one engine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    tls: Option<tls::Connector>,
    /// What `ssh` last complained about: the HTTP error alone would be "connection closed".
    complaint: Arc<Mutex<String>>,
    /// The version of the API that every path begins with, once it is known.
    version: OnceCell<String>,
}

impl Transport {
    /// Prepares connections; opens none.
    ///
    /// # Errors
    /// Where the TLS files cannot be read or make no sense.
    pub(super) fn new(endpoint: Endpoint) -> Result<Self, EngineError> {
        let tls = match &endpoint {
            Endpoint::Tcp { host, tls: Some(tls), .. } => Some(tls::Connector::new(host, tls)?),
            _ => None,
        };
        Ok(Self(Arc::new(Inner { endpoint, tls, complaint: Arc::default(), version: OnceCell::new() })))
    }

    /// Returns where the engine is, for people.
    pub(super) fn endpoint(&self) -> String {
        self.0.endpoint.to_string()
    }

    /// Opens one connection.
    pub(super) async fn dial(&self) -> Result<Box<dyn Duplex>, EngineError> {
        let unreachable = |error: std::io::Error| EngineError::Unreachable {
            endpoint: self.endpoint(),
            reason: advice(&error),
        };
        let dial = async {
            match &self.0.endpoint {
                Endpoint::Unix(path) => {
                    UnixStream::connect(path).await.map(|stream| Box::new(stream) as Box<dyn Duplex>)
                }
                Endpoint::Tcp { host, port, .. } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    match &self.0.tls {
                        None => Ok(Box::new(stream) as Box<dyn Duplex>),
                        Some(tls) => tls.connect(stream).await,
                    }
                }
                Endpoint::Ssh { destination, port, socket } => {
                    ssh::dial(destination, *port, socket.as_deref(), &self.0.complaint)
                }
            }
        };
        tokio::time::timeout(DIAL_LIMIT, dial)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(unreachable)
    }

    /// Sends one request on a connection of its own and returns the head of the answer, whatever its status.
    ///
    /// Its path gets the version of the API that both sides know: SageMaker Studio answers paths without one with a redirection.
    /// The connection ends with the answer's body, also when that is dropped half-read: this is how work is cancelled.
    pub(super) async fn send<B>(
        &self,
        mut request: Request<B>,
        doing: &str,
    ) -> Result<Response<Incoming>, EngineError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let version = self.0.version.get_or_try_init(|| version::agreed(self, doing)).await?;
        // An origin-form target, as a server wants it; the connection says where to.
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let target = format!("/v{version}{target}");
        *request.uri_mut() = target.parse::<Uri>().map_err(|error| protocol(doing, &error))?;
        self.send_as_it_is(request, doing).await
    }

    async fn send_as_it_is<B>(
        &self,
        mut request: Request<B>,
        doing: &str,
    ) -> Result<Response<Incoming>, EngineError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        request.headers_mut().insert(HOST, self.host());
        let stream = self.dial().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.lost(doing, &error))?;
        // Ends by itself: with the answer, with the upgrade, or when both `sender` and the body are gone.
        tokio::spawn(async move { connection.with_upgrades().await });
        sender.send_request(request).await.map_err(|error| self.lost(doing, &error))
    }

    /// Asks for `path` to become a raw stream that then speaks `protocol`.
    pub(super) async fn upgrade(
        &self,
        path: &str,
        protocol_name: &'static str,
        headers: Vec<(HeaderName, HeaderValue)>,
        doing: &str,
    ) -> Result<Upgraded, EngineError> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().map_err(|error| protocol(doing, &error))?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol_name));
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        let response = self.send(request, doing).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return hyper::upgrade::on(response).await.map_err(|error| self.lost(doing, &error));
        }
        Err(super::http::refusal(response, doing).await)
    }

    /// Returns the error of a connection that broke, with what `ssh` complained about.
    pub(super) fn lost(&self, doing: &str, error: &(dyn std::error::Error + 'static)) -> EngineError {
        let complaint = std::mem::take(&mut *self.0.complaint.lock().unwrap_or_else(PoisonError::into_inner));
        let mut reason = chain(error);
        if !complaint.trim().is_empty() {
            let said = complaint.trim().lines().last().unwrap_or_default();
            return EngineError::Unreachable { endpoint: self.endpoint(), reason: said.to_owned() };
        }
        if reason.is_empty() {
            "the connection closed".clone_into(&mut reason);
        }
        EngineError::Died { endpoint: self.endpoint(), doing: doing.to_owned(), reason }
    }

    fn host(&self) -> HeaderValue {
        let name = match &self.0.endpoint {
            Endpoint::Tcp { host, port, .. } => format!("{host}:{port}"),
            Endpoint::Unix(_) | Endpoint::Ssh { .. } => "docker".to_owned(),
        };
        HeaderValue::from_str(&name).unwrap_or_else(|_| HeaderValue::from_static("docker"))
    }
}

/// Returns an error and its causes in one line, without repeating what a cause says again.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

fn protocol(doing: &str, error: &dyn std::error::Error) -> EngineError {
    EngineError::Protocol { doing: doing.to_owned(), reason: error.to_string() }
}

/// Says what the connection's error means for the person in front of it.
fn advice(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let what_next = match error.kind() {
        ErrorKind::ConnectionRefused => "the engine is not running there; start it",
        ErrorKind::PermissionDenied => {
            "this user may not use Docker; join the group of the socket (`sudo usermod -aG docker $USER`) and log in again"
        }
        ErrorKind::TimedOut => "it does not answer; is the address right, is a firewall in the way",
        _ => return chain(error),
    };
    format!("{}; {what_next}", chain(error))
}
