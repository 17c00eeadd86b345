//! Images whose blobs can be opened one by one: a registry, a folder in OCI's layout. Only the blobs of the image that is asked for
//! are read, each once, several layers at the same time.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use super::archive::Contents;
use super::blob::{self, Blob, Spent};
use super::manifest::{self, Listed};
use super::{CheckError, Limits};
use crate::oci::{Digest, Platform};

/// Layers that are read at the same time: each may hold the tables of one library of torch in memory.
const AT_ONCE: usize = 4;

/// A place from which blobs can be read by digest, each as a stream. Whether the bytes have the digest is checked by the reader.
pub trait Blobs: Sync {
    /// Opens the blob `digest`.
    fn open(&self, digest: Digest) -> std::io::Result<Box<dyn Read + Send + '_>>;
}

/// A folder in the layout of OCI.
#[derive(Debug, Clone)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Returns the layout in `folder` and the bytes of its index.
    pub fn open(folder: &Path) -> Result<(Self, Vec<u8>), CheckError> {
        let index = folder.join("index.json");
        let bytes = document(std::fs::File::open(&index).map_err(|error| {
            CheckError::NotAnImage(format!("{} cannot be read: {error}", index.display()))
        })?)?;
        Ok((Self { folder: folder.to_owned() }, bytes))
    }
}

impl Blobs for Layout {
    fn open(&self, digest: Digest) -> std::io::Result<Box<dyn Read + Send + '_>> {
        let path = self.folder.join(super::archive::blob_path(digest));
        Ok(Box::new(std::fs::File::open(path)?))
    }
}

/// Reads the blobs of the image for `platform` behind `first`, an index or a manifest.
pub(super) fn read(
    first: Vec<u8>,
    blobs: &dyn Blobs,
    platform: Platform,
    limits: &Limits,
) -> Result<Contents, CheckError> {
    let spent = Spent::default();
    let mut manifest = first;
    // A layout has an index of an index where a list of platforms was saved; nobody nests deeper.
    for _ in 0..3 {
        match manifest::listed(&manifest, platform)? {
            Listed::Index(digest) => manifest = fetch(blobs, digest)?,
            Listed::Image { config, layers } => {
                if layers.len() > limits.blobs {
                    return Err(CheckError::Limit { what: "blobs", limit: limits.blobs as u64 });
                }
                let mut read = scan_all(&layers, blobs, limits, &spent)?;
                for bytes in [fetch(blobs, config)?, manifest] {
                    read.push(blob::scan(bytes.as_slice(), None, limits, &spent)?);
                }
                return Ok(Contents::of_blobs(read));
            }
        }
    }
    Err(CheckError::Malformed {
        what: "the index".to_owned(),
        message: "it is an index of an index of an index".to_owned(),
    })
}

/// Reads the layers, several at the same time, and returns them in any order.
fn scan_all(
    layers: &[Digest],
    blobs: &dyn Blobs,
    limits: &Limits,
    spent: &Spent,
) -> Result<Vec<Blob>, CheckError> {
    let mut distinct = layers.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let next = AtomicUsize::new(0);
    let read = Mutex::new(Vec::new());
    let fault = Mutex::new(None);
    let work = || {
        while fault.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let Some(digest) = distinct.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            match scan(*digest, blobs, limits, spent) {
                Ok(blob) => read.lock().unwrap_or_else(PoisonError::into_inner).push(blob),
                Err(error) => {
                    fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE).min(distinct.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(read.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Reads one blob to its end; bytes that are not those of the digest are an error, as nothing else says what they are.
fn scan(digest: Digest, blobs: &dyn Blobs, limits: &Limits, spent: &Spent) -> Result<Blob, CheckError> {
    let blob = blob::scan(open(blobs, digest)?, None, limits, spent)?;
    held(digest, blob.digest).map(|()| blob)
}

fn fetch(blobs: &dyn Blobs, digest: Digest) -> Result<Vec<u8>, CheckError> {
    let bytes = document(open(blobs, digest)?)?;
    held(digest, Digest::of(&bytes)).map(|()| bytes)
}

fn open(blobs: &dyn Blobs, digest: Digest) -> Result<Box<dyn Read + Send + '_>, CheckError> {
    blobs.open(digest).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CheckError::Incomplete(digest.to_string()),
        _ => CheckError::Read(error),
    })
}

fn held(promised: Digest, found: Digest) -> Result<(), CheckError> {
    if promised == found {
        return Ok(());
    }
    Err(CheckError::Malformed {
        what: promised.to_string(),
        message: format!("its bytes have the digest {found}"),
    })
}

/// Reads a JSON document, which has a bound.
fn document(input: impl Read) -> Result<Vec<u8>, CheckError> {
    let most = Limits::default().document as u64;
    let mut bytes = Vec::new();
    let read = input.take(most + 1).read_to_end(&mut bytes).map_err(CheckError::Read)?;
    if read as u64 > most {
        return Err(CheckError::Limit { what: "bytes in a JSON document", limit: most });
    }
    Ok(bytes)
}

/// What an index says about one image; only what the choice needs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) digest: Digest,
    #[serde(default)]
    pub(super) platform: Option<EntryPlatform>,
}

/// The platform of an entry.
#[derive(Debug, Deserialize)]
pub(super) struct EntryPlatform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}
