//! From what a log said to a judgement, aspect by aspect.

mod network;

use std::collections::{BTreeMap, BTreeSet};

use super::state::{KEPT, Lines, State, Voice};
use super::{Aspect, Expected, Grade, Line, Rank, SeenSymptom, Status};
use crate::catalog::{LogEvent, NcclLog, Symptom, SymptomSeverity};
use crate::recipe::{Version, VersionRange};

/// What is judged, and against what.
struct Case<'a> {
    state: &'a State,
    table: &'a NcclLog,
    expected: Option<&'a Expected>,
    nccl: Option<Version>,
    plugin: Option<Version>,
    hosts: Hosts,
}

/// Whether the job ran on more than one host, as far as the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hosts {
    One,
    Many,
    Untold,
}

/// Judges what `state` holds.
pub(super) fn grade(state: &State, table: &NcclLog, expected: Option<Expected>) -> Grade {
    let case = Case {
        nccl: only_version(&state.versions),
        plugin: only_version(&state.plugins),
        hosts: hosts(state),
        state,
        table,
        expected: expected.as_ref(),
    };
    let symptoms = symptoms(&case);
    let grave = symptoms.iter().any(|symptom| symptom.severity == SymptomSeverity::Error);
    let aspects = vec![
        nccl(&case),
        network::plugin(&case),
        network::network(&case),
        network::gpu_direct(&case),
        start(&case, grave),
        errors(&case, &symptoms),
    ];
    let ranks = ranks(&case);
    // No aspect at all cannot be: the worst of six.
    let verdict = aspects.iter().map(|aspect| aspect.status).max().unwrap_or(Status::Unknown);
    Grade { verdict, aspects, symptoms, ranks, read: state.read.clone(), expected }
}

fn aspect(
    name: &'static str,
    status: Status,
    said: impl Into<String>,
    remedy: &str,
    lines: Vec<Line>,
) -> Aspect {
    let remedy = if status == Status::Passed { "" } else { remedy };
    Aspect { name, status, said: said.into(), remedy: remedy.to_owned(), lines }
}

/// Returns the version, if there is one and only one.
fn only_version(named: &BTreeMap<String, Lines>) -> Option<Version> {
    let versions: Vec<Version> = named.keys().filter_map(|name| version(name)).collect();
    let first = versions.first()?;
    versions.iter().all(|version| version == first).then(|| first.clone())
}

/// Reads `2.21.5+cuda12.4`, `1.13.2-aws`, `1.4.0aws`.
fn version(text: &str) -> Option<Version> {
    let number: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.trim_end_matches('.').parse().ok()
}

fn hosts(state: &State) -> Hosts {
    let hosts: BTreeSet<&str> =
        state.voices.keys().map(|(host, ..)| host.as_str()).filter(|host| !host.is_empty()).collect();
    let leaves = state.direct.count + state.copied.count > 0;
    if hosts.len() > 1 || leaves || state.nodes > Some(1) {
        return Hosts::Many;
    }
    if state.nodes == Some(1) {
        return Hosts::One;
    }
    let ranks: BTreeSet<(u32, u32)> = state.voices.values().filter_map(|voice| voice.rank).collect();
    let world = ranks.iter().map(|(_, of)| *of).max();
    match world {
        Some(world) if ranks.iter().filter(|(_, of)| *of == world).count() as u64 == u64::from(world) => {
            Hosts::One
        }
        _ => Hosts::Untold,
    }
}

