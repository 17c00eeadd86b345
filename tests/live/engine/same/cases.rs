//! The cases: what every way to build must do, and what those do that differ.

use smp_image::engine::Engine as _;

use super::{
    BASE, BTreeMap, Context, Difference, EngineError, Place, Secret, StepCount, containers, docker,
    eventually, heard, listen, processes, unique, variable,
};

/// Returns files in memory.
fn files(files: &[(&str, &str)]) -> Context {
    let bytes = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec());
    Context::Memory(files.iter().map(bytes).collect())
}

pub(super) async fn a_file_an_argument_a_label_and_a_name_arrive(place: &Place) {
    let word = unique("word");
    let (mut request, name) =
        place.way.request(&format!("FROM {BASE}\nARG V\nENV W=$V\nCOPY dir/f /f\nRUN echo $W > /w\n"));
    request.context = files(&[("dir/f", &word)]);
    request.args = BTreeMap::from([("V".to_owned(), "va lue".to_owned())]);
    request.labels = BTreeMap::from([("org.example.key".to_owned(), "with \"quotes\" = and ,".to_owned())]);
    let built = place.build(&request).await.unwrap();
    let image = place.engine.image(&name.whole()).await.unwrap().unwrap();
    assert_eq!(
        (image.id, image.platform, &image.labels),
        (built.id, request.platform, &request.labels),
        "{:?}",
        place.way
    );
    assert_eq!(place.says(&name, "cat /f /w").await, format!("{word}va lue\n"));
    place.forget(&name).await;
}

pub(super) async fn a_second_build_runs_nothing_and_gives_the_same_image(place: &Place) {
    let (request, name) =
        place.way.request(&format!("FROM {BASE}\nRUN echo {} > /a\nRUN cat /a > /b\n", unique("x")));
    let first = place.build(&request).await.unwrap();
    let again = place.build(&request).await.unwrap();
    assert_eq!(first.steps, StepCount { run: 2, cached: 0 }, "{:?}", place.way);
    assert_eq!((again.id, again.steps), (first.id, StepCount { run: 0, cached: 2 }), "{:?}", place.way);
    place.forget(&name).await;
}

pub(super) async fn without_the_cache_every_step_runs_again(place: &Place) {
    let (mut request, name) = place.way.request(&format!("FROM {BASE}\nRUN echo {} > /a\n", unique("x")));
    place.build(&request).await.unwrap();
    request.no_cache = true;
    assert_eq!(
        place.build(&request).await.unwrap().steps,
        StepCount { run: 1, cached: 0 },
        "{:?}",
        place.way
    );
    place.forget(&name).await;
}

pub(super) async fn other_bytes_of_a_file_are_another_image(place: &Place) {
    let (mut request, name) =
        place.way.request(&format!("FROM {BASE}\nLABEL x={}\nCOPY f /f\n", unique("x")));
    for text in ["aaaa", "bbbb"] {
        request.context = files(&[("f", text)]);
        place.build(&request).await.unwrap();
        assert_eq!(place.says(&name, "cat /f").await, text, "{:?}", place.way);
    }
    place.forget(&name).await;
}

pub(super) async fn what_dockerignore_names_stays_behind(place: &Place) {
    let folder = tempfile::tempdir().unwrap();
    let word = unique("word");
    for (name, text) in
        [(".dockerignore", "*.log\n!kept.log\n"), ("a.log", "no"), ("kept.log", "yes"), ("f", &word)]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::write(folder.path().join("large"), vec![7; 2_000_000]).unwrap();
    let (mut request, name) = place.way.request(&format!("FROM {BASE}\nCOPY f *.log /ctx/\n"));
    request.context = Context::Folder(folder.path().to_owned());
    let built = place.build(&request).await.unwrap();
    assert_eq!(
        place.says(&name, "cd /ctx && echo * && cat f").await,
        format!("f kept.log\n{word}"),
        "{:?}",
        place.way
    );
    // What no `COPY` names is sent only as one archive.
    let whole = place.way.differs(Difference::WholeContext);
    assert_eq!(built.context_bytes > 1_000_000, whole, "{:?}: {}", place.way, built.context_bytes);
    place.forget(&name).await;
}

