//! Walking a tree: which entries are sent, in which order.

use std::io;
use std::path::Path;

use super::pattern::{Matched, Patterns};
use super::{Entry, Files, Kind, links};
use crate::engine::EngineError;

/// Which entries of a tree a builder wants.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Only these, if there are any; a folder brings what is in it.
    pub(crate) include: Vec<String>,
    /// Not these, as in `.dockerignore`.
    pub(crate) exclude: Vec<String>,
    /// Only these and what they link to, if there are any; on top of `include`.
    pub(crate) follow: Vec<String>,
}

impl Choice {
    /// Whether it is the one file `path`. Old builders name it as what is included, new ones as what is followed.
    pub(crate) fn is_only(&self, path: &str) -> bool {
        let named = if self.follow.is_empty() { &self.include } else { &self.follow };
        *named == [path] && (self.include.is_empty() || self.follow.is_empty())
    }
}

impl Files {
    /// Calls `take` with each chosen entry, a folder before what is in it, names in byte order.
    ///
    /// # Errors
    /// Where a folder or file cannot be looked at, a pattern makes no sense, or `take` fails.
    pub(crate) fn walk(
        &self,
        choice: &Choice,
        take: &mut dyn FnMut(&Entry) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let fault = |path: &str, source| EngineError::Context { path: self.place(path), source };
        let mut include = choice.include.clone();
        if !choice.follow.is_empty() {
            match links::follow(self, &choice.follow).map_err(|source| fault("", source))? {
                Some(followed) => include.extend(followed),
                // One of them is the whole tree.
                None => include.clear(),
            }
        }
        let patterns = |texts: &[String]| {
            Patterns::new(texts)
                .map_err(|message| fault("", io::Error::new(io::ErrorKind::InvalidInput, message)))
        };
        let mut walk = Walk {
            files: self,
            include: if include.is_empty() { None } else { Some(patterns(&include)?) },
            exclude: patterns(&choice.exclude)?,
            pending: Vec::new(),
            take,
        };
        let (included, excluded) = (Matched::default(), Matched::default());
        walk.folder("", &included, &excluded)
    }
}

struct Walk<'a> {
    files: &'a Files,
    include: Option<Patterns>,
    exclude: Patterns,
    /// Folders above the current entry that were not chosen themselves; sent as soon as something in them is.
    pending: Vec<Entry>,
    take: &'a mut dyn FnMut(&Entry) -> Result<(), EngineError>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str, included: &Matched, excluded: &Matched) -> Result<(), EngineError> {
        let fault =
            |files: &Files, path: &str, source| EngineError::Context { path: files.place(path), source };
        let names = self.files.names(folder).map_err(|source| fault(self.files, folder, source))?;
        for name in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let included = self.include.as_ref().map(|patterns| patterns.matched(&path, included));
            let excluded = self.exclude.matched(&path, excluded);
            let chosen = included.as_ref().is_none_or(Matched::is_match) && !excluded.is_match();
            if !chosen && !self.may_choose_inside(&path, included.as_ref(), &excluded) {
                continue;
            }
            let entry = self.files.look(&path).map_err(|source| fault(self.files, &path, source))?;
            // A socket or a device, or gone since its folder was read.
            let Some(entry) = entry else { continue };
            let is_folder = entry.kind == Kind::Folder;
            let depth = self.pending.len();
            if chosen {
                for parent in self.pending.drain(..) {
                    (self.take)(&parent)?;
                }
                (self.take)(&entry)?;
            } else if is_folder {
                self.pending.push(entry);
            }
            if is_folder {
                self.folder(&path, &included.unwrap_or_default(), &excluded)?;
                self.pending.truncate(depth);
            }
        }
        Ok(())
    }

    /// Whether something in a folder that is not chosen itself may still be.
    fn may_choose_inside(&self, path: &str, included: Option<&Matched>, excluded: &Matched) -> bool {
        if excluded.is_match() && !self.exclude.may_except_inside(path) {
            return false;
        }
        match (&self.include, included) {
            (Some(patterns), Some(included)) => included.is_match() || patterns.may_match_inside(path),
            _ => true,
        }
    }
}

