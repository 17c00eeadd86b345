//! Which version of the API both sides speak. It is asked for with a version, for some engines answer nothing without one.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use serde::Deserialize;

use super::Transport;
use crate::engine::EngineError;

/// The oldest version that we build with: that of Docker 20.10, and the only one in SageMaker Studio.
const OLDEST: &str = "1.41";

/// The newest minor version that our client of the API was made for.
const NEWEST: u64 = 53;

/// How much of an answer is read, and how long it may take.
const LIMIT: usize = 256 * 1024;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Returns the newest version that both sides know.
pub(super) async fn agreed(transport: &Transport, doing: &str) -> Result<String, EngineError> {
    let mut version = OLDEST.to_owned();
    // Engine 29 knows nothing older than 1.44 and says so; it is then asked in its own words.
    for _ in 0..2 {
        let (status, body) = asked(transport, &version, doing).await?;
        if status == 200 {
            return Ok(newest(&body).unwrap_or(version));
        }
        match named(&String::from_utf8_lossy(&body)) {
            Some(named) if named != version => version = named,
            // Whatever is wrong, the question itself will hear it too, and tell it better.
            _ => break,
        }
    }
    Ok(version)
}

async fn asked(transport: &Transport, version: &str, doing: &str) -> Result<(u16, Bytes), EngineError> {
    let mut request = Request::new(Empty::<Bytes>::new());
    let path = format!("/v{version}/version");
    *request.uri_mut() = path.parse().map_err(|error| super::protocol(doing, &error))?;
    let answer = async {
        let response = transport.send_as_it_is(request, doing).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LIMIT).collect().await;
        Ok((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
    };
    crate::engine::http::within(PATIENCE, doing, answer).await
}

/// Returns what an engine says is its newest version, at most ours.
fn newest(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "ApiVersion")]
        api: String,
    }
    let version: Version = serde_json::from_slice(body).ok()?;
    let (major, minor) = version.api.split_once('.')?;
    let (major, minor) = (major.parse::<u64>().ok()?, minor.parse::<u64>().ok()?);
    Some(format!("{major}.{}", if major == 1 { minor.min(NEWEST) } else { minor }))
}

/// Returns the version that a refusal names: "Minimum supported API version is 1.44", "Maximum supported API version is 1.40".
fn named(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("supported API version is ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest.get(..end)?.trim_end_matches('.');
    let (major, minor) = version.split_once('.')?;
    (major.parse::<u64>().is_ok() && minor.parse::<u64>().is_ok()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_taken() {
        assert_eq!(newest(br#"{"ApiVersion":"1.41"}"#).unwrap(), "1.41");
        assert_eq!(newest(br#"{"ApiVersion":"1.99"}"#).unwrap(), "1.53");
        assert_eq!(newest(br#"{"ApiVersion":"latest"}"#), None);
        assert_eq!(newest(b"<html>"), None);
    }

    #[test]
    fn a_refusal_names_the_version_that_would_do() {
        let new = r#"{"message":"client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade"}"#;
        assert_eq!(named(new).unwrap(), "1.44");
        let old = r#"{"message":"client version 1.41 is too new. Maximum supported API version is 1.40"}"#;
        assert_eq!(named(old).unwrap(), "1.40");
        assert_eq!(named("supported API version is /../x"), None);
    }
}
