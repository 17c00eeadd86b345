//! BuildKit's file synchronisation, our side: all entries are listed, the other side asks for the content of those it lacks.
//!
//! The protocol is that of tonistiigi/fsutil: `STAT` for each entry and an empty one at the end; `REQ` with an entry's number;
//! `DATA` with pieces of it and an empty one at the end; `FIN` from the other side, answered.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

use super::session::Session;
use crate::engine::EngineError;
use crate::engine::files::{Choice, Entry, Files, Kind};

/// Bytes of one piece of a file. With [`IN_FLIGHT`] of them a transfer holds 4 MiB at most.
const PIECE: usize = 128 * 1024;
const IN_FLIGHT: usize = 32;

/// What BuildKit asks for in the head of a call.
pub(super) struct Asked {
    /// `context` or `dockerfile`.
    pub(super) folder: String,
    pub(super) choice: Choice,
}

impl Asked {
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let values = |key: &'static str| -> Vec<String> {
            let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|value| value == "1");
            let text = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                if encoded { unescape(&text) } else { text }
            };
            metadata.get_all(key).iter().map(|value| text(value.as_encoded_bytes())).collect()
        };
        Self {
            folder: values("dir-name").into_iter().next().unwrap_or_default(),
            choice: Choice {
                include: values("include-patterns"),
                exclude: values("exclude-patterns"),
                follow: values("followpaths"),
            },
        }
    }
}

type Out = mpsc::Sender<Result<Packet, Status>>;

/// Sends the chosen files as the other side asks for them.
pub(super) fn send(
    session: Arc<Session>,
    files: Files,
    choice: Choice,
    incoming: Streaming<Packet>,
    counted: bool,
) -> ReceiverStream<Result<Packet, Status>> {
    let (out, stream) = mpsc::channel(IN_FLIGHT);
    let (ask, asked) = mpsc::unbounded_channel();
    let transfer = Arc::new(Transfer { session, files, names: Mutex::default(), out, counted });
    let list = Arc::clone(&transfer);
    let read = Arc::clone(&transfer);
    tokio::task::spawn_blocking(move || list.list(&choice));
    tokio::task::spawn_blocking(move || read.answer(asked));
    tokio::spawn(async move { transfer.listen(incoming, ask).await });
    ReceiverStream::new(stream)
}

struct Transfer {
    session: Arc<Session>,
    files: Files,
    /// The paths of the files among the entries, by their number.
    names: Mutex<HashMap<u32, String>>,
    out: Out,
    counted: bool,
}

impl Transfer {
    fn list(&self, choice: &Choice) {
        let mut number = 0;
        let mut closed = false;
        let listed = self.files.walk(choice, &mut |entry| {
            if let Kind::File(_) = entry.kind {
                self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(number, entry.path.clone());
            }
            number += 1;
            let packet = Packet {
                r#type: PacketType::PacketStat.into(),
                stat: Some(stat(entry)),
                ..Packet::default()
            };
            self.out.blocking_send(Ok(packet)).map_err(|_| {
                closed = true;
                EngineError::Protocol { doing: "sending files".into(), reason: "nobody listens".into() }
            })
        });
        let last = match listed {
            Ok(()) => Ok(Packet { r#type: PacketType::PacketStat.into(), ..Packet::default() }),
            Err(_) if closed => return,
            Err(error) => Err(self.session.fail(error)),
        };
        // Where nobody listens any more, nobody wants to know.
        let _closed = self.out.blocking_send(last);
    }

    fn answer(&self, mut asked: mpsc::UnboundedReceiver<u32>) {
        while let Some(number) = asked.blocking_recv() {
            match self.content(number) {
                Ok(true) => {}
                Ok(false) => return,
                Err(status) => {
                    let _closed = self.out.blocking_send(Err(status));
                    return;
                }
            }
        }
    }

    /// Sends one file; whether anybody still listens.
    fn content(&self, number: u32) -> Result<bool, Status> {
        let path = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
        let path =
            path.ok_or_else(|| Status::invalid_argument(format!("{number} is the number of no file")))?;
        let fault =
            |source| self.session.fail(EngineError::Context { path: self.files.place(&path), source });
        let mut file = self.files.open(&path).map_err(fault)?;
        loop {
            let mut data = Vec::with_capacity(PIECE);
            file.by_ref().take(PIECE as u64).read_to_end(&mut data).map_err(fault)?;
            let ended = data.is_empty();
            if self.counted {
                self.session.count(data.len());
            }
            let packet =
                Packet { r#type: PacketType::PacketData.into(), id: number, data, ..Packet::default() };
            if self.out.blocking_send(Ok(packet)).is_err() {
                return Ok(false);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    async fn listen(&self, mut incoming: Streaming<Packet>, ask: mpsc::UnboundedSender<u32>) {
        while let Ok(Some(packet)) = incoming.message().await {
            let answered = match packet.r#type() {
                PacketType::PacketReq => ask.send(packet.id).is_ok(),
                PacketType::PacketFin => {
                    let fin = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
                    let _closed = self.out.send(Ok(fin)).await;
                    false
                }
                PacketType::PacketErr => false,
                PacketType::PacketStat | PacketType::PacketData => true,
            };
            if !answered {
                return;
            }
        }
    }
}

fn stat(entry: &Entry) -> Stat {
    // The bits of Go's `fs.FileMode`.
    const FOLDER: u32 = 1 << 31;
    const LINK: u32 = 1 << 27;
    const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special =
        SPECIAL.iter().filter(|(unix, _)| entry.mode & unix != 0).fold(0, |bits, (_, go)| bits | go);
    let (kind, size, linkname) = match &entry.kind {
        Kind::Folder => (FOLDER, 0, String::new()),
        Kind::File(size) => (0, i64::try_from(*size).unwrap_or(i64::MAX), String::new()),
        Kind::Link(target) => (LINK, 0, target.clone()),
    };
    Stat {
        path: entry.path.clone(),
        mode: kind | special | (entry.mode & 0o777),
        // Whoever's files they are here, in an image they are root's.
        uid: 0,
        gid: 0,
        size,
        mod_time: entry.modified,
        linkname,
        ..Stat::default()
    }
}

/// Undoes Go's `url.QueryEscape`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_go_writes_them() {
        let entry = |kind, mode| Entry { path: "p".into(), kind, mode, modified: 0 };
        assert_eq!(stat(&entry(Kind::Folder, 0o1755)).mode, (1 << 31) | (1 << 20) | 0o755);
        assert_eq!(stat(&entry(Kind::File(3), 0o4755)).mode, (1 << 23) | 0o755);
        assert_eq!(stat(&entry(Kind::Link("t".into()), 0o777)).mode, (1 << 27) | 0o777);
    }

    #[test]
    fn patterns_that_are_not_ascii_arrive_escaped() {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", "context".parse().unwrap());
        metadata.append("followpaths", "%C3%BC+%2B".parse().unwrap());
        metadata.insert("followpaths-encoded", "1".parse().unwrap());
        metadata.append("exclude-patterns", "a%20b".parse().unwrap());
        let asked = Asked::of(&metadata);
        assert_eq!(asked.folder, "context");
        assert_eq!(asked.choice.follow, ["ü +"]);
        assert_eq!(asked.choice.exclude, ["a%20b"]);
    }
}
