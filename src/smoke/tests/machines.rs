//! Probes on machines that are not there: a fake driver and a fake NCCL stand at the doors, compiled here; the probes are the real ones.

use super::*;

/// A driver with two GPUs. FAULT=late: the second one never answers. It computes nothing.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fault(const char *name) { const char *f = getenv("FAULT"); return f && !strcmp(f, name); }
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int ordinal) { while (ordinal == 1 && fault("late")) sleep(1); *d = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int d) { strncpy(name, "Fake GPU", length); return 0; }
int cuDeviceGetAttribute(int *value, int which, int d) { *value = which == 75 ? 9 : 0; return 0; }
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)1; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { return 0; }
int cuCtxSetCurrent(void *c) { return 0; }
int cuMemAlloc_v2(unsigned long *p, unsigned long size) { *p = 1; return fault("full") ? 2 : 0; }
int cuMemFree_v2(unsigned long p) { return 0; }
int cuGetErrorName(int e, const char **name) { *name = "CUDA_ERROR_OUT_OF_MEMORY"; return 0; }
"#;

/// A NCCL whose ranks never find each other. FAULT=crash: the second one falls; FAULT=shm: it says that /dev/shm is too small.
const NCCL: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
struct id { char bytes[128]; };
static int fault(const char *name) { const char *f = getenv("FAULT"); return f && !strcmp(f, name); }
int ncclGetVersion(int *v) { const char *f = getenv("PID_FILE"); *v = 22304;
    if (f) { FILE *o = fopen(f, "w"); fprintf(o, "%d", getpid()); fclose(o); sleep(100); } return 0; }
int ncclGetUniqueId(struct id *id) { memset(id, 7, sizeof *id); return 0; }
const char *ncclGetErrorString(int e) { return "unhandled system error"; }
int ncclCommInitRank(void **c, int size, struct id id, int rank) {
    if (rank == 1 && fault("crash")) raise(SIGSEGV);
    if (rank == 1 && fault("shm")) {
        char path[4096], *p; snprintf(path, sizeof path, "%s", getenv("NCCL_DEBUG_FILE")); p = strstr(path, "%p"); strcpy(p, "1.log");
        FILE *o = fopen(path, "w"); fprintf(o, "host:1:1 [1] NCCL WARN Error: failed to extend /dev/shm/nccl-x, error: No space left on device\n"); fclose(o);
        return 2;
    }
    for (;;) sleep(1);
}
"#;

fn machine(fault: &str) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), "libcuda.so.1", DRIVER, &[]);
    library(folder.path(), "libnccl.so.2", NCCL, &[]);
    let mut options =
        Options { gpus: Gpus::NvidiaRuntime, limit: Duration::from_secs(6), ..with_folder(folder.path()) };
    options.env.insert("FAULT".to_owned(), fault.to_owned());
    (folder, options)
}

fn collectives(fault: &str) -> Answer {
    let (_folder, options) = machine(fault);
    answers(&[probe(ProbeName::NcclCollectives, json!({}))], &options).remove(0)
}

#[test]
fn a_driver_that_works_is_told_with_its_gpus_and_one_whose_memory_is_taken_fails() {
    let (_folder, options) = machine("");
    let ask = [probe(ProbeName::GpuContext, json!({}))];
    assert_eq!(answers(&ask, &options)[0], passed("2 x Fake GPU (sm_90), driver for CUDA 13.0"));
    let (_folder, options) = machine("full");
    let full = answers(&ask, &options);
    assert_eq!(
        failure(&full[0]),
        ("cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY", "another process holds the GPU's memory")
    );
}

#[test]
fn gpus_that_a_variable_hides_are_a_failure_that_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    library(
        folder.path(),
        "libcuda.so.1",
        "int cuInit(unsigned f) { return 100; } int cuGetErrorName(int e, const char **n) { return 1; }",
        &[],
    );
    let mut options = Options { gpus: Gpus::NvidiaRuntime, ..with_folder(folder.path()) };
    options.env.insert("CUDA_VISIBLE_DEVICES".to_owned(), String::new());
    let answers = answers(&[probe(ProbeName::GpuKernel, json!({}))], &options);
    assert!(failure(&answers[0]).1.starts_with("CUDA_VISIBLE_DEVICES is ``"), "{:?}", answers[0]);
}

