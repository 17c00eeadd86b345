//! Looks into what real engines export: the same base image out of graph stores and out of the containerd store.

use std::sync::Arc;

use smp_image::catalog::Catalog;
use smp_image::check::{self, CheckError, Chosen, Inspection, Severity, Target};
use smp_image::engine::{Engine as _, EngineError};
use smp_image::lock::Origin;
use smp_image::oci::{Arch, Platform};
use smp_image::plan::Expectation;
use smp_image::recipe::Component;

use crate::workbench::{ALL, AMD64, BASE, Which, build, listen, unique};

fn expectations() -> Vec<Expectation> {
    let expect = |component, version: Option<&str>, packages: &[&str]| Expectation {
        component,
        version: version.map(|version| version.parse().unwrap()),
        origin: Origin::Base,
        distributions: Vec::new(),
        packages: packages.iter().map(|&name| name.to_owned()).collect(),
        libraries: Vec::new(),
    };
    vec![expect(Component::Os, Some("13"), &[]), expect(Component::Libfabric, None, &["libfabric1"])]
}

fn target(platform: Platform) -> Target {
    Target::new(platform, Arc::new(Catalog::embedded().unwrap()))
}

async fn look(which: Which, image: &str) -> Inspection {
    check::image(&which.connect(), image, target(AMD64).expecting(expectations())).await.unwrap()
}

fn grave(inspection: &Inspection) -> Vec<String> {
    let findings = inspection.findings.iter();
    let grave = findings.filter(|finding| matches!(finding.severity, Severity::Error | Severity::Unknown));
    grave.map(|finding| format!("{}: {} {}", finding.rule, finding.subject, finding.evidence)).collect()
}

#[tokio::test]
async fn the_base_image_is_read_the_same_from_every_store() {
    let mut seen = Vec::new();
    for which in ALL {
        let inspection = look(which, BASE).await;
        assert_eq!(
            grave(&inspection),
            ["component-missing: libfabric nothing of it is in the image; looked for libfabric1"],
            "{which:?}"
        );
        assert!(inspection.read.files > 1000 && inspection.read.elf_files > 100, "{:?}", inspection.read);
        assert_eq!(inspection.components[0].found.as_deref(), Some("13"), "{which:?}");
        let diff_ids: Vec<String> = inspection.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        seen.push((diff_ids, inspection.read.files, inspection.read.elf_files, inspection.config.digest));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[tokio::test]
async fn deleted_overwritten_and_linked_files_of_a_built_image_are_seen_as_a_container_sees_them() {
    for which in ALL {
        let engine = which.connect();
        let tag = unique("smp-check");
        let mut request = build(&format!(
            "FROM {BASE}\n\
             RUN head -c 30000000 /dev/zero > /big && printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\003\\0\\267\\0' > /foreign && head -c 100 /dev/zero >> /foreign && ln /foreign /usr/linked\n\
             RUN rm /big /foreign\n\
             ENV FI_PROVIDER=efa\n"
        ));
        request.tags = vec![tag.parse().unwrap()];
        let (events, _heard) = listen();
        engine.build(&request, &events).await.unwrap();
        let inspection = look(which, &tag).await;
        engine.remove(&tag).await.unwrap();
        let said = grave(&inspection);
        assert!(
            said[0].contains("1 ELF file is for 64-bit Arm: /usr/linked (layer 2)"),
            "{which:?}: {said:?}"
        );
        let warned: Vec<&str> =
            inspection.of_severity(Severity::Warning).map(|finding| finding.rule.name()).collect();
        assert!(warned.contains(&"wasted-space") && warned.contains(&"transport-variable"), "{warned:?}");
        assert!(inspection.layers[1].created_by.contains("head -c 30000000"), "{:?}", inspection.layers[1]);
    }
}

#[tokio::test]
async fn asking_for_another_platform_names_every_foreign_file_of_a_real_image() {
    let arm64 = Platform { arch: Arch::Arm64 };
    let inspection = check::image(&Which::Containerd.connect(), BASE, target(arm64)).await.unwrap();
    let rules: Vec<&str> = inspection.findings.iter().map(|finding| finding.rule.name()).collect();
    assert!(rules.contains(&"platform-mismatch") && rules.contains(&"foreign-binary"), "{rules:?}");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    for which in ALL {
        let error = check::image(&which.connect(), "smp/nowhere:1", target(AMD64)).await.unwrap_err();
        assert!(matches!(error, CheckError::Engine(EngineError::NotFound(_))), "{which:?}: {error:?}");
    }
}

#[tokio::test]
async fn debian_s_libfabric_has_the_efa_provider_and_without_libefa_it_is_said_not_to_load() {
    let which = Which::Containerd;
    let engine = which.connect();
    let install =
        format!("FROM {BASE}\nRUN apt-get update && apt-get install -y --no-install-recommends libfabric1\n");
    let mut seen = Vec::new();
    for more in ["", "RUN rm /usr/lib/x86_64-linux-gnu/libefa.so.*\n"] {
        let tag = unique("smp-check-fabric");
        let mut request = build(&format!("{install}{more}"));
        request.tags = vec![tag.parse().unwrap()];
        let (events, _heard) = listen();
        engine.build(&request, &events).await.unwrap();
        let target = target(AMD64).on(["ml.p5.48xlarge"], Chosen::Given).unwrap();
        let inspection = check::image(&engine, &tag, target).await.unwrap();
        engine.remove(&tag).await.unwrap();
        let there = inspection.components.iter().any(|seen| seen.component == Component::Libfabric);
        assert!(there, "{:?}", inspection.components);
        seen.push(grave(&inspection));
    }
    assert_eq!(seen[0], Vec::<String>::new());
    assert!(seen[1].iter().any(|said| said.starts_with("library-missing: libefa.so.1")), "{:?}", seen[1]);
}
