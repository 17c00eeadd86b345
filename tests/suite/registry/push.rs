//! Pushing: what is asked of the engine, what of the registry, and what the receipt says.

use smp_image::engine::{
    Asked, EngineError, EngineInfo, Event, FakeEngine, GpuOffer, ImageInfo, Login, Pushed, Secret, Store,
};
use smp_image::oci::{Digest, Platform, Profile, media_type};
use smp_image::registry::distribution::{Distribution, Limits, RegistryError};
use smp_image::registry::ecr::{AwsSettings, EcrError, NewRepository};
use smp_image::registry::{
    Checked, Destination, Identity, Outcome, PushError, PushOptions, Pushable, Receipt, push,
};
use smp_image::verdict::Subject;
use tokio::sync::mpsc::unbounded_channel;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake_ecr::{FakeEcr, holds, manifest, repository};
use super::hanging_engine::HangingEngine;

pub(crate) const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

pub(crate) fn id() -> Digest {
    Digest::of("the image's configuration")
}

fn image(id: Digest) -> ImageInfo {
    ImageInfo {
        id,
        platform: amd64(),
        size: 1,
        labels: std::collections::BTreeMap::new(),
        repo_digests: Vec::new(),
    }
}

pub(crate) fn engine() -> FakeEngine {
    let info = EngineInfo {
        endpoint: "unix:///fake".into(),
        version: "26.1.5".into(),
        api: "1.45".into(),
        platform: amd64(),
        platforms: Vec::new(),
        store: Store::Graph,
        buildkit: true,
        data_root: "/".into(),
        memory: 1,
        processors: 1,
        studio: false,
        builder: None,
        gpus: GpuOffer::default(),
    };
    FakeEngine::new(info)
        .with_image("docker.io/library/built:latest", image(id()))
        .with_image(id().to_string(), image(id()))
}

fn built() -> Pushable {
    Pushable::unchecked(Subject { reference: "built".into(), id: id(), platform: amd64() })
}

pub(crate) fn options(aws: AwsSettings) -> PushOptions {
    PushOptions {
        profile: Profile::SageMaker,
        door: Distribution::new(Limits::default(), None),
        login: None,
        aws,
        create_repository: None,
        registry_override: None,
    }
}

/// Returns an empty registry, which says so as registries do.
pub(crate) async fn registry() -> MockServer {
    let server = MockServer::start().await;
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#;
    let template = ResponseTemplate::new(404).set_body_raw(body, "application/json");
    Mock::given(any()).respond_with(template).with_priority(9).mount(&server).await;
    server
}

pub(crate) fn pushed(body: &[u8]) -> Pushed {
    Pushed { digest: Digest::of(body), size: body.len() as u64 }
}

async fn run(engine: &FakeEngine, to: &str, options: &PushOptions) -> Result<Receipt, PushError> {
    let destination: Destination = to.parse().unwrap();
    push(engine, &built(), &destination, options, &unbounded_channel().0).await
}

/// Returns what was asked of the engine, in short.
pub(crate) fn asked(engine: &FakeEngine) -> Vec<String> {
    let short = |asked| match asked {
        Asked::Tag { id, name } => format!("tag {} {name}", &id[..9]),
        Asked::Push { name, login } => {
            format!("push {name} {}", login.map_or("-".into(), |login| login.user))
        }
        Asked::Remove(name) => format!("remove {name}"),
        Asked::Image(_) => "look".to_owned(),
        other => format!("{other:?}"),
    };
    engine.asked().into_iter().map(short).filter(|what| what != "look").collect()
}

/// Lets `registry` have `body` by digest and under the tag only once it was asked for the tag: before, it is empty.
pub(crate) async fn takes(registry: &MockServer, body: &[u8], media_type: &str) {
    let nothing = ResponseTemplate::new(404);
    let tag = wiremock::matchers::path("/v2/smpv2/manifests/v1");
    Mock::given(tag).respond_with(nothing).up_to_n_times(1).with_priority(1).mount(registry).await;
    holds(registry, "v1", body, media_type).await;
    holds(registry, &Digest::of(body).to_string(), body, media_type).await;
}

