//! What a log said so far: small, whatever its length.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{self, Level, Message, Speaker};
use super::pattern::{Hit, Meaning};
use super::{Line, Read};
use crate::catalog::LogEvent;

/// Processes that are kept apart; a job has at most one for each GPU.
const PROCESSES: usize = 1 << 16;
/// Lines that are kept for each thing that is said.
pub(super) const KEPT: usize = 3;
/// The longest text that is kept of a line.
const TEXT: usize = 240;

/// A few lines that say the same, and how many there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    pub(super) count: u64,
    pub(super) first: Vec<Line>,
}

impl Lines {
    fn add(&mut self, line: impl FnOnce() -> Line) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(line());
        }
    }
}

/// Who speaks: host, process, GPU.
pub(super) type Key = (String, u64, Option<u32>);

/// What one of them said.
#[derive(Debug, Clone, Default)]
pub(super) struct Voice {
    pub(super) rank: Option<(u32, u32)>,
    pub(super) network: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) routes: BTreeMap<String, u64>,
    pub(super) started: u32,
    pub(super) completed: u32,
    /// Symptoms that it showed, by their place in the table.
    pub(super) symptoms: BTreeSet<usize>,
    pub(super) plugin_loaded: bool,
    pub(super) last_symbol: bool,
}

/// Everything that was said.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) read: Read,
    log: String,
    number: u64,
    pub(super) voices: BTreeMap<Key, Voice>,
    /// `NCCL version …`, by version.
    pub(super) versions: BTreeMap<String, Lines>,
    /// Networks that were chosen, by name.
    pub(super) networks: BTreeMap<String, Lines>,
    /// Providers of libfabric, by name.
    pub(super) providers: BTreeMap<String, Lines>,
    /// Versions of aws-ofi-nccl.
    pub(super) plugins: BTreeMap<String, Lines>,
    /// Plugins that were loaded, as `name (vN)`.
    pub(super) loaded: BTreeMap<String, Lines>,
    /// Lines of the table about the plugin that need the version to be understood, by their place in the table.
    pub(super) events: BTreeMap<usize, Lines>,
    /// Symptoms, by their place in the table.
    pub(super) symptoms: BTreeMap<usize, Lines>,
    /// Warnings that no symptom explains.
    pub(super) unexplained: Lines,
    /// Channels over the network with GPUDirect RDMA, and without.
    pub(super) direct: Lines,
    pub(super) copied: Lines,
    /// Communicators begun and completed.
    pub(super) started: Lines,
    pub(super) completed: Lines,
    /// On how many nodes the largest communicator is, where NCCL says.
    pub(super) nodes: Option<u32>,
    /// Whether anything speaks of EFA, libfabric or its plugin.
    pub(super) speaks_of_efa: bool,
}

impl State {
    pub(super) fn begin(&mut self, log: &str) {
        log.clone_into(&mut self.log);
        self.number = 0;
        self.read.logs.push(log.to_owned());
    }

    /// Takes in one line and the known texts in it.
    pub(super) fn line(&mut self, text: &str, hits: &[Hit]) {
        self.number += 1;
        self.read.lines += 1;
        let messages = line::messages(text);
        self.read.messages += messages.len() as u64;
        self.version(text);
        let words = ["NET/OFI", "libfabric", "ofi-nccl", "libnccl-net-ofi"];
        self.speaks_of_efa |= words.iter().any(|word| text.contains(word));
        for message in &messages {
            self.message(message, text);
        }
        let speaker = messages.first().map(|message| message.speaker);
        for hit in hits {
            self.hit(*hit, text, speaker);
        }
        let explained = hits.iter().any(|hit| matches!(hit.meaning, Meaning::Symptom(_)));
        if !explained && messages.iter().any(|message| message.level == Level::Warn) {
            self.unexplained.add(|| kept(&self.log, self.number, text));
        }
    }

