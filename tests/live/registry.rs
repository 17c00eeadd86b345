//! Pushing with real engines to a real registry, with moto as the API of Amazon ECR.

use std::time::Duration;

use smp_image::engine::{Context, DockerEngine, Engine as _, Event, Login, Secret};
use smp_image::oci::{Digest, Platform, Profile, Reference, media_type};
use smp_image::registry::distribution::{Distribution, Limits, RegistryError};
use smp_image::registry::ecr::{AwsSettings, Ecr, EcrError, Keys, Mutability, NewRepository};
use smp_image::registry::manifest::Content;
use smp_image::registry::{Checked, Destination, Identity, Outcome, PushError, PushOptions, Pushable, push};
use smp_image::verdict::Subject;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::workbench::{ALL, AMD64, BASE, Which, build, heard, listen, unique, variable};

fn door() -> Distribution {
    Distribution::new(Limits::default(), None)
}

fn options(profile: Profile) -> PushOptions {
    PushOptions {
        profile,
        door: door(),
        login: None,
        aws: AwsSettings::default(),
        create_repository: None,
        registry_override: None,
    }
}

fn aws() -> AwsSettings {
    AwsSettings {
        region: Some("us-west-2".to_owned()),
        keys: Keys::Given { id: "AKIDEXAMPLE".to_owned(), secret: Secret::new(*b"secret"), session: None },
        endpoint: Some(variable("SMP_WB_ECR")),
        ..AwsSettings::default()
    }
}

/// Returns options for Amazon ECR: its API from moto, and in the place of its registry one that wants moto's token.
fn at_ecr() -> PushOptions {
    PushOptions {
        aws: aws(),
        registry_override: Some(variable("SMP_WB_REGISTRY_AUTH")),
        create_repository: Some(NewRepository::default()),
        ..options(Profile::SageMaker)
    }
}

/// Builds an image that nobody has, under a local name.
async fn built(engine: &DockerEngine, profile: Profile) -> Pushable {
    let name: Reference = format!("smp-image-test/{}", unique("push")).parse().unwrap();
    let mut request = build(&format!("FROM {BASE}\nCOPY text /text\nLABEL only={}\n", unique("x")));
    request.context = Context::Memory([("text".to_owned(), unique("text").into_bytes())].into());
    request.tags = vec![name.clone()];
    request.profile = profile;
    let (events, _said) = listen();
    let built = engine.build(&request, &events).await.unwrap();
    Pushable::unchecked(Subject { reference: name.whole(), id: built.id, platform: AMD64 })
}

