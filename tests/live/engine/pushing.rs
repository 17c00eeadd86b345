//! Pushes: what the registry then has, and what is said when it refuses, fails or hangs.

use std::time::{Duration, Instant};

use smp_image::engine::{
    Credentials, DockerEngine, Engine as _, EngineError, Event, Limits, Login, Pushed, Secret,
};
use smp_image::oci::{Digest, Profile, Reference, media_type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::workbench::{ALL, BASE, Which, build, heard, listen, unique, variable};

/// Builds a small image under `name`.
async fn image(which: Which, name: &Reference, profile: Profile) {
    let mut request = build(&format!("FROM {BASE}\nRUN echo {} > /unique\n", unique("push")));
    request.tags = vec![name.clone()];
    request.profile = profile;
    let (events, _said) = listen();
    which.connect().build(&request, &events).await.unwrap();
}

/// Reads a path of the registry without any of our code.
fn registry(path: &str) -> (String, Vec<u8>) {
    let accept = [
        media_type::DOCKER_MANIFEST,
        media_type::OCI_MANIFEST,
        media_type::OCI_INDEX,
        media_type::DOCKER_LIST,
    ]
    .join(", ");
    let output = std::process::Command::new("curl")
        .args([
            "-fsS",
            "-i",
            "-H",
            &format!("Accept: {accept}"),
            &format!("http://{}{path}", variable("SMP_WB_REGISTRY")),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    let split = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&output.stdout[..split]).into_owned(), output.stdout[split + 4..].to_vec())
}

#[tokio::test]
async fn a_push_returns_the_digest_that_the_registry_has_and_tells_of_each_layer() {
    for which in ALL {
        for profile in [Profile::Oci, Profile::SageMaker] {
            let name: Reference =
                format!("{}/pushed:{}", variable("SMP_WB_REGISTRY"), unique("t")).parse().unwrap();
            image(which, &name, profile).await;
            let (events, mut said) = listen();
            let pushed = which.connect().push(&name, None, &events).await.unwrap();
            let layers: Vec<Event> =
                heard(&mut said).into_iter().filter(|event| matches!(event, Event::Layer { .. })).collect();
            assert!(layers.len() >= 2, "{which:?}: {layers:?}");
            let (_, manifest) = registry(&format!("/v2/pushed/manifests/{}", name.tag().unwrap()));
            assert_eq!(
                pushed,
                Pushed { digest: Digest::of(&manifest), size: manifest.len() as u64 },
                "{which:?}"
            );
            let json: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            let types: Vec<&str> = json["layers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|layer| layer["mediaType"].as_str().unwrap())
                .collect();
            let docker = profile == Profile::SageMaker || which != Which::Containerd;
            let expected = if docker { media_type::DOCKER_MANIFEST } else { media_type::OCI_MANIFEST };
            assert_eq!(json["mediaType"], expected, "{which:?} {profile:?}: one manifest, no index");
            let zstd = types.iter().any(|name| name.ends_with("zstd"));
            assert_eq!(
                zstd,
                which == Which::Containerd && profile == Profile::Oci,
                "{which:?} {profile:?}: {types:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_registry_with_a_password_takes_the_right_one_only() {
    let host = variable("SMP_WB_REGISTRY_AUTH");
    let login = |password: &str| Login {
        user: variable("SMP_WB_REGISTRY_AUTH_USER"),
        password: Secret::new(password.as_bytes()),
    };
    let right = login(&variable("SMP_WB_REGISTRY_AUTH_PASSWORD"));
    for which in ALL {
        let name: Reference = format!("{host}/locked:{}", unique("t")).parse().unwrap();
        image(which, &name, Profile::Oci).await;
        let (events, _said) = listen();
        for wrong in [None, Some(login("~?>wrong"))] {
            let error = which.connect().push(&name, wrong.as_ref(), &events).await.unwrap_err();
            assert!(
                matches!(&error, EngineError::Unauthorised { registry, .. } if *registry == host),
                "{which:?}: {error:?}"
            );
            assert!(!error.to_string().contains("~?>wrong"));
        }
        which.connect().push(&name, Some(&right), &events).await.unwrap();
        // The same through the credentials of the engine, as the user's Docker configuration would give them.
        let engine =
            DockerEngine::connect(&which.endpoint(), Credentials::none().with(&host, right.clone())).unwrap();
        engine.push(&name, None, &events).await.unwrap();
    }
}

/// Starts a registry that answers every request with `status`, or not at all.
async fn bad_registry(status: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let Some(status) = status else { std::future::pending().await };
                    let code = match &status[..3] {
                        "401" => "UNAUTHORIZED",
                        "403" => "DENIED",
                        "429" => "TOOMANYREQUESTS",
                        _ => "UNKNOWN",
                    };
                    let body =
                        format!(r#"{{"errors":[{{"code":"{code}","message":"as the test wants it"}}]}}"#);
                    let head = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    let _closed = stream.write_all(format!("{head}{body}").as_bytes()).await;
                }
            });
        }
    });
    address
}

async fn pushed_to(which: Which, registry: &str, limit: Duration) -> EngineError {
    let name: Reference = format!("{registry}/bad:{}", unique("t")).parse().unwrap();
    image(which, &name, Profile::Oci).await;
    let engine = which.connect().with_limits(Limits { push: limit, ..Limits::default() });
    let (events, _said) = listen();
    let error = engine.push(&name, None, &events).await.unwrap_err();
    which.connect().remove(&name.whole()).await.unwrap();
    error
}

async fn refusal(which: Which, status: &'static str, locked_out: bool) {
    let registry = bad_registry(Some(status)).await;
    let error = pushed_to(which, &registry, Duration::from_mins(2)).await;
    match &error {
        EngineError::Unauthorised { registry: host, .. } => {
            assert!(locked_out && *host == registry, "{which:?} {status}: {error:?}");
        }
        EngineError::Registry { registry: host, .. } => {
            assert!(!locked_out && *host == registry, "{which:?} {status}: {error:?}");
        }
        other => panic!("{which:?} {status}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_or_fails_is_named_with_what_it_said() {
    let statuses = [
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("429 Too Many Requests", false),
        // The graph engines try this one for most of a minute.
        ("500 Internal Server Error", false),
    ];
    let cases = ALL
        .into_iter()
        .flat_map(|which| statuses.map(|(status, locked_out)| refusal(which, status, locked_out)));
    futures_util::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_ends_the_push_after_the_limit() {
    for which in ALL {
        let registry = bad_registry(None).await;
        let began = Instant::now();
        let error = pushed_to(which, &registry, Duration::from_secs(3)).await;
        assert!(matches!(error, EngineError::Stalled { .. }), "{which:?}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(20), "{which:?}");
    }
}

#[tokio::test]
async fn pushing_an_image_that_is_not_there_is_not_found() {
    for which in ALL {
        let name: Reference =
            format!("{}/absent:{}", variable("SMP_WB_REGISTRY"), unique("t")).parse().unwrap();
        let (events, _said) = listen();
        let error = which.connect().push(&name, None, &events).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::NotFound(image) if *image == name.whole()),
            "{which:?}: {error:?}"
        );
    }
}
