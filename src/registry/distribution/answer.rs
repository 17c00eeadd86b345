//! One answer of a registry, read with bounds; and the error that a bad one is.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::Deserialize;

use super::RegistryError;
use crate::registry::reason::{certificate_fault, root};

/// What a registry answered with success.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body, no longer than asked for.
    pub(super) body: Vec<u8>,
}

/// Whom we asked for what; for errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The host.
    pub(super) registry: &'a str,
    /// The repository.
    pub(super) repository: &'a str,
    /// The image, as the user knows it.
    pub(super) reference: &'a str,
    /// In words.
    pub(super) doing: &'a str,
    /// Whether credentials are there to be sent.
    pub(super) logged_in: bool,
    /// The longest body that is read, in bytes.
    pub(super) at_most: usize,
    /// How long it is waited for.
    pub(super) limit: Duration,
}

/// Why an attempt did not give an answer, and whether another may.
#[derive(Debug)]
pub(super) struct Failure {
    /// What to say if it was the last.
    pub(super) error: RegistryError,
    /// Whether the same question may be answered later.
    pub(super) again: Again,
}

/// Whether the same question may be answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// No.
    Never,
    /// Perhaps, after a pause of our choice.
    Later,
    /// Perhaps, after the pause that the registry asks for.
    After(Duration),
}

impl Failure {
    /// Returns a failure that another attempt will not mend.
    #[must_use]
    pub(super) fn fatal(error: RegistryError) -> Self {
        Self { error, again: Again::Never }
    }
}

impl Answer {
    /// Returns a header's text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the media type of the body, without parameters.
    pub(super) fn media_type(&self) -> &str {
        self.header(&CONTENT_TYPE).and_then(|text| text.split(';').next()).unwrap_or_default().trim()
    }

    /// Reads `response`, at most as much as the question asks for.
    pub(super) async fn read(response: Response, question: Question<'_>) -> Result<Self, Failure> {
        let status = response.status();
        let headers = response.headers().clone();
        if !status.is_success() {
            // What stands in the body of a refusal only explains it: a body that breaks off must not hide the status.
            let body = bounded(response, question, 16 << 10).await.unwrap_or_default();
            return Err(refusal(status.as_u16(), &headers, &body, question));
        }
        let body = bounded(response, question, question.at_most).await?;
        Ok(Self { headers, body })
    }
}

/// Returns the failure that `error` of the connection is.
pub(super) fn broken(error: &reqwest::Error, question: Question<'_>) -> Failure {
    let registry = question.registry.to_owned();
    if error.is_timeout() {
        let doing = question.doing.to_owned();
        return Failure::fatal(RegistryError::TimedOut { registry, doing, limit: question.limit });
    }
    if error.is_builder() {
        return Failure::fatal(RegistryError::Trust(root(error)));
    }
    if let Some(reason) = certificate_fault(error) {
        return Failure::fatal(RegistryError::Certificate { registry, reason });
    }
    // Nobody home is an answer; a connection that broke in the middle may not break again.
    let again = if error.is_connect() || error.is_redirect() { Again::Never } else { Again::Later };
    Failure { error: RegistryError::Unreachable { registry, reason: root(error) }, again }
}

async fn bounded(response: Response, question: Question<'_>, limit: usize) -> Result<Vec<u8>, Failure> {
    let body =
        Limited::new(reqwest::Body::from(response), limit).collect().await.map_err(|error| {
            match error.downcast_ref::<reqwest::Error>() {
                Some(error) => broken(error, question),
                None => Failure::fatal(RegistryError::Lying {
                    registry: question.registry.to_owned(),
                    reference: question.reference.to_owned(),
                    what: format!("more than {limit} bytes"),
                }),
            }
        })?;
    Ok(body.to_bytes().into())
}

fn refusal(status: u16, headers: &HeaderMap, body: &[u8], question: Question<'_>) -> Failure {
    let registry = question.registry.to_owned();
    let message = message(body);
    match status {
        401 | 403 => Failure::fatal(RegistryError::Unauthorised {
            registry,
            repository: question.repository.to_owned(),
            status,
            message,
            logged_in: question.logged_in,
        }),
        404 => Failure::fatal(RegistryError::NotFound { reference: question.reference.to_owned(), message }),
        429 => {
            let retry_after = retry_after(headers);
            let again = retry_after.map_or(Again::Later, Again::After);
            Failure { error: RegistryError::RateLimited { registry, retry_after, attempts: 1 }, again }
        }
        500.. => {
            let again = retry_after(headers).map_or(Again::Later, Again::After);
            Failure { error: RegistryError::ServerError { registry, status, message, attempts: 1 }, again }
        }
        _ => {
            let doing = question.doing.to_owned();
            Failure::fatal(RegistryError::Refused { registry, doing, status, message })
        }
    }
}

/// The error form of the OCI distribution specification.
#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Returns what the body of a refusal says, fit for one line: the registry's own words, or the start of a plain text.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => {
            let parts = envelope.errors.iter().take(3).map(|complaint| {
                if complaint.message.is_empty() { complaint.code.clone() } else { complaint.message.clone() }
            });
            parts.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    // A page of HTML explains nothing in one line.
    if text.starts_with('<') {
        return String::new();
    }
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns how long the registry asks us to wait: seconds, or a moment in HTTP's form (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(moment.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())])
    }

    #[test]
    fn a_pause_is_read_in_both_forms_of_http() {
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers("soon")), None);
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
        let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later).unwrap();
        let wait = retry_after(&headers(&text)).unwrap();
        assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
    }

    #[test]
    fn a_refusal_is_told_in_the_registrys_own_words() {
        let body = br#"{"errors":[{"code":"DENIED","message":"requested access is denied","detail":null},{"code":"X"}]}"#;
        assert_eq!(message(body), "requested access is denied; X");
        assert_eq!(message(b" slow down\n"), "slow down");
        assert_eq!(message(b"<html>login</html>"), "");
        assert_eq!(message(&[0xff, b'a', 0x1b]), "\u{fffd}a ");
    }
}