#[test]
fn a_stub_of_the_driver_that_was_left_on_the_path_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    library(
        folder.path(),
        "libcuda.so.1",
        "int cuInit(unsigned f) { return 34; } int cuGetErrorName(int e, const char **n) { return 34; }",
        &[],
    );
    let options = Options { gpus: Gpus::NvidiaRuntime, ..with_folder(folder.path()) };
    let answers = answers(&[probe(ProbeName::GpuContext, json!({}))], &options);
    let file = folder.path().join("libcuda.so.1");
    let (evidence, cause) = failure(&answers[0]);
    assert_eq!(evidence, format!("cuInit: CUDA_ERROR_STUB_LIBRARY from {}", file.display()));
    assert!(cause.starts_with("a stub of libcuda"), "{cause}");
}

#[test]
fn a_library_that_is_linked_with_the_driver_loads_with_our_stub_where_no_gpu_was_promised() {
    let (folder, options) = machine("");
    let link = format!("-L{}", folder.path().display());
    library(
        folder.path(),
        "libneeds.so.1",
        "int cuInit(unsigned); int needs(void) { return cuInit(0); }",
        &[&link, "-l:libcuda.so.1"],
    );
    std::fs::remove_file(folder.path().join("libcuda.so.1")).unwrap();
    let ask = [
        probe(ProbeName::Libraries, json!({ "libraries": ["libneeds.so.1"] })),
        probe(ProbeName::Imports, json!({ "modules": ["json", "needs_driver"] })),
    ];
    #[expect(clippy::disallowed_methods, reason = "a module for the probe to import")]
    std::fs::write(
        folder.path().join("needs_driver.py"),
        "import ctypes\ncode = ctypes.CDLL('libneeds.so.1').needs()\n__version__ = str(code)\n",
    )
    .unwrap();
    let without = answers(&ask, &Options { gpus: Gpus::None, ..options.clone() });
    let file = folder.path().join("libneeds.so.1");
    assert_eq!(
        without[0],
        passed(&format!("{}, with a stub in place of the driver's library", file.display()))
    );
    // 34 is what the stub answers: the module called it.
    assert!(
        matches!(&without[1], Answer::Passed { evidence, .. } if evidence.ends_with("needs_driver 34, with a stub in place of the driver's library")),
        "{:?}",
        without[1]
    );
    let with = answers(&ask, &options);
    assert!(failure(&with[0]).1.starts_with("a GPU was asked for"), "{:?}", with[0]);
}

#[test]
fn a_rank_that_never_arrives_is_named_and_the_others_are_not_blamed() {
    let answer = collectives("late");
    let (evidence, cause) = failure(&answer);
    assert_eq!(
        evidence,
        "rank 1 of 2 never arrived (rank 0 in `ncclCommInitRank`, rank 1 in `starting the driver`)"
    );
    assert!(cause.contains("see the stacks"));
    let Answer::Failed { tail, .. } = &answer else { unreachable!() };
    assert!(tail.iter().any(|line| line.contains("in enter") || line.contains("in call")), "{tail:#?}");
}

