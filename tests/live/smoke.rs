//! Probes in containers of real engines.

use std::time::Duration;

use serde_json::json;
use smp_image::engine::Engine as _;
use smp_image::plan::{Probe, ProbeName};
use smp_image::smoke::{self, Options};

use crate::workbench::{ALL, AMD64, BASE, Which, build, listen, unique};

fn probe(name: ProbeName, input: serde_json::Value, gpu: bool) -> Probe {
    Probe { name, input, gpu }
}

async fn said(which: Which, image: &str, probes: &[Probe]) -> Vec<String> {
    let options = Options { limit: Duration::from_secs(30), ..Options::default() };
    let outcomes = smoke::run(&which.connect(), image, AMD64, probes, &options).await.unwrap();
    outcomes.iter().map(|outcome| outcome.answer.to_string()).collect()
}

#[tokio::test]
async fn an_image_without_python_says_so_on_every_engine() {
    for which in ALL {
        let probes = [probe(ProbeName::GpuContext, json!({}), true)];
        assert_eq!(
            said(which, BASE, &probes).await,
            ["failed: python3 is not on the image's PATH"],
            "{which:?}"
        );
    }
}

#[tokio::test]
async fn probes_run_in_a_container_with_debians_python_and_libfabric() {
    let engine = Which::Containerd.connect();
    let tag = unique("smp-smoke");
    let mut request = build(&format!(
        "FROM {BASE}\n\
         RUN apt-get update && apt-get install -y --no-install-recommends python3 libfabric-bin && rm -rf /var/lib/apt/lists/*\n"
    ));
    request.tags = vec![tag.parse().unwrap()];
    let (events, _heard) = listen();
    engine.build(&request, &events).await.unwrap();
    let probes = [
        probe(ProbeName::Imports, json!({ "modules": ["json", "ctypes"] }), false),
        probe(ProbeName::Libraries, json!({ "libraries": ["libfabric.so.1"] }), false),
        probe(ProbeName::Libraries, json!({ "libraries": ["libnccl.so.2"] }), false),
        probe(ProbeName::FabricProvider, json!({ "provider": "efa" }), false),
        probe(ProbeName::GpuContext, json!({}), true),
        probe(ProbeName::NcclOneRank, json!({}), true),
    ];
    let said = said(Which::Containerd, &tag, &probes).await;
    engine.remove(&tag).await.unwrap();
    assert!(said[0].starts_with("passed: json 2."), "{said:#?}");
    assert!(said[1].starts_with("passed: /usr/lib/x86_64-linux-gnu/libfabric.so.1."), "{said:#?}");
    assert_eq!(said[2], "failed: libnccl.so.2 is not on the loader's path");
    assert!(said[3].starts_with("passed: /usr/bin/fi_info lists efa "), "{said:#?}");
    assert_eq!(said[4..], ["skipped: no GPU", "skipped: no GPU"]);
}
