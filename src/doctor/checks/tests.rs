//! Each check on a machine that a test describes.

use super::super::facts::{Aws, Builders, Clock, Ecr, Emulation, Gpu, Way};
use super::super::{Diagnosis, FakeMachine, Machine as _};
use super::*;
use crate::engine::GpuOffer;
use crate::oci::{Arch, Platform};

const AMD64: Platform = Platform { arch: Arch::Amd64 };
const ARM64: Platform = Platform { arch: Arch::Arm64 };
const NEED: Need =
    Need { platform: AMD64, disk: 15 * GIB, max_jobs: 2, steps: Some(Steps { emulated: 0, all: 9 }) };

fn engine() -> EngineInfo {
    EngineInfo {
        endpoint: "unix:///var/run/docker.sock".into(),
        version: "28.0".into(),
        api: "1.48".into(),
        platform: AMD64,
        platforms: vec![AMD64],
        store: Store::Containerd,
        buildkit: true,
        data_root: "/var/lib/docker".into(),
        memory: 32 * GIB,
        processors: 8,
        studio: false,
        builder: None,
        gpus: GpuOffer::default(),
    }
}

fn machine() -> Facts {
    Facts {
        engine: Ok(engine()),
        disk: Some(Disk { folder: "/var/lib/docker".into(), free: 100 * GIB }),
        runs: None,
        emulation: Some(Emulation::default()),
        builders: Ok(Builders { version: "0.13.1".into(), all: Vec::new() }),
        gpu: Gpu::default(),
        efa: Efa::default(),
        aws: Some(Ok(aws())),
        way: Way::default(),
        clock: Some(Ok(Clock { server: "r.example".into(), ahead: 1 })),
    }
}

fn aws() -> Aws {
    Aws {
        arn: "arn:aws:iam::123456789012:user/me".into(),
        region: "us-west-2".into(),
        expires_in: None,
        ecr: Ecr { login: Ok(()), repository: Ok(true), name: "smpv2".into() },
    }
}

/// Returns what `check` found.
fn found(facts: &Facts, check: &str) -> Checkup {
    all(facts, &NEED).into_iter().find(|it| it.check == check).unwrap_or_else(|| panic!("no check {check}"))
}

fn severity(facts: &Facts, check: &str) -> Severity {
    let found = found(facts, check);
    assert!(
        found.severity <= Severity::Note
            || found.severity == Severity::Unknown
            || found.remedy.is_some()
            || found.fix.is_some(),
        "no way out: {found:?}"
    );
    found.severity
}

#[test]
fn a_good_machine_is_ready_and_one_without_an_engine_is_not() {
    assert!(Diagnosis::of(&machine(), &NEED, "quickstart".into()).ready);
    let facts = Facts { engine: Err("no container engine answers".into()), ..machine() };
    let diagnosis = Diagnosis::of(&facts, &NEED, "quickstart".into());
    assert!(!diagnosis.ready);
    assert!(diagnosis.text(false, None).contains("FAILS    engine"), "{}", diagnosis.text(false, None));
    assert!(diagnosis.text(false, None).ends_with("A build would fail.\n"));
}

#[test]
fn too_little_space_fails_some_warns_and_what_is_out_of_sight_is_unknown() {
    let with = |gib: u64| Facts { disk: Some(Disk { folder: "/d".into(), free: gib * GIB }), ..machine() };
    assert_eq!(severity(&with(15), "disk"), Severity::Fine);
    assert_eq!(severity(&with(8), "disk"), Severity::Warning);
    assert_eq!(severity(&with(3), "disk"), Severity::Fatal);
    assert_eq!(severity(&Facts { disk: None, ..machine() }, "disk"), Severity::Unknown);
}

