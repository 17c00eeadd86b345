//! Judgements of small logs, and of logs that are no logs.

use proptest::prelude::*;

use super::*;
use crate::catalog::Catalog;

fn grade_on(instances: &[&str], logs: &[&str]) -> Grade {
    let table = NcclLog::embedded().unwrap();
    let catalog = Catalog::embedded().unwrap();
    let instances: Vec<&Instance> = instances.iter().map(|name| &catalog.instances[*name]).collect();
    let mut grader = Grader::new(&table, Expected::on(&instances));
    for (number, log) in (1..).zip(logs) {
        grader.read(&format!("{number}.log"), log.as_bytes()).unwrap();
    }
    grader.finish()
}

fn grade(log: &str) -> Grade {
    grade_on(&[], &[log])
}

fn aspect<'a>(grade: &'a Grade, name: &str) -> &'a Aspect {
    grade.aspects.iter().find(|aspect| aspect.name == name).unwrap()
}

/// Two ranks on two p5 nodes, all well.
const WELL: &str = "a:1:1 [0] NCCL INFO NCCL version 2.27.5+cuda12.9
a:1:2 [0] NCCL INFO NET/OFI Initializing aws-ofi-nccl 1.16.3
a:1:2 [0] NCCL INFO NET/OFI Selected provider is efa, fabric is efa-direct (found 32 nics)
a:1:2 [0] NCCL INFO Using network Libfabric
b:1:2 [0] NCCL INFO NET/OFI Initializing aws-ofi-nccl 1.16.3
b:1:2 [0] NCCL INFO NET/OFI Selected provider is efa, fabric is efa-direct (found 32 nics)
b:1:2 [0] NCCL INFO Using network Libfabric
a:1:2 [0] NCCL INFO ncclCommInitRank comm 0x1 rank 0 nranks 2 cudaDev 0 - Init START
b:1:2 [0] NCCL INFO ncclCommInitRank comm 0x2 rank 1 nranks 2 cudaDev 0 - Init START
a:1:3 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via NET/Libfabric/0/GDRDMA
b:1:3 [0] NCCL INFO Channel 00/0 : 1[0] -> 0[0] [send] via NET/Libfabric/0/GDRDMA
a:1:2 [0] NCCL INFO ncclCommInitRank comm 0x1 rank 0 nranks 2 cudaDev 0 - Init COMPLETE
b:1:2 [0] NCCL INFO ncclCommInitRank comm 0x2 rank 1 nranks 2 cudaDev 0 - Init COMPLETE
";

#[test]
fn a_job_over_efa_with_gpu_direct_passes() {
    let grade = grade_on(&["ml.p5.48xlarge"], &[WELL]);
    assert_eq!(grade.verdict, Status::Passed, "{grade:#?}");
    assert_eq!(
        aspect(&grade, "start").said,
        "every communicator is complete; 2 of 2 ranks are in the log, on 2 hosts"
    );
    assert_eq!(aspect(&grade, "gpu-direct").said, "2 of 2 channels over the network use GPUDirect RDMA");
    assert_eq!(grade.ranks.len(), 2);
}

#[test]
fn a_connection_that_was_tried_again_and_stood_in_the_end_fails_no_job() {
    let refused = |attempt: u32| {
        format!(
            "b:1:2 [0] NCCL INFO socketPollConnect: connect to 10.0.0.1<4000> returned Connection refused, retrying ({attempt}/34) after sleep for 100 msec\n"
        )
    };
    let late = refused(1) + &refused(2) + WELL;
    let grade = grade_on(&["ml.p5.48xlarge"], &[&late]);
    let codes: Vec<&str> = grade.symptoms.iter().map(|symptom| symptom.code.as_str()).collect();
    assert_eq!((grade.verdict, codes), (Status::Passed, vec!["peer-retried"]));
    // The other side refuses for 21 seconds: it is not slow, it is gone.
    let gone = (1..=20).map(refused).collect::<String>() + WELL;
    let grade = grade_on(&["ml.p5.48xlarge"], &[&gone]);
    assert_eq!((grade.verdict, grade.symptoms[0].code.as_str()), (Status::Failed, "peer-unreachable"));
    let given_up = "[2025-05-16 10:49:23] b:1:2 [0] misc/socket.cc:544 NCCL WARN socketPollConnect: connect returned Connection refused, exceeded error retry count (35)\n";
    let grade = grade_on(&["ml.p5.48xlarge"], &[&(WELL.to_owned() + given_up)]);
    assert_eq!((grade.verdict, grade.symptoms[0].code.as_str()), (Status::Failed, "peer-unreachable"));
}

