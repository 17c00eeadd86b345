//! What a registry may answer, and what we make of it.

use std::time::{Duration, Instant};

use smp_image::engine::{Login, Secret};
use smp_image::oci::{Digest, Platform, Reference, media_type};
use smp_image::registry::distribution::{Distribution, Limits, RegistryError};
use smp_image::registry::manifest::Content;
use wiremock::matchers::{body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const MANIFEST_PATH: &str = "/v2/team/app/manifests/1";
const CONFIG: &[u8] = br#"{"os":"linux","architecture":"amd64"}"#;

/// Short limits, so that a test of patience is quick.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(500),
    stall: Duration::from_millis(500),
    answer: Duration::from_millis(900),
    attempts: 3,
    pause: Duration::from_millis(40),
};

fn door() -> Distribution {
    Distribution::new(LIMITS, None)
}

fn reference(server: &MockServer) -> Reference {
    format!("{}/team/app:1", server.address()).parse().unwrap()
}

fn login() -> Login {
    Login { user: "AWS".to_owned(), password: Secret::new(*b"token") }
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn manifest() -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": Digest::of(CONFIG), "size": 37 },
        "layers": [],
    }))
    .unwrap()
}

fn answer(body: &[u8], media_type: &str) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .insert_header("Docker-Content-Digest", Digest::of(body).to_string())
        .set_body_raw(body, media_type)
}

async fn serving(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(MANIFEST_PATH)).respond_with(template).mount(&server).await;
    server
}

async fn asked(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

#[tokio::test]
async fn a_name_is_resolved_to_its_digest_with_one_question() {
    let server = serving(answer(&manifest(), media_type::DOCKER_MANIFEST)).await;
    let resolved = door().resolve(&reference(&server), None).await.unwrap();
    assert_eq!(resolved.digest, Digest::of(manifest()));
    assert_eq!(resolved.media_type, media_type::DOCKER_MANIFEST);
    assert_eq!(resolved.size, manifest().len() as u64);
    let asked = asked(&server).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method.as_str(), "HEAD");
}

#[tokio::test]
async fn a_registry_that_says_no_digest_is_asked_for_the_bytes() {
    let server =
        serving(ResponseTemplate::new(200).set_body_raw(manifest(), media_type::DOCKER_MANIFEST)).await;
    let resolved = door().resolve(&reference(&server), None).await.unwrap();
    assert_eq!(resolved.digest, Digest::of(manifest()));
}

#[tokio::test]
async fn a_missing_image_is_not_found() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let server = serving(ResponseTemplate::new(404).set_body_raw(body, "application/json")).await;
    let error = door().resolve(&reference(&server), None).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::NotFound { message, .. } if message == "manifest unknown"),
        "{error:?}"
    );
    assert!(error.to_string().contains(&reference(&server).whole()), "{error}");
}

#[tokio::test]
async fn a_door_that_stays_shut_is_unauthorised_and_says_what_to_do() {
    for status in [401, 403] {
        let template = ResponseTemplate::new(status).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
        let server = serving(template).await;
        for login in [None, Some(login())] {
            let error = door().manifest(&reference(&server), login.as_ref()).await.unwrap_err();
            let RegistryError::Unauthorised { status: found, logged_in, .. } = &error else {
                panic!("{error:?}")
            };
            assert_eq!((*found, *logged_in), (status, login.is_some()));
            assert!(error.is_authorisation());
            assert!(!error.hints().is_empty());
            assert!(!format!("{error:?}").contains("token"), "the password is in the error: {error:?}");
        }
        assert!(
            asked(&server).await.len() <= 6,
            "credentials that were refused are not sent again and again"
        );
    }
}

