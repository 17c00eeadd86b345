//! Builds that cannot succeed: each error says what, where, and leaves no image behind.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;

use smp_image::engine::{
    BuildRequest, Built, Context, Credentials, DockerEngine, Engine as _, EngineError, Event, Login, Secret,
    StepFailure,
};
use smp_image::oci::{Arch, Dialect, Platform, Reference};

use crate::workbench::{ALL, BASE, Which, build, heard, listen, unique, variable};

const ARM64: Platform = Platform { arch: Arch::Arm64 };

async fn built(which: Which, request: &BuildRequest) -> Result<Built, EngineError> {
    let (events, _said) = listen();
    which.connect().build(request, &events).await
}

async fn failed_step(which: Which, request: &BuildRequest) -> StepFailure {
    match built(which, request).await {
        Err(EngineError::Step(failure)) => *failure,
        other => panic!("{which:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_failed_step_is_named_with_its_line_its_status_and_its_last_words() {
    for which in ALL {
        let last = unique("last");
        let text =
            format!("FROM {BASE}\n\nRUN true\nRUN echo one && \\\n    echo {last} && \\\n    exit 3\n");
        let failure = failed_step(which, &build(&text)).await;
        assert_eq!((failure.status, failure.lines), (Some(3), Some((4, 6))), "{which:?}: {failure:?}");
        assert_eq!(failure.tail, ["one", &last], "{which:?}");
    }
}

#[tokio::test]
async fn the_failed_step_of_parallel_stages_is_the_one_that_failed_by_itself() {
    for which in ALL {
        let text = format!(
            "FROM {BASE} AS slow\nRUN echo {id} && sleep 30\nFROM {BASE} AS bad\nRUN echo {id} && sleep 1 && exit 7\n\
             FROM {BASE}\nCOPY --from=slow /etc/os-release /a\nCOPY --from=bad /etc/os-release /b\n",
            id = unique("id")
        );
        let failure = failed_step(which, &build(&text)).await;
        assert_eq!((failure.status, failure.lines), (Some(7), Some((4, 4))), "{which:?}: {failure:?}");
        assert!(failure.name.contains("bad"), "{which:?}: {}", failure.name);
    }
}

#[tokio::test]
async fn an_unknown_instruction_is_named_with_its_line() {
    for which in ALL {
        let error = built(which, &build(&format!("FROM {BASE}\nRUNN x\n"))).await.unwrap_err();
        assert!(matches!(error, EngineError::Dockerfile { line: 2, .. }), "{which:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_file_that_the_context_lacks_is_named_with_the_line_that_wants_it() {
    for which in ALL {
        let failure = failed_step(which, &build(&format!("FROM {BASE}\nRUN true\nCOPY absent.py /\n"))).await;
        assert_eq!(failure.lines, Some((3, 3)), "{which:?}: {failure:?}");
        assert!(failure.message.contains("absent.py"), "{which:?}: {failure:?}");
    }
}

#[tokio::test]
async fn a_secret_that_was_not_given_is_named() {
    for which in ALL {
        let text =
            format!("FROM {BASE}\nRUN --mount=type=secret,id=token,required=true echo {}\n", unique("x"));
        let failure = failed_step(which, &build(&text)).await;
        assert!(failure.message.contains("token") && failure.lines == Some((2, 2)), "{which:?}: {failure:?}");
    }
}

#[tokio::test]
async fn a_base_image_that_does_not_exist_is_not_found() {
    let image = format!("{}/library/nowhere:1", variable("SMP_WB_REGISTRY"));
    for which in ALL {
        let error = built(which, &build(&format!("FROM {image}\nRUN true\n"))).await.unwrap_err();
        assert!(matches!(&error, EngineError::NotFound(name) if *name == image), "{which:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_base_image_behind_a_password_needs_the_password() {
    let registry = variable("SMP_WB_REGISTRY_AUTH");
    let login = |password: &str| Login {
        user: variable("SMP_WB_REGISTRY_AUTH_USER"),
        password: Secret::new(password.as_bytes()),
    };
    let right = login(&variable("SMP_WB_REGISTRY_AUTH_PASSWORD"));
    let (events, mut said) = listen();
    for which in ALL {
        // Nobody has this image, so that only the registry can give it.
        let image: Reference = format!("{registry}/base:{}", unique("t")).parse().unwrap();
        let mut request = build(&format!("FROM {BASE}\nLABEL only={}\n", unique("x")));
        request.tags = vec![image.clone()];
        let engine = which.connect();
        let base = engine.build(&request, &events).await.unwrap();
        engine.push(&image, Some(&right), &events).await.unwrap();
        engine.remove(&image.whole()).await.unwrap();
        let _gone = engine.remove(&base.id.to_string()).await;

        let request = build(&format!("FROM {image}\nRUN true\n"));
        for credentials in [Credentials::none(), Credentials::none().with(&registry, login("wrong"))] {
            let engine = DockerEngine::connect(&which.endpoint(), credentials).unwrap();
            let error = engine.build(&request, &events).await.unwrap_err();
            assert!(
                matches!(&error, EngineError::Unauthorised { registry: host, .. } if *host == registry),
                "{which:?}: {error:?}"
            );
        }
        let engine =
            DockerEngine::connect(&which.endpoint(), Credentials::none().with(&registry, right.clone()));
        engine.unwrap().build(&request, &events).await.unwrap();
    }
    assert!(!heard(&mut said).iter().any(|event| format!("{event:?}").contains("wrong")));
}

/// Builds a base image for arm64 in the registry: its shell is a file that this machine cannot execute.
async fn foreign_base(which: Which) -> Reference {
    let mut shell = b"\x7fELF\x02\x01\x01".to_vec();
    shell.resize(64, 0);
    // An executable for AArch64, version 1, without any program.
    shell[16..24].copy_from_slice(&[2, 0, 183, 0, 1, 0, 0, 0]);
    let name: Reference = format!("{}/foreign:{}", variable("SMP_WB_REGISTRY"), unique("t")).parse().unwrap();
    let mut request = build("FROM scratch\nCOPY --chmod=755 sh /bin/sh\n");
    request.platform = ARM64;
    request.tags = vec![name.clone()];
    request.context = Context::Memory(BTreeMap::from([("sh".to_owned(), shell)]));
    let engine = which.connect();
    let (events, _said) = listen();
    engine.build(&request, &events).await.unwrap();
    engine.push(&name, None, &events).await.unwrap();
    engine.remove(&name.whole()).await.unwrap();
    name
}

#[tokio::test]
async fn a_base_image_for_another_architecture_is_an_error_and_leaves_no_image() {
    for which in ALL {
        let base = foreign_base(which).await;
        for step in ["LABEL a=b", "RUN true"] {
            let tag: Reference = format!("example.test/{}:1", unique("foreign")).parse().unwrap();
            let mut request = build(&format!("FROM {base} AS base\nFROM base\n{step}\n"));
            request.tags = vec![tag.clone()];
            let error = built(which, &request).await.unwrap_err();
            let EngineError::Platform { image, wanted, .. } = error else {
                panic!("{which:?} {step}: {error:?}")
            };
            assert_eq!((image, wanted), (base.whole(), request.platform), "{which:?} {step}");
            assert_eq!(which.connect().image(&tag.whole()).await.unwrap(), None, "{which:?} {step}");
        }
    }
}

#[tokio::test]
async fn a_network_that_buildkit_does_not_know_is_refused_before_anything_is_sent() {
    let mut request = build(&format!("FROM {BASE}\n"));
    request.network = "sagemaker".into();
    let error = built(Which::Graph, &request).await.unwrap_err();
    assert!(matches!(error, EngineError::Unsupported { .. }), "{error:?}");
}

#[tokio::test]
async fn a_helper_for_logins_that_is_missing_ends_the_build_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), r#"{"credsStore":"nowhere"}"#).unwrap();
    let variables = [("DOCKER_CONFIG", folder.path().to_str().unwrap()), ("PATH", "/nonexistent")];
    let credentials = Credentials::from_docker(&variables.into_iter().collect()).unwrap();
    let image = format!("{}/base:{}", variable("SMP_WB_REGISTRY_AUTH"), unique("t"));
    for which in ALL {
        let engine = DockerEngine::connect(&which.endpoint(), credentials.clone()).unwrap();
        let (events, _said) = listen();
        let error = engine.build(&build(&format!("FROM {image}\n")), &events).await.unwrap_err();
        assert!(
            matches!(&error, EngineError::Credentials { message, .. } if message.contains("docker-credential-nowhere")),
            "{which:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_warning_about_the_dockerfile_carries_its_line() {
    // BuildKit 0.13 warns about little; an empty continuation line is one of those.
    let (events, mut said) = listen();
    let text = format!("FROM {BASE}\nRUN true \\\n\n  && true\n");
    Which::Graph.connect().build(&build(&text), &events).await.unwrap();
    let said = heard(&mut said);
    assert!(said.iter().any(|event| matches!(event, Event::Warning { line: 2.., .. })), "{said:#?}");
}

#[tokio::test]
async fn the_classic_builder_names_line_status_and_last_words_too() {
    for which in ALL {
        let last = unique("last");
        let mut request = build(&format!(
            "FROM {BASE}\n# comment\nENV A=b\nRUN echo one && \\\n    echo {last} && exit 3\n"
        ));
        request.dialect = Dialect::Classic;
        let failure = failed_step(which, &request).await;
        assert_eq!((failure.status, failure.lines), (Some(3), Some((4, 5))), "{which:?}: {failure:?}");
        assert_eq!(failure.tail, ["one", &last], "{which:?}");

        request.dockerfile = format!("FROM {BASE}\nRUNN x\n");
        let error = built(which, &request).await.unwrap_err();
        assert!(matches!(error, EngineError::Dockerfile { line: 2, .. }), "{which:?}: {error:?}");

        request.dockerfile = format!("FROM {BASE}\nRUN true\nCOPY absent.py /\n");
        let failure = failed_step(which, &request).await;
        assert_eq!(failure.lines, Some((3, 3)), "{which:?}: {failure:?}");

        let image = format!("{}/library/nowhere:1", variable("SMP_WB_REGISTRY"));
        request.dockerfile = format!("FROM {image}\n");
        let error = built(which, &request).await.unwrap_err();
        assert!(matches!(&error, EngineError::NotFound(name) if *name == image), "{which:?}: {error:?}");

        request.dockerfile = format!("FROM {}\nLABEL a=b\n", foreign_base(which).await);
        let error = built(which, &request).await.unwrap_err();
        assert!(matches!(error, EngineError::Platform { .. }), "{which:?}: {error:?}");

        request.secrets = BTreeMap::from([("token".to_owned(), Secret::new(b"x".as_slice()))]);
        let error = built(which, &request).await.unwrap_err();
        assert!(matches!(error, EngineError::Unsupported { .. }), "{which:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_context_that_cannot_be_read_is_named() {
    for dialect in [Dialect::Buildkit, Dialect::Classic] {
        for which in ALL {
            let folder = tempfile::tempdir().unwrap();
            let mut request = build(&format!("FROM {BASE}\nCOPY . /ctx\n"));
            request.dialect = dialect;
            request.context = Context::Folder(folder.path().join("absent"));
            let error = built(which, &request).await.unwrap_err();
            assert!(
                matches!(&error, EngineError::Context { path, .. } if path.ends_with("absent")),
                "{which:?}: {error:?}"
            );

            // A name that is not UTF-8: root, who may run these tests, can read everything else.
            std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").unwrap();
            request.context = Context::Folder(folder.path().to_owned());
            let error = built(which, &request).await.unwrap_err();
            assert!(matches!(&error, EngineError::Context { .. }), "{which:?} {dialect:?}: {error:?}");
            assert!(error.to_string().contains("not UTF-8"), "{error}");
        }
    }
}
