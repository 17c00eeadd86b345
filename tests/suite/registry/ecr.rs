//! What Amazon ECR may answer, and what we make of it.

use std::time::{Duration, Instant};

use serde_json::json;
use smp_image::registry::ecr::{AwsSettings, Ecr, EcrError, Mutability, NewRepository};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::fake_ecr::{FakeEcr, HOST, repository, settings};
use super::in_an_environment;

async fn open(fake: &FakeEcr) -> Ecr {
    Ecr::open(&fake.settings(), None).await.unwrap()
}

#[tokio::test]
async fn a_login_is_taken_out_of_the_token_whatever_its_date() {
    let fake = FakeEcr::start().await;
    let granted = open(&fake).await.login().await.unwrap();
    assert_eq!(granted.login.user, "AWS");
    assert_eq!(granted.login.password.expose(), b"hunter2");
    assert_eq!(granted.host, HOST);
    assert!(!format!("{granted:?}").contains("hunter2"), "{granted:?}");
    assert_eq!(fake.asked("GetAuthorizationToken").await, 1);
}

#[tokio::test]
async fn a_token_that_is_none_is_nonsense_and_not_shown() {
    let fake = FakeEcr::start().await;
    for token in ["!hush!", "aHVzaA==", ""] {
        fake.answers(
            "GetAuthorizationToken",
            json!({ "authorizationData": [{ "authorizationToken": token }] }),
            1,
        )
        .await;
        let error = open(&fake).await.login().await.unwrap_err();
        assert!(matches!(error, EcrError::Protocol { .. }), "{error:?}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_repository_is_there_or_it_is_not() {
    let fake = FakeEcr::start().await;
    assert_eq!(open(&fake).await.repository(None, "smpv2").await.unwrap(), None);
    fake.has_repository("IMMUTABLE").await;
    let found = open(&fake).await.repository(None, "smpv2").await.unwrap().unwrap();
    assert_eq!(found.uri, format!("{HOST}/smpv2"));
    assert!(found.keeps("v1"));
}

#[tokio::test]
async fn a_repository_is_made_as_it_was_asked_for() {
    let fake = FakeEcr::start().await;
    fake.answers("CreateRepository", json!({ "repository": repository("IMMUTABLE") }), 1).await;
    let (made, by_us) = open(&fake).await.create(None, "smpv2", NewRepository::default()).await.unwrap();
    assert!(by_us && made.keeps("v1"));
    let asked = fake.last("CreateRepository").await;
    assert_eq!(asked["imageScanningConfiguration"]["scanOnPush"], true);
    assert_eq!(asked["imageTagMutability"], "IMMUTABLE");

    let new = NewRepository { scan_on_push: false, mutability: Mutability::Mutable };
    open(&fake).await.create(None, "smpv2", new).await.unwrap();
    let asked = fake.last("CreateRepository").await;
    assert_ne!(asked["imageScanningConfiguration"]["scanOnPush"], true);
    assert_eq!(asked["imageTagMutability"], "MUTABLE");
}

#[tokio::test]
async fn a_repository_that_another_made_in_the_same_moment_is_as_good() {
    let fake = FakeEcr::start().await;
    fake.has_repository("MUTABLE").await;
    fake.refuses("CreateRepository", "RepositoryAlreadyExistsException", "already exists").await;
    let (found, by_us) = open(&fake).await.create(None, "smpv2", NewRepository::default()).await.unwrap();
    assert!(!by_us && !found.keeps("v1"));
}

#[tokio::test]
async fn a_missing_permission_says_which_and_what_to_allow() {
    let fake = FakeEcr::start().await;
    let message = "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:CreateRepository on resource: \
                   arn:aws:ecr:us-west-2:123456789012:repository/smpv2 because no identity-based policy allows it";
    fake.refuses("CreateRepository", "AccessDeniedException", message).await;
    let error = open(&fake).await.create(None, "smpv2", NewRepository::default()).await.unwrap_err();
    let EcrError::Denied { who, action, resource, .. } = &error else { panic!("{error:?}") };
    assert_eq!(who, "arn:aws:iam::123456789012:user/ci");
    assert_eq!(action, "ecr:CreateRepository");
    assert_eq!(resource, "arn:aws:ecr:us-west-2:123456789012:repository/smpv2");
    assert!(
        error.hints()[0].contains(r#"{"Action":["ecr:CreateRepository"],"Effect":"Allow""#),
        "{:?}",
        error.hints()
    );
}

#[tokio::test]
async fn each_fault_of_the_credentials_has_its_own_words() {
    type Wanted = fn(&EcrError) -> bool;
    let skew = "Signature expired: 20261123T000000Z is now earlier than 20261123T010000Z";
    let faults: [(&str, &str, Wanted); 4] = [
        ("ExpiredTokenException", "The security token included in the request is expired", |e| {
            matches!(e, EcrError::Expired { .. })
        }),
        ("UnrecognizedClientException", "The security token included in the request is invalid.", |e| {
            matches!(e, EcrError::Unrecognised { .. })
        }),
        ("InvalidSignatureException", skew, |e| matches!(e, EcrError::Clock { .. })),
        ("AccessDeniedException", "explicit deny", |e| matches!(e, EcrError::Denied { explicit: true, .. })),
    ];
    for (code, message, wanted) in faults {
        let fake = FakeEcr::start().await;
        fake.refuses("GetAuthorizationToken", code, message).await;
        let error = open(&fake).await.login().await.unwrap_err();
        assert!(wanted(&error), "{code}: {error:?}");
        assert!(error.is_authorisation(), "{code}");
        assert!(!error.hints().is_empty(), "{code}");
    }
}

#[tokio::test]
async fn who_we_are_is_asked_of_sts() {
    let server = MockServer::start().await;
    let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Arn>arn:aws:iam::123456789012:user/ci</Arn><UserId>U</UserId><Account>123456789012</Account>\
                </GetCallerIdentityResult></GetCallerIdentityResponse>";
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/xml"))
        .mount(&server)
        .await;
    let caller = Ecr::open(&settings(&server.uri()), None).await.unwrap().caller().await.unwrap();
    assert_eq!(caller.account.as_str(), "123456789012");
    assert_eq!(caller.arn, "arn:aws:iam::123456789012:user/ci");
}

#[tokio::test]
async fn an_expired_session_is_told_by_sts_too() {
    let server = MockServer::start().await;
    let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>ExpiredToken</Code>\
                <Message>The security token is expired</Message></Error></ErrorResponse>";
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(403).set_body_raw(body, "text/xml"))
        .mount(&server)
        .await;
    let error = Ecr::open(&settings(&server.uri()), None).await.unwrap().caller().await.unwrap_err();
    assert!(matches!(error, EcrError::Expired { .. }), "{error:?}");
}

#[tokio::test]
async fn aws_that_says_nothing_is_not_waited_for_without_end() {
    let fake = FakeEcr::start().await;
    fake.hangs("GetAuthorizationToken").await;
    let started = Instant::now();
    let error = open(&fake).await.login().await.unwrap_err();
    assert!(matches!(error, EcrError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn aws_out_of_reach_is_told_with_the_region() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = settings(&format!("http://{free}"));
    settings.limits.call = Duration::from_secs(30);
    let error = Ecr::open(&settings, None).await.unwrap().login().await.unwrap_err();
    let EcrError::Unreachable { region, .. } = &error else { panic!("{error:?}") };
    assert_eq!(region, "us-west-2");
    assert!(!error.is_authorisation());
}

#[tokio::test]
async fn a_bundle_without_certificates_is_told_before_anything_is_asked() {
    let mut settings = settings("http://127.0.0.1:1");
    settings.ca_bundle = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec());
    assert!(matches!(Ecr::open(&settings, None).await, Err(EcrError::Trust(_))));
}

#[tokio::test]
async fn the_hosts_region_counts_more_than_the_settings() {
    let fake = FakeEcr::start().await;
    let host = "123456789012.dkr.ecr.eu-north-1.amazonaws.com".parse().unwrap();
    assert_eq!(Ecr::open(&fake.settings(), Some(&host)).await.unwrap().region(), "eu-north-1");
}

#[test]
fn no_credentials_are_told_soon_and_with_where_was_looked() {
    in_an_environment("registry::ecr::nothing_has_credentials", &[("AWS_REGION", "us-west-2")]);
    // On many machines nobody answers where an instance has its metadata: taken, and then silence.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("AWS_REGION", "us-west-2"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str())];
    in_an_environment("registry::ecr::nothing_has_credentials", &variables);
}

#[tokio::test]
#[ignore = "run by no_credentials_are_told_soon_and_with_where_was_looked, in an empty environment"]
async fn nothing_has_credentials() {
    let started = Instant::now();
    let error = Ecr::open(&AwsSettings::default(), None).await.unwrap_err();
    assert!(matches!(error, EcrError::NoCredentials { .. }), "{error:?}");
    assert!(error.is_authorisation());
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn no_region_is_told_soon_and_with_where_was_looked() {
    in_an_environment("registry::ecr::nothing_has_a_region", &[]);
}

#[tokio::test]
#[ignore = "run by no_region_is_told_soon_and_with_where_was_looked, in an empty environment"]
async fn nothing_has_a_region() {
    let started = Instant::now();
    let settings = AwsSettings { profile: Some("work".to_owned()), ..AwsSettings::default() };
    let error = Ecr::open(&settings, None).await.unwrap_err();
    assert!(matches!(error, EcrError::NoRegion { .. }), "{error:?}");
    assert!(error.to_string().contains("profile `work`"), "{error}");
    assert!(error.hints()[0].contains("AWS_REGION"));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[test]
fn a_profile_that_is_not_there_is_told_by_its_name() {
    in_an_environment("registry::ecr::the_profile_is_missing", &[("AWS_REGION", "us-west-2")]);
}

#[tokio::test]
#[ignore = "run by a_profile_that_is_not_there_is_told_by_its_name, in an empty environment"]
async fn the_profile_is_missing() {
    let settings = AwsSettings { profile: Some("work".to_owned()), ..AwsSettings::default() };
    let error = Ecr::open(&settings, None).await.unwrap_err();
    assert!(matches!(&error, EcrError::NoProfile { profile, .. } if profile == "work"), "{error:?}");
}

#[test]
fn a_credential_process_that_fails_or_hangs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    for process in ["/bin/false", "/bin/sleep 60"] {
        let text = format!("[default]\nregion = eu-west-1\ncredential_process = {process}\n");
        #[expect(clippy::disallowed_methods, reason = "AWS's tools read their configuration from a file")]
        std::fs::write(&config, text).unwrap();
        let variables = [("AWS_CONFIG_FILE", config.to_str().unwrap()), ("PATH", "/usr/bin:/bin")];
        in_an_environment("registry::ecr::the_credential_process_is_broken", &variables);
    }
}

#[tokio::test]
#[ignore = "run by a_credential_process_that_fails_or_hangs_is_told, in an environment of its own"]
async fn the_credential_process_is_broken() {
    let mut settings = AwsSettings::default();
    settings.limits.credentials = Duration::from_secs(2);
    let started = Instant::now();
    let error = Ecr::open(&settings, None).await.unwrap_err();
    assert!(matches!(error, EcrError::BadCredentials { .. } | EcrError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}
