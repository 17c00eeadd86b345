//! Builds that end early: cancelled by us, or because the engine goes away.

use std::time::Duration;

use smp_image::engine::{
    BuildRequest, Credentials, DockerEngine, Endpoint, Engine as _, EngineError, Environment, Event,
};
use smp_image::oci::{Dialect, Reference};

use crate::proxy::Proxy;
use crate::workbench::{ALL, BASE, Which, build, containers, eventually, listen, processes, unique};

fn slow(name: &str, dialect: Dialect) -> (BuildRequest, Reference) {
    let tag: Reference = format!("example.test/{name}:1").parse().unwrap();
    let mut request = build(&format!("FROM {BASE}\nRUN echo {name} && sleep 611\n"));
    request.tags = vec![tag.clone()];
    request.dialect = dialect;
    (request, tag)
}

/// Runs a build until its step has written its line, then drops it.
async fn cancelled_in_the_middle(which: Which, request: &BuildRequest) {
    let engine = which.connect();
    let (events, mut said) = listen();
    let mut building = Box::pin(engine.build(request, &events));
    loop {
        tokio::select! {
            ended = &mut building => panic!("{which:?}: {ended:?}"),
            event = said.recv() => if matches!(event, Some(Event::Output { .. })) { break },
        }
    }
}

#[tokio::test]
async fn a_cancelled_build_ends_its_step_in_the_engine_and_leaves_nothing() {
    for dialect in [Dialect::Buildkit, Dialect::Classic] {
        for which in ALL {
            let name = unique("cancel");
            let (request, tag) = slow(&name, dialect);
            cancelled_in_the_middle(which, &request).await;
            assert!(
                eventually(3, || processes(&format!("{name} && sleep")).is_empty()).await,
                "{which:?} {dialect:?}: {:?}",
                processes(&name)
            );
            assert!(
                eventually(10, || containers(which, &name).is_empty()).await,
                "{which:?} {dialect:?}: {}",
                containers(which, &name)
            );
            assert_eq!(which.connect().image(&tag.whole()).await.unwrap(), None, "{which:?} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn an_engine_that_dies_during_a_build_is_said_to_have_died() {
    for dialect in [Dialect::Buildkit, Dialect::Classic] {
        for which in ALL {
            let proxy = Proxy::before(&which.address()).await;
            let endpoint = Endpoint::find(&Environment::default(), Some(&proxy.address), None).unwrap();
            let engine = DockerEngine::connect(&endpoint, Credentials::none()).unwrap();
            let name = unique("dies");
            let (request, _) = slow(&name, dialect);
            let (events, mut said) = listen();
            let cut = async {
                while !matches!(said.recv().await, Some(Event::Output { .. })) {}
                proxy.cut();
            };
            let (ended, ()) = tokio::join!(
                tokio::time::timeout(Duration::from_mins(1), engine.build(&request, &events)),
                cut
            );
            let error = ended.unwrap().unwrap_err();
            assert!(
                matches!(&error, EngineError::Died { doing, .. } if doing == "building"),
                "{which:?} {dialect:?}: {error:?}"
            );
            assert!(
                eventually(3, || processes(&format!("{name} && sleep")).is_empty()).await,
                "{which:?} {dialect:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = format!("unix://{}/docker.sock", folder.path().display());
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("tcp://{}", listener.local_addr().unwrap())
    };
    for (address, words) in [(nothing, "No such file"), (closed, "is not running there")] {
        let endpoint = Endpoint::find(&Environment::default(), Some(&address), None).unwrap();
        let engine = DockerEngine::connect(&endpoint, Credentials::none()).unwrap();
        let (events, _said) = listen();
        for error in
            [engine.info().await.unwrap_err(), engine.build(&build("FROM x\n"), &events).await.unwrap_err()]
        {
            let said = error.to_string();
            assert!(
                matches!(error, EngineError::Unreachable { .. })
                    && said.contains(words)
                    && said.contains(&address),
                "{said}"
            );
        }
    }
}
