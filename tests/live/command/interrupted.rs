//! Ctrl-C and SIGTERM in the middle of a build: it ends within seconds, in the engine too, and leaves nothing.

use std::time::{Duration, Instant};

use super::builders::{left_nothing, program, with_far};
use super::failing::watched;
use super::{TINY, Workshop, mirror};
use crate::workbench::{ALL, Which, containers, eventually, processes, variable};

/// Interrupts a build that installs `package`, which no other test does, on every engine.
async fn interrupted_with(signal: &str, package: &str, dialects: &[&str]) {
    for which in ALL {
        for dialect in dialects {
            let workshop = Workshop::tiny(which);
            workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"{package}\"]\n"));
            let mirror = mirror();
            let _lock = workshop.run(&["lock", "tiny.toml", "--mirror", &mirror]).fine();
            let before = workshop.place.files();
            let words = workshop.words("build", &mirror, &["--no-cache", "--dialect", dialect]);
            let mut command = workshop.program(&words);
            let marker = format!(" {package}=");
            let mut sent = None;
            let ended = watched(&mut command, |line| {
                if sent.is_none() && line.contains(" | ") {
                    // The step runs: its process, which is the engine's, is there.
                    let running = processes(&marker);
                    assert!(!running.is_empty(), "{which:?} {dialect}: {line}");
                    let program = processes(&workshop.tag);
                    let id = program.first().unwrap().split(' ').next().unwrap();
                    let killed = std::process::Command::new("/bin/kill").args([signal, id]).status().unwrap();
                    assert!(killed.success());
                    sent = Some(Instant::now());
                }
            });
            let took = sent.unwrap().elapsed();
            assert!(took < Duration::from_secs(5), "{which:?} {dialect}: {took:?}");
            assert_eq!(ended.out, "", "{which:?} {dialect}");
            ended.failed(130, &["interrupted"]);
            let gone = eventually(3, || processes(&marker).is_empty()).await;
            assert!(gone, "{which:?} {dialect}: {:?}", processes(&marker));
            let none = eventually(10, || containers(which, &marker).is_empty()).await;
            assert!(none, "{which:?} {dialect}: {}", containers(which, &marker));
            assert!(!workshop.has_image(), "{which:?} {dialect}");
            assert_eq!(workshop.place.files(), before, "{which:?} {dialect}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_build_in_the_engine_and_leaves_nothing() {
    interrupted_with("-INT", "valgrind", &["buildkit", "classic"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_terminate_does_the_same() {
    interrupted_with("-TERM", "gnuplot-nox", &["buildkit"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_of_a_build_elsewhere_ends_it_there_and_leaves_nothing_here() {
    let address = variable("SMP_WB_BUILDKITD");
    for (builder, package) in [("far", "octave"), (address.as_str(), "maxima"), ("default", "gnuplot-qt")] {
        let workshop = with_far(Workshop::tiny(Which::Containerd), &address);
        workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"{package}\"]\n"));
        let _lock = workshop.run(&["lock", "tiny.toml", "--mirror", &mirror()]).fine();
        let before = workshop.place.files();
        let marker = format!(" {package}=");
        let mut command = program(&workshop, &["--no-cache", "--builder", builder]);
        let mut sent = None;
        let ended = watched(&mut command, |line| {
            if sent.is_none() && line.contains(" | ") {
                assert!(!processes(&marker).is_empty(), "{builder}: {line}");
                // buildx has the image's name in its arguments too.
                let all = processes(&workshop.tag);
                let ours = all.iter().find(|process| process.contains("smp-image build ")).unwrap();
                let id = ours.split(' ').next().unwrap();
                assert!(
                    std::process::Command::new("/bin/kill").args(["-INT", id]).status().unwrap().success()
                );
                sent = Some(Instant::now());
            }
        });
        let took = sent.unwrap().elapsed();
        assert!(took < Duration::from_secs(5), "{builder}: {took:?}");
        assert_eq!(ended.out, "", "{builder}");
        ended.failed(130, &["interrupted"]);
        let gone =
            eventually(5, || processes(&marker).is_empty() && processes(&workshop.tag).is_empty()).await;
        assert!(gone, "{builder}: {:?} {:?}", processes(&marker), processes(&workshop.tag));
        assert!(!workshop.has_image(), "{builder}");
        left_nothing(&workshop);
        // buildx writes down when a builder was used last.
        let buildx = |file: &&String| file.contains("/buildx/");
        let files = workshop.place.files();
        let strange: Vec<_> =
            files.iter().filter(|file| !before.contains(file)).filter(|file| !buildx(file)).collect();
        assert!(strange.is_empty(), "{builder}: {strange:?}");
    }
}
