//! NCCL's log of a job, judged: which network carried it, whether the GPUs reached each other, what failed and why.
//!
//! A log is read line by line, in bounded memory, whatever it holds. What it does not say is `unknown`, never `passed`.

mod judge;
mod line;
mod pattern;
mod state;

#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use serde::Serialize;

use crate::catalog::{Fact, Instance, NcclLog, Rdma, SymptomSeverity};
use pattern::Patterns;
use state::State;

/// The longest part of a line that is read; the rest of a longer one is skipped.
const LINE_LIMIT: usize = 16 * 1024;

/// What the log should show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Expected {
    /// The instance types on which the job ran.
    pub instances: Vec<String>,
    /// Whether every one of them has EFA.
    pub efa: bool,
    /// Whether every one of them moves data between GPU and network without the CPU; absent where nothing citable says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_direct: Option<bool>,
}

impl Expected {
    /// Returns what a job on `instances` should show; nothing where none is named.
    pub fn on(instances: &[&Instance]) -> Option<Self> {
        if instances.is_empty() {
            return None;
        }
        let any = |rdma: &[Rdma]| instances.iter().any(|instance| rdma.contains(&instance.rdma));
        let gpu_direct = if any(&[Rdma::NoEfa, Rdma::None]) {
            Some(false)
        } else if any(&[Rdma::Unknown]) {
            None
        } else {
            Some(true)
        };
        Some(Self {
            instances: instances.iter().map(|instance| instance.name.clone()).collect(),
            efa: instances.iter().all(|instance| instance.efa > 0),
            gpu_direct,
        })
    }
}

/// A judged log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Grade {
    /// All of it in one word: failed if any aspect is, else unknown if any aspect is, else passed.
    pub verdict: Status,
    /// What was expected, where instances were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Each question that was asked of the log.
    pub aspects: Vec<Aspect>,
    /// Known failures and oddities, the gravest first.
    pub symptoms: Vec<SeenSymptom>,
    /// Each rank that speaks in the log.
    pub ranks: Vec<Rank>,
    /// How much was read.
    pub read: Read,
}

/// A judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The log shows that it is well.
    Passed,
    /// The log does not say.
    Unknown,
    /// The log shows that it is not.
    Failed,
}

impl Status {
    /// Returns the word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}

/// One question that is asked of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Aspect {
    /// `nccl`, `plugin`, `network`, `gpu-direct`, `start`, `errors`.
    pub name: &'static str,
    /// The judgement.
    pub status: Status,
    /// What was seen, in words.
    pub said: String,
    /// What to do; empty where it is well.
    pub remedy: String,
    /// The lines that decided, at most a few.
    pub lines: Vec<Line>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Line {
    /// The log.
    pub log: String,
    /// Its number, from 1.
    pub number: u64,
    /// Its text, without control characters, shortened.
    pub text: String,
}

/// A known failure or oddity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SeenSymptom {
    /// Its name.
    pub code: String,
    /// How grave it is.
    pub severity: SymptomSeverity,
    /// How many lines show it.
    pub count: u64,
    /// The likely cause.
    pub cause: String,
    /// What to do.
    pub remedy: String,
    /// The first lines that show it.
    pub lines: Vec<Line>,
    /// Where this is known from.
    pub fact: Fact,
}

/// A process with its GPU that speaks in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Rank {
    /// Its number in the largest communicator; absent where the log does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// How many ranks that communicator has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// The host; empty where the log lost it.
    pub host: String,
    /// The process.
    pub pid: u64,
    /// The GPU by its number in the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<u32>,
    /// The network that NCCL chose: `Libfabric`, `Socket`, `IB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The libfabric provider: `efa`, `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// How its channels go: `P2P`, `SHM`, `NET/Libfabric`, `NET/Libfabric/GDRDMA`.
    pub routes: Vec<String>,
    /// Communicators that it began and completed.
    pub started: u32,
    /// Communicators that it completed.
    pub completed: u32,
    /// The judgement of this rank: failed where it warned of a known failure, uses the wrong network or never completed.
    pub status: Status,
}

/// How much was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct Read {
    /// The logs, by name.
    pub logs: Vec<String>,
    /// Lines.
    pub lines: u64,
    /// Messages of NCCL in them.
    pub messages: u64,
    /// Lines of which only the first 16 KiB were read.
    pub shortened: u64,
    /// Messages of processes beyond the first 65,536, which were not kept apart.
    pub beyond: u64,
}

/// Reads logs and judges them.
#[derive(Debug)]
pub struct Grader<'a> {
    table: &'a NcclLog,
    patterns: Option<Patterns>,
    expected: Option<Expected>,
    state: State,
}

impl<'a> Grader<'a> {
    /// Returns a grader that knows `table` and has read nothing.
    pub fn new(table: &'a NcclLog, expected: Option<Expected>) -> Self {
        Self { table, patterns: Patterns::new(table), expected, state: State::default() }
    }

    /// Reads the log `name` to its end.
    ///
    /// # Errors
    /// Where it cannot be read further; what was read until then is kept.
    pub fn read(&mut self, name: &str, mut log: impl BufRead) -> io::Result<()> {
        self.state.begin(name);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let (any, whole) = read_line(&mut log, &mut bytes)?;
            if !any {
                return Ok(());
            }
            self.state.read.shortened += u64::from(!whole);
            let text = plain(&String::from_utf8_lossy(&bytes));
            let hits = self.patterns.as_ref().map(|patterns| patterns.find(&text)).unwrap_or_default();
            self.state.line(&text, &hits);
        }
    }

    /// Judges what was read.
    pub fn finish(self) -> Grade {
        judge::grade(&self.state, self.table, self.expected)
    }
}

/// Reads one line into `bytes`, at most [`LINE_LIMIT`] of it; returns whether there was one and whether all of it was kept.
fn read_line(log: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<(bool, bool)> {
    let (mut any, mut whole) = (false, true);
    loop {
        let buffer = match log.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok((any, whole));
        }
        any = true;
        let (part, end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&buffer[..at], true),
            None => (buffer, false),
        };
        let room = LINE_LIMIT - bytes.len();
        whole &= part.len() <= room;
        bytes.extend_from_slice(&part[..part.len().min(room)]);
        let used = part.len() + usize::from(end);
        log.consume(used);
        if end {
            return Ok((true, whole));
        }
    }
}

/// Returns `text` without escape sequences and control characters.
///
/// Other than for a terminal, what stands before a carriage return is kept: progress bars write over messages of NCCL.
fn plain(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // ECMA-48: `ESC [ … letter`, and two characters otherwise.
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    let _letter = characters.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            character if character.is_control() => clean.push(' '),
            character => clean.push(character),
        }
    }
    clean
}