#[test]
fn ranks_that_hang_in_nccl_are_killed_before_the_limit_and_say_where() {
    let began = std::time::Instant::now();
    let answer = collectives("hang");
    assert_eq!(
        failure(&answer).0,
        "NCCL did not finish in time: rank 0 in `ncclCommInitRank`, rank 1 in `ncclCommInitRank`"
    );
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_rank_that_crashes_or_has_too_little_shared_memory_is_told_by_its_cause() {
    assert_eq!(failure(&collectives("crash")).0, "rank 1 of 2: it crashed in `ncclCommInitRank`");
    let answer = collectives("shm");
    assert_eq!(failure(&answer).0, "rank 1 of 2: ncclCommInitRank: unhandled system error");
    assert!(failure(&answer).1.starts_with("/dev/shm is too small for NCCL"), "{answer:?}");
    let Answer::Failed { tail, .. } = &answer else { unreachable!() };
    assert!(tail.iter().any(|line| line.contains("No space left on device")), "{tail:#?}");
}

#[test]
fn where_nccl_is_missing_its_ranks_fail_if_it_was_expected_and_are_skipped_if_not() {
    let (folder, options) = machine("");
    std::fs::remove_file(folder.path().join("libnccl.so.2")).unwrap();
    let ask =
        [true, false].map(|expected| probe(ProbeName::NcclCollectives, json!({ "expected": expected })));
    let found = answers(&ask, &options);
    assert!(failure(&found[0]).0.contains("libnccl.so.2: cannot open shared object file"), "{:?}", found[0]);
    assert_eq!(found[1].to_string(), "skipped: NCCL is not in the image");
}

#[test]
fn nodes_that_never_meet_say_which_one_is_missing_and_one_node_alone_skips() {
    let (_folder, mut options) = machine("hang");
    let ask = [probe(ProbeName::NcclNetwork, json!({ "fabric": "efa" }))];
    assert_eq!(answers(&ask, &options)[0].to_string(), "skipped: one node");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = [
        ("NNODES", "2".to_owned()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
    ];
    options.env.extend(place.map(|(name, value)| (name.to_owned(), value)));
    options.env.insert("NODE_RANK".to_owned(), "0".to_owned());
    assert_eq!(failure(&answers(&ask, &options)[0]).0, format!("node 1 of 2 never came to 127.0.0.1:{port}"));
    options.env.insert("NODE_RANK".to_owned(), "1".to_owned());
    let answer = answers(&ask, &options).remove(0);
    assert!(
        failure(&answer).0.starts_with(&format!("node 0 of 2 cannot be reached at 127.0.0.1:{port}")),
        "{answer:?}"
    );
}

#[test]
fn a_node_that_may_come_up_later_is_waited_for_on_top_of_the_probes_own_time() {
    let (_folder, mut options) = machine("hang");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let place = [
        ("NNODES", "2".to_owned()),
        ("NODE_RANK", "0".to_owned()),
        ("MASTER_ADDR", "127.0.0.1".to_owned()),
        ("MASTER_PORT", port.to_string()),
    ];
    options.env.extend(place.map(|(name, value)| (name.to_owned(), value)));
    let ask = |wait: u64| [probe(ProbeName::NcclNetwork, json!({ "fabric": "efa", "wait": wait }))];
    let began = std::time::Instant::now();
    let answer = answers(&ask(9), &options).remove(0);
    // Its own 6 s alone would have ended in under 2.
    assert_eq!(failure(&answer).0, format!("node 1 of 2 never came to 127.0.0.1:{port}"));
    assert!((8.5..14.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    assert_eq!(whole_limit(&ask(9), &options), whole_limit(&ask(0), &options) + Duration::from_secs(9));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "stands for a pod")]
fn in_a_pod_all_that_nccl_wrote_is_in_its_log_and_the_answer_is_not_taken_for_it() {
    let (folder, options) = machine("shm");
    let ask = [probe(ProbeName::NcclCollectives, json!({}))];
    let orders = pod::orders(&ask, options.limit, true, pod::Numbering::Told);
    for (name, text) in &orders.files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let here = folder.path().display().to_string();
    let command = orders.command.iter().map(|word| word.replace("/smp-image", &here)).collect::<Vec<_>>();
    let output =
        std::process::Command::new(&command[0]).args(&command[1..]).envs(&options.env).output().unwrap();
    let log = [output.stdout, output.stderr].concat();
    let said = "[1] NCCL WARN Error: failed to extend /dev/shm";
    assert!(String::from_utf8_lossy(&pod::written(&log)).contains(said), "{}", String::from_utf8_lossy(&log));
    let ending = pod::Ending { pod: "p", status: Some(0), reason: "", log: &log };
    let outcome = pod::read(&ask, &[ending]).remove(0);
    let Answer::Failed { tail, .. } = &outcome.answer else { panic!("{outcome:?}") };
    // The answer quotes NCCL: without it the log says everything once or twice, and never in JSON.
    assert!(tail.iter().any(|line| line.contains(said)), "{tail:#?}");
    assert!(!String::from_utf8_lossy(&pod::written(&log)).contains("\"tail\""));
}

#[test]
fn on_this_machine_a_cancelled_run_takes_its_probe_along() {
    let (folder, mut options) = machine("");
    let file = folder.path().join("pid");
    options.env.insert("PID_FILE".to_owned(), file.display().to_string());
    options.limit = Duration::from_mins(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = [probe(ProbeName::NcclVersion, json!({}))];
    let cancelled = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(4), run_here(Path::new("python3"), &probes, &options)).await
    });
    assert!(cancelled.is_err());
    drop(runtime);
    #[expect(clippy::disallowed_methods, reason = "the probe wrote it")]
    let process = std::fs::read_to_string(&file).unwrap();
    let alive = || Path::new("/proc").join(&process).exists();
    for _ in 0..50 {
        if !alive() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the probe {process} outlived its run");
}

#[test]
fn on_this_machine_the_probes_say_the_same_and_a_missing_python_is_an_error() {
    let (_folder, options) = machine("");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = [
        probe(ProbeName::GpuContext, json!({})),
        probe(ProbeName::Imports, json!({ "modules": ["nowhere"] })),
    ];
    let here = runtime.block_on(run_here(Path::new("python3"), &probes, &options)).unwrap();
    assert_eq!(
        here.into_iter().map(|outcome| outcome.answer).collect::<Vec<_>>(),
        answers(&probes, &options)
    );
    let error = runtime.block_on(run_here(Path::new("/nowhere/python3"), &probes, &options)).unwrap_err();
    assert!(error.to_string().starts_with("cannot start /nowhere/python3: "), "{error}");
}