#[tokio::test]
async fn a_password_is_sent_only_after_it_was_asked_for_and_then_remembered() {
    let server = MockServer::start().await;
    Mock::given(header("Authorization", "Basic QVdTOnRva2Vu"))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .mount(&server)
        .await;
    Mock::given(path(MANIFEST_PATH))
        .respond_with(ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\""))
        .with_priority(9)
        .mount(&server)
        .await;
    let (door, login) = (door(), login());
    door.resolve(&reference(&server), Some(&login)).await.unwrap();
    door.resolve(&reference(&server), Some(&login)).await.unwrap();
    let with: Vec<_> = asked(&server).await.iter().map(|r| r.headers.contains_key("authorization")).collect();
    assert_eq!(with, [false, true, true]);
}

#[tokio::test]
async fn a_token_is_fetched_from_the_service_that_the_registry_names() {
    let server = MockServer::start().await;
    let challenge = format!("Bearer realm=\"{}/token\",service=\"hub\"", server.uri());
    Mock::given(path(MANIFEST_PATH))
        .and(header("Authorization", "Bearer secret"))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .mount(&server)
        .await;
    Mock::given(path("/token"))
        .and(query_param("service", "hub"))
        .and(query_param("scope", "repository:team/app:pull"))
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({ "token": "secret" })))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(MANIFEST_PATH))
        .respond_with(ResponseTemplate::new(401).insert_header("WWW-Authenticate", challenge.as_str()))
        .with_priority(9)
        .mount(&server)
        .await;
    door().manifest(&reference(&server), None).await.unwrap();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_for_a_token() {
    let server = MockServer::start().await;
    let challenge = format!("Bearer realm=\"{}/token\",service=\"acr\"", server.uri());
    Mock::given(header("Authorization", "Bearer secret"))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .mount(&server)
        .await;
    let form = "grant_type=refresh_token&client_id=smp-image&service=acr&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=a%2Fb";
    Mock::given(method("POST"))
        .and(path("/token"))
        .and(body_string(form))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(serde_json::json!({ "access_token": "secret" })),
        )
        .mount(&server)
        .await;
    Mock::given(path(MANIFEST_PATH))
        .respond_with(ResponseTemplate::new(401).insert_header("WWW-Authenticate", challenge.as_str()))
        .with_priority(9)
        .mount(&server)
        .await;
    let login = Login { user: "<token>".to_owned(), password: Secret::new(*b"a/b") };
    door().manifest(&reference(&server), Some(&login)).await.unwrap();
}

#[tokio::test]
async fn a_rate_limit_is_waited_out() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(429).insert_header("Retry-After", "0"))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .with_priority(9)
        .mount(&server)
        .await;
    door().manifest(&reference(&server), None).await.unwrap();
    assert_eq!(asked(&server).await.len(), 3);
}

#[tokio::test]
async fn a_rate_limit_longer_than_our_patience_ends_at_once() {
    let server = serving(ResponseTemplate::new(429).insert_header("Retry-After", "3600")).await;
    let started = Instant::now();
    let error = door().resolve(&reference(&server), None).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    let RegistryError::RateLimited { retry_after, attempts, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*retry_after, *attempts), (Some(Duration::from_hours(1)), 1));
    assert!(error.to_string().contains("wait 3600 s"), "{error}");
}

#[tokio::test]
async fn a_failing_registry_is_asked_a_bounded_number_of_times() {
    let server = serving(ResponseTemplate::new(500).set_body_string("database is down")).await;
    let error = door().resolve(&reference(&server), None).await.unwrap_err();
    let RegistryError::ServerError { status: 500, attempts: 3, .. } = &error else { panic!("{error:?}") };
    assert_eq!(asked(&server).await.len(), 3);
}

#[tokio::test]
async fn a_silent_registry_times_out() {
    let server = serving(ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
    let started = Instant::now();
    let error = door().manifest(&reference(&server), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference: Reference = format!("{free}/team/app:1").parse().unwrap();
    let error = door().manifest(&reference, None).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unreachable { reason, .. } if reason.contains("refused")),
        "{error:?}"
    );
}

