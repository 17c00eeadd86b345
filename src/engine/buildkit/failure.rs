//! What BuildKit means when a build fails: typed details where it sends them, its words where it does not.

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::pb;
use prost::Message as _;
use serde::Deserialize;

use super::progress::{Progress, Step};
use crate::engine::dockerfile;
use crate::engine::http::{NO_SPACE, foreign, refused_by_registry};
use crate::engine::{BuildRequest, EngineError, StepFailure};

/// Returns what `status` means; nothing where it is not BuildKit's but that of a broken connection.
pub(super) fn of(status: &tonic::Status, request: &BuildRequest, progress: &Progress) -> Option<EngineError> {
    if std::error::Error::source(status).is_some() {
        return None;
    }
    let details = Details::of(status.details());
    let message = plain(status.message());
    if message.contains(NO_SPACE) {
        return Some(EngineError::NoSpace(message));
    }
    let failed = details.vertex.as_deref().and_then(|id| progress.step(id)).or_else(|| progress.failed());
    Some(
        cache(&message, request, failed)
            .or_else(|| other_platform(&message, request, failed))
            .or_else(|| registry(&message, failed))
            .or_else(|| step(&message, request, failed, &details))
            .unwrap_or_else(|| whole(status.code(), message, &details)),
    )
}

/// The typed details of a failure. Engines before 23 send none.
#[derive(Debug, Default, PartialEq)]
struct Details {
    lines: Option<(u32, u32)>,
    exit: Option<i64>,
    vertex: Option<String>,
}

/// `errdefs.Source`, as a message.
#[derive(Clone, PartialEq, prost::Message)]
struct Source {
    #[prost(message, optional, tag = "1")]
    info: Option<pb::SourceInfo>,
    #[prost(message, repeated, tag = "2")]
    ranges: Vec<pb::Range>,
}

/// `errdefs.Vertex`, as a message.
#[derive(Clone, PartialEq, prost::Message)]
struct VertexDetail {
    #[prost(string, tag = "1")]
    digest: String,
}

impl Details {
    fn of(bytes: &[u8]) -> Self {
        let mut details = Self::default();
        let Ok(status) = rpc::Status::decode(bytes) else { return details };
        for any in &status.details {
            // `github.com/moby/buildkit/errdefs.Source+json`: its value is JSON in the versions seen; a message is read too.
            let name = any.type_url.rsplit('/').next().unwrap_or_default().trim_end_matches("+json");
            match name {
                "errdefs.Source" => details.lines = details.lines.or_else(|| lines(&any.value)),
                "errdefs.Vertex" => details.vertex = details.vertex.or_else(|| vertex(&any.value)),
                "gatewayapi.ExitMessage" | "moby.buildkit.v1.frontend.ExitMessage" => {
                    details.exit = details.exit.or_else(|| exit(&any.value));
                }
                _ => {}
            }
        }
        details
    }
}

fn lines(value: &[u8]) -> Option<(u32, u32)> {
    #[derive(Deserialize)]
    struct Json {
        #[serde(default)]
        ranges: Vec<Range>,
    }
    #[derive(Deserialize)]
    struct Range {
        start: Position,
        end: Position,
    }
    #[derive(Deserialize)]
    struct Position {
        #[serde(default)]
        line: u32,
    }
    let ranges: Vec<(u32, u32)> = if let Ok(json) = serde_json::from_slice::<Json>(value) {
        json.ranges.iter().map(|range| (range.start.line, range.end.line)).collect()
    } else {
        let line =
            |at: Option<pb::Position>| at.and_then(|at| u32::try_from(at.line).ok()).unwrap_or_default();
        Source::decode(value).ok()?.ranges.iter().map(|range| (line(range.start), line(range.end))).collect()
    };
    let first = ranges.iter().map(|range| range.0).min()?;
    let last = ranges.iter().map(|range| range.1).max()?;
    (first > 0).then_some((first, last.max(first)))
}

fn vertex(value: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Json {
        digest: String,
    }
    let digest = match serde_json::from_slice::<Json>(value) {
        Ok(json) => json.digest,
        Err(_) => VertexDetail::decode(value).ok()?.digest,
    };
    (!digest.is_empty()).then_some(digest)
}

fn exit(value: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Json {
        #[serde(rename = "Code")]
        code: i64,
    }
    match serde_json::from_slice::<Json>(value) {
        Ok(json) => Some(json.code),
        Err(_) => bollard_buildkit_proto::moby::buildkit::v1::frontend::ExitMessage::decode(value)
            .ok()
            .map(|message| i64::from(message.code)),
    }
}

