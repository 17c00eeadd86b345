//! The files of a build's context, from a folder or from memory, in the order and with the choice that builders want.
//!
//! Both builders see the same files: BuildKit's file synchronisation asks for them one by one, the classic builder takes a tar.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod links;
mod pattern;
mod walk;

pub(super) use pattern::Patterns;
pub(super) use walk::Choice;

use super::{Context, EngineError};

/// The file in a context that names what stays behind.
pub(super) const IGNORE: &str = ".dockerignore";

/// A tree of files. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Files {
    /// A folder of this machine.
    Folder(Arc<Path>),
    /// Files by their path; folders are implied.
    Memory(Arc<Memory>),
}

/// Files in memory.
#[derive(Debug)]
pub(super) struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    /// Nanoseconds since 1970 given to all of them.
    modified: i64,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path in the tree, parts joined by `/`.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Permission bits, with set-user, set-group and sticky bit, as Unix has them.
    pub(super) mode: u32,
    /// Nanoseconds since 1970.
    pub(super) modified: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A folder.
    Folder,
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link and where it points.
    Link(String),
}

impl Files {
    /// Returns the files of `context`; those in memory carry `modified` (seconds since 1970).
    ///
    /// # Errors
    /// Where the context is no folder, or a path in memory leaves the context.
    pub(super) fn of(context: &Context, modified: u64) -> Result<Self, EngineError> {
        match context {
            Context::Empty => Self::memory(BTreeMap::new(), 0),
            Context::Memory(files) => {
                let nanoseconds = i64::try_from(modified).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
                Self::memory(files.clone(), nanoseconds)
            }
            Context::Folder(path) => {
                let fault = |source| EngineError::Context { path: path.clone(), source };
                let path = std::fs::canonicalize(path).map_err(fault)?;
                if !path.is_dir() {
                    return Err(fault(io::ErrorKind::NotADirectory.into()));
                }
                Ok(Self::Folder(path.into()))
            }
        }
    }

    /// Returns files in memory that were last modified at `modified` nanoseconds since 1970.
    pub(super) fn memory(files: BTreeMap<String, Vec<u8>>, modified: i64) -> Result<Self, EngineError> {
        let bad = files.keys().find(|path| path.split('/').any(|part| matches!(part, "" | "." | "..")));
        match bad {
            Some(path) => Err(EngineError::Context {
                path: PathBuf::from(path),
                source: io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a path in a context is relative and has no `..`",
                ),
            }),
            None => Ok(Self::Memory(Arc::new(Memory { files, modified }))),
        }
    }

    /// Reads one whole file, if it is there.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let fault = |source| EngineError::Context { path: self.place(path), source };
        let mut bytes = Vec::new();
        match self.open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map(|_| Some(bytes)).map_err(fault),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Opens one file.
    pub(super) fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send + '_>> {
        match self {
            Self::Folder(root) => Ok(Box::new(std::fs::File::open(root.join(path))?)),
            Self::Memory(memory) => match memory.files.get(path) {
                Some(bytes) => Ok(Box::new(bytes.as_slice())),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// Returns what people know the file `path` of the tree by.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        match self {
            Self::Folder(root) => root.join(path),
            Self::Memory(_) => PathBuf::from(path),
        }
    }

    /// Returns what identifies the tree between two builds: the folder, or the very bytes in memory.
    ///
    /// A builder that finds its copy of the tree by this name asks only for files whose size, mode or time differ. Files in
    /// memory all have one time, so that a name for other bytes must be another name.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Folder(path) => crate::oci::Digest::of(path.as_os_str().as_encoded_bytes()).hex(),
            Self::Memory(memory) => {
                use sha2::Digest as _;
                let mut hasher = sha2::Sha256::new();
                for (path, bytes) in &memory.files {
                    hasher.update(path.len().to_le_bytes());
                    hasher.update(path);
                    hasher.update(bytes.len().to_le_bytes());
                    hasher.update(bytes);
                }
                crate::oci::Digest::from_hasher(hasher).hex()
            }
        }
    }

    /// Returns what lies at `path`, if anything does; links are not followed.
    fn look(&self, path: &str) -> io::Result<Option<Entry>> {
        match self {
            Self::Folder(root) => walk::look(root, path),
            Self::Memory(memory) => Ok(memory.look(path)),
        }
    }

    /// Returns the names in the folder `path` in byte order; none where it is no folder.
    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(root) => walk::names(&root.join(path)),
            Self::Memory(memory) => Ok(memory.names(path)),
        }
    }
}

impl Memory {
    fn look(&self, path: &str) -> Option<Entry> {
        let entry = |kind, mode| Entry { path: path.to_owned(), kind, mode, modified: self.modified };
        if let Some(bytes) = self.files.get(path) {
            return Some(entry(Kind::File(bytes.len() as u64), 0o644));
        }
        let inside = format!("{path}/");
        let folder =
            self.files.range(inside.clone()..).next().is_some_and(|(other, _)| other.starts_with(&inside));
        folder.then(|| entry(Kind::Folder, 0o755))
    }

    fn names(&self, path: &str) -> Vec<String> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let rest = self.files.keys().filter_map(|file| file.strip_prefix(&prefix));
        let mut names: Vec<String> =
            rest.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