#[test]
fn of_several_failures_the_one_that_says_what_failed_is_told_first() {
    let log = "a:1:1 [0] NCCL INFO NCCL version 2.21.5+cuda12.8
libfabric:85:1747438790::core:core:fi_getinfo_():1392<warn> fi_getinfo: provider efa output empty list
a:1:1 [0] nccl_net_ofi_domain_get_ep:969 NCCL WARN NET/OFI Creating new endpoint for domain 0x7f failed: Invalid argument
";
    let grade = grade_on(&["ml.p5.48xlarge"], &[log]);
    let codes: Vec<&str> = grade.symptoms.iter().map(|symptom| symptom.code.as_str()).collect();
    assert_eq!(codes, ["wrong-libfabric", "efa-not-visible"]);
    assert!(aspect(&grade, "errors").remedy.starts_with("put /opt/amazon/efa/lib first"));
    let plugin = aspect(&grade, "plugin");
    assert_eq!(plugin.status, Status::Unknown);
    assert!(plugin.said.starts_with("the log speaks of EFA"), "{}", plugin.said);
}

#[test]
fn the_logs_of_two_pods_in_two_files_are_one_job() {
    let (a, b): (Vec<&str>, Vec<&str>) = WELL.lines().partition(|line| line.starts_with("a:"));
    let grade = grade_on(&["ml.p5.48xlarge"], &[&a.join("\n"), &b.join("\n")]);
    assert_eq!(grade.verdict, Status::Passed, "{grade:#?}");
    assert_eq!(grade.read.logs, ["1.log", "2.log"]);
}

#[test]
fn one_rank_that_fell_back_to_sockets_fails_the_job_and_is_named() {
    let log = WELL
        .replace("b:1:2 [0] NCCL INFO Using network Libfabric", "b:1:2 [0] NCCL INFO Using network Socket");
    let grade = grade_on(&["ml.p5.48xlarge"], &[&log]);
    let network = aspect(&grade, "network");
    assert_eq!((network.status, network.lines[0].number), (Status::Failed, 7));
    let statuses: Vec<Status> = grade.ranks.iter().map(|rank| rank.status).collect();
    assert_eq!(statuses, [Status::Passed, Status::Failed]);
}

#[test]
fn gpu_direct_is_required_on_p5_and_not_on_g5() {
    let log = WELL.replace("/GDRDMA", "");
    assert_eq!(aspect(&grade_on(&["ml.p5.48xlarge"], &[&log]), "gpu-direct").status, Status::Failed);
    let grade = grade_on(&["ml.g5.8xlarge"], &[&log]);
    assert_eq!(grade.verdict, Status::Passed, "{grade:#?}");
    assert_eq!(aspect(&grade, "gpu-direct").said, "not required on ml.g5.8xlarge");
}

#[test]
fn a_text_means_something_only_in_its_versions() {
    let log = |version: &str| {
        format!(
            "NCCL version {version}\na:1:1 [0] NCCL INFO NET/Plugin: Failed to find ncclNetPlugin_v6 symbol.\n\
             a:1:1 [0] NCCL INFO Using network Socket\n"
        )
    };
    // In 2.26 it is the last of the series; in 2.21 an older one may still be found.
    let status = |version| aspect(&grade_on(&["ml.p5.48xlarge"], &[&log(version)]), "plugin").status;
    assert_eq!([status("2.26.2"), status("2.21.5")], [Status::Failed, Status::Passed]);
}