impl Case<'_> {
    /// Returns whether a text of `range` has its meaning in this log's version of NCCL; it has where nobody knows the version.
    fn fits(&self, range: Option<&VersionRange>) -> bool {
        fits(range, self.nccl.as_ref())
    }

    /// Returns the lines of the table that say `event` in this version, together.
    fn event(&self, event: LogEvent) -> Lines {
        let mut all = Lines::default();
        for (at, lines) in &self.state.events {
            let known = &self.table.lines[*at];
            if known.event == event && self.fits(known.nccl.as_ref()) {
                all.count += lines.count;
                all.first.extend(lines.first.iter().cloned());
            }
        }
        all.first.sort_by(|a, b| (&a.log, a.number).cmp(&(&b.log, b.number)));
        all.first.dedup();
        all.first.truncate(KEPT);
        all
    }

    fn symptom(&self, at: usize) -> Option<&Symptom> {
        let symptom = &self.table.symptoms[at];
        let fits = self.fits(symptom.nccl.as_ref()) && fits(symptom.plugin.as_ref(), self.plugin.as_ref());
        fits.then_some(symptom)
    }

    /// Returns whether the job is meant to run over EFA: it was said, or the log itself speaks of it.
    fn means_efa(&self) -> bool {
        match self.expected {
            Some(expected) => expected.efa,
            None => self.state.speaks_of_efa && self.hosts != Hosts::One,
        }
    }
}

fn fits(range: Option<&VersionRange>, version: Option<&Version>) -> bool {
    match (range, version) {
        (Some(range), Some(version)) => range.admits(version),
        _ => true,
    }
}

fn nccl(case: &Case<'_>) -> Aspect {
    let versions = &case.state.versions;
    let lines: Vec<Line> = versions.values().filter_map(|lines| lines.first.first().cloned()).collect();
    let names: Vec<&str> = versions.keys().map(String::as_str).collect();
    match (names.as_slice(), &case.nccl) {
        ([], _) => aspect(
            "nccl",
            Status::Unknown,
            "the log names no version of NCCL",
            "run with NCCL_DEBUG=INFO, and keep the log from its beginning",
            lines,
        ),
        (names, Some(_)) => aspect("nccl", Status::Passed, format!("NCCL {}", names.join(", ")), "", lines),
        (names, None) => aspect(
            "nccl",
            Status::Failed,
            format!("ranks run different versions of NCCL: {}", names.join(", ")),
            "give all nodes one image, by digest",
            lines,
        ),
    }
}

/// Whether the ranks found each other: every communicator that was begun is complete.
fn start(case: &Case<'_>, grave: bool) -> Aspect {
    let state = case.state;
    let open: Vec<&Voice> = state.voices.values().filter(|voice| voice.started > voice.completed).collect();
    let said = heard(state);
    if state.started.count + state.completed.count == 0 {
        let remedy = "run with NCCL_DEBUG=INFO, and keep the log until training has begun";
        return aspect("start", Status::Unknown, "no communicator begins in the log", remedy, Vec::new());
    }
    if open.is_empty() {
        let lines = state.completed.first.iter().take(1).cloned().collect();
        return aspect("start", Status::Passed, format!("every communicator is complete; {said}"), "", lines);
    }
    let of = state.voices.values().filter(|voice| voice.started > 0).count();
    let words =
        format!("{} of {of} ranks never completed a communicator that they began; {said}", open.len());
    let (status, remedy) = if grave || open.len() < of {
        (Status::Failed, "find the rank that failed or never came: the others wait for it")
    } else {
        (Status::Unknown, "a rank never came, or the log was cut: keep it until training has begun or failed")
    };
    aspect("start", status, words, remedy, state.started.first.clone())
}

/// Says how many of the ranks are in the log.
fn heard(state: &State) -> String {
    let ranks: BTreeSet<(u32, u32)> = state.voices.values().filter_map(|voice| voice.rank).collect();
    let Some(world) = ranks.iter().map(|(_, of)| *of).max() else {
        return "the log names no ranks".to_owned();
    };
    let here = ranks.iter().filter(|(_, of)| *of == world).count();
    let hosts: BTreeSet<&str> =
        state.voices.keys().map(|(host, ..)| host.as_str()).filter(|host| !host.is_empty()).collect();
    match hosts.len() {
        0 => format!("{here} of {world} ranks are in the log"),
        1 => format!("{here} of {world} ranks are in the log, on one host"),
        many => format!("{here} of {world} ranks are in the log, on {many} hosts"),
    }
}

