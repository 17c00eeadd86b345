//! Builds: from memory and from folders, with secrets and caches; twice the same; and what is said when they fail.

use std::collections::BTreeMap;

use smp_image::engine::{Context, Engine as _, Event, Secret, StepCount};

use crate::workbench::{ALL, BASE, build, heard, listen, unique};

#[tokio::test]
async fn an_engine_says_what_it_is() {
    for which in ALL {
        let info = which.connect().info().await.unwrap();
        println!("{info:#?}");
        assert!(info.buildkit);
    }
}

#[tokio::test]
async fn a_build_from_memory_gets_its_files_secrets_and_caches_and_the_second_one_nothing() {
    for which in ALL {
        let engine = which.connect();
        let token = unique("secret");
        let text = format!(
            "FROM {BASE}\nCOPY dir/hello.txt /hello\n\
             RUN --mount=type=secret,id=token --mount=type=cache,target=/cache cat /run/secrets/token | wc -c > /size && echo {token}\n"
        );
        let mut request = build(&text);
        request.context = Context::Memory(BTreeMap::from([
            ("dir/hello.txt".to_owned(), format!("hello {token}").into_bytes()),
            ("unused.bin".to_owned(), vec![0; 1_000_000]),
        ]));
        request.secrets = BTreeMap::from([("token".to_owned(), Secret::new(b"0123456789".as_slice()))]);
        let (events, mut said) = listen();
        let built = engine.build(&request, &events).await.unwrap();
        println!("{which:?} {built:?}");
        let said = heard(&mut said);
        assert!(
            said.iter().any(|event| matches!(event, Event::Output { line, .. } if *line == token)),
            "{said:#?}"
        );
        assert_eq!(built.steps, StepCount { run: 2, cached: 0 });
        assert_eq!(built.context_bytes, format!("hello {token}").len() as u64);
        let again = engine.build(&request, &events).await.unwrap();
        println!("{which:?} {again:?}");
        assert_eq!(
            (again.id, again.steps, again.context_bytes),
            (built.id, StepCount { run: 0, cached: 2 }, 0)
        );
    }
}
