//! Probes in pods: the same runner, the same order and the same answers as in a container of an engine.
//!
//! Nobody holds the standard input of a pod; the runner and its order come as files of a ConfigMap. A pod's log is its output.

use std::collections::BTreeMap;
use std::time::Duration;

use super::order::{MARK, RUNNER, order};
use super::{Answer, Options, Outcome, outcomes, whole_limit};
use crate::engine::RunResult;
use crate::plan::Probe;

/// Where the files are seen in a pod.
const FOLDER: &str = "/smp-image";
/// For workers that nobody numbers in the environment: MPIJob's are `NAME-worker-0`, `NAME-worker-1`, …, and find each other by the
/// name that each has for itself, whatever the service before it is called.
const NUMBERED: &str = "host, _, domain = socket.getfqdn().partition('.'); stem, number = host.rsplit('-', 1); \
                        os.environ.update(NODE_RANK=number, MASTER_ADDR='.'.join(filter(None, (stem + '-0', domain)))); ";

/// What a pod is given to run `probes`: files, and the command that runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The files, by name.
    pub files: BTreeMap<String, String>,
    /// The command.
    pub command: Vec<String>,
    /// How long it may run.
    pub limit: Duration,
}

/// How pods of one run are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// There is only one, or the environment numbers them.
    Told,
    /// By the numbers at the end of their hosts' names.
    Hosts,
}

/// Returns what a pod is given to run `probes`, each for at most `limit`, and whether a GPU is promised to it.
pub fn orders(probes: &[Probe], limit: Duration, gpu_promised: bool, numbering: Numbering) -> Orders {
    let options = Options { gpu_promised, limit, echo: true, ..Options::default() };
    let order = String::from_utf8_lossy(&order(probes, &options, false)).into_owned();
    let files = [("runner.py", RUNNER.to_owned()), ("order.json", order)];
    // The runner reads its order from standard input; no shell, which not every image has.
    let numbered = if numbering == Numbering::Hosts { NUMBERED } else { "" };
    let start = format!(
        "import os, runpy, socket; {numbered}os.dup2(os.open('{FOLDER}/order.json', os.O_RDONLY), 0); runpy.run_path('{FOLDER}/runner.py', run_name='__main__')"
    );
    Orders {
        files: files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
        command: vec!["python3".to_owned(), "-c".to_owned(), start],
        limit: whole_limit(probes, &options),
    }
}

/// How a pod ended, and what it wrote.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Its name.
    pub pod: &'a str,
    /// Its exit status.
    pub status: Option<i64>,
    /// Why it ended, where the cluster says.
    pub reason: &'a str,
    /// Its log.
    pub log: &'a [u8],
}

/// Reads the outcomes of `probes` from the pods that ran them: of several pods the worst outcome of each probe, which names its pod.
pub fn read(probes: &[Probe], endings: &[Ending<'_>]) -> Vec<Outcome> {
    let mut worst: Vec<Outcome> = Vec::new();
    for ending in endings {
        let result = RunResult {
            status: ending.status.unwrap_or(-1),
            stdout: ending.log.to_vec(),
            stderr: Vec::new(),
            took: Duration::ZERO,
        };
        let mut here = outcomes(probes, &result);
        for outcome in &mut here {
            told(outcome, ending, endings.len() > 1);
        }
        if worst.is_empty() {
            worst = here;
        } else {
            for (known, new) in worst.iter_mut().zip(here) {
                if gravity(&new.answer) > gravity(&known.answer) {
                    *known = new;
                }
            }
        }
    }
    worst
}

/// Names the pod and what the cluster says of its end, where a probe failed.
fn told(outcome: &mut Outcome, ending: &Ending<'_>, named: bool) {
    let Answer::Failed { evidence, .. } = &mut outcome.answer else { return };
    if outcome.took == 0.0 && !ending.reason.is_empty() {
        *evidence = format!("{evidence}: {}", ending.reason);
    }
    if named {
        *evidence = format!("{}: {evidence}", ending.pod);
    }
}

fn gravity(answer: &Answer) -> u8 {
    match answer {
        Answer::Passed { .. } => 0,
        Answer::Skipped { .. } => 1,
        Answer::Failed { .. } => 2,
    }
}

/// Returns the line without a runner's answer in it; nothing where it is one.
pub fn chatter(line: &str) -> Option<&str> {
    (!line.contains(MARK) && !line.trim().is_empty()).then_some(line)
}

/// Returns what probes and their libraries wrote into `log` beside their answers, which quote it.
pub fn written(log: &[u8]) -> Vec<u8> {
    let mark = MARK.as_bytes();
    let answers = |line: &[u8]| line.windows(mark.len()).any(|part| part == mark);
    log.split_inclusive(|&byte| byte == b'\n').filter(|line| !answers(line)).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ProbeName;

    fn probes() -> Vec<Probe> {
        [ProbeName::GpuContext, ProbeName::NcclOneRank]
            .map(|name| Probe { name, input: serde_json::json!({}), gpu: true })
            .to_vec()
    }

    fn answer(id: usize, status: &str) -> String {
        let rest = if status == "skipped" { r#""reason":"no GPU""# } else { r#""evidence":"seen""# };
        format!("chatter\n{MARK}{{\"id\":{id},\"took\":1.0,\"answer\":{{\"status\":\"{status}\",{rest}}}}}\n")
    }

    fn ending<'a>(pod: &'a str, log: &'a str, status: Option<i64>, reason: &'a str) -> Ending<'a> {
        Ending { pod, status, reason, log: log.as_bytes() }
    }

    #[test]
    fn of_several_pods_the_worst_outcome_counts_and_names_its_pod() {
        let (well, bad) =
            (answer(0, "passed") + &answer(1, "passed"), answer(0, "passed") + &answer(1, "failed"));
        let pods = [
            ending("w-0", &well, Some(0), ""),
            ending("w-1", &bad, Some(0), ""),
            ending("w-2", &well, Some(0), ""),
        ];
        let outcomes = read(&probes(), &pods);
        assert!(matches!(outcomes[0].answer, Answer::Passed { .. }), "{outcomes:?}");
        assert!(
            matches!(&outcomes[1].answer, Answer::Failed { evidence, .. } if evidence == "w-1: seen"),
            "{outcomes:?}"
        );
    }

    #[test]
    fn a_pod_that_was_killed_fails_every_probe_that_it_did_not_answer_with_the_clusters_reason() {
        let outcomes = read(&probes(), &[ending("p", &answer(0, "skipped"), Some(137), "OOMKilled")]);
        assert!(matches!(outcomes[0].answer, Answer::Skipped { .. }));
        let Answer::Failed { evidence, .. } = &outcomes[1].answer else { panic!("{outcomes:?}") };
        assert!(evidence.ends_with("before this probe answered: OOMKilled"), "{evidence}");
    }

    #[test]
    fn lines_of_the_runner_are_no_chatter() {
        assert_eq!(chatter(&format!("{MARK}{{}}")), None);
        assert_eq!([chatter("  "), chatter("NCCL INFO x")], [None, Some("NCCL INFO x")]);
    }
}
