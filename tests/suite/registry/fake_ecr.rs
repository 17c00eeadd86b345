//! Stand-ins for Amazon ECR: its API, and a registry that has images.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use smp_image::engine::Secret;
use smp_image::oci::{Digest, media_type};
use smp_image::registry::ecr::{AwsLimits, AwsSettings, Keys};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The account and region of every stand-in.
pub(crate) const HOST: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com";

/// An API of Amazon ECR that answers each action as it is told.
pub(crate) struct FakeEcr {
    server: MockServer,
}

impl FakeEcr {
    /// Returns an API that gives out logins and knows no repository.
    pub(crate) async fn start() -> Self {
        let this = Self { server: MockServer::start().await };
        let token = base64::engine::general_purpose::STANDARD.encode("AWS:hunter2");
        let data = json!({
            "authorizationToken": token, "proxyEndpoint": format!("https://{HOST}"),
            // As moto has it: long past. A login is not judged by it.
            "expiresAt": 1_420_070_400.0,
        });
        this.answers("GetAuthorizationToken", json!({ "authorizationData": [data] }), 9).await;
        this.refuses_with("DescribeRepositories", "RepositoryNotFoundException", "no such repository", 9)
            .await;
        this
    }

    /// Lets the repository `smpv2` be there.
    pub(crate) async fn has_repository(&self, mutability: &str) -> &Self {
        self.answers("DescribeRepositories", json!({ "repositories": [repository(mutability)] }), 1).await;
        self
    }

    /// Lets `action` be refused.
    pub(crate) async fn refuses(&self, action: &str, code: &str, message: &str) -> &Self {
        self.refuses_with(action, code, message, 1).await;
        self
    }

    /// Lets `action` succeed with `body`.
    pub(crate) async fn answers(&self, action: &str, body: Value, priority: u8) {
        let template =
            ResponseTemplate::new(200).set_body_raw(body.to_string(), "application/x-amz-json-1.1");
        self.mount(action, template, priority).await;
    }

    /// Lets `action` never be answered.
    pub(crate) async fn hangs(&self, action: &str) -> &Self {
        self.mount(action, ResponseTemplate::new(200).set_delay(Duration::from_mins(1)), 1).await;
        self
    }

    /// Returns how often `action` was asked.
    pub(crate) async fn asked(&self, action: &str) -> usize {
        let requests = self.server.received_requests().await.unwrap();
        let target = target(action);
        requests
            .iter()
            .filter(|r| r.headers.get("x-amz-target").is_some_and(|t| t == target.as_str()))
            .count()
    }

    /// Returns the body of the last request for `action`.
    pub(crate) async fn last(&self, action: &str) -> Value {
        let requests = self.server.received_requests().await.unwrap();
        let target = target(action);
        let last =
            requests.iter().rfind(|r| r.headers.get("x-amz-target").is_some_and(|t| t == target.as_str()));
        serde_json::from_slice(&last.unwrap().body).unwrap()
    }

    /// Returns settings with which this stand-in is asked.
    pub(crate) fn settings(&self) -> AwsSettings {
        settings(&self.server.uri())
    }

    async fn refuses_with(&self, action: &str, code: &str, message: &str, priority: u8) {
        let body = json!({ "__type": code, "message": message }).to_string();
        let template = ResponseTemplate::new(400).set_body_raw(body, "application/x-amz-json-1.1");
        self.mount(action, template, priority).await;
    }

    async fn mount(&self, action: &str, template: ResponseTemplate, priority: u8) {
        let target = target(action);
        let mock = Mock::given(header("x-amz-target", target.as_str())).respond_with(template);
        mock.with_priority(priority).mount(&self.server).await;
    }
}

/// Returns settings with which AWS at `endpoint` is asked, quick to give up.
pub(crate) fn settings(endpoint: &str) -> AwsSettings {
    let second = Duration::from_secs(1);
    AwsSettings {
        region: Some("us-west-2".to_owned()),
        keys: Keys::Given { id: "AKIDEXAMPLE".to_owned(), secret: Secret::new(*b"secret"), session: None },
        endpoint: Some(endpoint.to_owned()),
        limits: AwsLimits {
            connect: second,
            attempt: second,
            call: second,
            credentials: second,
            metadata: second,
        },
        ..AwsSettings::default()
    }
}

/// Returns the repository `smpv2` as the API describes it.
pub(crate) fn repository(mutability: &str) -> Value {
    json!({ "repositoryName": "smpv2", "repositoryUri": format!("{HOST}/smpv2"), "imageTagMutability": mutability })
}

/// Returns a manifest with the configuration `config` and one layer.
pub(crate) fn manifest(config: Digest, layer: &str) -> Vec<u8> {
    serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": layer, "digest": Digest::of("layer"), "size": 1000 }],
    }))
    .unwrap()
}

/// Lets `registry` have `body` under `name`: a tag or a digest.
pub(crate) async fn holds(registry: &MockServer, name: &str, body: &[u8], media_type: &str) {
    let template = ResponseTemplate::new(200)
        .insert_header("Docker-Content-Digest", Digest::of(body).to_string())
        .set_body_raw(body, media_type);
    for verb in ["GET", "HEAD"] {
        let wanted = Mock::given(method(verb)).and(path(format!("/v2/smpv2/manifests/{name}")));
        wanted.respond_with(template.clone()).with_priority(2).mount(registry).await;
    }
}

fn target(action: &str) -> String {
    format!("AmazonEC2ContainerRegistry_V20150921.{action}")
}
