//! Questions to the API server: with credentials, patiently, and with errors that say what is missing.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::config::{self, Access, Login};
use super::exec::Credential;
use super::{ClusterError, Patience};

/// The largest answer that is read, in bytes; a list of a job's pods is a thousandth of it.
const ANSWER_LIMIT: usize = 32 << 20;
/// The longest pause between two attempts, even if the server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection to one cluster.
#[derive(Debug)]
pub(super) struct Client {
    access: Access,
    pub(super) patience: Patience,
    http: reqwest::Client,
    credential: Mutex<Option<Credential>>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) method: &'a Method,
    /// Below the server's address, without a leading slash.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    /// In words, for errors.
    pub(super) doing: &'a str,
    /// The permission that it needs, as `kubectl auth can-i` takes it.
    pub(super) permission: &'a str,
}

/// What the API server says where it refuses.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    message: String,
    reason: String,
}

impl Client {
    /// Returns a client; runs the program that gives credentials, where one is named.
    pub(super) async fn new(access: Access, patience: Patience) -> Result<Self, ClusterError> {
        let credential = match &access.login {
            Login::Plugin(plugin) => Some(plugin.ask().await?),
            _ => None,
        };
        Self::with(access, patience, credential)
    }

    fn with(
        access: Access,
        patience: Patience,
        credential: Option<Credential>,
    ) -> Result<Self, ClusterError> {
        let given = credential.as_ref().and_then(|credential| credential.identity.as_ref());
        let http = connections(&access, given.or(access.identity.as_ref()), patience)?;
        Ok(Self { access, patience, http, credential: Mutex::new(credential) })
    }

    /// Returns a client with connections of its own: those of a runtime that ends cannot be used by another.
    pub(super) fn again(&self) -> Result<Self, ClusterError> {
        let credential = self.credential.try_lock().ok().and_then(|credential| credential.clone());
        Self::with(self.access.clone(), self.patience, credential)
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Asks until there is an answer, or no hope for one.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Value, ClusterError> {
        let mut attempt = 1;
        loop {
            let asked = async {
                let response = self.open(question).await?;
                body(response, question).await
            };
            let outcome = match tokio::time::timeout(self.patience.answer, asked).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Fault::later(self.unreachable(question, "it takes too long"))),
            };
            let fault = match outcome {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let pause = match fault.again {
                Again::Never => return Err(counted(fault.error, attempt)),
                _ if attempt >= self.patience.attempts => return Err(counted(fault.error, attempt)),
                Again::Later => self.pause(attempt),
                Again::After(wait) => wait.min(LONGEST_PAUSE),
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Returns the pause after attempt number `attempt`.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        self.patience.pause.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
    }

    /// Asks once and returns the answer as it begins; renews the credential once where it has run out.
    pub(super) async fn open(&self, question: Question<'_>) -> Result<Response, Fault> {
        let response = self.send(question, false).await?;
        let renewable = matches!(self.access.login, Login::Plugin(_) | Login::File(_));
        let response = if response.status() == StatusCode::UNAUTHORIZED && renewable {
            self.send(question, true).await?
        } else {
            response
        };
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response, question).await)
        }
    }

    async fn send(&self, question: Question<'_>, renew: bool) -> Result<Response, Fault> {
        let mut url = self.access.server.join(question.path).map_err(|error| {
            Fault::never(ClusterError::Config(format!("`{}` is no path: {error}", question.path)))
        })?;
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(question.query);
        }
        let mut request = self.http.request(question.method.clone(), url);
        if let Some(value) = self.authorization(renew).await.map_err(Fault::never)? {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(body) = question.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        request.send().await.map_err(|error| Fault::later(self.unreachable(question, &chain(&error))))
    }

    async fn authorization(&self, renew: bool) -> Result<Option<HeaderValue>, ClusterError> {
        let token = match &self.access.login {
            Login::Nobody => None,
            Login::Token(token) => Some(token.clone()),
            Login::File(path) => Some(config::token(path)?),
            Login::Plugin(plugin) => {
                let mut known = self.credential.lock().await;
                let good =
                    known.as_ref().is_some_and(|credential| credential.is_good(jiff::Timestamp::now()));
                if renew || !good {
                    *known = Some(plugin.ask().await?);
                }
                known.as_ref().and_then(|credential| credential.token.clone())
            }
        };
        let header = |token: String| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                ClusterError::Config(
                    "the token for the cluster holds characters that no header can".to_owned(),
                )
            })?;
            value.set_sensitive(true);
            Ok(value)
        };
        token.map(header).transpose()
    }

    pub(super) fn unreachable(&self, question: Question<'_>, reason: &str) -> ClusterError {
        ClusterError::Unreachable {
            server: self.access.server.to_string(),
            doing: question.doing.to_owned(),
            reason: reason.to_owned(),
        }
    }

    async fn refused(&self, response: Response, question: Question<'_>) -> Fault {
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = read(response).await.unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&text).unwrap_or_default();
        let message = match (refusal.message, refusal.reason) {
            (message, _) if !message.is_empty() => message,
            (_, reason) if !reason.is_empty() => reason,
            _ => String::from_utf8_lossy(&text).chars().take(200).collect::<String>().trim().to_owned(),
        };
        let doing = question.doing.to_owned();
        match status {
            401 => {
                Fault::never(ClusterError::Unauthorised { server: self.access.server.to_string(), message })
            }
            403 => Fault::never(ClusterError::Forbidden {
                doing,
                message,
                permission: question.permission.to_owned(),
            }),
            429 | 500 | 502 | 503 | 504 => Fault {
                error: ClusterError::Failing { doing, status, message, attempts: 1 },
                again: wait.map_or(Again::Later, |seconds| Again::After(Duration::from_secs(seconds))),
            },
            _ => Fault::never(ClusterError::Refused { doing, status, message }),
        }
    }
}

