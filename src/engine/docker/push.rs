//! Pushing through the engine, read by ourselves: per-layer progress, the digest, and a limit on silence.

use std::collections::HashMap;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use serde::Deserialize;

use super::DockerEngine;
use crate::engine::credentials::IDENTITY_TOKEN_USER;
use crate::engine::http::{Chunks, Lines, NO_SPACE, refusal, refused_by_registry, within};
use crate::engine::{EngineError, Event, Events, Login, Pushed};
use crate::oci::Reference;

/// One line of what the engine says about a push.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    id: String,
    status: String,
    #[serde(rename = "progressDetail")]
    progress: Option<ProgressDetail>,
    error: String,
    aux: Option<Aux>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProgressDetail {
    current: Option<u64>,
    total: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Aux {
    #[serde(rename = "Digest")]
    digest: String,
    #[serde(rename = "Size")]
    size: u64,
}

/// Pushes `name` with `login`, else with what the user's configuration knows of its registry.
pub(super) async fn push(
    engine: &DockerEngine,
    name: &Reference,
    login: Option<&Login>,
    events: &Events,
) -> Result<Pushed, EngineError> {
    let doing = format!("pushing {name}");
    let registry = name.registry();
    let login = match login {
        Some(login) => Some(login.clone()),
        None => engine.credentials.login(registry).await?,
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    let tag = name.tag().unwrap_or("latest");
    *request.uri_mut() = format!("/images/{registry}/{}/push?tag={tag}", name.repository())
        .parse()
        .map_err(|_| EngineError::NotFound(name.whole()))?;
    request.headers_mut().insert("x-registry-auth", auth_header(registry, login.as_ref()));
    let limit = engine.limits.push;
    let response = within(limit, &doing, engine.transport.send(request, &doing)).await?;
    if !response.status().is_success() {
        return Err(match refusal(response, &doing).await {
            EngineError::Api { status: 404, .. } => EngineError::NotFound(name.whole()),
            EngineError::Api { message, .. } => refused_by_registry(&name.whole(), message),
            other => other,
        });
    }
    let mut lines = Lines::new(Chunks::new(response.into_body(), &engine.transport, &doing, limit));
    let mut pushed = None;
    let mut layers = Layers { last: HashMap::new(), moved: Instant::now() };
    while let Some(line) = lines.next::<Line>().await? {
        if !line.error.is_empty() {
            return Err(refused(name, line.error));
        }
        pushed = digest(&line, tag).or(pushed);
        if layers.moved_by(&line) {
            let progress = line.progress.unwrap_or_default();
            let (current, total) = (progress.current.unwrap_or(0), progress.total.unwrap_or(0));
            if !line.id.is_empty() && !line.status.is_empty() && line.id != tag {
                let _unheard = events.send(Event::Layer { id: line.id, status: line.status, current, total });
            }
        } else if layers.moved.elapsed() > limit {
            return Err(EngineError::Stalled { doing, limit });
        }
    }
    pushed.ok_or_else(|| EngineError::Protocol { doing, reason: "the push ended without a digest".into() })
}

/// What was last said of each layer. The containerd store repeats itself ten times a second, also when nothing moves.
struct Layers {
    last: HashMap<String, (String, u64)>,
    moved: Instant,
}

impl Layers {
    /// Notes a line, and whether it says something new.
    fn moved_by(&mut self, line: &Line) -> bool {
        let current = line.progress.as_ref().and_then(|progress| progress.current).unwrap_or(0);
        let now = (line.status.clone(), current);
        let moved = self.last.get(&line.id) != Some(&now);
        if moved {
            self.last.insert(line.id.clone(), now);
            self.moved = Instant::now();
        }
        moved
    }
}

/// Returns the header with a login: base64 in the alphabet for addresses, which the engine insists on.
pub(in crate::engine) fn auth_header(registry: &str, login: Option<&Login>) -> HeaderValue {
    let text = auth(registry, login).to_string();
    let mut value =
        HeaderValue::from_str(&URL_SAFE.encode(text)).unwrap_or_else(|_| HeaderValue::from_static("e30="));
    value.set_sensitive(true);
    value
}

/// Returns a login as the engine's API writes it.
pub(in crate::engine) fn auth(registry: &str, login: Option<&Login>) -> serde_json::Value {
    let Some(login) = login else { return serde_json::json!({}) };
    let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    let secret = String::from_utf8_lossy(login.password.expose());
    if login.user == IDENTITY_TOKEN_USER {
        return serde_json::json!({ "identitytoken": secret, "serveraddress": server });
    }
    serde_json::json!({ "username": login.user, "password": secret, "serveraddress": server })
}

fn refused(name: &Reference, message: String) -> EngineError {
    if message.contains(NO_SPACE) {
        return EngineError::NoSpace(message);
    }
    if message.contains("does not exist locally") || message.starts_with("tag does not exist") {
        return EngineError::NotFound(name.whole());
    }
    match refused_by_registry(&name.whole(), message.clone()) {
        // A registry that says "not found" to a push has no such repository; the image is there.
        EngineError::NotFound(_) => EngineError::Registry { registry: name.registry().to_owned(), message },
        other => other,
    }
}

/// Returns the digest that a line names: in a field of its own, or at the end of `v1: digest: sha256:… size: 1234`.
fn digest(line: &Line, tag: &str) -> Option<Pushed> {
    if let Some(aux) = &line.aux {
        return Some(Pushed { digest: aux.digest.parse().ok()?, size: aux.size });
    }
    let rest = line.status.strip_prefix(tag)?.strip_prefix(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ")?;
    Some(Pushed { digest: digest.parse().ok()?, size: size.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Secret;

    #[test]
    fn a_login_travels_in_the_alphabet_for_addresses() {
        let login = Login { user: "u".into(), password: Secret::new("~?>~?>~?>".as_bytes()) };
        let header = auth_header("r.example", Some(&login));
        let text = header.to_str().unwrap();
        assert!(!text.contains(['+', '/']) && text.contains(['-', '_']), "{text}");
        let json: serde_json::Value = serde_json::from_slice(&URL_SAFE.decode(text).unwrap()).unwrap();
        assert_eq!(json["password"], "~?>~?>~?>");
        assert!(header.is_sensitive());
    }

    #[test]
    fn an_identity_token_is_no_password() {
        let login = Login { user: IDENTITY_TOKEN_USER.into(), password: Secret::new("t".as_bytes()) };
        assert_eq!(auth("r", Some(&login))["identitytoken"], "t");
    }

    #[test]
    fn the_digest_is_found_in_a_field_or_at_the_end_of_a_line() {
        let hex = "a".repeat(64);
        let line = Line { status: format!("v1: digest: sha256:{hex} size: 528"), ..Line::default() };
        let expected = Pushed { digest: format!("sha256:{hex}").parse().unwrap(), size: 528 };
        assert_eq!(digest(&line, "v1"), Some(expected.clone()));
        let aux = Some(Aux { digest: format!("sha256:{hex}"), size: 528 });
        assert_eq!(digest(&Line { aux, ..Line::default() }, "v1"), Some(expected));
    }
}