/// A cache that cannot be written: the image is built then, and buildx and BuildKit throw it away.
fn cache(message: &str, request: &BuildRequest, failed: Option<&Step>) -> Option<EngineError> {
    let step = failed.is_some_and(|step| step.name.starts_with("exporting cache"));
    let known =
        ["error writing manifest", "error writing layer blob", "cache export", "unknown cache exporter"];
    if request.cache_to.is_empty() || !(step || known.iter().any(|words| message.contains(words))) {
        return None;
    }
    let caches: Vec<String> =
        request.cache_to.iter().map(|cache| cache.image().unwrap_or(cache.kind()).to_owned()).collect();
    Some(EngineError::Cache { cache: caches.join(", "), message: message.to_owned() })
}

/// A base image for another platform: named by the registry, or noticed when its shell does not start.
fn other_platform(message: &str, request: &BuildRequest, failed: Option<&Step>) -> Option<EngineError> {
    let in_output = || failed.and_then(|step| step.tail.iter().find_map(|line| foreign(line)));
    let found = foreign(message).or_else(in_output)?;
    let named = if message.contains("no match") { image_of(message, failed) } else { None };
    let image = named.or_else(|| dockerfile::final_base(&request.dockerfile));
    Some(EngineError::Platform {
        image: image.unwrap_or_else(|| "the base image".into()),
        found,
        wanted: request.platform,
    })
}

/// A registry that does not give the base image.
fn registry(message: &str, failed: Option<&Step>) -> Option<EngineError> {
    let loading = failed.is_some_and(|step| step.name.starts_with("[internal] load metadata for "));
    let resolving = [
        "failed to resolve source metadata",
        "failed to load cache key",
        "pull access denied",
        "failed to authorize",
    ];
    if !loading && !resolving.iter().any(|words| message.contains(words)) {
        return None;
    }
    let image = image_of(message, failed)?;
    Some(refused_by_registry(&image, message.to_owned()))
}

/// Returns the image that a message or a step is about.
fn image_of(message: &str, failed: Option<&Step>) -> Option<String> {
    let from_step =
        failed.and_then(|step| step.name.strip_prefix("[internal] load metadata for ")).map(str::to_owned);
    let word = |text: &str| text.split_whitespace().next().map(|word| word.trim_end_matches(':').to_owned());
    let after = |words: &str| message.split_once(words).and_then(|(_, rest)| word(rest));
    from_step.or_else(|| after("failed to resolve source metadata for ")).or_else(|| word(message))
}

fn step(
    message: &str,
    request: &BuildRequest,
    failed: Option<&Step>,
    details: &Details,
) -> Option<EngineError> {
    let step = failed.filter(|step| !step.name.is_empty() && !step.name.starts_with("[internal]"))?;
    let status = details.exit.or_else(|| exit_in(message)).or_else(|| exit_in(&step.error));
    Some(EngineError::Step(Box::new(StepFailure {
        name: step.name.clone(),
        lines: details.lines.or_else(|| dockerfile::lines_of_step(&request.dockerfile, &step.name)),
        status,
        tail: step.tail.iter().cloned().collect(),
        message: message.to_owned(),
    })))
}

/// A failure of the whole: the Dockerfile itself, or the engine.
fn whole(code: tonic::Code, message: String, details: &Details) -> EngineError {
    let line = details.lines.map(|lines| lines.0).or_else(|| line_in(&message));
    let of_dockerfile = line.is_some() || message.contains("dockerfile") || message.contains("Dockerfile");
    if of_dockerfile || code == tonic::Code::InvalidArgument {
        return EngineError::Dockerfile { line: line.unwrap_or_default(), message };
    }
    EngineError::Api { doing: "the build".into(), status: 500, message }
}

/// Returns a message without the frames that BuildKit puts around each of them.
fn plain(message: &str) -> String {
    let mut message = message;
    for frame in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
    ] {
        message = message.strip_prefix(frame).unwrap_or(message);
    }
    message.to_owned()
}

fn exit_in(message: &str) -> Option<i64> {
    number_after(message, "exit code: ")
}

fn line_in(message: &str) -> Option<u32> {
    let number =
        number_after(message, "parse error on line ").or_else(|| number_after(message, "parse error line "));
    number.and_then(|number| u32::try_from(number).ok())
}

