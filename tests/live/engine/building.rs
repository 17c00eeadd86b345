//! Builds: from memory and from folders, with secrets and caches, and twice the same.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use smp_image::engine::{
    BuildRequest, Built, Context, DockerEngine, Engine as _, EngineError, Event, Secret, StepCount,
};
use smp_image::oci::{Dialect, Profile, Reference};

use crate::workbench::{ALL, BASE, Which, build, docker, heard, listen, run, unique};

async fn built(engine: &DockerEngine, request: &BuildRequest) -> Built {
    let (events, _said) = listen();
    engine.build(request, &events).await.unwrap()
}

#[tokio::test]
async fn an_engine_says_what_it_is() {
    for which in ALL {
        let info = which.connect().info().await.unwrap();
        assert!(info.buildkit, "{which:?}");
        assert_eq!(info.endpoint, which.address());
        assert_eq!(info.version.starts_with("20.10"), which == Which::Old, "{info:?}");
        assert_eq!(
            info.store == smp_image::engine::Store::Containerd,
            which == Which::Containerd,
            "{info:?}"
        );
        assert!(
            info.memory > 0 && info.processors > 0 && Path::new(&info.data_root).is_absolute(),
            "{info:?}"
        );
    }
}

#[tokio::test]
async fn a_build_from_memory_gets_its_files_secrets_and_caches_and_the_second_one_nothing() {
    for which in ALL {
        let engine = which.connect();
        let word = unique("word");
        let text = format!(
            "FROM {BASE}\nCOPY dir/hello.txt /hello\n\
             RUN --mount=type=secret,id=token --mount=type=cache,target=/cache cat /run/secrets/token | wc -c > /size && echo {word}\n"
        );
        let hello = format!("hello {word}").into_bytes();
        let mut request = build(&text);
        request.context = Context::Memory(BTreeMap::from([
            ("dir/hello.txt".to_owned(), hello.clone()),
            ("unused.bin".to_owned(), vec![0; 1_000_000]),
        ]));
        request.secrets = BTreeMap::from([("token".to_owned(), Secret::new(b"0123456789".as_slice()))]);
        let (events, mut said) = listen();
        let first = engine.build(&request, &events).await.unwrap();
        let said = heard(&mut said);
        assert!(
            said.iter().any(|event| matches!(event, Event::Output { line, .. } if *line == word)),
            "{said:#?}"
        );
        assert_eq!(first.steps, StepCount { run: 2, cached: 0 }, "{which:?}");
        assert_eq!(first.context_bytes, hello.len() as u64, "{which:?}: only what is copied is sent");
        let again = built(&engine, &request).await;
        assert_eq!(
            (again.id, again.steps, again.context_bytes),
            (first.id, StepCount { run: 0, cached: 2 }, 0),
            "{which:?}"
        );
        let out = engine.run(&run(&first.id.to_string(), "cat /size /hello")).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), format!("10\nhello {word}"), "{which:?}");
    }
}

#[tokio::test]
async fn other_bytes_of_the_same_length_are_other_bytes() {
    for which in ALL {
        let engine = which.connect();
        let tag = unique("x");
        for content in ["aaaa", "bbbb"] {
            let mut request = build(&format!("FROM {BASE}\nLABEL x={tag}\nCOPY f /f\n"));
            request.context = Context::Memory(BTreeMap::from([("f".to_owned(), content.into())]));
            let image = built(&engine, &request).await;
            let out = engine.run(&run(&image.id.to_string(), "cat /f")).await.unwrap();
            assert_eq!(out.stdout, content.as_bytes(), "{which:?}");
        }
    }
}