#[tokio::test]
async fn what_was_pushed_is_fetched_back_and_the_receipt_says_how_it_was_known() {
    let registry = registry().await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let layer = Event::Layer { id: "1".into(), status: "Pushed".into(), current: 1, total: 1 };
    let engine = engine().will_push(vec![layer.clone()], Ok(pushed(&body)));
    let name = format!("{}/smpv2:v1", registry.address());
    let (events, mut said) = unbounded_channel();
    let destination: Destination = name.parse().unwrap();
    let receipt =
        push(&engine, &built(), &destination, &options(AwsSettings::default()), &events).await.unwrap();
    assert_eq!(receipt.reference, name);
    assert_eq!(receipt.digest, Digest::of(&body));
    assert_eq!((receipt.size, receipt.layers.len()), (1000, 1));
    assert_eq!(receipt.verified, Identity::ConfigDigest);
    assert_eq!(receipt.checked, Checked::Unchecked);
    assert_eq!(receipt.outcome, Outcome::Pushed);
    assert_eq!(said.recv().await, Some(layer));
    assert_eq!(
        asked(&engine),
        [
            format!("tag sha256:{} {name}", &id().hex()[..2]),
            format!("push {name} -"),
            format!("remove {name}")
        ]
    );
    let json = serde_json::to_value(&receipt).unwrap();
    assert_eq!(json["verified"], "config-digest");
    assert_eq!(json["checked"]["verdict"], "unchecked");
    assert_eq!(json["layers"][0]["media-type"], GZIP);
}

#[tokio::test]
async fn an_image_that_is_there_already_is_not_pushed_again() {
    let registry = registry().await;
    holds(&registry, "v1", &manifest(id(), GZIP), media_type::DOCKER_MANIFEST).await;
    let engine = engine();
    let receipt = run(&engine, &format!("{}/smpv2:v1", registry.address()), &options(AwsSettings::default()))
        .await
        .unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyThere);
    assert!(asked(&engine).is_empty(), "{:?}", asked(&engine));
}

#[tokio::test]
async fn another_image_in_the_place_of_ours_is_no_success() {
    let registry = registry().await;
    let body = manifest(Digest::of("another"), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&body)));
    let error = run(&engine, &format!("{}/smpv2:v1", registry.address()), &options(AwsSettings::default()))
        .await
        .unwrap_err();
    assert!(matches!(&error, PushError::Differs { what, .. } if what.contains("another image")), "{error:?}");
    assert!(!error.is_authorisation());
    assert!(asked(&engine).last().unwrap().starts_with("remove "), "{:?}", asked(&engine));
}

#[tokio::test]
async fn a_tag_that_somebody_moved_meanwhile_is_no_success() {
    let registry = registry().await;
    let (ours, theirs) = (manifest(id(), GZIP), manifest(Digest::of("theirs"), GZIP));
    takes(&registry, &theirs, media_type::DOCKER_MANIFEST).await;
    holds(&registry, &Digest::of(&ours).to_string(), &ours, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&ours)));
    let error = run(&engine, &format!("{}/smpv2:v1", registry.address()), &options(AwsSettings::default()))
        .await
        .unwrap_err();
    assert!(matches!(&error, PushError::Differs { what, .. } if what.contains("the tag names")), "{error:?}");
}

#[tokio::test]
async fn zstd_layers_are_no_image_for_sagemaker() {
    let registry = registry().await;
    let body = manifest(id(), "application/vnd.docker.image.rootfs.diff.tar.zstd");
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&body)));
    let error = run(&engine, &format!("{}/smpv2:v1", registry.address()), &options(AwsSettings::default()))
        .await
        .unwrap_err();
    let PushError::Unfit { faults, .. } = &error else { panic!("{error:?}") };
    assert!(faults[0].contains("SageMaker takes gzip"), "{faults:?}");
    assert!(error.hints()[0].contains("--for sagemaker"));
}