#[test]
fn a_newer_symbol_that_is_absent_means_nothing_when_an_older_one_loads() {
    let log = "NCCL version 2.26.2\na:1:1 [0] NCCL INFO NET/Plugin: Failed to find ncclNetPlugin_v9 symbol.\n\
               a:1:1 [0] NCCL INFO NET/Plugin: Loaded net plugin Libfabric (v8)\n";
    let grade = grade(log);
    let plugin = aspect(&grade, "plugin");
    assert_eq!((plugin.status, plugin.said.as_str()), (Status::Passed, "Libfabric (v8)"));
}

#[test]
fn ranks_that_wait_for_one_that_never_came_are_not_passed() {
    let lines: Vec<&str> = WELL.lines().filter(|line| !line.contains("COMPLETE")).collect();
    let log = lines.join("\n");
    let grade = grade(&log);
    assert_eq!(aspect(&grade, "start").status, Status::Unknown);
    assert_eq!(grade.verdict, Status::Unknown);
}

#[test]
fn a_warning_that_nobody_knows_is_unknown_and_quoted() {
    let grade = grade(&format!("{WELL}a:1:2 [0] new.cc:1 NCCL WARN something new\n"));
    let errors = aspect(&grade, "errors");
    assert_eq!((errors.status, errors.lines[0].number), (Status::Unknown, 14));
}

#[test]
fn nothing_is_passed_by_a_log_that_says_nothing() {
    for log in ["", "epoch 1: loss 3.2\n", "\u{0}\u{1}\u{2}"] {
        let grade = grade(log);
        assert_eq!(grade.verdict, Status::Unknown, "{log:?}");
        assert!(grade.aspects.iter().all(|aspect| aspect.status != Status::Failed));
    }
}

#[test]
fn colours_and_carriage_returns_hide_nothing() {
    let log = WELL.replace("a:1:2", "\u{1b}[36mworker-0\u{1b}[0m | a:1:2").replace('\n', "\r\n");
    assert_eq!(grade_on(&["ml.p5.48xlarge"], &[&log]).verdict, Status::Passed);
}

#[test]
fn a_line_without_end_is_read_in_bounded_memory() {
    let long = "x".repeat(50 << 20);
    let grade = grade(&format!("{long}\n{WELL}"));
    assert_eq!((grade.read.shortened, grade.read.lines), (1, 14));
    assert_eq!(aspect(&grade, "start").status, Status::Passed);
}

#[test]
fn of_a_warning_said_a_million_times_three_lines_are_kept() {
    let line = "a:1:2 [0] x.cc:1 NCCL WARN Cuda failure 'out of memory'\n";
    let grade = grade(&line.repeat(100_000));
    let symptom = &grade.symptoms[0];
    assert_eq!((symptom.code.as_str(), symptom.count, symptom.lines.len()), ("gpu-memory", 100_000, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_the_grader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let table = NcclLog::embedded().unwrap();
        let mut grader = Grader::new(&table, None);
        grader.read("x", bytes.as_slice()).unwrap();
        let _any = grader.finish();
    }

    #[test]
    fn no_mixture_of_what_nccl_writes_makes_the_grader_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "NCCL INFO ", "NCCL WARN ", "NCCL version ", "2.27.5", "a:1:2 ", "[0] ", "[", "]", ":", " via NET/", "GDRDMA",
                "Using network ", "AWS ", "Libfabric", "é", "\u{1b}[", "\n", " - Init START", " - Init COMPLETE", " rank 0 nranks 99999999999 ",
                "Selected Provider is ", "2025-05-16T16:39:51é.208-0", "External network plugin", "is unsupported", "RC: -22",
                "register_rail_mr_buffer", "Loaded net plugin ",
            ]),
            0..40,
        ),
    ) {
        let _any = grade(&words.concat());
    }

    #[test]
    fn the_order_in_which_ranks_write_does_not_change_the_verdict(order in Just((0..13).collect::<Vec<usize>>()).prop_shuffle()) {
        let lines: Vec<&str> = WELL.lines().collect();
        let shuffled: Vec<&str> = order.iter().map(|&at| lines[at]).collect();
        prop_assert_eq!(grade_on(&["ml.p5.48xlarge"], &[&shuffled.join("\n")]).verdict, Status::Passed);
    }
}