/// Returns what is found of the platform for an arm64 image of which `emulated` of nine steps must run programs.
fn foreign(facts: &Facts, emulated: Option<usize>) -> Checkup {
    let steps = emulated.map(|emulated| Steps { emulated, all: 9 });
    let need = Need { platform: ARM64, steps, ..NEED };
    let found = all(facts, &need).into_iter().find(|it| it.check == "platform").unwrap();
    let bad = matches!(found.severity, Severity::Warning | Severity::Fatal);
    assert!(!bad || found.remedy.is_some(), "no way out: {found:?}");
    found
}

#[test]
fn a_foreign_image_fails_only_where_a_step_must_run_its_programs_and_nothing_starts_them() {
    let with = |runs| Facts { runs, ..machine() };
    let cases = [
        (None, Some(0), Severity::Fine, "none of 9 steps"),
        (Some(Ok(false)), Some(0), Severity::Fine, "none of 9 steps"),
        (Some(Ok(true)), Some(2), Severity::Note, "2 of 9 steps run programs of linux/arm64; it starts"),
        (None, Some(2), Severity::Fatal, "it starts no programs of linux/arm64"),
        (Some(Ok(false)), Some(2), Severity::Fatal, "the emulator is gone"),
        (Some(Err("it hangs".into())), Some(2), Severity::Unknown, "could not be tried: it hangs"),
        (Some(Ok(true)), None, Severity::Note, "without a lock"),
        (None, None, Severity::Warning, "without a lock"),
    ];
    for (runs, emulated, severity, words) in cases {
        let found = foreign(&with(runs), emulated);
        assert_eq!(found.severity, severity, "{found:?}");
        assert!(found.message.contains(words), "{found:?}");
    }
    assert_eq!(severity(&machine(), "platform"), Severity::Fine);
}

#[test]
fn an_emulator_is_named_and_an_engine_that_builds_for_no_other_machine_fails() {
    let emulation = Some(Emulation { names: vec!["qemu-aarch64".into()] });
    let facts = Facts { runs: Some(Ok(true)), emulation, ..machine() };
    assert!(foreign(&facts, Some(1)).message.contains("(qemu-aarch64)"));
    let old = EngineInfo { version: "20.10.24".into(), ..engine() };
    let classic = EngineInfo { buildkit: false, ..engine() };
    for info in [old, classic] {
        let facts = Facts { engine: Ok(info), ..machine() };
        assert_eq!(foreign(&facts, Some(0)).severity, Severity::Fatal);
    }
}

#[test]
fn the_classic_builder_little_memory_and_studio_are_named() {
    let old = EngineInfo { buildkit: false, memory: 4 * GIB, store: Store::Graph, ..engine() };
    let facts = Facts { engine: Ok(old.clone()), ..machine() };
    assert_eq!(severity(&facts, "buildkit"), Severity::Warning);
    assert_eq!(severity(&facts, "memory"), Severity::Warning);
    assert_eq!(severity(&facts, "image-store"), Severity::Note);
    let facts = Facts { engine: Ok(EngineInfo { studio: true, ..old }), ..machine() };
    assert_eq!(severity(&facts, "studio"), Severity::Note);
    let facts =
        Facts { engine: Ok(EngineInfo { builder: Some("far (remote)".into()), ..engine() }), ..machine() };
    assert_eq!(severity(&facts, "memory"), Severity::Unknown);
}

#[test]
fn a_driver_without_a_toolkit_warns_and_a_missing_specification_can_be_mended() {
    let with = |toolkit, cdi| Facts { gpu: Gpu { driver: Some("580.1".into()), toolkit, cdi }, ..machine() };
    assert_eq!(severity(&machine(), "gpu"), Severity::Note);
    assert_eq!(severity(&with(false, false), "gpu"), Severity::Warning);
    assert_eq!(severity(&with(false, true), "gpu"), Severity::Fine);
    assert_eq!(found(&with(true, false), "gpu").fix, Some(Fix::WriteCdi));
}

