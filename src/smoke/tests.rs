//! Probes run by this machine's own `python3`, in place of a container's.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::engine::{BuildRequest, Built, EngineInfo, Events, ImageInfo, Login, Pushed};
use crate::oci::{Arch, Reference};

mod machines;

/// Runs a "container" as a process of this machine.
struct ThisMachine;

#[async_trait]
impl Engine for ThisMachine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        unreachable!("probes only run")
    }

    async fn image(&self, _: &str) -> Result<Option<ImageInfo>, EngineError> {
        unreachable!("probes only run")
    }

    async fn build(&self, _: &BuildRequest, _: &Events) -> Result<Built, EngineError> {
        unreachable!("probes only run")
    }

    async fn tag(&self, _: &str, _: &Reference) -> Result<(), EngineError> {
        unreachable!("probes only run")
    }

    async fn export(&self, _: &str, _: &mut (dyn std::io::Write + Send)) -> Result<(), EngineError> {
        unreachable!("probes only run")
    }

    #[expect(clippy::disallowed_methods, reason = "stands for a container engine")]
    async fn run(&self, request: &RunRequest) -> Result<RunResult, EngineError> {
        let start = std::time::Instant::now();
        let mut child = std::process::Command::new(&request.command[0])
            .args(&request.command[1..])
            .envs(&request.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&request.stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        Ok(RunResult {
            status: output.status.code().unwrap_or(137).into(),
            stdout: output.stdout,
            stderr: output.stderr,
            took: start.elapsed(),
        })
    }

    async fn push(&self, _: &Reference, _: Option<&Login>, _: &Events) -> Result<Pushed, EngineError> {
        unreachable!("probes only run")
    }

    async fn remove(&self, _: &str) -> Result<(), EngineError> {
        unreachable!("probes only run")
    }
}

fn probe(name: ProbeName, input: serde_json::Value) -> Probe {
    Probe { name, input, gpu: name.tier() > 1 }
}

fn answers(probes: &[Probe], options: &Options) -> Vec<Answer> {
    let platform = Platform { arch: Arch::Amd64 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcomes = runtime.block_on(run(&ThisMachine, "image", platform, probes, options)).unwrap();
    assert_eq!(
        outcomes.iter().map(|o| o.probe).collect::<Vec<_>>(),
        probes.iter().map(|p| p.name).collect::<Vec<_>>()
    );
    outcomes.into_iter().map(|outcome| outcome.answer).collect()
}

/// Options with `folder` first on the loader's path and on the PATH.
fn with_folder(folder: &Path) -> Options {
    let folder = folder.to_str().unwrap();
    #[expect(clippy::disallowed_methods, reason = "python3 of this machine must stay on the PATH")]
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let env = BTreeMap::from([
        ("LD_LIBRARY_PATH".to_owned(), folder.to_owned()),
        ("PYTHONPATH".to_owned(), folder.to_owned()),
        ("PATH".to_owned(), path),
    ]);
    Options { env, limit: Duration::from_secs(20), ..Options::default() }
}

/// Compiles `source` into the shared library `name` in `folder`.
#[expect(clippy::disallowed_methods, reason = "a compiler makes the small libraries that probes load")]
fn library(folder: &Path, name: &str, source: &str, more: &[&str]) {
    let file = folder.join(format!("{name}.c"));
    std::fs::write(&file, source).unwrap();
    let status = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.join(name))
        .arg(&file)
        .arg(format!("-Wl,-soname,{name}"))
        .args(more)
        .status()
        .unwrap();
    assert!(status.success());
}

fn passed(evidence: &str) -> Answer {
    Answer::Passed { evidence: evidence.to_owned(), warnings: Vec::new() }
}

/// Returns evidence and cause of a failure.
fn failure(answer: &Answer) -> (&str, &str) {
    match answer {
        Answer::Failed { evidence, cause, .. } => (evidence, cause),
        other => panic!("{other:?} is no failure"),
    }
}

const NCCL: &str = "int ncclGetVersion(int *v) { *v = 22304; return 0; }";

#[test]
fn nccl_tells_its_version_and_another_than_the_locked_one_fails() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), "libnccl.so.2", NCCL, &[]);
    let ask = |version: &str| probe(ProbeName::NcclVersion, json!({ "version": version }));
    let answers = answers(&[ask("2.23.4"), ask("2.21.5")], &with_folder(folder.path()));
    let file = folder.path().join("libnccl.so.2");
    assert_eq!(answers[0], passed(&format!("NCCL 2.23.4 from {}", file.display())));
    let (evidence, cause) = failure(&answers[1]);
    assert_eq!(evidence, format!("NCCL 2.23.4 is loaded from {}, 2.21.5 is locked", file.display()));
    assert_eq!(cause, "another libnccl comes first on the loader's path");
}

