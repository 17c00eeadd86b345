//! Compiled wheels in a folder: each under its exact key, with its checksum, put there whole or not at all.
//!
//! `DIR/KEY/` holds the wheels, `SHA256SUMS` as sha256sum writes it, and `key.json`, which says what KEY stands for.

mod archive;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use crate::oci::Digest;
use crate::plan::WheelKey;

/// The checksums beside the wheels.
const SUMS: &str = "SHA256SUMS";
/// What the key stands for.
const KEY: &str = "key.json";
/// The largest list of checksums and the largest key that are read.
const SMALL: u64 = 1 << 20;

/// A folder of wheels.
#[derive(Debug, Clone)]
pub struct Wheelhouse {
    path: PathBuf,
}

/// Why a wheelhouse could not be used.
#[derive(Debug, thiserror::Error)]
pub enum WheelhouseError {
    /// The folder cannot be read or written.
    #[error("wheelhouse {}: cannot {doing}: {source}", path.display())]
    Folder {
        /// The place.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What lies there is not what a wheelhouse holds.
    #[error("wheelhouse {}: {what}", path.display())]
    Corrupt {
        /// The place.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A wheel is not the one that was put there.
    #[error("wheelhouse {}: it is not the wheel that was put there: its sha256 is {found}, and {SUMS} says {expected}", path.display())]
    Tampered {
        /// The wheel.
        path: PathBuf,
        /// What was put there.
        expected: String,
        /// What lies there.
        found: String,
    },
}

impl WheelhouseError {
    fn folder(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), doing, source }
    }

    fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }
}

impl Wheelhouse {
    /// Returns the wheelhouse in the folder `path`, which is made if it is not there; an error where nothing can be put.
    pub fn open(path: &Path) -> Result<Self, WheelhouseError> {
        fs::create_dir_all(path).map_err(|error| WheelhouseError::folder(path, "make the folder", error))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes sure that something can be put here, before hours are spent on making it.
    pub fn takes(&self) -> Result<(), WheelhouseError> {
        let failed = |error| WheelhouseError::folder(&self.path, "write", error);
        tempfile::tempfile_in(&self.path).and_then(|mut file| file.write_all(b"wheel")).map_err(failed)
    }

    /// Returns the folder with the wheels of `key`, if they are here and are what was put here.
    pub fn find(&self, key: &WheelKey) -> Result<Option<PathBuf>, WheelhouseError> {
        let folder = self.path.join(key.to_string());
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(WheelhouseError::folder(&folder, "read", error)),
            Ok(found) if !found.is_dir() => return Err(WheelhouseError::corrupt(&folder, "it is no folder")),
            Ok(_) => {}
        }
        let known: WheelKey = serde_json::from_str(&small(&folder.join(KEY))?)
            .map_err(|error| WheelhouseError::corrupt(&folder.join(KEY), error.to_string()))?;
        if known != *key {
            return Err(WheelhouseError::corrupt(&folder, "it holds the wheel of another key"));
        }
        verify(&folder)?;
        Ok(Some(folder))
    }

    /// Puts the wheels of an image, archived as `docker save` does, here under `key` and returns their folder.
    ///
    /// Where another builder was faster, its wheels stay and are returned: two builders never mix their files.
    pub fn keep(&self, key: &WheelKey, image: impl Read) -> Result<PathBuf, WheelhouseError> {
        let failed = |doing| move |error| WheelhouseError::folder(&self.path, doing, error);
        let beside = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.path)
            .map_err(failed("make a folder"))?;
        archive::wheels(image, beside.path()).map_err(failed("write the wheel"))?;
        verify(beside.path())?;
        let text = serde_json::to_string_pretty(key).unwrap_or_default();
        let mut file = File::create(beside.path().join(KEY)).map_err(failed("write the key"))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write the key"))?;
        readable_by_all(beside.path()).map_err(failed("share the wheel"))?;
        let place = self.path.join(key.to_string());
        match fs::rename(beside.path(), &place) {
            Ok(()) => {
                // It is no longer where the guard would remove it.
                let _moved = beside.keep();
                Ok(place)
            }
            Err(error) => match self.find(key)? {
                Some(theirs) => Ok(theirs),
                None => Err(WheelhouseError::folder(&place, "put the wheel in its place", error)),
            },
        }
    }
}

/// Makes sure that `folder` holds exactly the wheels that its checksums name.
fn verify(folder: &Path) -> Result<(), WheelhouseError> {
    let sums = small(&folder.join(SUMS))?;
    let mut named = Vec::new();
    for line in sums.lines() {
        let bad = || {
            WheelhouseError::corrupt(
                &folder.join(SUMS),
                format!("`{}` is no checksum of a wheel", line.escape_debug()),
            )
        };
        let (expected, name) = line.split_once("  ").ok_or_else(bad)?;
        let name = name.trim_start_matches("./");
        if !archive::is_wheel(name) {
            return Err(bad());
        }
        let path = folder.join(name);
        let found = sha256(&path).map_err(|error| WheelhouseError::folder(&path, "read", error))?.hex();
        if found != expected {
            return Err(WheelhouseError::Tampered { path, expected: expected.to_owned(), found });
        }
        named.push(name.to_owned());
    }
    if named.is_empty() {
        return Err(WheelhouseError::corrupt(folder, "it holds no wheel"));
    }
    let entries = fs::read_dir(folder).map_err(|error| WheelhouseError::folder(folder, "read", error))?;
    for entry in entries {
        let name = entry.map_err(|error| WheelhouseError::folder(folder, "read", error))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if archive::is_wheel(&name) && !named.contains(&name) {
            return Err(WheelhouseError::corrupt(&folder.join(name), format!("{SUMS} does not name it")));
        }
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<Digest> {
    let mut hasher = sha2::Sha256::new();
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(Digest::from_hasher(hasher)),
            count => hasher.update(&block[..count]),
        }
    }
}

/// Reads a small text file.
fn small(path: &Path) -> Result<String, WheelhouseError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SMALL).read_to_string(&mut text))
        .map_err(|error| WheelhouseError::folder(path, "read", error))?;
    Ok(text)
}

/// Temporary folders are private; a wheelhouse is for everybody who may read the folder that it lies in.
#[cfg(unix)]
fn readable_by_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change what lies in a wheelhouse")]
mod tests;
