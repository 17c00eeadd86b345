//! `smp-image push` and `smp-image release` to real registries, with moto as Amazon ECR's API: what is there afterwards.

use base64::Engine as _;
use serde_json::Value;

use super::{Workshop, mirror, report};
use crate::workbench::{ALL, Which, unique, variable};

/// Asks the registry `host` itself, and returns the media type and the text of the manifest.
async fn manifest(host: &str, name: &str) -> (String, Value) {
    let (repository, tag) = name.rsplit_once(':').unwrap();
    let user = variable("SMP_WB_REGISTRY_AUTH_USER");
    let login = format!("{user}:{}", variable("SMP_WB_REGISTRY_AUTH_PASSWORD"));
    let login = base64::engine::general_purpose::STANDARD.encode(login);
    // An error says that another test has set it.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let answer = reqwest::Client::new()
        .get(format!("http://{host}/v2/{repository}/manifests/{tag}"))
        .header("Authorization", format!("Basic {login}"))
        .header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        .header("Accept", "application/vnd.oci.image.manifest.v1+json")
        .header("Accept", "application/vnd.oci.image.index.v1+json")
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{name}: {}", answer.status());
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn kinds_of_layers(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap_or_else(|| panic!("{manifest}"));
    layers.iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_for_sagemaker_is_one_docker_manifest_with_gzip_layers_on_every_engine() {
    for which in ALL {
        let workshop = Workshop::wheel(which);
        let name = format!("{}:1.0", unique("live/sagemaker"));
        let ended = workshop
            .release(&name, &["--for", "sagemaker", "--create-repository", "--format", "json", "--locked"]);
        let report = report(&ended.fine());
        assert_eq!(report["verdict"]["verdict"], "passed", "{which:?}");
        let receipt = &report["push"];
        assert_eq!(receipt["reference"], format!("{}/{name}", variable("SMP_WB_REGISTRY_AUTH")), "{which:?}");
        assert_eq!(
            (&receipt["outcome"], &receipt["repository_created"]),
            (&"pushed".into(), &true.into()),
            "{receipt}"
        );
        assert_eq!(receipt["checked"]["verdict"], "passed", "{which:?}");
        let (kind, manifest) = manifest(&variable("SMP_WB_REGISTRY_AUTH"), &name).await;
        assert_eq!(kind, "application/vnd.docker.distribution.manifest.v2+json", "{which:?}");
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert!(kinds_of_layers(&manifest).iter().all(|kind| *kind == gzip), "{which:?}: {manifest}");
        // Again: nothing to build, nothing to send, and it says so.
        let again = workshop.release(&name, &["--for", "sagemaker", "--locked", "--quiet"]).fine();
        assert!(
            again.contains("Unchanged  nothing to build") && again.contains("Unchanged  127.0.0.1"),
            "{again}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_for_eks_has_the_form_that_the_engine_writes_best() {
    let workshop = Workshop::wheel(Which::Containerd);
    let name = format!("{}:1.0", unique("live/oci"));
    // Layers that another test built for another form stay as they came; these are new.
    let more =
        ["--create-repository", "--scan-on-push", "--format", "json", "--locked", "--quiet", "--no-cache"];
    let report = report(&workshop.release(&name, &more).fine());
    let (kind, manifest) = manifest(&variable("SMP_WB_REGISTRY_AUTH"), &name).await;
    assert_eq!(kind, "application/vnd.oci.image.manifest.v1+json");
    assert!(
        kinds_of_layers(&manifest).contains(&"application/vnd.oci.image.layer.v1.tar+zstd"),
        "{manifest}"
    );
    assert_eq!(report["push"]["profile"], "oci");
    // What was built for EKS is told to be unfit for SageMaker.
    let other = format!("{}:1.0", unique("live/unfit"));
    workshop
        .run(&["push", &workshop.tag, "--to", &other, "--create-repository", "--for", "sagemaker"])
        .failed(8, &["does not fit SageMaker", "hint: build it with `--for sagemaker`"]);
}

#[test]
fn a_push_of_an_image_that_nobody_checked_says_so_in_words_and_in_the_receipt() {
    let workshop = Workshop::tiny(Which::Graph);
    let _built = workshop.built(&[]);
    let to = format!("{}/{}:1", variable("SMP_WB_REGISTRY"), unique("live/unchecked"));
    let ended = workshop.run(&["push", &workshop.tag, "--to", &to]);
    assert!(ended.err.contains("note: nobody checked this image"), "{}", ended.err);
    let text = ended.fine();
    assert!(text.contains(&format!("Pushed     {to}@sha256:")), "{text}");
    assert!(text.contains("note: nobody checked this image before it was pushed"), "{text}");
    let again = workshop.run(&["push", &workshop.tag, "--to", &to, "--format", "json", "--quiet"]);
    assert_eq!(again.err, "");
    let again = report(&again.fine());
    assert_eq!(again["push"]["checked"]["verdict"], "unchecked");
    assert_eq!(again["push"]["outcome"], "already-there");
}

#[test]
fn a_repository_that_is_not_there_is_told_and_made_only_when_asked() {
    let workshop = Workshop::tiny(Which::Graph);
    let _built = workshop.built(&[]);
    let name = unique("live/absent");
    let words = ["push", &workshop.tag, "--to", &name];
    workshop.run(&words).failed(
        8,
        &[&format!("there is no repository {name} in 123456789012, region us-west-2"), "--create-repository"],
    );
    let made = workshop.run(&[&words[..], &["--create-repository", "--immutable-tags"]].concat()).fine();
    assert!(made.contains("note: the repository was created"), "{made}");

    // Its tags stay where they are: another image under the same one is refused before anything is sent.
    let other = Workshop::tiny(Which::Graph);
    let _built = other.built(&[]);
    other
        .run(&["push", &other.tag, "--to", &name])
        .failed(8, &["names another image already", "nothing was pushed", "hint: choose a new tag"]);
    let same = workshop.run(&words).fine();
    assert!(same.contains("Unchanged  "), "{same}");
}

#[test]
fn a_registry_that_wants_a_login_is_told_and_the_login_of_docker_is_taken() {
    let registry = variable("SMP_WB_REGISTRY_AUTH");
    let workshop = Workshop::tiny(Which::Containerd);
    let _built = workshop.built(&[]);
    let to = format!("{registry}/{}:1", unique("live/login"));
    let push = |login: Option<&str>| {
        let auth = login.map(|login| base64::engine::general_purpose::STANDARD.encode(login));
        let auths = auth.map(|auth| format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#));
        workshop.place.write("docker/config.json", &auths.unwrap_or_else(|| "{}".to_owned()));
        let mut command = workshop.program(&["push", &workshop.tag, "--to", &to]);
        crate::program::Ended::of(command.env("DOCKER_CONFIG", workshop.place.path("docker")))
    };
    push(None).failed(7, &["does not let us read", &format!("docker login {registry}")]);
    push(Some("AWS:wrong")).failed(7, &["the credentials were refused"]);
    let user = variable("SMP_WB_REGISTRY_AUTH_USER");
    let right = format!("{user}:{}", variable("SMP_WB_REGISTRY_AUTH_PASSWORD"));
    let ended = push(Some(&right));
    assert!(!format!("{ended:?}").contains(&variable("SMP_WB_REGISTRY_AUTH_PASSWORD")), "{ended:?}");
    let _text = ended.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_that_everybody_tries_first_is_built_checked_probed_and_pushed() {
    let workshop = Workshop::tiny(Which::Containerd);
    let (name, mirror) = (format!("{}:1.0", unique("live/quickstart")), mirror());
    let words = ["release", "quickstart", "--tag", &workshop.tag, "--mirror", &mirror, "--network", "host"];
    let words = [&words[..], &["--to", &name, "--create-repository", "--format", "json"]].concat();
    let report = report(&workshop.run(&words).fine());
    assert_eq!(report["push"]["outcome"], "pushed", "{}", report["push"]);
    let import = report["probes"].as_array().unwrap().iter().find(|outcome| outcome["probe"] == "imports");
    let import = import.unwrap()["answer"].to_string();
    assert!(import.contains("transformer_engine") && import.contains("with a stub"), "{import}");
    let (_, manifest) = manifest(&variable("SMP_WB_REGISTRY_AUTH"), &name).await;
    assert!(kinds_of_layers(&manifest).len() > 5, "{manifest}");
}