fn errors(case: &Case<'_>, symptoms: &[SeenSymptom]) -> Aspect {
    let grave: Vec<&SeenSymptom> =
        symptoms.iter().filter(|symptom| symptom.severity == SymptomSeverity::Error).collect();
    if let Some(first) = grave.first() {
        let codes: Vec<&str> = grave.iter().map(|symptom| symptom.code.as_str()).collect();
        let said = format!("known failures: {}", codes.join(", "));
        return aspect("errors", Status::Failed, said, &first.remedy, first.lines.clone());
    }
    let unexplained = &case.state.unexplained;
    if unexplained.count > 0 {
        let said = match unexplained.count {
            1 => "a warning of NCCL that is not in our table".to_owned(),
            many => format!("{many} warnings of NCCL that are not in our table"),
        };
        let remedy = "read them; a failure that is known by its words belongs into catalog/nccl-log.toml";
        return aspect("errors", Status::Unknown, said, remedy, unexplained.first.clone());
    }
    if case.state.read.messages == 0 {
        let remedy = "run with NCCL_DEBUG=INFO; PyTorch's own log does not show what NCCL does";
        return aspect("errors", Status::Unknown, "the log holds no message of NCCL", remedy, Vec::new());
    }
    aspect("errors", Status::Passed, "no warning that means anything", "", Vec::new())
}

/// Returns the symptoms that mean something in these versions, the gravest first, then in the order of the log.
fn symptoms(case: &Case<'_>) -> Vec<SeenSymptom> {
    let seen = |(at, lines): (&usize, &Lines)| {
        let symptom = case.symptom(*at)?;
        (symptom.severity != SymptomSeverity::Benign).then(|| SeenSymptom {
            code: symptom.code.clone(),
            severity: symptom.severity,
            count: lines.count,
            cause: symptom.cause.clone(),
            remedy: symptom.remedy.clone(),
            lines: lines.first.clone(),
            fact: symptom.fact.clone(),
        })
    };
    let mut symptoms: Vec<SeenSymptom> = case.state.symptoms.iter().filter_map(seen).collect();
    symptoms.sort_by_key(|symptom| {
        let first = symptom.lines.first();
        (symptom.severity, distance(&symptom.code), first.map(|line| line.number))
    });
    symptoms
}

/// Returns how far a symptom is from a cause: one that only says that something failed, not what, is told after one that says it.
fn distance(code: &str) -> u8 {
    match code {
        // No device is found also where another libfabric looks for it, or a limit is too low.
        "efa-not-visible" => 1,
        "unhandled" | "peer-gone" | "request-failed" | "cuda-failure" | "ofi-failed" | "aborted"
        | "watchdog" => 2,
        _ => 0,
    }
}

fn ranks(case: &Case<'_>) -> Vec<Rank> {
    let rank = |((host, pid, device), voice): (&(String, u64, Option<u32>), &Voice)| Rank {
        rank: voice.rank.map(|(rank, _)| rank),
        of: voice.rank.map(|(_, of)| of),
        host: host.clone(),
        pid: *pid,
        device: *device,
        network: voice.network.clone(),
        provider: voice.provider.clone(),
        routes: voice.routes.keys().take(16).cloned().collect(),
        started: voice.started,
        completed: voice.completed,
        status: rank_status(case, voice),
    };
    let mut ranks: Vec<Rank> = case.state.voices.iter().map(rank).collect();
    ranks.sort_by_key(|rank| rank.rank.unwrap_or(u32::MAX));
    ranks
}

fn rank_status(case: &Case<'_>, voice: &Voice) -> Status {
    let grave = voice.symptoms.iter().filter_map(|at| case.symptom(*at));
    let grave = grave.filter(|symptom| symptom.severity == SymptomSeverity::Error).count() > 0;
    let astray = voice.network.as_ref().is_some_and(|network| case.means_efa() && network != "Libfabric");
    let elsewhere = voice.provider.as_ref().is_some_and(|provider| case.means_efa() && provider != "efa");
    if grave || astray || elsewhere {
        Status::Failed
    } else if voice.completed > 0 && voice.started <= voice.completed {
        Status::Passed
    } else {
        Status::Unknown
    }
}
