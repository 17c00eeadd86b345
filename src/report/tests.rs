//! Reports and progress as a reader sees them. Golden texts lie in `tests/golden/reports/`; write them anew with `INSTA_UPDATE=always`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::progress::{Bars, Clock, Form, JsonLines, Lines, Progress};
use super::*;
use crate::check::{
    ComponentSeen, ConfigSummary, Evidence, Finding, LayerSummary, ReadSummary, RuleCode, Severity, Sighting,
};
use crate::engine::{Event, StepCount};
use crate::oci::{Arch, Platform, Profile};
use crate::plan::ProbeName;
use crate::recipe::Component;
use crate::registry::manifest::Layer;
use crate::registry::{self, Checked, Identity};
use crate::smoke::Answer;

const PLATFORM: Platform = Platform { arch: Arch::Amd64 };

fn layer(name: &str, size: u64, created_by: &str) -> LayerSummary {
    LayerSummary {
        digest: Digest::of(name),
        diff_id: Digest::of(format!("{name} unpacked")),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        size,
        unpacked: size * 2,
        files: 1234,
        created_by: created_by.to_owned(),
    }
}

fn seen(component: Component, declared: &str, found: Option<&str>, path: &str) -> ComponentSeen {
    let sighting = Sighting {
        evidence: Evidence::PythonMetadata,
        name: component.name().to_owned(),
        version: found.map(str::to_owned),
        path: path.to_owned(),
    };
    let seen = if path.is_empty() { Vec::new() } else { vec![sighting] };
    let declared = declared.parse().ok();
    ComponentSeen { component, declared, found: found.map(str::to_owned), seen }
}

fn finding(severity: Severity, rule: RuleCode, subject: &str, evidence: &str, remedy: &str) -> Finding {
    let [subject, evidence, remedy] = [subject, evidence, remedy].map(str::to_owned);
    Finding::new(severity, rule, subject, evidence, remedy)
}

fn inspection(findings: Vec<Finding>) -> Inspection {
    Inspection {
        platform: PLATFORM,
        findings,
        silenced: Vec::new(),
        target: crate::check::Chosen::Recipe,
        instances: Vec::new(),
        libraries: Vec::new(),
        packages: BTreeMap::new(),
        environment: Vec::new(),
        components: vec![
            seen(
                Component::Nccl,
                "2.32.3",
                Some("2.32.3"),
                "/opt/venv/lib/python3.13/site-packages/nvidia_nccl_cu12-2.32.3.dist-info/METADATA",
            ),
            seen(Component::Libfabric, "", Some("2.1.0-1.1"), "/var/lib/dpkg/status"),
            seen(Component::Gdrcopy, "2.4", None, ""),
        ],
        layers: vec![
            layer("base", 30_100_000, "COPY / /"),
            layer("nccl", 350_000_000, "COPY --link --from=nccl /opt/venv /opt/venv"),
        ],
        config: ConfigSummary {
            digest: Digest::of("config"),
            manifest: None,
            platform: "linux/amd64".to_owned(),
            command: vec!["python3".to_owned()],
            workdir: "/workspace".to_owned(),
            user: String::new(),
            labels: BTreeMap::new(),
        },
        read: ReadSummary { bytes: 380_000_000, files: 8123, elf_files: 412, wasted: 0, took: 2.25 },
    }
}

fn outcomes(first: Answer) -> Vec<Outcome> {
    let skipped =
        Answer::Skipped { reason: "no GPU".to_owned(), evidence: "libcuda.so.1: cannot open".to_owned() };
    vec![
        Outcome { probe: ProbeName::NcclVersion, answer: first, took: 0.42 },
        Outcome { probe: ProbeName::GpuContext, answer: skipped, took: 0.08 },
    ]
}