pub(super) async fn a_secret_is_there_for_its_step_and_nowhere_else(place: &Place) {
    let secret = unique("SECRET");
    let (mut request, name) = place.way.request(&format!(
        "FROM {BASE}\nRUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size && echo {}\n",
        unique("x")
    ));
    request.secrets = BTreeMap::from([("token".to_owned(), Secret::new(secret.as_bytes()))]);
    let (events, mut said) = listen();
    let ended = place.engine.build(&request, &events).await;
    assert!(!format!("{:?} {ended:?}", heard(&mut said)).contains(&secret), "{:?}", place.way);
    if place.way.differs(Difference::NoSecrets) {
        assert!(matches!(ended, Err(EngineError::Unsupported { .. })), "{:?}: {ended:?}", place.way);
        return;
    }
    ended.unwrap();
    let left = place.says(&name, "cat /size; ls -A /run/secrets 2>/dev/null || true").await;
    assert_eq!(left.trim(), secret.len().to_string(), "{:?}", place.way);
    let history = docker(place.way.which(), &["history", "--no-trunc", &name.whole()]);
    assert!(!history.contains(&secret) && history.contains("/size"), "{:?}: {history}", place.way);
    place.forget(&name).await;
}

pub(super) async fn a_stage_that_nothing_needs_is_not_built(place: &Place) {
    let word = unique("unneeded");
    let (request, _) = place
        .way
        .request(&format!("FROM {BASE} AS other\nRUN echo {word} && exit 5\nFROM {BASE}\nLABEL x={word}\n"));
    let built = place.build(&request).await;
    if place.way.differs(Difference::AllStages) {
        assert!(
            matches!(&built, Err(EngineError::Step(step)) if step.status == Some(5)),
            "{:?}: {built:?}",
            place.way
        );
    } else {
        built.unwrap();
        place.forget(&request.tags[0]).await;
    }
}

pub(super) async fn a_step_that_fails_is_told_with_its_status_and_last_words_and_leaves_no_image(
    place: &Place,
) {
    let last = unique("last");
    let (request, name) =
        place.way.request(&format!("FROM {BASE}\n\nRUN true\nRUN echo one && echo {last} && exit 3\n"));
    let error = place.build(&request).await.unwrap_err();
    let EngineError::Step(step) = error else { panic!("{:?}: {error:?}", place.way) };
    assert_eq!(step.status, Some(3), "{:?}: {step:?}", place.way);
    assert!(step.tail.ends_with(&["one".to_owned(), last]), "{:?}: {step:?}", place.way);
    assert_eq!(step.lines, Some((4, 4)), "{:?}: {step:?}", place.way);
    assert_eq!(place.engine.image(&name.whole()).await.unwrap(), None, "{:?}", place.way);
}

pub(super) async fn a_base_that_is_nowhere_is_not_found(place: &Place) {
    let image = format!("{}/library/nowhere:1", variable("SMP_WB_REGISTRY"));
    let (request, _) = place.way.request(&format!("FROM {image}\nRUN true\n"));
    let error = place.build(&request).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotFound(name) if *name == image), "{:?}: {error:?}", place.way);
}

pub(super) async fn a_cache_in_a_registry_is_written_or_refused_before_the_build(place: &Place) {
    let cache = format!("{}/{}", variable("SMP_WB_REGISTRY"), unique("cache"));
    let (mut request, name) = place.way.request(&format!("FROM {BASE}\nRUN echo {} > /a\n", unique("x")));
    request.cache_to = vec![cache.parse::<smp_image::engine::Cache>().unwrap().written()];
    let built = place.build(&request).await;
    if place.way.differs(Difference::NoCacheExport) {
        assert!(matches!(built, Err(EngineError::Unsupported { .. })), "{:?}: {built:?}", place.way);
        assert_eq!(place.engine.image(&name.whole()).await.unwrap(), None, "{:?}", place.way);
        return;
    }
    built.unwrap();
    let (host, repository) = cache.split_once('/').unwrap();
    let tags = format!("http://{host}/v2/{repository}/tags/list");
    let tags = std::process::Command::new("curl").args(["-sf", &tags]).output().unwrap();
    assert!(String::from_utf8_lossy(&tags.stdout).contains("latest"), "{:?}: {tags:?}", place.way);
    place.forget(&name).await;
}

pub(super) async fn a_cancelled_build_ends_its_step_and_leaves_no_image(place: &Place) {
    let word = unique("cancelled");
    let (request, name) = place.way.request(&format!("FROM {BASE}\nRUN echo {word} && sleep 612\n"));
    let (events, mut said) = listen();
    {
        let mut building = Box::pin(place.engine.build(&request, &events));
        loop {
            tokio::select! {
                ended = &mut building => panic!("{:?}: {ended:?}", place.way),
                event = said.recv() => if format!("{event:?}").contains(&word) && matches!(event, Some(smp_image::engine::Event::Output { .. })) { break },
            }
        }
    }
    let running = format!("{word} && sleep");
    assert!(
        eventually(10, || processes(&running).is_empty()).await,
        "{:?}: {:?}",
        place.way,
        processes(&running)
    );
    assert!(eventually(10, || containers(place.way.which(), &word).is_empty()).await, "{:?}", place.way);
    assert_eq!(place.engine.image(&name.whole()).await.unwrap(), None, "{:?}", place.way);
}