/// Returns what lies at `path` in the folder `root`; nothing for sockets, devices and pipes, which no context carries.
pub(super) fn look(root: &Path, path: &str) -> io::Result<Option<Entry>> {
    use std::os::unix::fs::MetadataExt as _;

    let place = root.join(path);
    let meta = match std::fs::symlink_metadata(&place) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let kind = if meta.is_dir() {
        Kind::Folder
    } else if meta.is_file() {
        Kind::File(meta.len())
    } else if meta.is_symlink() {
        let target = std::fs::read_link(&place)?;
        Kind::Link(target.into_os_string().into_string().map_err(|_| not_utf8())?)
    } else {
        return Ok(None);
    };
    let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    Ok(Some(Entry { path: path.to_owned(), kind, mode: meta.mode() & 0o7777, modified }))
}

/// Returns the names in a folder of this machine, in byte order.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().into_string().map_err(|_| not_utf8())?);
    }
    names.sort_unstable();
    Ok(names)
}

fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a name that is not UTF-8 cannot be sent to a builder")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the tests write the folders that are walked")]

    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use super::*;

    fn walked(files: &Files, choice: &Choice) -> Vec<String> {
        let mut paths = Vec::new();
        files
            .walk(choice, &mut |entry| {
                paths.push(entry.path.clone());
                Ok(())
            })
            .unwrap();
        paths
    }

    fn memory(paths: &[&str]) -> Files {
        Files::memory(paths.iter().map(|path| ((*path).to_owned(), b"x".to_vec())).collect(), 0).unwrap()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn folders_come_before_their_content_and_names_in_byte_order() {
        let files = memory(&["a/x", "a-b", "b"]);
        assert_eq!(walked(&files, &Choice::default()), ["a", "a/x", "a-b", "b"]);
    }

    #[test]
    fn what_dockerignore_names_stays_behind_and_exceptions_come_with_their_folders() {
        let files = memory(&["keep/in.py", "keep/out.log", "logs/deep/a.log", "logs/deep/b.txt", "top.log"]);
        let choice =
            Choice { exclude: texts(&["**/*.log", "logs", "!logs/deep/b.txt"]), ..Choice::default() };
        assert_eq!(walked(&files, &choice), ["keep", "keep/in.py", "logs", "logs/deep", "logs/deep/b.txt"]);
    }

    #[test]
    fn only_what_is_followed_is_sent_with_the_targets_of_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("real/sub")).unwrap();
        std::fs::create_dir_all(root.join("other")).unwrap();
        for file in ["real/sub/a", "real/b", "other/c"] {
            std::fs::write(root.join(file), "x").unwrap();
        }
        symlink("real/sub", root.join("link")).unwrap();
        let files = Files::Folder(Arc::from(root));
        let choice = Choice { follow: texts(&["/link/a"]), ..Choice::default() };
        assert_eq!(walked(&files, &choice), ["link", "real", "real/sub", "real/sub/a"]);
        let all = Choice { follow: texts(&["/"]), ..Choice::default() };
        assert_eq!(walked(&files, &all).len(), 7);
        let wild = Choice { follow: texts(&["oth*/c"]), ..Choice::default() };
        assert_eq!(walked(&files, &wild), ["other", "other/c"]);
    }

    #[test]
    fn modes_and_link_targets_are_kept_and_sockets_are_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("run.sh"), "x").unwrap();
        std::fs::set_permissions(root.join("run.sh"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("../outside", root.join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let mut entries = Vec::new();
        Files::Folder(Arc::from(root))
            .walk(&Choice::default(), &mut |entry| {
                entries.push((entry.path.clone(), entry.kind.clone(), entry.mode & 0o7777));
                Ok(())
            })
            .unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].1, Kind::Link("../outside".into()));
        assert_eq!(entries[1], ("run.sh".into(), Kind::File(1), 0o4755));
    }
}