fn released() -> Report {
    let passed = Answer::Passed {
        evidence: "NCCL 2.32.3 from /opt/venv/lib/libnccl.so.2".to_owned(),
        warnings: Vec::new(),
    };
    Report {
        format: FORMAT,
        tool: "smp-image 0.1.0".to_owned(),
        recipe: Some("quickstart".to_owned()),
        catalog: None,
        image: Some(Subject {
            reference: "smpv2:quickstart".to_owned(),
            id: Digest::of("id"),
            platform: PLATFORM,
        }),
        machine: None,
        build: Some(Building::Built(Built {
            id: Digest::of("id"),
            took: Duration::from_millis(83_200),
            steps: StepCount { run: 9, cached: 3 },
            context_bytes: 0,
        })),
        inspection: Some(inspection(vec![finding(
            Severity::Info,
            RuleCode::MediaType,
            "layer 2",
            "it is packed with zstd, which EKS and HyperPod take and SageMaker jobs do not",
            "push with --for sagemaker where SageMaker shall run it",
        )])),
        probes: Some(outcomes(passed)),
        grade: None,
        verdict: Some(Judgement::Passed {
            notes: vec!["GPU probes skipped: no GPU (gpu-context)".to_owned()],
            evidence: Digest::of("evidence"),
        }),
        push: Some(Receipt {
            reference: "123456789012.dkr.ecr.us-west-2.amazonaws.com/smpv2:quickstart".to_owned(),
            digest: Digest::of("pushed"),
            media_type: crate::oci::media_type::DOCKER_MANIFEST.to_owned(),
            platform: PLATFORM,
            profile: Profile::SageMaker,
            layers: ["a", "b"]
                .map(|layer| Layer {
                    digest: Digest::of(layer),
                    size: 190_050_000,
                    media_type: "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned(),
                })
                .to_vec(),
            size: 380_100_000,
            verified: Identity::ConfigDigest,
            checked: Checked::Passed { evidence: Digest::of("evidence"), notes: Vec::new() },
            outcome: registry::Outcome::Pushed,
            repository_created: true,
            took: Duration::from_secs(7),
        }),
    }
}

fn refused() -> Report {
    let failed = Answer::Failed {
        evidence: "it crashed with SIGSEGV".to_owned(),
        cause: "another libnccl comes first on the loader's path".to_owned(),
        tail: vec!["Fatal Python error: \u{1b}[31mSegmentation fault\u{1b}[0m <&>".to_owned()],
    };
    let error = finding(
        Severity::Error,
        RuleCode::ForeignBinary,
        "/usr/lib/libx.so",
        "1 ELF file is for 64-bit Arm: /usr/lib/libx.so (layer 3)",
        "install these files for amd64 in a stage of the target platform",
    );
    let unknown = finding(
        Severity::Unknown,
        RuleCode::ComponentUnknown,
        "gdrcopy",
        "nothing is known by which it could be found in an image",
        "a smoke test can ask it",
    );
    let warning = finding(
        Severity::Warning,
        RuleCode::CacheLeftBehind,
        "/root/.cache/pip",
        "31.0 MB in 12 files",
        "use a cache mount, or PIP_NO_CACHE_DIR=1",
    );
    let reason = Reason {
        what: "probe nccl-version failed: it crashed with SIGSEGV".to_owned(),
        remedy: String::new(),
    };
    Report {
        recipe: None,
        catalog: None,
        build: Some(Building::Unchanged),
        push: None,
        inspection: Some(inspection(vec![error, unknown, warning])),
        probes: Some(outcomes(failed)),
        verdict: Some(Judgement::Refused { reasons: vec![reason] }),
        ..released()
    }
}

fn golden(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../../tests/golden/reports", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_release_reads_well_as_text() {
    golden("released.txt", &text::render(&released(), text::Style::default()));
}

#[test]
fn a_refusal_reads_well_as_text() {
    golden("refused.txt", &text::render(&refused(), text::Style::default()));
}

#[test]
fn colour_adds_nothing_but_colour() {
    for report in [released(), refused()] {
        let plain = text::render(&report, text::Style::default());
        let coloured = text::render(&report, text::Style { colour: true, ..text::Style::default() });
        assert_ne!(plain, coloured);
        let stripped: Vec<String> =
            coloured.lines().map(|line| plain::line(line).trim_end().to_owned()).collect();
        assert_eq!(stripped, plain.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>());
    }
}

#[test]
fn the_json_form_is_one_document_that_keeps_its_shape() {
    golden("released.json", &json::render(&released()).unwrap());
}

#[test]
fn on_a_narrow_terminal_each_tier_has_a_line_of_its_own() {
    let narrow = text::render(&released(), text::Style { colour: false, width: 40 });
    assert!(
        narrow.contains("\nReached    tier 1: 1 passed\n           tier 2: 1 skipped (no GPU)\n"),
        "{narrow}"
    );
    let wide = text::render(&released(), text::Style::default());
    assert!(wide.contains("\nReached    tier 1: 1 passed; tier 2: 1 skipped (no GPU)\n"), "{wide}");
}