/// An error, and whether and after which pause it is worth to ask again.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: ClusterError,
    pub(super) again: Again,
}

/// Whether it is worth to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// After a pause of our own.
    Later,
    /// After the pause that the server asks for.
    After(Duration),
}

impl Fault {
    fn never(error: ClusterError) -> Self {
        Self { error, again: Again::Never }
    }

    pub(super) fn later(error: ClusterError) -> Self {
        Self { error, again: Again::Later }
    }
}

fn counted(error: ClusterError, count: u32) -> ClusterError {
    match error {
        ClusterError::Failing { doing, status, message, .. } => {
            ClusterError::Failing { doing, status, message, attempts: count }
        }
        other => other,
    }
}

async fn body(response: Response, question: Question<'_>) -> Result<Value, Fault> {
    let nonsense = |reason: String| ClusterError::Nonsense { doing: question.doing.to_owned(), reason };
    let text = read(response).await.map_err(|reason| Fault::later(nonsense(reason)))?;
    serde_json::from_slice(&text).map_err(|error| Fault::never(nonsense(format!("it is not JSON: {error}"))))
}

async fn read(response: Response) -> Result<Vec<u8>, String> {
    let body = Limited::new(reqwest::Body::from(response), ANSWER_LIMIT).collect().await.map_err(
        |error| match error.downcast_ref::<reqwest::Error>() {
            Some(error) => chain(error),
            None => format!("it is longer than {ANSWER_LIMIT} bytes"),
        },
    )?;
    Ok(body.to_bytes().into())
}

/// Returns an error with its causes: reqwest's own words name only the address.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.last().cloned().unwrap_or_else(|| error.to_string())
}

fn connections(
    access: &Access,
    identity: Option<&Vec<u8>>,
    patience: Patience,
) -> Result<reqwest::Client, ClusterError> {
    // An error says that one is set already, which serves as well.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let bad = |what: &str, error: reqwest::Error| {
        ClusterError::Config(format!("{what} of the kubeconfig: {}", chain(&error)))
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("smp-image/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(patience.connect)
        // Logs may be silent for hours; a connection that was lost in silence is found out by this.
        .tcp_keepalive(Duration::from_secs(30))
        // An API server does not redirect; a proxy for logins does, and its page is no answer.
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(!access.verify);
    if let Some(pem) = &access.authority {
        let authority = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| bad("the certificate authority", error))?;
        builder = builder.tls_certs_only(authority);
    }
    if let Some(pem) = identity {
        builder = builder.identity(
            reqwest::Identity::from_pem(pem).map_err(|error| bad("the client certificate", error))?,
        );
    }
    if let Some(proxy) = &access.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| bad("the proxy", error))?);
    }
    builder.build().map_err(|error| bad("certificates", error))
}
