//! Probes in containers of real engines.

use std::time::Duration;

use serde_json::json;
use smp_image::engine::{Engine as _, Gpus};
use smp_image::plan::{Probe, ProbeName};
use smp_image::smoke::{self, Options};

use crate::workbench::{ALL, AMD64, BASE, Which, build, docker, listen, unique};

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
         RUN apt-get update && apt-get install -y --no-install-recommends python3 libfabric-bin && rm -rf /var/lib/apt/lists/*\n\
         RUN echo 'import ctypes; __version__ = ctypes.CDLL(\"libcuda.so.1\").cuInit(0)' > /usr/lib/python3/dist-packages/needs_driver.py\n"
    ));
    request.tags = vec![tag.parse().unwrap()];
    let (events, _heard) = listen();
    engine.build(&request, &events).await.unwrap();
    let probes = [
        probe(ProbeName::Imports, json!({ "modules": ["json", "ctypes"] }), false),
        // Debian 13's C library refuses a stub that does not say that its stack needs no executing.
        probe(ProbeName::Imports, json!({ "modules": ["needs_driver"] }), false),
        probe(ProbeName::Libraries, json!({ "libraries": ["libfabric.so.1"] }), false),
        probe(ProbeName::Libraries, json!({ "libraries": ["libnccl.so.2"] }), false),
        probe(ProbeName::FabricProvider, json!({ "provider": "efa" }), false),
        probe(ProbeName::GpuContext, json!({}), true),
        probe(ProbeName::NcclOneRank, json!({}), true),
    ];
    let said = said(Which::Containerd, &tag, &probes).await;
    let with_gpu = with_a_fake_gpu(&tag).await;
    engine.remove(&tag).await.unwrap();
    assert_eq!(with_gpu, ["passed: 1 x Fake GPU (sm_90), driver for CUDA 13.0", "skipped: one GPU"]);
    assert!(said[0].starts_with("passed: json 2."), "{said:#?}");
    assert_eq!(said[1], "passed: needs_driver 34, with a stub in place of the driver's library");
    assert!(said[2].starts_with("passed: /usr/lib/x86_64-linux-gnu/libfabric.so.1."), "{said:#?}");
    assert_eq!(said[3], "failed: libnccl.so.2 is not on the loader's path");
    assert!(said[4].starts_with("passed: /usr/bin/fi_info lists efa "), "{said:#?}");
    assert_eq!(said[5..], ["skipped: no GPU", "skipped: no GPU"]);
}

/// A driver with one GPU that computes nothing; no GPU is needed to prove how one comes into the container.
const FAKE_DRIVER: &str = r#"
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int ordinal) { *d = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int d) { strncpy(name, "Fake GPU", length); return 0; }
int cuDeviceGetAttribute(int *value, int which, int d) { *value = which == 75 ? 9 : 0; return 0; }
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)1; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { return 0; }
int cuCtxSetCurrent(void *c) { return 0; }
int cuMemAlloc_v2(unsigned long *p, unsigned long size) { *p = 1; return 0; }
int cuMemFree_v2(unsigned long p) { return 0; }
int cuGetErrorName(int e, const char **name) { *name = "ERROR"; return 0; }
"#;

/// Runs probes in a container to which the Container Device Interface brings a fake driver, as it brings the real one.
async fn with_a_fake_gpu(image: &str) -> Vec<String> {
    let folders = docker(Which::Containerd, &["info", "--format", "{{json .CDISpecDirs}}"]);
    let folders: Vec<String> = serde_json::from_str(&folders).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("driver.c");
    std::fs::write(&source, FAKE_DRIVER).unwrap();
    let library = folder.path().join("libcuda.so.1");
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .unwrap();
    assert!(compiled.success());
    let name = unique("probes").replace([':', '/'], "-");
    let spec = json!({
        "cdiVersion": "0.5.0",
        "kind": format!("smp.test/{name}"),
        "devices": [{ "name": "0", "containerEdits": { "env": ["LD_LIBRARY_PATH=/opt/fake"] } }],
        "containerEdits": { "mounts": [{
            "hostPath": library, "containerPath": "/opt/fake/libcuda.so.1", "options": ["ro", "bind"],
        }] },
    });
    let file = std::path::Path::new(&folders[0]).join(format!("{name}.json"));
    std::fs::write(&file, spec.to_string()).unwrap();
    let options = Options {
        gpus: Gpus::Cdi(vec![format!("smp.test/{name}=0")]),
        limit: Duration::from_secs(30),
        ..Options::default()
    };
    let probes = [probe(ProbeName::GpuContext, json!({}), true), probe(ProbeName::GpuPeers, json!({}), true)];
    let outcomes = smoke::run(&Which::Containerd.connect(), image, AMD64, &probes, &options).await;
    std::fs::remove_file(&file).unwrap();
    outcomes.unwrap().iter().map(|outcome| outcome.answer.to_string()).collect()
}