#[test]
fn a_probe_that_crashes_is_named_with_its_signal_and_the_next_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let crash = "#include <signal.h>\n#include <stdio.h>\n\
                 int ncclGetVersion(int *v) { fprintf(stderr, \"about to fall\\n\"); return raise(SIGSEGV); }";
    library(folder.path(), "libnccl.so.2", crash, &[]);
    let probes =
        [probe(ProbeName::NcclVersion, json!({})), probe(ProbeName::Imports, json!({ "modules": ["json"] }))];
    let answers = answers(&probes, &with_folder(folder.path()));
    let Answer::Failed { evidence, tail, .. } = &answers[0] else { panic!("{:?}", answers[0]) };
    assert_eq!(
        (evidence.as_str(), tail.as_slice()),
        ("it crashed with SIGSEGV", ["about to fall".to_owned()].as_slice())
    );
    assert!(matches!(&answers[1], Answer::Passed { evidence, .. } if evidence.starts_with("json ")));
}

#[test]
fn a_probe_that_hangs_is_killed_at_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    library(
        folder.path(),
        "libnccl.so.2",
        "#include <unistd.h>\nint ncclGetVersion(int *v) { return sleep(100); }",
        &[],
    );
    let options = Options { limit: Duration::from_secs(1), ..with_folder(folder.path()) };
    let answers = answers(&[probe(ProbeName::NcclVersion, json!({}))], &options);
    assert_eq!(failure(&answers[0]).0, "it did not end within 1 s and was killed");
}

#[test]
fn chatter_of_libraries_on_standard_output_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let noisy = "#include <stdio.h>\nint ncclGetVersion(int *v) { *v = 21905; for (int i = 0; i < 100000; i++) \
                 printf(\"NCCL INFO chatter\"); fflush(stdout); return 0; }";
    library(folder.path(), "libnccl.so.2", noisy, &[]);
    let answers = answers(&[probe(ProbeName::NcclVersion, json!({}))], &with_folder(folder.path()));
    assert!(answers[0].to_string().starts_with("passed: NCCL 2.19.5 from "), "{}", answers[0]);
}

#[test]
fn a_library_that_needs_a_missing_one_names_it() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), "libinner.so.1", "int inner(void) { return 1; }", &[]);
    let link = format!("-L{}", folder.path().display());
    library(
        folder.path(),
        "libouter.so.1",
        "int inner(void); int outer(void) { return inner(); }",
        &[&link, "-l:libinner.so.1"],
    );
    let ask = |names: &[&str]| probe(ProbeName::Libraries, json!({ "libraries": names }));
    let both = ["libinner.so.1", "libouter.so.1"];
    let found = answers(&[ask(&both)], &with_folder(folder.path()));
    let paths = both.map(|name| folder.path().join(name).display().to_string());
    assert_eq!(found[0], passed(&paths.join(", ")));
    std::fs::remove_file(folder.path().join("libinner.so.1")).unwrap();
    let missing = answers(&[ask(&["libouter.so.1"]), ask(&["libnowhere.so.7"])], &with_folder(folder.path()));
    assert_eq!(failure(&missing[0]).0, "libouter.so.1 needs libinner.so.1, which is missing");
    assert_eq!(failure(&missing[1]).0, "libnowhere.so.7 is not on the loader's path");
}

#[test]
fn an_undefined_symbol_is_found_although_nobody_calls_it() {
    let folder = tempfile::tempdir().unwrap();
    library(
        folder.path(),
        "libodd.so.1",
        "int ncclCommResume(void); int odd(void) { return ncclCommResume(); }",
        &[],
    );
    let answers = answers(
        &[probe(ProbeName::Libraries, json!({ "libraries": ["libodd.so.1"] }))],
        &with_folder(folder.path()),
    );
    let (evidence, cause) = failure(&answers[0]);
    assert!(evidence.contains("undefined symbol: ncclCommResume"), "{evidence}");
    assert_eq!(cause, "it was linked against another version of what it loads");
}

#[test]
fn a_module_that_only_wants_the_driver_is_skipped_without_a_gpu_and_fails_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let module = "raise OSError('libcuda.so.1: cannot open shared object file: No such file or directory')\n";
    #[expect(clippy::disallowed_methods, reason = "a module for the probe to import")]
    std::fs::write(folder.path().join("wants_driver.py"), module).unwrap();
    let probes = [probe(ProbeName::Imports, json!({ "modules": ["json", "wants_driver"] }))];
    let without = answers(&probes, &with_folder(folder.path()));
    assert_eq!(without[0].to_string(), "skipped: no GPU");
    let with = answers(&probes, &Options { gpus: Gpus::NvidiaRuntime, ..with_folder(folder.path()) });
    assert!(failure(&with[0]).1.starts_with("a GPU was asked for and did not reach the container"));
}

