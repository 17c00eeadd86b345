//! Builders beside the engine: those that buildx knows, and BuildKit daemons. What they build is loaded into the engine, where it is
//! checked, tested and pushed from.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Method, Request};
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;

use super::buildkit::buildx::{Buildx, BuildxBuilder};
use super::buildkit::{self, Door, Output};
use super::credentials::Credentials;
use super::endpoint::{Endpoint, Environment};
use super::http::{Chunks, Lines, refusal};
use super::transport::Transport;
use super::{BuildRequest, Built, EngineError, Events, Store};
use crate::oci::{Dialect, Platform};

/// How long an engine may be silent while it loads an image.
const LOAD_LIMIT: std::time::Duration = std::time::Duration::from_mins(30);

/// How many pieces of an archive wait for the engine.
const WAITING: usize = 16;

/// A builder beside the engine. Cheap to clone.
#[derive(Clone)]
pub struct Builder(Kind);

#[derive(Clone)]
enum Kind {
    Buildx(Buildx, BuildxBuilder, Vec<Platform>),
    Daemon(Door, String, Vec<Platform>),
}

impl Builder {
    /// Finds the builder called `name`, for an image of `target`: the address of a BuildKit daemon, else one that buildx knows. `engine` is
    /// where the result goes.
    ///
    /// # Errors
    /// Where there is no such builder, or it does not answer.
    pub async fn find(
        name: &str,
        target: Platform,
        environment: &Environment,
        engine: &Endpoint,
    ) -> Result<Self, EngineError> {
        if name.contains("://") {
            let endpoint = Endpoint::of_daemon(name)?;
            let shown = endpoint.to_string();
            let door = Door::Daemon(Transport::new(endpoint)?);
            let platforms = buildkit::platforms(&door).await.map_err(|error| lost(error, &shown))?;
            let platforms = platforms.ok_or_else(|| EngineError::BuilderLost {
                builder: shown.clone(),
                doing: "looking for BuildKit".into(),
                reason: "something answers there, and it is no BuildKit".into(),
            })?;
            return Ok(Self(Kind::Daemon(door, shown, platforms)));
        }
        let buildx = Buildx::find(environment, engine)?;
        let builders = buildx.builders().await?;
        match builders.iter().find(|builder| builder.name == name) {
            Some(builder) => {
                let platforms = builder.platforms_for(target).to_vec();
                Ok(Self(Kind::Buildx(buildx, builder.clone(), platforms)))
            }
            None => Err(EngineError::NoBuilder {
                name: name.to_owned(),
                known: builders.into_iter().map(|builder| builder.name).collect(),
            }),
        }
    }

    /// Returns what it is, for people.
    pub fn shown(&self) -> String {
        match &self.0 {
            Kind::Buildx(_, builder, _) => format!("{} ({})", builder.name, builder.driver),
            Kind::Daemon(_, endpoint, _) => format!("BuildKit at {endpoint}"),
        }
    }

    /// Returns the platforms whose programs it runs where it builds the image, its own first; empty where it does not run yet.
    pub fn platforms(&self) -> &[Platform] {
        match &self.0 {
            Kind::Buildx(_, _, platforms) | Kind::Daemon(_, _, platforms) => platforms,
        }
    }

    /// Starts a program of `platform` where this builds, other than in the engine; whether that went well.
    pub(super) async fn runs(&self, platform: Platform) -> Result<bool, EngineError> {
        match &self.0 {
            Kind::Buildx(buildx, builder, _) => buildx.runs(builder, platform).await,
            Kind::Daemon(door, endpoint, _) => {
                buildkit::runs(door, platform).await.map_err(|error| lost(error, endpoint))
            }
        }
    }

    /// Builds one image and loads it into the engine behind `transport`. The digest in the result is the builder's.
    pub(super) async fn build(
        &self,
        transport: &Transport,
        credentials: &Credentials,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<Built, EngineError> {
        match &self.0 {
            Kind::Buildx(buildx, builder, _) => buildx.build(builder, request, events).await,
            Kind::Daemon(door, endpoint, _) => {
                let (sender, pieces) = tokio::sync::mpsc::channel(WAITING);
                let work = buildkit::build(door, credentials, Output::Archive(sender), request, events);
                let work = async { work.await.map_err(|error| lost(error, endpoint)) };
                let ((), built) = tokio::try_join!(load(transport, pieces), work)?;
                Ok(built)
            }
        }
    }

    /// Whether a local cache is its own business.
    fn keeps_local_caches(&self) -> bool {
        matches!(self.0, Kind::Buildx(..))
    }

    /// Whether it is the engine's own BuildKit behind buildx, with what that can do.
    pub(super) fn is_engine(&self) -> bool {
        matches!(&self.0, Kind::Buildx(_, builder, _) if builder.driver == "docker")
    }
}

/// A daemon that cannot be reached, or dies, is no engine that does.
fn lost(error: EngineError, builder: &str) -> EngineError {
    let builder = builder.to_owned();
    match error {
        EngineError::Unreachable { reason, .. } => {
            EngineError::BuilderLost { builder, doing: "looking for BuildKit".into(), reason }
        }
        EngineError::Died { doing, reason, endpoint } if endpoint == builder => {
            EngineError::BuilderLost { builder, doing, reason }
        }
        other => other,
    }
}

/// Refuses caches that this way of building cannot read or write, before anything is built.
pub(super) fn refuse_caches(
    request: &BuildRequest,
    store: Store,
    builder: Option<&Builder>,
) -> Result<(), EngineError> {
    let refused = |what: String, reason: &str| Err(EngineError::Unsupported { what, reason: reason.into() });
    let all = || request.cache_from.iter().chain(&request.cache_to);
    if let Some(cache) = all().next().filter(|_| request.dialect == Dialect::Classic) {
        return refused(
            format!("share the cache {cache}"),
            "the classic builder knows only its own; build with BuildKit",
        );
    }
    let here = builder.is_none_or(|builder| !builder.keeps_local_caches());
    if let Some(cache) = all().find(|cache| cache.kind() == "local" && here) {
        return refused(
            format!("keep the cache {cache}"),
            "folders are written by buildx; name a builder of it with --builder, or keep the cache in a registry",
        );
    }
    let graph = store == Store::Graph && builder.is_none_or(Builder::is_engine);
    if let Some(cache) = request.cache_to.iter().find(|cache| cache.kind() != "inline" && graph) {
        return refused(
            format!("write the cache {cache}"),
            "with its overlay2 image store it writes only type=inline, which lies in the image itself; the containerd image store and builders that --builder names write all",
        );
    }
    Ok(())
}

/// Loads the archive that `pieces` make into the engine.
async fn load(
    transport: &Transport,
    mut pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>,
) -> Result<(), EngineError> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        error: Option<String>,
    }
    let doing = "loading what was built";
    // The engine is asked when there is something to load: an hour of building may come before.
    let Some(first) = pieces.recv().await else { return Ok(()) };
    let body = tokio_stream::once(first).chain(ReceiverStream::new(pieces));
    let mut request = Request::new(StreamBody::new(body.map(|piece| piece.map(Frame::data))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/images/load?quiet=1");
    let response = transport.send(request, doing).await?;
    if !response.status().is_success() {
        return Err(refusal(response, doing).await);
    }
    let mut lines = Lines::new(Chunks::new(response.into_body(), transport, doing, LOAD_LIMIT));
    while let Some(line) = lines.next::<Line>().await? {
        if let Some(message) = line.error {
            return Err(super::http::refused(500, message, doing));
        }
    }
    Ok(())
}
