//! An image as `docker save` writes it, streamed.

use std::io::Write;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;

use super::DockerEngine;
use crate::engine::EngineError;
use crate::engine::http::{Chunks, refusal, within};

/// Writes the image `name` to `sink`, holding one piece of it at a time.
pub(super) async fn export(
    engine: &DockerEngine,
    name: &str,
    sink: &mut (dyn Write + Send),
) -> Result<(), EngineError> {
    let doing = format!("exporting {name}");
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() =
        format!("/images/{name}/get").parse().map_err(|_| EngineError::NotFound(name.to_owned()))?;
    let limit = engine.limits.export;
    let response = within(limit, &doing, engine.transport.send(request, &doing)).await?;
    if !response.status().is_success() {
        return Err(match refusal(response, &doing).await {
            EngineError::Api { status: 404, .. } => EngineError::NotFound(name.to_owned()),
            // The graph driver of old engines answers 500 for an image that is not there.
            EngineError::Api { message, .. }
                if message.contains("No such image") || message.contains("does not exist") =>
            {
                EngineError::NotFound(name.to_owned())
            }
            other => other,
        });
    }
    let mut chunks = Chunks::new(response.into_body(), &engine.transport, &doing, limit);
    while let Some(chunk) = chunks.next().await? {
        sink.write_all(&chunk).map_err(EngineError::Sink)?;
    }
    sink.flush().map_err(EngineError::Sink)
}
