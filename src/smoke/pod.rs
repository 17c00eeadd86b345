//! Probes in pods: the same runner, the same order and the same answers as in a container of an engine.
//!
//! Nobody holds the standard input of a pod; the runner and its order come as files of a ConfigMap. A pod's log is its output.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, MARGIN, MARGIN_EACH, MARK, Order, Outcome, RUNNER, ordered_probe, outcomes};
use crate::engine::RunResult;
use crate::plan::Probe;

/// Where the files are seen in a pod.
const FOLDER: &str = "/smp-image";

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

/// Returns what a pod is given to run `probes`, each for at most `limit`, where a GPU is expected.
pub fn orders(probes: &[Probe], limit: Duration) -> Orders {
    let ordered = probes.iter().enumerate().map(|(id, probe)| ordered_probe(id, probe, limit)).collect();
    let order = Order { mark: MARK, gpu: true, probes: ordered };
    // The order is made of texts and numbers: it always has a JSON form.
    let order = serde_json::to_string(&order).unwrap_or_default();
    let files = [("runner.py", RUNNER.to_owned()), ("order.json", order + "\n")];
    // The runner reads its order from standard input; no shell, which not every image has.
    let start = format!(
        "import os, runpy; os.dup2(os.open('{FOLDER}/order.json', os.O_RDONLY), 0); runpy.run_path('{FOLDER}/runner.py', run_name='__main__')"
    );
    let count = u32::try_from(probes.len()).unwrap_or(u32::MAX);
    Orders {
        files: files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
        command: vec!["python3".to_owned(), "-c".to_owned(), start],
        limit: MARGIN.saturating_add(limit.saturating_add(MARGIN_EACH).saturating_mul(count)),
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