/// Makes a folder with everything that a context may have.
fn folder(word: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("src/deep")).unwrap();
    std::fs::create_dir_all(root.join("logs")).unwrap();
    std::fs::write(root.join(".dockerignore"), "# not these\n**/*.log\nlogs\n!logs/keep.log\nsecret.env\n")
        .unwrap();
    std::fs::write(root.join("src/run.sh"), format!("#!/bin/sh\necho {word}\n")).unwrap();
    std::fs::set_permissions(root.join("src/run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::fs::write(root.join("src/deep/noise.log"), "noise").unwrap();
    std::fs::write(root.join("src/größe.txt"), "ü").unwrap();
    std::fs::write(root.join("logs/keep.log"), "kept").unwrap();
    std::fs::write(root.join("logs/drop.txt"), "dropped").unwrap();
    std::fs::write(root.join("secret.env"), "never").unwrap();
    std::fs::write(root.join("big.bin"), vec![7; 3_000_000]).unwrap();
    symlink("run.sh", root.join("src/link")).unwrap();
    folder
}

const LOOK: &str = "cd /ctx && find . | LC_ALL=C sort && stat -c '%a %u:%g' src/run.sh && readlink src/link && sh src/link && wc -c < big.bin";

#[tokio::test]
async fn a_folder_arrives_as_it_is_but_for_what_dockerignore_names_and_a_change_alone_is_sent_again() {
    for dialect in [Dialect::Buildkit, Dialect::Classic] {
        for which in ALL {
            let engine = which.connect();
            let word = unique("word");
            let folder = folder(&word);
            let mut request = build(&format!("FROM {BASE}\nCOPY . /ctx\n"));
            request.context = Context::Folder(folder.path().to_owned());
            request.dialect = dialect;
            let first = built(&engine, &request).await;
            let out = engine.run(&run(&first.id.to_string(), LOOK)).await.unwrap();
            let expected = format!(
                ".\n./.dockerignore\n./big.bin\n./logs\n./logs/keep.log\n./src\n./src/deep\n./src/größe.txt\n./src/link\n./src/run.sh\n750 0:0\nrun.sh\n{word}\n3000000\n"
            );
            assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{which:?} {dialect:?} {out:?}");
            assert!(first.context_bytes > 3_000_000, "{which:?}");
            if dialect == Dialect::Buildkit {
                assert_eq!(built(&engine, &request).await.context_bytes, 0, "{which:?}");
                std::fs::write(folder.path().join("logs/keep.log"), "changed").unwrap();
                let changed = built(&engine, &request).await;
                assert_eq!((changed.context_bytes, changed.steps.run), (7, 1), "{which:?}");
            }
        }
    }
}

/// Returns all bytes of an image as saved, layers unpacked.
async fn all_bytes(engine: &DockerEngine, name: &str) -> (Vec<String>, Vec<u8>) {
    let mut saved = Vec::new();
    engine.export(name, &mut saved).await.unwrap();
    let (mut names, mut bytes) = (Vec::new(), Vec::new());
    let mut archive = tar::Archive::new(saved.as_slice());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        names.push(entry.path().unwrap().display().to_string());
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        match content.get(..4) {
            Some([0x1f, 0x8b, ..]) => {
                flate2::read::MultiGzDecoder::new(content.as_slice()).read_to_end(&mut bytes).unwrap();
            }
            Some([0x28, 0xb5, 0x2f, 0xfd]) => bytes.extend(zstd::decode_all(content.as_slice()).unwrap()),
            _ => bytes.extend(content),
        }
    }
    (names, bytes)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_secret_is_in_no_layer_no_history_and_no_label() {
    for which in ALL {
        let engine = which.connect();
        let secret = unique("SECRET");
        let word = unique("word");
        let name: Reference = format!("example.test/{word}:1").parse().unwrap();
        let mut request = build(&format!(
            "FROM {BASE}\nRUN --mount=type=secret,id=token test $(wc -c < /run/secrets/token) -gt 10 && echo {word} > /word\n"
        ));
        request.tags = vec![name.clone()];
        request.secrets = BTreeMap::from([("token".to_owned(), Secret::new(secret.as_bytes()))]);
        let (events, mut said) = listen();
        engine.build(&request, &events).await.unwrap();
        assert!(!format!("{:?} {request:?}", heard(&mut said)).contains(&secret), "{which:?}");
        let (names, bytes) = all_bytes(&engine, &name.whole()).await;
        assert!(names.iter().any(|name| name == "manifest.json"), "{which:?}: {names:?}");
        // The word proves that the search finds what is there: it is in a layer and in the history.
        assert!(contains(&bytes, &word), "{which:?}");
        assert!(!contains(&bytes, &secret), "{which:?}");
        // On the containerd store an image has a history only once a container has unpacked it.
        engine.run(&run(&name.whole(), "true")).await.unwrap();
        assert!(!docker(which, &["history", "--no-trunc", &name.whole()]).contains(&secret), "{which:?}");
        engine.remove(&name.whole()).await.unwrap();
        let mut nothing = Vec::new();
        let error = engine.export(&name.whole(), &mut nothing).await.unwrap_err();
        assert!(matches!(error, EngineError::NotFound(_)), "{which:?}: {error:?}");
        assert!(matches!(engine.remove(&name.whole()).await, Err(EngineError::NotFound(_))), "{which:?}");
    }
}

#[tokio::test]
async fn labels_arguments_tags_and_platform_arrive_and_equal_inputs_give_equal_digests() {
    for which in ALL {
        for profile in [Profile::Oci, Profile::SageMaker] {
            let engine = which.connect();
            let word = unique("same");
            let mut request = build(&format!(
                "FROM {BASE} AS a\nARG V\nRUN echo $V {word} > /a\nFROM {BASE}\nCOPY --from=a /a /a\nRUN cat /a\n"
            ));
            request.args = BTreeMap::from([("V".to_owned(), "va lue".to_owned())]);
            request.labels =
                BTreeMap::from([("org.example.key".to_owned(), "with \"quotes\" = and ,".to_owned())]);
            request.profile = profile;
            request.tags = (1..3).map(|n| format!("example.test/{word}:{n}").parse().unwrap()).collect();
            let first = built(&engine, &request).await;
            let again = built(&engine, &request).await;
            assert_eq!(first.id, again.id, "{which:?} {profile:?}");
            assert_eq!((first.steps.run, again.steps.run), (3, 0), "{which:?} {profile:?}");
            let image = engine.image(&request.tags[1].whole()).await.unwrap().unwrap();
            assert_eq!(
                (image.id, image.platform, &image.labels),
                (first.id, request.platform, &request.labels),
                "{which:?}"
            );
            let more: Reference = format!("example.test/{word}:more").parse().unwrap();
            engine.tag(&first.id.to_string(), &more).await.unwrap();
            assert_eq!(engine.image(&more.whole()).await.unwrap().unwrap().id, first.id, "{which:?}");
            let out = engine.run(&run(&more.whole(), "cat /a")).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout), format!("va lue {word}\n"), "{which:?}");
        }
    }
}

