//! Builds through the classic builder of Engine API 1.41: no BuildKit, as in SageMaker Studio.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http_body_util::StreamBody;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};

use super::credentials::Credentials;
use super::docker::auth;
use super::files::Files;
use super::http::{Chunks, Lines, refusal};
use super::transport::Transport;
use super::{BuildRequest, Built, EngineError, Events, dockerfile};
use crate::oci::Reference;

mod archive;
mod output;

const BUILDING: &str = "building";

/// A `RUN` step may be silent for very long; the connection itself is what tells that an engine is gone.
const SILENCE: Duration = Duration::from_hours(24);

/// Builds one image.
pub(super) async fn build(
    transport: &Transport,
    credentials: &Credentials,
    request: &BuildRequest,
    events: &Events,
) -> Result<Built, EngineError> {
    let began = Instant::now();
    if let Some(id) = request.secrets.keys().next() {
        return Err(EngineError::Unsupported {
            what: format!("give a build the secret `{id}`"),
            reason: "the classic builder has no secret mounts; build with BuildKit".into(),
        });
    }
    let files = Files::of(&request.context, request.source_date_epoch.unwrap_or_default())?;
    let fault = Arc::new(Mutex::new(None));
    let (sent, body) = archive::stream(files, request.dockerfile.clone(), Arc::clone(&fault));
    let mut call = Request::new(StreamBody::new(body));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = format!("/build?{}", query(request)).parse().map_err(|_| EngineError::Protocol {
        doing: BUILDING.into(),
        reason: "the request is too long".into(),
    })?;
    call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    call.headers_mut().insert("x-registry-config", logins(credentials, &request.dockerfile).await?);

    let take_fault = || fault.lock().unwrap_or_else(PoisonError::into_inner).take();
    let response = transport.send(call, BUILDING).await.map_err(|error| take_fault().unwrap_or(error))?;
    if !response.status().is_success() {
        let error = refusal(response, BUILDING).await;
        return Err(take_fault().unwrap_or_else(|| refused(error)));
    }
    let mut lines = Lines::new(Chunks::new(response.into_body(), transport, BUILDING, SILENCE));
    let mut reader = output::Reader::new(request, events);
    loop {
        match lines.next().await {
            Ok(Some(line)) => reader.take(line)?,
            Ok(None) => break,
            Err(error) => return Err(take_fault().unwrap_or(error)),
        }
    }
    if let Some(error) = take_fault() {
        return Err(error);
    }
    let (id, steps) = reader.end()?;
    Ok(Built {
        id,
        took: began.elapsed(),
        steps,
        context_bytes: sent.load(std::sync::atomic::Ordering::Relaxed),
    })
}

fn query(request: &BuildRequest) -> String {
    let json = |map| serde_json::to_string(map).unwrap_or_else(|_| "{}".into());
    let mut pairs = vec![
        ("version", "1".to_owned()),
        ("dockerfile", archive::DOCKERFILE.to_owned()),
        ("platform", request.platform.to_string()),
        ("buildargs", json(&request.args)),
        ("labels", json(&request.labels)),
        // Containers of steps go, also of the one that failed.
        ("rm", "1".to_owned()),
        ("forcerm", "1".to_owned()),
    ];
    pairs.extend(request.tags.iter().map(|tag| ("t", tag.whole())));
    if request.no_cache {
        pairs.push(("nocache", "1".to_owned()));
    }
    if !matches!(request.network.as_str(), "" | "default") {
        pairs.push(("networkmode", request.network.clone()));
    }
    pairs.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

/// Returns the logins of the registries that the Dockerfile starts from.
async fn logins(credentials: &Credentials, text: &str) -> Result<HeaderValue, EngineError> {
    let mut logins = HashMap::new();
    for image in dockerfile::base_images(text) {
        let Ok(reference) = image.parse::<Reference>() else { continue };
        let registry = reference.registry();
        if let Some(login) = credentials.login(registry).await? {
            let key = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
            logins.insert(key.to_owned(), auth(registry, Some(&login)));
        }
    }
    let text = serde_json::to_string(&logins).unwrap_or_else(|_| "{}".into());
    let mut value =
        HeaderValue::from_str(&URL_SAFE.encode(text)).unwrap_or_else(|_| HeaderValue::from_static("e30="));
    value.set_sensitive(true);
    Ok(value)
}

/// A refusal before the first step is about the Dockerfile, or about the request.
fn refused(error: EngineError) -> EngineError {
    match error {
        EngineError::Api { status: 400, message, .. }
            if message.to_ascii_lowercase().contains("dockerfile") =>
        {
            let line = message
                .split_once("parse error line ")
                .or_else(|| message.split_once("parse error on line "));
            let line = line.and_then(|(_, rest)| rest.split(':').next()?.trim().parse().ok());
            EngineError::Dockerfile { line: line.unwrap_or_default(), message }
        }
        other => other,
    }
}