#[tokio::test]
async fn a_name_of_the_users_own_is_given_back() {
    let registry = registry().await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let name = format!("{}/smpv2:v1", registry.address());
    let before = Digest::of("before");
    let engine = engine()
        .with_image(name.clone(), image(before))
        .with_image(before.to_string(), image(before))
        .will_push(Vec::new(), Ok(pushed(&body)));
    run(&engine, &name, &options(AwsSettings::default())).await.unwrap();
    assert_eq!(asked(&engine).last().unwrap(), &format!("tag sha256:{} {name}", &before.hex()[..2]));
}

#[tokio::test]
async fn the_only_name_of_an_image_is_not_taken_from_it() {
    let registry = registry().await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&body)));
    let nameless = Pushable::unchecked(Subject { reference: id().to_string(), id: id(), platform: amd64() });
    let destination: Destination = format!("{}/smpv2:v1", registry.address()).parse().unwrap();
    let options = options(AwsSettings::default());
    push(&engine, &nameless, &destination, &options, &unbounded_channel().0).await.unwrap();
    assert!(asked(&engine).iter().all(|what| !what.starts_with("remove")), "{:?}", asked(&engine));
}

#[tokio::test]
async fn a_push_that_fails_leaves_no_name_behind() {
    let registry = registry().await;
    let failed = EngineError::Registry {
        registry: "r".into(),
        message: "received unexpected HTTP status: 500".into(),
    };
    let engine = engine().will_push(Vec::new(), Err(failed));
    let error = run(&engine, &format!("{}/smpv2:v1", registry.address()), &options(AwsSettings::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::Engine(EngineError::Registry { .. })), "{error:?}");
    assert!(asked(&engine).last().unwrap().starts_with("remove "), "{:?}", asked(&engine));
}

#[tokio::test]
async fn a_registry_that_is_shut_is_told_before_anything_is_sent() {
    let server = MockServer::start().await;
    let template = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    Mock::given(any()).respond_with(template).mount(&server).await;
    let engine = engine();
    let mut options = options(AwsSettings::default());
    options.login = Some(Login { user: "me".into(), password: Secret::new(*b"wrong") });
    let error = run(&engine, &format!("{}/smpv2:v1", server.address()), &options).await.unwrap_err();
    assert!(matches!(error, PushError::Registry(RegistryError::Unauthorised { .. })), "{error:?}");
    assert!(error.is_authorisation());
    assert!(asked(&engine).is_empty());
}

/// Returns options with which `ecr` is asked and `registry` stands for its registry.
fn at_ecr(ecr: &FakeEcr, registry: &MockServer) -> PushOptions {
    PushOptions { registry_override: Some(registry.address().to_string()), ..options(ecr.settings()) }
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_told_or_made() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    let error = run(&engine(), "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap_err();
    let PushError::Ecr(EcrError::NoRepository { account, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(account, "123456789012");
    assert!(error.hints()[0].contains("--create-repository"));

    ecr.answers("CreateRepository", serde_json::json!({ "repository": repository("IMMUTABLE") }), 1).await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&body)));
    let options =
        PushOptions { create_repository: Some(NewRepository::default()), ..at_ecr(&ecr, &registry) };
    let receipt = run(&engine, "smpv2:v1", &options).await.unwrap();
    assert!(receipt.repository_created);
    assert!(asked(&engine)[1].ends_with("smpv2:v1 AWS"), "{:?}", asked(&engine));
}

