//! Only a passed verdict makes a receipt say that the image was checked, and only of the image that was inspected.

use std::collections::BTreeMap;

use smp_image::check::{Chosen, ConfigSummary, Inspection, ReadSummary};
use smp_image::oci::{Digest, media_type};
use smp_image::registry::{Checked, PushError, Pushable, push};
use smp_image::verdict::{Evidence, Policy, Release, Subject, Verdict};
use tokio::sync::mpsc::unbounded_channel;

use super::fake_ecr::{holds, manifest};
use super::push::{GZIP, amd64, asked, engine, id, options, pushed, registry, takes};

/// Returns the release of the image `id` whose inspection found the configuration `config`.
fn release(config: Digest) -> Release {
    let inspection = Inspection {
        platform: amd64(),
        findings: Vec::new(),
        silenced: Vec::new(),
        target: Chosen::Nobody,
        instances: Vec::new(),
        libraries: Vec::new(),
        packages: BTreeMap::new(),
        environment: Vec::new(),
        components: Vec::new(),
        layers: Vec::new(),
        config: ConfigSummary {
            digest: config,
            manifest: Some(id()),
            platform: "linux/amd64".to_owned(),
            command: Vec::new(),
            workdir: String::new(),
            user: String::new(),
            labels: BTreeMap::new(),
        },
        read: ReadSummary { bytes: 0, files: 0, elf_files: 0, wasted: 0, took: 0.0 },
    };
    let subject = Subject { reference: "built".to_owned(), id: id(), platform: amd64() };
    let evidence = Evidence { inspection: &inspection, probes: &[], outcomes: &[] };
    Verdict::judge(subject, &evidence, &Policy::default()).into_result().unwrap()
}

#[tokio::test]
async fn the_receipt_of_a_release_names_its_evidence() {
    let registry = registry().await;
    holds(&registry, "v1", &manifest(id(), GZIP), media_type::DOCKER_MANIFEST).await;
    let release = release(id());
    let destination = format!("{}/smpv2:v1", registry.address()).parse().unwrap();
    let options = options(smp_image::registry::ecr::AwsSettings::default());
    let image = Pushable::from(&release);
    let receipt = push(&engine(), &image, &destination, &options, &unbounded_channel().0).await.unwrap();
    let Checked::Passed { evidence, .. } = &receipt.checked else { panic!("{receipt:?}") };
    assert_eq!(*evidence, release.evidence());
    assert_eq!(serde_json::to_value(&receipt).unwrap()["checked"]["verdict"], "passed");
}

#[tokio::test]
async fn an_image_with_another_configuration_than_the_inspected_one_is_not_the_release() {
    let registry = registry().await;
    let body = manifest(id(), GZIP);
    takes(&registry, &body, media_type::DOCKER_MANIFEST).await;
    let engine = engine().will_push(Vec::new(), Ok(pushed(&body)));
    let image = Pushable::from(&release(Digest::of("what was inspected")));
    let destination = format!("{}/smpv2:v1", registry.address()).parse().unwrap();
    let options = options(smp_image::registry::ecr::AwsSettings::default());
    let error = push(&engine, &image, &destination, &options, &unbounded_channel().0).await.unwrap_err();
    assert!(matches!(error, PushError::Differs { .. }), "{error:?}");
    assert!(asked(&engine).last().unwrap().starts_with("remove "));
}