fn number_after(message: &str, words: &str) -> Option<i64> {
    let (_, rest) = message.rsplit_once(words)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard_buildkit_proto::google::protobuf;
    use bollard_buildkit_proto::google::protobuf::Timestamp;
    use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex};

    use super::*;
    use crate::engine::{Context, Dialect};
    use crate::oci::{Arch, Platform, Profile};

    fn meant(message: &str, vertex: Option<(&str, &str)>) -> EngineError {
        let request = BuildRequest {
            dockerfile: "FROM r.example/base:1\nRUN make\n".into(),
            context: Context::Empty,
            platform: Platform { arch: Arch::Amd64 },
            tags: Vec::new(),
            labels: BTreeMap::new(),
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            source_date_epoch: None,
            profile: Profile::Oci,
            network: String::new(),
            no_cache: false,
            dialect: Dialect::Buildkit,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
        };
        let mut progress = Progress::new(tokio::sync::mpsc::unbounded_channel().0);
        let vertexes = vertex.into_iter().map(|(name, error)| Vertex {
            digest: name.into(),
            name: name.into(),
            error: error.into(),
            completed: Some(Timestamp::default()),
            ..Vertex::default()
        });
        progress.take(StatusResponse { vertexes: vertexes.collect(), ..StatusResponse::default() });
        of(&tonic::Status::unknown(message), &request, &progress).unwrap()
    }

    #[test]
    fn a_full_disk_is_no_failed_step() {
        let vertex = ("[2/2] RUN make", "exit code: 1");
        for message in [
            "failed to solve: failed to copy: write /var/lib/docker/tmp/x: no space left on device",
            "process \"/bin/sh -c make\" did not complete successfully: mkdir /x: no space left on device",
        ] {
            assert!(matches!(meant(message, Some(vertex)), EngineError::NoSpace(_)), "{message}");
        }
    }

    #[test]
    fn registries_are_told_apart_from_steps_and_from_each_other() {
        let load = |error| Some(("[internal] load metadata for r.example/base:1", error));
        let message = "r.example/base:1: failed to resolve source metadata for r.example/base:1: unexpected status from HEAD \
                       request to https://r.example/v2/base/manifests/sha256:401403: 500 Internal Server Error";
        assert!(
            matches!(meant(message, load("x")), EngineError::Registry { registry, .. } if registry == "r.example")
        );
        let message = "failed to solve: r.example/base:1: failed to authorize: failed to fetch oauth token: 401 Unauthorized";
        assert!(
            matches!(meant(message, load("x")), EngineError::Unauthorised { registry, .. } if registry == "r.example")
        );
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: r.example/base:1: not found";
        assert!(
            matches!(meant(message, load("x")), EngineError::NotFound(image) if image == "r.example/base:1")
        );
        let message = "no match for platform in manifest sha256:00: not found";
        assert!(
            matches!(meant(message, load("x")), EngineError::Platform { image, .. } if image == "r.example/base:1")
        );
    }

    #[test]
    fn a_step_of_an_old_engine_gets_its_line_and_status_from_the_words() {
        let message = "executor failed running [/bin/sh -c make]: exit code: 137";
        let EngineError::Step(failure) = meant(message, Some(("[2/2] RUN make", message))) else { panic!() };
        assert_eq!((failure.lines, failure.status), (Some((2, 2)), Some(137)));
    }

    #[test]
    fn typed_details_are_read_as_json_and_as_messages() {
        let any = |name: &str, value: Vec<u8>| protobuf::Any {
            type_url: format!("github.com/moby/buildkit/{name}"),
            value,
        };
        let source = Source {
            info: None,
            ranges: vec![pb::Range {
                start: Some(pb::Position { line: 4, character: 0 }),
                end: Some(pb::Position { line: 6, character: 0 }),
            }],
        };
        let json = r#"{"info":{"filename":"Dockerfile"},"ranges":[{"start":{"line":4},"end":{"line":6}}]}"#;
        let exit = bollard_buildkit_proto::moby::buildkit::v1::frontend::ExitMessage {
            code: 3,
            ..Default::default()
        };
        let sets = [
            vec![
                any("errdefs.Source+json", json.into()),
                any("errdefs.Vertex+json", br#"{"digest":"sha256:d"}"#.to_vec()),
                any("gatewayapi.ExitMessage+json", br#"{"Code":3}"#.to_vec()),
            ],
            vec![
                any("errdefs.Source", source.encode_to_vec()),
                any("errdefs.Vertex", VertexDetail { digest: "sha256:d".into() }.encode_to_vec()),
                any("moby.buildkit.v1.frontend.ExitMessage", exit.encode_to_vec()),
            ],
        ];
        for details in sets {
            let status = rpc::Status { details, ..rpc::Status::default() };
            let read = Details::of(&status.encode_to_vec());
            assert_eq!(read, Details { lines: Some((4, 6)), exit: Some(3), vertex: Some("sha256:d".into()) });
        }
    }
}
