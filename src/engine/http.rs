//! Answers of the engine's HTTP API that we read ourselves: refusals, and streams of JSON lines with a limit on silence.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::EngineError;
use super::transport::Transport;

/// How much of a refusal, or of one line of JSON, is read.
const TEXT_LIMIT: usize = 1024 * 1024;

/// Returns the error that an answer without success means.
pub(super) async fn refusal(response: Response<Incoming>, doing: &str) -> EngineError {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let status = response.status().as_u16();
    let body = http_body_util::Limited::new(response.into_body(), TEXT_LIMIT).collect();
    let text = match tokio::time::timeout(Duration::from_secs(30), body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let message = serde_json::from_slice::<Refusal>(&text)
        .map_or_else(|_| String::from_utf8_lossy(&text).trim().to_owned(), |refusal| refusal.message);
    refused(status, message, doing)
}

/// Returns what the engine's `status` and `message` mean.
pub(super) fn refused(status: u16, message: String, doing: &str) -> EngineError {
    if message.contains(NO_SPACE) {
        return EngineError::NoSpace(message);
    }
    let message = if message.is_empty() { "it gave no reason".to_owned() } else { message };
    EngineError::Api { doing: doing.to_owned(), status, message }
}

/// Returns what an image is made for, where `message` says that this is not what was asked for.
pub(super) fn foreign(message: &str) -> Option<String> {
    let known = [
        "does not match the specified platform",
        "exec format error",
        "no matching manifest",
        "no match for platform",
    ];
    if !known.iter().any(|words| message.contains(words)) {
        return None;
    }
    let actual = message.split_once("actual: ").map(|(_, rest)| rest.trim_end_matches([')', '.']).to_owned());
    Some(actual.unwrap_or_else(|| "made for another architecture".to_owned()))
}

/// Sorts the words of a registry about `image`.
pub(super) fn refused_by_registry(image: &str, message: String) -> EngineError {
    let registry = image
        .parse::<crate::oci::Reference>()
        .map_or_else(|_| image.to_owned(), |reference| reference.registry().to_owned());
    let lower = message.to_ascii_lowercase();
    let unauthorised = [
        "unauthorized",
        "401 unauthorized",
        "403 forbidden",
        "access denied",
        "access is denied",
        "denied:",
        "authorization failed",
        "failed to authorize",
        "insufficient_scope",
        "no basic auth credentials",
        "not authorized",
        "authentication required",
    ];
    if unauthorised.iter().any(|words| lower.contains(words)) {
        return EngineError::Unauthorised { registry, message };
    }
    if lower.ends_with("not found") || lower.contains("manifest unknown") || lower.contains("name unknown") {
        return EngineError::NotFound(image.to_owned());
    }
    EngineError::Registry { registry, message }
}

/// What every engine says, somewhere in its message, when its disk is full (`strerror(ENOSPC)`).
pub(super) const NO_SPACE: &str = "no space left on device";

/// Waits for `work`, at most for `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(EngineError::Stalled { doing: doing.to_owned(), limit }))
}

/// The chunks of an answer's body; silence for longer than `limit` is an error.
pub(super) struct Chunks<'a> {
    body: Incoming,
    transport: &'a Transport,
    doing: &'a str,
    limit: Duration,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(body: Incoming, transport: &'a Transport, doing: &'a str, limit: Duration) -> Self {
        Self { body, transport, doing, limit }
    }

    /// Returns the next chunk, or nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let (transport, doing) = (self.transport, self.doing);
        let frame =
            async { self.body.frame().await.transpose().map_err(|error| transport.lost(doing, &error)) };
        let frame = within(self.limit, doing, frame).await?;
        // Trailers carry no data; an empty chunk stands for them.
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

/// The JSON values of an answer's body, one on each line.
pub(super) struct Lines<'a> {
    chunks: Chunks<'a>,
    buffer: BytesMut,
    ended: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(chunks: Chunks<'a>) -> Self {
        Self { chunks, buffer: BytesMut::new(), ended: false }
    }

    /// Returns the next value, or nothing at the end. Empty lines, and carriage returns before their ends, are no values.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, EngineError> {
        loop {
            let line = match self.buffer.iter().position(|&byte| byte == b'\n') {
                Some(end) => self.buffer.split_to(end + 1),
                None if self.ended => self.buffer.split(),
                None => {
                    if self.buffer.len() > TEXT_LIMIT {
                        return Err(self.nonsense("a line of more than 1 MiB"));
                    }
                    match self.chunks.next().await? {
                        Some(chunk) => self.buffer.extend_from_slice(&chunk),
                        None => self.ended = true,
                    }
                    continue;
                }
            };
            let line = line.trim_ascii();
            if !line.is_empty() {
                return serde_json::from_slice(line)
                    .map(Some)
                    .map_err(|error| self.nonsense(&error.to_string()));
            }
            if self.ended {
                return Ok(None);
            }
        }
    }

    fn nonsense(&self, reason: &str) -> EngineError {
        EngineError::Protocol { doing: self.chunks.doing.to_owned(), reason: reason.to_owned() }
    }
}
