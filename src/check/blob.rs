//! Scans one blob of an archive once: its digests, and what it holds if it is a layer or a JSON document.
//!
//! In the stream a layer may come before the manifest that says so, so every blob is looked at for what it is.

use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::CheckError;
use super::again::Place;
use super::limits::Limits;
use super::meter::{Budget, Hashing};
use super::note::{Entry, Node, Notes};
use super::tarball::{self, Kind, Tarball};
use crate::oci::Digest;

const BUFFER: usize = 64 << 10;

/// What a blob turned out to be.
#[derive(Debug)]
pub(super) struct Blob {
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// Their number.
    pub(super) size: u64,
    /// What it holds.
    pub(super) content: Content,
}

/// What a blob holds.
#[derive(Debug)]
pub(super) enum Content {
    /// A tar archive, perhaps packed: a layer.
    Layer(Layer),
    /// A JSON document.
    Document(Vec<u8>),
    /// Something else.
    Other,
}

/// A layer as it lies in the archive.
#[derive(Debug)]
pub(super) struct Layer {
    /// How it is packed.
    pub(super) codec: Codec,
    /// The digest of the unpacked bytes.
    pub(super) diff_id: Digest,
    /// Their number.
    pub(super) unpacked: u64,
    /// The members, in the order of the layer.
    pub(super) entries: Vec<Entry>,
    /// Why it could not be read to its end.
    pub(super) damage: Option<String>,
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Gzip,
    Zstd,
}

/// What all blobs together have cost so far, also where several are read at once.
#[derive(Debug, Default)]
pub(super) struct Spent {
    files: AtomicUsize,
    kept: AtomicUsize,
    documents: AtomicUsize,
    unpacked: AtomicU64,
}

/// Adds to a counter and returns the new sum.
fn spend(counter: &AtomicUsize, more: usize) -> usize {
    counter.fetch_add(more, Ordering::Relaxed).saturating_add(more)
}

/// Reads the blob in `input` to its end; `again` is where it can be read again.
pub(super) fn scan(
    input: impl Read,
    again: Option<Place>,
    limits: &Limits,
    spent: &Spent,
) -> Result<Blob, CheckError> {
    let mut input = BufReader::with_capacity(BUFFER, Hashing::new(Whole(input)));
    let mut content = match sniff(input.fill_buf().map_err(CheckError::Read)?) {
        Sniffed::Layer(codec) => Content::Layer(scan_layer(&mut input, codec, again, limits, spent)?),
        Sniffed::Document => scan_document(&mut input, limits, spent)?,
        Sniffed::Other => Content::Other,
    };
    io::copy(&mut input, &mut io::sink()).map_err(CheckError::Read)?;
    let (digest, size) = input.into_inner().finish();
    if let Content::Layer(layer) = &mut content
        && layer.codec == Codec::Plain
    {
        // A plain layer is hashed once.
        (layer.diff_id, layer.unpacked) = (digest, size);
    }
    Ok(Blob { digest, size, content })
}

/// Fills every buffer: what streams through a pipe comes in pieces that end anywhere, also in the header by which a layer is known.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

enum Sniffed {
    Layer(Codec),
    Document,
    Other,
}

fn sniff(head: &[u8]) -> Sniffed {
    if head.starts_with(&[0x1f, 0x8b]) {
        return Sniffed::Layer(Codec::Gzip);
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Sniffed::Layer(Codec::Zstd);
    }
    if let Some(block) = head.first_chunk::<512>()
        && (tarball::is_header(block) || block.iter().all(|byte| *byte == 0))
    {
        return Sniffed::Layer(Codec::Plain);
    }
    match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Sniffed::Document,
        _ => Sniffed::Other,
    }
}

fn scan_document(input: &mut impl Read, limits: &Limits, spent: &Spent) -> Result<Content, CheckError> {
    let mut bytes = Vec::new();
    let cap = u64::try_from(limits.document).unwrap_or(u64::MAX);
    let read = input.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(CheckError::Read)?;
    if read > limits.document {
        return Ok(Content::Other);
    }
    if spend(&spent.documents, read) > limits.documents {
        return Err(CheckError::Limit { what: "bytes of JSON documents", limit: limits.documents as u64 });
    }
    Ok(Content::Document(bytes))
}