#[tokio::test]
async fn what_was_mended_is_found_fine_afterwards() {
    let gpu = Gpu { driver: Some("580.1".into()), toolkit: true, cdi: false };
    let machine = FakeMachine::new(Facts { gpu, ..machine() });
    let fix = found(&machine.facts().await, "gpu").fix.unwrap();
    machine.mend(fix).await.unwrap();
    assert_eq!(machine.mended(), [Fix::WriteCdi]);
    assert_eq!(severity(&machine.facts().await, "gpu"), Severity::Fine);
}

#[test]
fn credentials_that_end_soon_or_have_ended_warn() {
    let with = |left| Facts { aws: Some(Ok(Aws { expires_in: Some(left), ..aws() })), ..machine() };
    assert_eq!(severity(&with(7200), "aws"), Severity::Fine);
    assert_eq!(severity(&with(600), "aws"), Severity::Warning);
    assert_eq!(severity(&with(-5), "aws"), Severity::Warning);
    assert_eq!(severity(&Facts { aws: None, ..machine() }, "aws"), Severity::Unknown);
    assert_eq!(severity(&Facts { aws: Some(Err("nobody".into())), ..machine() }, "aws"), Severity::Note);
}

#[test]
fn each_refusal_of_ecr_names_the_permission() {
    let with = |ecr| Facts { aws: Some(Ok(Aws { ecr, ..aws() })), ..machine() };
    let ecr = aws().ecr;
    let login = found(&with(Ecr { login: Err("denied".into()), ..ecr.clone() }), "ecr");
    assert!(login.remedy.unwrap().contains("ecr:GetAuthorizationToken"));
    let look = found(&with(Ecr { repository: Err("denied".into()), ..ecr.clone() }), "ecr");
    assert!(look.remedy.unwrap().contains("ecr:DescribeRepositories"));
    let absent = found(&with(Ecr { repository: Ok(false), ..ecr }), "ecr");
    assert_eq!(absent.severity, Severity::Note);
}

#[test]
fn a_clock_that_breaks_signatures_warns_in_both_directions() {
    let with = |ahead| Facts { clock: Some(Ok(Clock { server: "s".into(), ahead })), ..machine() };
    assert_eq!(severity(&with(3), "clock"), Severity::Fine);
    assert_eq!(severity(&with(-60), "clock"), Severity::Note);
    assert_eq!(severity(&with(400), "clock"), Severity::Warning);
    assert!(found(&with(-400), "clock").message.starts_with("400 s behind"));
    assert_eq!(severity(&Facts { clock: Some(Err("x".into())), ..machine() }, "clock"), Severity::Unknown);
}

#[test]
fn certificates_that_cannot_be_read_warn_and_words_cannot_steer_the_terminal() {
    let way = Way {
        proxies: vec![("HTTPS_PROXY".into(), "http://p\u{1b}[31m".into())],
        certificates: vec![("SSL_CERT_FILE".into(), "/x.pem".into(), false)],
    };
    let facts = Facts { way, ..machine() };
    assert_eq!(severity(&facts, "certificates"), Severity::Warning);
    assert!(!found(&facts, "proxy").message.contains('\u{1b}'));
}

#[test]
fn lines_fit_the_terminal_and_keep_every_word() {
    let engine = EngineInfo { platforms: vec![AMD64, ARM64], ..engine() };
    let facts = Facts { engine: Ok(engine), runs: Some(Ok(false)), ..machine() };
    let need = Need { platform: ARM64, steps: Some(Steps { emulated: 2, all: 9 }), ..NEED };
    let diagnosis = Diagnosis::of(&facts, &need, "quickstart".into());
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let whole = diagnosis.text(false, None);
    for width in [80, 120] {
        let text = diagnosis.text(false, Some(width));
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{text}");
        assert_eq!(words(&text), words(&whole));
    }
    // Where there is no room a word stays whole, and a terminal breaks it.
    assert_eq!(diagnosis.text(false, Some(30)), whole);
}
