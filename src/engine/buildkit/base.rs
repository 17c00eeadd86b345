//! Whether the base image of a build is made for the platform that is asked for.
//!
//! BuildKit takes a registry's only image as it is: a base for arm64 becomes an image that says amd64 and holds arm64 files, as
//! long as nothing in it is executed. So BuildKit is asked, before the build, what it would take.

use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::ResolveImageConfigRequest;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::pb;
use hyper::Uri;
use serde::Deserialize;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::{Control, Http2, random_id};
use crate::engine::dockerfile;
use crate::engine::{BuildRequest, EngineError};
use crate::oci::{Platform, Reference};

/// Returns the error for a final base image that is made for another platform.
///
/// What cannot be found out is no error here: the build will say itself what it cannot get.
pub(super) async fn check(
    http: &Http2,
    mut control: Control,
    session: &str,
    request: &BuildRequest,
) -> Result<(), EngineError> {
    let wanted = request.platform;
    let Some(image) = dockerfile::final_base(&request.dockerfile) else { return Ok(()) };
    let Ok(reference) = image.parse::<Reference>() else { return Ok(()) };
    if image == "scratch" || image.contains('$') {
        return Ok(());
    }
    // A solve without a frontend: BuildKit then waits for us to be the frontend, under the build's id.
    let build = random_id();
    let waiting =
        SolveRequest { r#ref: build.clone(), session: session.to_owned(), ..SolveRequest::default() };
    let found = tokio::select! {
        found = resolve(http.clone(), &build, &reference, wanted) => found,
        _ended = control.solve(waiting) => None,
    };
    match found {
        Some(found) if found != wanted.to_string() => Err(EngineError::Platform { image, found, wanted }),
        Some(_) | None => Ok(()),
    }
}

/// Asks what the configuration of the image that BuildKit would take says about its platform.
async fn resolve(http: Http2, build: &str, image: &Reference, wanted: Platform) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
    }
    let build: MetadataValue<_> = build.parse().ok()?;
    let mut bridge = LlbBridgeClient::with_origin(http, Uri::from_static(super::ORIGIN));
    let named = |request| {
        let mut request = Request::new(request);
        request.metadata_mut().insert("buildkit-controlapi-buildid", build.clone());
        request
    };
    // BuildKit waits a moment for a build that it does not know yet.
    let platform = pb::Platform {
        os: "linux".into(),
        architecture: wanted.arch.name().into(),
        ..pb::Platform::default()
    };
    let request = ResolveImageConfigRequest {
        r#ref: image.whole(),
        platform: Some(platform),
        resolve_mode: "local".into(),
        ..ResolveImageConfigRequest::default()
    };
    let answer = bridge.resolve_image_config(named(request)).await.ok()?.into_inner();
    let config: Config = serde_json::from_slice(&answer.config).ok()?;
    let name = format!("{}/{}", config.os, config.architecture);
    // Spelled as we spell it, `linux/arm64` and not `linux/arm64/v8`.
    Some(name.parse::<Platform>().map_or(name, |platform| platform.to_string()))
}