#[test]
fn a_module_that_is_not_there_fails() {
    let answers = answers(
        &[probe(ProbeName::Imports, json!({ "modules": ["nowhere_to_be_found"] }))],
        &Options::default(),
    );
    assert_eq!(
        failure(&answers[0]).0,
        "import nowhere_to_be_found: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    );
}

#[test]
fn gpu_probes_without_a_gpu_say_so_in_these_words() {
    let folder = tempfile::tempdir().unwrap();
    // A driver library without any device, so that the test says the same on a machine with a GPU.
    library(
        folder.path(),
        "libcuda.so.1",
        "int cuInit(unsigned flags) { return 100; } int cuGetErrorName(int e, const char **n) { *n = \"CUDA_ERROR_NO_DEVICE\"; return 0; }",
        &[],
    );
    let probes = [probe(ProbeName::GpuContext, json!({})), probe(ProbeName::NcclOneRank, json!({}))];
    let answers = answers(&probes, &with_folder(folder.path()));
    let said: Vec<String> = answers.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["skipped: no GPU", "skipped: no GPU"]);
}

/// Writes a program called `fi_info` that prints `listing`: no libfabric is needed to test how its listing is read.
fn fake_fi_info(folder: &Path, listing: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join("fi_info");
    #[expect(clippy::disallowed_methods, reason = "a fake fi_info for the probe to run")]
    std::fs::write(&file, format!("#!/bin/sh\ncat <<'END'\n{listing}\nEND\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_provider_is_read_from_fi_info() {
    let folder = tempfile::tempdir().unwrap();
    let ask = [probe(ProbeName::FabricProvider, json!({ "provider": "efa" }))];
    fake_fi_info(
        folder.path(),
        "efa:\n    version: 201.0\nefa-direct:\n    version: 201.0\ntcp:\n    version: 201.0",
    );
    let tool = folder.path().join("fi_info").display().to_string();
    assert_eq!(answers(&ask, &with_folder(folder.path()))[0], passed(&format!("{tool} lists efa 201.0")));
    fake_fi_info(folder.path(), "tcp:\n    version: 201.0");
    let without = answers(&ask, &with_folder(folder.path()));
    assert_eq!(failure(&without[0]).0, format!("{tool} lists tcp, not efa"));
}

#[test]
fn a_container_that_dies_fails_the_probes_that_had_not_answered() {
    let probes = [probe(ProbeName::GpuContext, json!({})), probe(ProbeName::NcclOneRank, json!({}))];
    let stdout = format!(
        "noise{MARK}{}\n",
        json!({ "id": 0, "took": 1.5, "answer": { "status": "passed", "evidence": "e" } })
    );
    let result = RunResult {
        status: 137,
        stdout: stdout.into(),
        stderr: b"last words\n".to_vec(),
        took: Duration::ZERO,
    };
    let found = outcomes(&probes, &result);
    assert_eq!(found[0].answer, passed("e"));
    let (evidence, cause) = failure(&found[1].answer);
    assert_eq!(evidence, "the runner ended with status 137 before this probe answered");
    assert!(cause.contains("too little memory"));
}

#[test]
fn an_image_without_python_fails_every_probe_in_words() {
    let error = EngineError::Api {
        doing: "starting the container".to_owned(),
        status: 400,
        message: "failed to create task: exec: \"python3\": executable file not found in $PATH: unknown"
            .to_owned(),
    };
    assert!(is_without_python(&error));
    let outcomes = without_python(&[probe(ProbeName::GpuContext, json!({}))]);
    assert_eq!(outcomes[0].answer.to_string(), "failed: python3 is not on the image's PATH");
}

proptest::proptest! {
    #[test]
    fn whatever_a_container_writes_gives_one_outcome_for_each_probe(stdout: Vec<u8>, cut: proptest::sample::Index) {
        let line = format!("{MARK}{}", json!({ "id": 1, "took": 1.5, "answer": { "status": "skipped", "reason": "r" } }));
        let stdout = [&stdout, &line.as_bytes()[..cut.index(line.len())], &stdout].concat();
        let probes = [probe(ProbeName::GpuContext, json!({})), probe(ProbeName::NcclOneRank, json!({}))];
        let result = RunResult { status: 0, stdout, stderr: Vec::new(), took: Duration::ZERO };
        proptest::prop_assert_eq!(outcomes(&probes, &result).len(), 2);
    }
}
