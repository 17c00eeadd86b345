//! Containers: what goes in, what comes out, and that none stays behind.

use std::time::{Duration, Instant};

use smp_image::engine::{Engine as _, EngineError, Gpus};

use crate::workbench::{ALL, BASE, Which, containers, docker, run, unique};

#[tokio::test]
async fn a_command_gets_its_input_and_environment_and_gives_its_output_and_status() {
    for which in ALL {
        let mut request = run(BASE, "cat; echo \"$NAME\"; echo bad >&2; exit 7");
        request.stdin = vec![b'x'; 300_000];
        request.env = [("NAME".to_owned(), "a b\"c".to_owned())].into();
        let result = which.connect().run(&request).await.unwrap();
        assert_eq!(result.status, 7, "{which:?}");
        assert_eq!(result.stdout.len(), 300_000 + "a b\"c\n".len(), "{which:?}");
        assert!(result.stdout.ends_with(b"a b\"c\n"), "{which:?}");
        assert_eq!(result.stderr, b"bad\n", "{which:?}");
    }
}

#[tokio::test]
async fn the_command_replaces_the_entry_point_and_shared_memory_has_the_size_asked_for() {
    for which in ALL {
        let mut request = run(BASE, "");
        request.command = vec!["df".into(), "-B1".into(), "--output=size".into(), "/dev/shm".into()];
        request.shm_size = 128 * 1024 * 1024;
        let result = which.connect().run(&request).await.unwrap();
        assert!(String::from_utf8_lossy(&result.stdout).contains("134217728"), "{which:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_container_that_runs_too_long_is_killed_and_removed() {
    for which in ALL {
        let name = unique("long");
        let mut request = run(BASE, &format!("echo {name} >&2; sleep 600"));
        request.limit = Duration::from_secs(2);
        let began = Instant::now();
        let error = which.connect().run(&request).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::RanTooLong { tail, .. } if tail.contains(&name)),
            "{which:?}: {error:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{which:?}: {:?}", began.elapsed());
        assert_eq!(containers(which, &name), "", "{which:?}");
    }
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_container() {
    for which in ALL {
        let name = unique("cancelled");
        let request = run(BASE, &format!("echo {name}; sleep 600"));
        let cancelled =
            tokio::time::timeout(Duration::from_secs(3), async { which.connect().run(&request).await });
        assert!(cancelled.await.is_err(), "{which:?}");
        assert_eq!(containers(which, &name), "", "{which:?}");
    }
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    for which in ALL {
        let error = which.connect().run(&run("example.test/nowhere:1", "true")).await.unwrap_err();
        assert!(matches!(error, EngineError::NotFound(_)), "{which:?}: {error:?}");
    }
}

#[tokio::test]
async fn without_the_nvidia_runtime_a_run_with_gpus_says_what_is_missing() {
    for which in ALL {
        let mut request = run(BASE, "true");
        request.gpus = Gpus::NvidiaRuntime;
        let error = which.connect().run(&request).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::Unsupported { reason, .. } if reason.contains("device driver")),
            "{which:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_device_of_the_container_device_interface_that_is_not_there_is_named() {
    for which in [Which::Graph, Which::Containerd] {
        let mut request = run(BASE, "true");
        request.gpus = Gpus::Cdi(vec!["nvidia.com/gpu=77".into()]);
        let error = which.connect().run(&request).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::Unsupported { reason, .. } if reason.contains("nvidia.com/gpu=77")),
            "{which:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_gpu_of_the_container_device_interface_comes_with_its_device_and_environment() {
    // No GPU: a device that the interface describes as `/dev/null` proves the same way.
    let spec = r#"{"cdiVersion":"0.5.0","kind":"smp.test/gpu","devices":[{"name":"0","containerEdits":{
        "env":["FAKE_GPU=zero"],"deviceNodes":[{"path":"/dev/fake0","hostPath":"/dev/null"}]}}]}"#;
    for which in [Which::Graph, Which::Containerd] {
        let folders = docker(which, &["info", "--format", "{{json .CDISpecDirs}}"]);
        let folders: Vec<String> = serde_json::from_str(&folders).unwrap();
        std::fs::write(std::path::Path::new(&folders[0]).join("smp-live-test.json"), spec).unwrap();
        let mut request = run(BASE, "echo $FAKE_GPU; test -c /dev/fake0");
        request.gpus = Gpus::Cdi(vec!["smp.test/gpu=0".into()]);
        let result = which.connect().run(&request).await.unwrap();
        assert_eq!((result.status, result.stdout), (0, b"zero\n".to_vec()), "{which:?}");
    }
}