fn scan_layer<R: Read>(
    input: &mut BufReader<Hashing<R>>,
    codec: Codec,
    again: Option<Place>,
    limits: &Limits,
    spent: &Spent,
) -> Result<Layer, CheckError> {
    let packed = input.get_ref().counter();
    // Only what is not packed lies in the file as it passes.
    let again = again.filter(|_| codec == Codec::Plain);
    let mut walk = Walk { limits, spent, again, entries: Vec::new(), notes: Notes::new() };
    let outcome = match codec {
        Codec::Plain => walk.run(input, packed).map(|_| (Digest::of([]), 0)),
        Codec::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(input);
            walk.run(Hashing::new(decoder), packed).map(Hashing::finish)
        }
        Codec::Zstd => match zstd::stream::read::Decoder::with_buffer(input) {
            Ok(decoder) => walk.run(Hashing::new(decoder), packed).map(Hashing::finish),
            Err(error) => Err(Stop::from(error)),
        },
    };
    let entries = walk.entries;
    match outcome {
        Ok((diff_id, unpacked)) => Ok(Layer { codec, diff_id, unpacked, entries, damage: None }),
        Err(Stop::Limit(error)) => Err(error),
        Err(Stop::Damage(why)) => {
            let diff_id = Digest::of([]);
            Ok(Layer { codec, diff_id, unpacked: 0, entries: Vec::new(), damage: Some(why) })
        }
    }
}

/// Why a layer was not read to its end.
enum Stop {
    Damage(String),
    Limit(CheckError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damage("it ends in the middle".to_owned()),
            _ => Self::Damage(error.to_string()),
        }
    }
}

/// The reading of one layer.
struct Walk<'a> {
    limits: &'a Limits,
    spent: &'a Spent,
    again: Option<Place>,
    entries: Vec<Entry>,
    notes: Notes,
}

impl Walk<'_> {
    /// Reads the members of the tar archive in `input`, then the rest, and returns the input.
    fn run<R: Read>(&mut self, input: R, packed: Rc<Cell<u64>>) -> Result<R, Stop> {
        let mut tarball = Tarball::new(Budget::new(input, *self.limits, packed, &self.spent.unpacked));
        let outcome = self.members(&mut tarball);
        let mut rest = tarball.into_inner();
        let outcome =
            outcome.and_then(|()| io::copy(&mut rest, &mut io::sink()).map(drop).map_err(Stop::from));
        match rest.exceeded() {
            Some(error) => Err(Stop::Limit(error)),
            None => outcome.map(|()| rest.into_inner()),
        }
    }

    fn members<R: Read>(&mut self, tarball: &mut Tarball<Budget<'_, R>>) -> Result<(), Stop> {
        while let Some(member) = tarball.next_member()? {
            let name = member.path.len().max(member.link.len());
            within("bytes in the name of a file", name, self.limits.path)?;
            let Some(path) = normalise(&member.path) else { continue };
            let node = match member.kind {
                Kind::Directory => Node::Directory,
                Kind::Symlink => Node::Symlink(String::from_utf8_lossy(&member.link).into()),
                Kind::Hardlink => normalise(&member.link).map_or(Node::Other, Node::Hardlink),
                Kind::Other => Node::Other,
                Kind::File => {
                    let at = tarball.get_ref().count();
                    let again = self.again.as_ref().map(|layer| layer.part(at, member.size));
                    Node::File(self.notes.read(&path, member.size, again, tarball)?)
                }
            };
            let entry = Entry { path, node };
            within("files in all layers", spend(&self.spent.files, 1), self.limits.files)?;
            let kept = spend(&self.spent.kept, entry.cost());
            within("bytes of file names and texts", kept, self.limits.kept)?;
            self.entries.push(entry);
        }
        Ok(())
    }
}

fn within(what: &'static str, used: usize, limit: usize) -> Result<(), Stop> {
    if used > limit {
        return Err(Stop::Limit(CheckError::Limit { what, limit: limit as u64 }));
    }
    Ok(())
}

/// Returns the path without leading `/` and `./`; none for the root itself and for what would climb out of it.
fn normalise(path: &[u8]) -> Option<Box<str>> {
    let path = String::from_utf8_lossy(path);
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    if parts.is_empty() { None } else { Some(parts.join("/").into_boxed_str()) }
}