#[tokio::test]
async fn an_image_is_pushed_and_what_arrived_is_what_was_built() {
    for which in ALL {
        for profile in [Profile::SageMaker, Profile::Oci] {
            let engine = which.connect();
            let image = built(&engine, profile).await;
            let name = format!("{}/live/{}:1", variable("SMP_WB_REGISTRY"), unique("push"));
            let destination: Destination = name.parse().unwrap();
            let (events, mut said) = listen();
            let receipt = push(&engine, &image, &destination, &options(profile), &events).await.unwrap();
            let expected =
                if which == Which::Containerd { Identity::ManifestDigest } else { Identity::ConfigDigest };
            assert_eq!((receipt.verified, receipt.outcome), (expected, Outcome::Pushed), "{which:?}");
            assert_eq!(receipt.checked, Checked::Unchecked);
            assert!(receipt.layers.len() >= 2 && receipt.size > 1_000_000, "{receipt:?}");
            if profile == Profile::SageMaker {
                assert_eq!(receipt.media_type, media_type::DOCKER_MANIFEST, "{which:?}");
            }
            assert!(heard(&mut said).iter().any(|event| matches!(event, Event::Layer { .. })), "{which:?}");

            // The registry itself says the same.
            let found = door().image_for(&name.parse().unwrap(), AMD64, None).await.unwrap();
            assert_eq!(found.named.digest, receipt.digest);
            // The name that the push needed is gone, the image is still there.
            assert!(engine.image(&name).await.unwrap().is_none(), "{which:?}");
            assert!(engine.image(&image.subject().reference).await.unwrap().is_some(), "{which:?}");

            let again = push(&engine, &image, &destination, &options(profile), &events).await.unwrap();
            assert_eq!((again.outcome, again.digest), (Outcome::AlreadyThere, receipt.digest), "{which:?}");
            engine.remove(&image.subject().reference).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_oci_image_of_the_containerd_store_is_refused_for_sagemaker() {
    let engine = Which::Containerd.connect();
    let image = built(&engine, Profile::Oci).await;
    let name = format!("{}/live/{}:1", variable("SMP_WB_REGISTRY"), unique("unfit"));
    let (events, _said) = listen();
    let error = push(&engine, &image, &name.parse().unwrap(), &options(Profile::SageMaker), &events)
        .await
        .unwrap_err();
    let PushError::Unfit { faults, .. } = &error else { panic!("{error:?}") };
    assert!(faults.iter().any(|fault| fault.contains(media_type::OCI_MANIFEST)), "{faults:?}");
    engine.remove(&image.subject().reference).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_before_anything_is_sent() {
    let engine = Which::Graph.connect();
    let image = built(&engine, Profile::SageMaker).await;
    let destination: Destination =
        format!("{}/live/{}:1", variable("SMP_WB_REGISTRY_AUTH"), unique("shut")).parse().unwrap();
    for login in [None, Some(Login { user: "AWS".into(), password: Secret::new(*b"wrong") })] {
        let options = PushOptions { login, ..options(Profile::SageMaker) };
        let (events, mut said) = listen();
        let error = push(&engine, &image, &destination, &options, &events).await.unwrap_err();
        assert!(matches!(error, PushError::Registry(RegistryError::Unauthorised { .. })), "{error:?}");
        assert!(error.is_authorisation());
        assert!(heard(&mut said).is_empty());
    }
    let login = Login {
        user: variable("SMP_WB_REGISTRY_AUTH_USER"),
        password: Secret::new(variable("SMP_WB_REGISTRY_AUTH_PASSWORD").as_bytes()),
    };
    let options = PushOptions { login: Some(login), ..options(Profile::SageMaker) };
    push(&engine, &image, &destination, &options, &listen().0).await.unwrap();
    engine.remove(&image.subject().reference).await.unwrap();
}

#[tokio::test]
async fn a_repository_of_ecr_is_made_and_keeps_its_tags() {
    let engine = Which::Containerd.connect();
    let (first, second) =
        (built(&engine, Profile::SageMaker).await, built(&engine, Profile::SageMaker).await);
    let destination = Destination::parse(&unique("live/smpv2"), "1.0").unwrap();
    let (events, _said) = listen();

    let without = PushOptions { create_repository: None, ..at_ecr() };
    let error = push(&engine, &first, &destination, &without, &events).await.unwrap_err();
    assert!(matches!(error, PushError::Ecr(EcrError::NoRepository { .. })), "{error:?}");

    let receipt = push(&engine, &first, &destination, &at_ecr(), &events).await.unwrap();
    assert!(receipt.repository_created);
    assert_eq!(receipt.reference, format!("{}/{destination}", variable("SMP_WB_REGISTRY_AUTH")));

    let again = push(&engine, &first, &destination, &at_ecr(), &events).await.unwrap();
    assert_eq!((again.outcome, again.repository_created), (Outcome::AlreadyThere, false));

    let error = push(&engine, &second, &destination, &at_ecr(), &events).await.unwrap_err();
    let PushError::TagImmutable { there, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*there, receipt.digest);

    for image in [first, second] {
        engine.remove(&image.subject().reference).await.unwrap();
    }
}

#[tokio::test]
async fn a_repository_that_lets_tags_move_lets_them_move() {
    let engine = Which::Graph.connect();
    let (first, second) =
        (built(&engine, Profile::SageMaker).await, built(&engine, Profile::SageMaker).await);
    let host = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
    let destination = Destination::parse(&format!("{host}/{}", unique("live")), "dev").unwrap();
    let new = NewRepository { scan_on_push: false, mutability: Mutability::Mutable };
    let options = PushOptions { create_repository: Some(new), ..at_ecr() };
    let (events, _said) = listen();
    let one = push(&engine, &first, &destination, &options, &events).await.unwrap();
    let two = push(&engine, &second, &destination, &options, &events).await.unwrap();
    assert_ne!(one.digest, two.digest);
    assert!(!two.repository_created);
    for image in [first, second] {
        engine.remove(&image.subject().reference).await.unwrap();
    }
}

#[tokio::test]
async fn moto_says_who_we_are_and_gives_a_login_that_its_date_does_not_spoil() {
    let ecr = Ecr::open(&aws(), None).await.unwrap();
    let caller = ecr.caller().await.unwrap();
    assert_eq!(caller.account.as_str(), "123456789012");
    let granted = ecr.login().await.unwrap();
    assert_eq!(granted.login.password.expose(), variable("SMP_WB_REGISTRY_AUTH_PASSWORD").as_bytes());
    assert_eq!(granted.host, "123456789012.dkr.ecr.us-west-2.amazonaws.com");
}

#[tokio::test]
async fn a_real_registry_tells_digest_platform_and_absence() {
    let registry = variable("SMP_WB_REGISTRY");
    let name: Reference = format!("{registry}/library/{BASE}").parse().unwrap();
    let found = door().image_for(&name, AMD64, None).await.unwrap();
    assert_eq!(Digest::of(&found.image.bytes), found.image.resolved.digest);
    assert!(matches!(found.image.content, Content::Image(_)));
    assert_eq!(door().resolve(&name, None).await.unwrap(), found.named);

    // The name may hold more than one platform; this manifest holds one.
    let one: Reference =
        format!("{registry}/library/debian@{}", found.image.resolved.digest).parse().unwrap();
    let arm64: Platform = "linux/arm64".parse().unwrap();
    let error = door().image_for(&one, arm64, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::OtherPlatform { .. }), "{error:?}");
    let absent: Reference = format!("{registry}/library/debian:{}", unique("absent")).parse().unwrap();
    assert!(matches!(door().resolve(&absent, None).await, Err(RegistryError::NotFound { .. })));
}

#[tokio::test]
async fn an_interrupted_push_leaves_no_name_in_the_engine() {
    for which in ALL {
        let engine = which.connect();
        let image = built(&engine, Profile::SageMaker).await;
        // A registry that has nothing, and lets every upload wait.
        let registry = MockServer::start().await;
        let waits = ResponseTemplate::new(202).set_delay(Duration::from_mins(2));
        Mock::given(method("POST")).respond_with(waits).with_priority(1).mount(&registry).await;
        Mock::given(path("/v2/"))
            .respond_with(ResponseTemplate::new(200))
            .with_priority(2)
            .mount(&registry)
            .await;
        Mock::given(any()).respond_with(ResponseTemplate::new(404)).mount(&registry).await;
        let name = format!("{}/live/{}:1", registry.address(), unique("stopped"));
        let (destination, options): (Destination, _) = (name.parse().unwrap(), options(Profile::SageMaker));
        let (events, _said) = listen();
        {
            let mut pushing = std::pin::pin!(push(&engine, &image, &destination, &options, &events));
            let uploading = async {
                while !registry.received_requests().await.unwrap().iter().any(|r| r.method.as_str() == "POST")
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                ended = &mut pushing => panic!("{which:?}: {ended:?}"),
                () = uploading => {}
            }
            assert!(engine.image(&name).await.unwrap().is_some(), "{which:?}");
        }
        assert!(engine.image(&name).await.unwrap().is_none(), "{which:?}: the name is still there");
        engine.remove(&image.subject().reference).await.unwrap();
    }
}