#[test]
fn junit_shows_skips_as_skips_and_unknown_as_a_failure() {
    golden("released.xml", &junit::render(&released()).unwrap());
    golden("refused.xml", &junit::render(&refused()).unwrap());
}

/// A writer that is read afterwards.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clock that moves two seconds at each look.
fn clock() -> Clock {
    let seconds = Mutex::new(1_795_000_000);
    Box::new(move || {
        let mut seconds = seconds.lock().unwrap();
        *seconds += 2;
        Timestamp::from_second(*seconds).unwrap()
    })
}

fn events() -> Vec<Event> {
    let id = |text: &str| text.to_owned();
    let progress = |current| Event::Progress {
        id: id("sha256:b"),
        what: id("libnccl.whl"),
        current,
        total: 351_000_000,
    };
    let pushing = |status: &str, current| Event::Layer {
        id: id("5f70bf18a086"),
        status: id(status),
        current,
        total: 30_000_000,
    };
    vec![
        Event::Step { id: id("sha256:a"), name: id("[base 1/1] FROM debian:trixie-slim") },
        Event::Step { id: id("sha256:b"), name: id("[nccl 2/3] RUN pip install nvidia-nccl-cu12") },
        Event::StepEnded { id: id("sha256:a"), cached: true, error: None },
        Event::StepStarted { id: id("sha256:b") },
        progress(1_000_000),
        progress(2_000_000),
        progress(3_000_000),
        progress(4_000_000),
        progress(5_000_000),
        progress(300_000_000),
        Event::Output { id: id("sha256:b"), line: id("10 %\r\u{1b}[32m100 %\u{1b}[0m") },
        Event::Warning { message: id("FromAsCasing"), line: 7 },
        Event::StepEnded { id: id("sha256:b"), cached: false, error: Some(id("exit code: 1")) },
        pushing("Preparing", 0),
        pushing("Pushing", 10_000_000),
        pushing("Pushing", 20_000_000),
        pushing("Pushed", 30_000_000),
    ]
}

fn played(mut progress: impl Progress) {
    progress.stage("build", "smpv2:quickstart").unwrap();
    for event in events() {
        progress.event(&event).unwrap();
    }
    progress.finish().unwrap();
}

#[test]
fn lines_have_the_time_and_do_not_repeat_what_moves() {
    let page = Page::default();
    played(Lines::new(Box::new(page.clone()), clock()));
    golden("progress.lines", &page.text());
}

#[test]
fn json_progress_is_one_object_on_each_line() {
    let page = Page::default();
    played(JsonLines::new(Box::new(page.clone()), clock()));
    let text = page.text();
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["time"].is_string() && object["event"].is_string(), "{line}");
    }
    golden("progress.jsonl", &text);
}

#[test]
fn bars_show_what_runs_and_leave_lines_of_what_ended() {
    let terminal = indicatif::InMemoryTerm::new(20, 100);
    let target = indicatif::ProgressDrawTarget::term_like(Box::new(terminal.clone()));
    let mut bars = Bars::new(target);
    bars.stage("build", "smpv2:quickstart").unwrap();
    for event in &events()[..10] {
        bars.event(event).unwrap();
    }
    // The drawing is limited in time; a bar that ends or a printed line draws all of them.
    bars.event(&Event::Warning { message: "look".to_owned(), line: 0 }).unwrap();
    let running = terminal.contents();
    assert!(running.starts_with("build smpv2:quickstart\n  warning look\n"), "{running}");
    assert!(running.contains("[nccl 2/3] RUN pip install nvidia-nccl-cu12"), "{running}");
    assert!(running.contains("libnccl.whl") && running.contains("300.00 MB of 351.00 MB"), "{running}");
    for event in &events()[10..] {
        bars.event(event).unwrap();
    }
    bars.finish().unwrap();
    assert_eq!(
        terminal.contents(),
        "build smpv2:quickstart\n  warning look\n  warning FromAsCasing\n  failed  [nccl 2/3] RUN pip install \
         nvidia-nccl-cu12: exit code: 1\n  cached  1 step"
    );
}

#[test]
fn a_terminal_gets_bars_and_a_pipeline_lines() {
    assert_eq!(Form::for_output(false, true, false), Form::Bars);
    assert_eq!(Form::for_output(false, true, true), Form::Lines);
    assert_eq!(Form::for_output(false, false, false), Form::Lines);
    assert_eq!(Form::for_output(true, true, false), Form::Json);
}