#[tokio::test]
async fn the_classic_builder_says_its_steps_and_caches_them() {
    for which in ALL {
        let engine = which.connect();
        let word = unique("classic");
        let mut request = build(&format!("FROM {BASE}\nARG V\nENV W=$V\nRUN echo $W {word}\nCOPY f /f\n"));
        request.dialect = Dialect::Classic;
        request.args = BTreeMap::from([("V".to_owned(), "value".to_owned())]);
        request.labels = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        request.tags = vec![format!("example.test/{word}:1").parse().unwrap()];
        request.context = Context::Memory(BTreeMap::from([("f".to_owned(), b"f".to_vec())]));
        let (events, mut said) = listen();
        let first = engine.build(&request, &events).await.unwrap();
        let said = heard(&mut said);
        let line = format!("value {word}");
        assert!(
            said.iter().any(|event| matches!(event, Event::Output { line: other, .. } if *other == line)),
            "{said:#?}"
        );
        let again = built(&engine, &request).await;
        assert_eq!((again.id, again.steps.run), (first.id, 0), "{which:?}");
        let image = engine.image(&request.tags[0].whole()).await.unwrap().unwrap();
        assert_eq!((image.id, image.labels.get("k").map(String::as_str)), (first.id, Some("v")), "{which:?}");
    }
}