    /// `NCCL version 2.21.5+cuda12.4`, with or without a speaker.
    fn version(&mut self, text: &str) {
        let Some((_, rest)) = text.split_once("NCCL version ") else { return };
        let version: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || ".+-".contains(*c)).take(40).collect();
        if version.starts_with(|c: char| c.is_ascii_digit()) {
            note(&mut self.versions, version, || kept(&self.log, self.number, text));
        }
    }

    fn message(&mut self, message: &Message<'_>, whole: &str) {
        let (log, number) = (&self.log, self.number);
        let keep = || kept(log, number, whole);
        let text = message.text;
        // `comm 0x… rank 0 nRanks 16 nNodes 2 …`
        let nodes =
            text.split_once(" nNodes ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        self.nodes = self.nodes.max(nodes);
        if let Some((_, route)) = text.split_once(" via ") {
            let (route, direct) = route_of(route);
            match direct {
                Some(true) => self.direct.add(keep),
                Some(false) => self.copied.add(keep),
                None => {}
            }
            if let Some(voice) = voice(&mut self.voices, &mut self.read, message.speaker) {
                *voice.routes.entry(route).or_default() += 1;
            }
        } else if let Some((before, _)) = text.split_once("Init START") {
            self.started.add(keep);
            if let Some(voice) = voice(&mut self.voices, &mut self.read, message.speaker) {
                voice.started += 1;
                voice.joined(before);
            }
        } else if let Some((before, _)) = text.split_once("Init COMPLETE") {
            self.completed.add(keep);
            if let Some(voice) = voice(&mut self.voices, &mut self.read, message.speaker) {
                voice.completed += 1;
                voice.joined(before);
            }
        }
    }

    fn hit(&mut self, hit: Hit, text: &str, speaker: Option<Speaker<'_>>) {
        let keep = || kept(&self.log, self.number, text);
        let rest = text.get(hit.end..).unwrap_or_default().trim();
        let word = || rest.split([' ', ',', '(']).next().unwrap_or_default().to_owned();
        let speaking = speaker.and_then(|speaker| voice(&mut self.voices, &mut self.read, speaker));
        match hit.meaning {
            Meaning::Symptom(at) => {
                self.symptoms.entry(at).or_default().add(keep);
                if let Some(voice) = speaking {
                    voice.symptoms.insert(at);
                }
            }
            Meaning::Line(_, LogEvent::Network) => {
                let name: String = network_name(rest);
                note(&mut self.networks, name.clone(), keep);
                if let Some(voice) = speaking {
                    voice.network = Some(name);
                }
            }
            Meaning::Line(_, LogEvent::Provider) => {
                note(&mut self.providers, word(), keep);
                if let Some(voice) = speaking {
                    voice.provider = Some(word());
                }
            }
            // NCCL's own networks are plugins too since 2.28; that InfiniBand is not there means nothing.
            Meaning::Line(_, LogEvent::PluginFailed) if matches!(word().as_str(), "IB" | "Socket") => {}
            Meaning::Line(_, LogEvent::OfiVersion) => note(&mut self.plugins, word(), keep),
            Meaning::Line(at, event) => {
                if event == LogEvent::PluginLoaded {
                    note(&mut self.loaded, rest.chars().take(80).collect(), keep);
                } else {
                    self.events.entry(at).or_default().add(keep);
                }
                if let Some(voice) = speaking {
                    voice.plugin_loaded |= event == LogEvent::PluginLoaded;
                    voice.last_symbol |= event == LogEvent::PluginLastSymbol;
                }
            }
        }
    }
}

impl Voice {
    /// Reads `comm 0x… rank 3 nranks 16 …`, of the largest communicator.
    fn joined(&mut self, text: &str) {
        let after =
            |word: &str| -> Option<u32> { text.split_once(word)?.1.split_whitespace().next()?.parse().ok() };
        if let (Some(rank), Some(of)) = (after(" rank "), after(" nranks "))
            && self.rank.is_none_or(|(_, known)| of > known)
        {
            self.rank = Some((rank, of));
        }
    }
}

/// Returns the voice of `speaker`; none beyond the number that is kept apart.
fn voice<'a>(
    voices: &'a mut BTreeMap<Key, Voice>,
    read: &mut Read,
    speaker: Speaker<'_>,
) -> Option<&'a mut Voice> {
    let key: Key = (speaker.host.chars().take(64).collect(), speaker.pid, speaker.device);
    if voices.len() >= PROCESSES && !voices.contains_key(&key) {
        read.beyond += 1;
        return None;
    }
    Some(voices.entry(key).or_default())
}

/// Adds a line to what is said by name; names beyond a handful are noise of a broken log.
fn note(names: &mut BTreeMap<String, Lines>, name: String, line: impl FnOnce() -> Line) {
    if names.len() < 32 || names.contains_key(&name) {
        names.entry(name).or_default().add(line);
    }
}

fn kept(log: &str, number: u64, text: &str) -> Line {
    let text = text.trim();
    let shown = if text.chars().count() <= TEXT {
        text.to_owned()
    } else {
        text.chars().take(TEXT - 1).chain(['…']).collect()
    };
    Line { log: log.to_owned(), number, text: shown }
}

/// `AWS Libfabric` and `Libfabric` are one network under two names.
fn network_name(rest: &str) -> String {
    let name = rest.strip_prefix("AWS ").unwrap_or(rest);
    name.split(|c: char| !(c.is_alphanumeric() || "_-".contains(c))).next().unwrap_or_default().to_owned()
}

/// Returns how a channel goes, and for one over the network whether with GPUDirect RDMA.
fn route_of(route: &str) -> (String, Option<bool>) {
    if let Some(network) = route.strip_prefix("NET/") {
        let name = network_name(network);
        let direct = route.contains("GDRDMA");
        let route = if direct { format!("NET/{name}/GDRDMA") } else { format!("NET/{name}") };
        return (route, Some(direct));
    }
    let kind = route.split(['/', ' ', '[']).next().unwrap_or_default();
    let kind = if route.starts_with("direct shared memory") { "SHM" } else { kind };
    (kind.chars().filter(char::is_ascii_alphanumeric).take(16).collect(), None)
}
