//! The context as a tar archive, made while it is sent.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::EngineError;
use crate::engine::files::{Choice, Entry, Files, IGNORE, Kind, Patterns};

/// The Dockerfile's name in the archive; `.dockerignore` keeps it out of what `COPY` sees.
pub(super) const DOCKERFILE: &str = ".smp-image.Dockerfile";

/// Bytes of one piece. Eight of them are under way at most.
const PIECE: usize = 128 * 1024;

type Pieces = ReceiverStream<Result<Frame<Bytes>, io::Error>>;

/// Returns how many bytes of files were read so far, and the archive. Where a file cannot be read, the archive breaks off and
/// `fault` says why.
pub(super) fn stream(
    files: Files,
    dockerfile: String,
    fault: Arc<Mutex<Option<EngineError>>>,
) -> (Arc<AtomicU64>, Pieces) {
    let (sender, receiver) = mpsc::channel(8);
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    tokio::task::spawn_blocking(move || {
        let pieces = Sending { sender: sender.clone(), piece: Vec::with_capacity(PIECE) };
        if let Err(error) = write(&files, &dockerfile, pieces, &count) {
            fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            let _closed = sender.blocking_send(Err(io::Error::other("a file of the context cannot be read")));
        }
    });
    (sent, ReceiverStream::new(receiver))
}

fn write(files: &Files, dockerfile: &str, pieces: Sending, count: &AtomicU64) -> Result<(), EngineError> {
    let ignore =
        files.read(IGNORE)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let choice = Choice { exclude: Patterns::lines(&ignore), ..Choice::default() };
    let mut archive = tar::Builder::new(pieces);
    let broken = |source| EngineError::Context { path: files.place(""), source };
    let ours = format!("{ignore}\n{DOCKERFILE}\n");
    for (name, text) in [(DOCKERFILE, dockerfile), (IGNORE, &ours)] {
        let mut header = header(0o644, 0, tar::EntryType::Regular, text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).map_err(broken)?;
    }
    files.walk(&choice, &mut |entry| {
        // Ours is there already; it holds what theirs says.
        if entry.path == IGNORE || entry.path == DOCKERFILE {
            return Ok(());
        }
        append(&mut archive, files, entry, count)
            .map_err(|source| EngineError::Context { path: files.place(&entry.path), source })
    })?;
    archive.into_inner().and_then(|mut pieces| pieces.flush()).map_err(broken)
}

fn append(
    archive: &mut tar::Builder<Sending>,
    files: &Files,
    entry: &Entry,
    count: &AtomicU64,
) -> io::Result<()> {
    let seconds = u64::try_from(entry.modified / 1_000_000_000).unwrap_or_default();
    match &entry.kind {
        Kind::Folder => {
            let mut header = header(entry.mode, seconds, tar::EntryType::Directory, 0);
            archive.append_data(&mut header, format!("{}/", entry.path), io::empty())
        }
        Kind::Link(target) => {
            let mut header = header(entry.mode, seconds, tar::EntryType::Symlink, 0);
            archive.append_link(&mut header, &entry.path, target)
        }
        Kind::File(size) => {
            let mut header = header(entry.mode, seconds, tar::EntryType::Regular, *size);
            let mut file = Exactly { file: files.open(&entry.path)?, left: *size };
            archive.append_data(&mut header, &entry.path, &mut file)?;
            count.fetch_add(*size, Ordering::Relaxed);
            Ok(())
        }
    }
}

fn header(mode: u32, modified: u64, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(modified);
    header.set_size(size);
    // Whoever's files they are here, in an image they are root's.
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A file that must be as long as it was when it was listed: an archive cannot take back the length that it has announced.
struct Exactly<R> {
    file: R,
    left: u64,
}

impl<R: io::Read> io::Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.file.read(buffer.get_mut(..room).unwrap_or_default())?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was sent",
            ));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Collects what is written into pieces and sends them; waits where the engine is slower.
struct Sending {
    sender: mpsc::Sender<Result<Frame<Bytes>, io::Error>>,
    piece: Vec<u8>,
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender
            .blocking_send(Ok(Frame::data(piece.into())))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine takes no more of the context"))
    }
}