#[tokio::test]
async fn an_immutable_tag_of_another_image_stops_the_push_before_it_starts() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    ecr.has_repository("IMMUTABLE").await;
    let theirs = manifest(Digest::of("theirs"), GZIP);
    holds(&registry, "v1", &theirs, media_type::DOCKER_MANIFEST).await;
    let engine = engine();
    let error = run(&engine, "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap_err();
    let PushError::TagImmutable { there, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*there, Digest::of(&theirs));
    assert!(error.hints()[0].contains("new tag"));
    assert!(asked(&engine).is_empty(), "{:?}", asked(&engine));
}

#[tokio::test]
async fn an_immutable_tag_of_the_same_image_is_fine() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    ecr.has_repository("IMMUTABLE").await;
    holds(&registry, "v1", &manifest(id(), GZIP), media_type::DOCKER_MANIFEST).await;
    let receipt = run(&engine(), "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyThere);
}

#[tokio::test]
async fn a_tag_taken_while_we_pushed_is_told_as_immutable() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    ecr.refuses("DescribeRepositories", "AccessDeniedException", "not for you").await;
    let theirs = manifest(Digest::of("theirs"), GZIP);
    takes(&registry, &theirs, media_type::DOCKER_MANIFEST).await;
    let message = "tag invalid: The image tag 'v1' already exists in the 'smpv2' repository and cannot be overwritten because \
                   the repository is immutable.";
    let refused = EngineError::Registry { registry: "r".into(), message: message.into() };
    let engine = engine().will_push(Vec::new(), Err(refused));
    let error = run(&engine, "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap_err();
    assert!(
        matches!(&error, PushError::TagImmutable { there, .. } if *there == Digest::of(&theirs)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_anew_once() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    ecr.has_repository("MUTABLE").await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let expired = || EngineError::Unauthorised {
        registry: "r".into(),
        message: "Your authorization token has expired.".into(),
    };
    let engine = engine().will_push(Vec::new(), Err(expired())).will_push(Vec::new(), Ok(pushed(&body)));
    run(&engine, "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap();
    assert_eq!(ecr.asked("GetAuthorizationToken").await, 2);

    let registry = self::registry().await;
    let engine = self::engine().will_push(Vec::new(), Err(expired())).will_push(Vec::new(), Err(expired()));
    let error = run(&engine, "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap_err();
    assert!(error.is_authorisation(), "{error:?}");
    assert_eq!(ecr.asked("GetAuthorizationToken").await, 4);
}

#[tokio::test]
async fn a_permission_that_only_the_push_misses_is_told_like_any_other() {
    let (ecr, registry) = (FakeEcr::start().await, registry().await);
    ecr.has_repository("MUTABLE").await;
    let message = "denied: User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:InitiateLayerUpload on \
                   resource: arn:aws:ecr:us-west-2:123456789012:repository/smpv2 because no identity-based policy allows it";
    let denied = EngineError::Unauthorised { registry: "r".into(), message: message.into() };
    let engine = engine().will_push(Vec::new(), Err(denied));
    let error = run(&engine, "smpv2:v1", &at_ecr(&ecr, &registry)).await.unwrap_err();
    assert!(
        matches!(&error, PushError::Ecr(EcrError::Denied { action, .. }) if action == "ecr:InitiateLayerUpload"),
        "{error:?}"
    );
    assert_eq!(ecr.asked("GetAuthorizationToken").await, 1, "a new token gives no new permission");
    assert!(error.hints()[1].contains("ecr:PutImage"));
}

#[tokio::test]
async fn an_interrupted_push_gives_the_name_back() {
    let registry = registry().await;
    let engine = HangingEngine(engine());
    let destination: Destination = format!("{}/smpv2:v1", registry.address()).parse().unwrap();
    let options = options(AwsSettings::default());
    let events = unbounded_channel().0;
    let built = built();
    let pushing = push(&engine, &built, &destination, &options, &events);
    let second = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(second, pushing).await.is_err(), "it hangs, and is dropped");
    assert!(asked(&engine.0).last().unwrap().starts_with("remove "), "{:?}", asked(&engine.0));
}