#[tokio::test]
async fn bytes_of_another_digest_are_a_lie() {
    let template = ResponseTemplate::new(200)
        .insert_header("Docker-Content-Digest", Digest::of("other").to_string())
        .set_body_raw(manifest(), media_type::DOCKER_MANIFEST);
    let server = serving(template).await;
    let error = door().manifest(&reference(&server), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Lying { .. }), "{error:?}");

    let wanted = Digest::of("wanted");
    let server = MockServer::start().await;
    Mock::given(path(format!("/v2/team/app/manifests/{wanted}")))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .mount(&server)
        .await;
    let by_digest = {
        let named = reference(&server);
        Reference::with_digest(named.registry().to_owned(), named.repository().to_owned(), wanted.to_string())
    };
    for error in [
        door().manifest(&by_digest, None).await.unwrap_err(),
        door().resolve(&by_digest, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, RegistryError::Lying { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_login_page_is_no_manifest() {
    let server = serving(answer(b"<html>Please log in</html>", "text/html; charset=utf-8")).await;
    let error = door().resolve(&reference(&server), None).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Lying { what, .. } if what.contains("text/html")), "{error:?}");
}

#[tokio::test]
async fn an_endless_manifest_is_cut_off() {
    let server = serving(answer(&vec![b' '; 5 << 20], media_type::OCI_MANIFEST)).await;
    let patient = Limits { answer: Duration::from_secs(20), stall: Duration::from_secs(20), ..LIMITS };
    let error = Distribution::new(patient, None).manifest(&reference(&server), None).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Lying { what, .. } if what.contains("more than")), "{error:?}");
}

#[tokio::test]
async fn the_image_of_a_platform_is_found_in_a_list() {
    let list = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [
            { "mediaType": media_type::OCI_MANIFEST, "digest": Digest::of("arm"), "size": 3,
              "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" } },
            { "mediaType": media_type::DOCKER_MANIFEST, "digest": Digest::of(manifest()), "size": manifest().len(),
              "platform": { "os": "linux", "architecture": "amd64" } },
        ],
    }))
    .unwrap();
    let server = serving(answer(&list, media_type::OCI_INDEX)).await;
    Mock::given(path(format!("/v2/team/app/manifests/{}", Digest::of(manifest()))))
        .respond_with(answer(&manifest(), media_type::DOCKER_MANIFEST))
        .mount(&server)
        .await;
    let found = door().image_for(&reference(&server), amd64(), None).await.unwrap();
    assert_eq!(found.named.digest, Digest::of(&list));
    assert_eq!(found.image.resolved.digest, Digest::of(manifest()));
    assert!(matches!(found.image.content, Content::Image(_)));

    let only_arm = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": media_type::OCI_MANIFEST, "digest": Digest::of("arm"), "size": 3,
                        "platform": { "os": "linux", "architecture": "arm64" } }],
    });
    let server = serving(answer(&serde_json::to_vec(&only_arm).unwrap(), media_type::OCI_INDEX)).await;
    let error = door().image_for(&reference(&server), amd64(), None).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::OtherPlatform { found, .. } if found == &["linux/arm64"]),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_single_image_is_made_for_is_read_from_its_configuration() {
    let server = serving(answer(&manifest(), media_type::DOCKER_MANIFEST)).await;
    let blob = path(format!("/v2/team/app/blobs/{}", Digest::of(CONFIG)));
    Mock::given(blob).respond_with(ResponseTemplate::new(200).set_body_bytes(CONFIG)).mount(&server).await;
    let (door, reference) = (door(), reference(&server));
    let found = door.image_for(&reference, amd64(), None).await.unwrap();
    assert_eq!(found.named, found.image.resolved);
    let arm64: Platform = "linux/arm64".parse().unwrap();
    let error = door.image_for(&reference, arm64, None).await.unwrap_err();
    assert!(error.to_string().contains("not made for linux/arm64; it is made for linux/amd64"), "{error}");
}

#[tokio::test]
async fn a_bundle_without_certificates_is_told() {
    let server = serving(answer(&manifest(), media_type::DOCKER_MANIFEST)).await;
    let door = Distribution::new(LIMITS, Some(b"not a certificate".to_vec()));
    let error = door.resolve(&reference(&server), None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Trust(_)), "{error:?}");
}
