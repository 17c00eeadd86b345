//! The outer archive: what `docker save` writes, in one pass, whatever the order of its members.

use std::collections::BTreeMap;
use std::io::Read;

use super::CheckError;
use super::again::Place;
use super::blob::{self, Blob, Content, Spent};
use super::limits::Limits;
use super::meter::Counting;
use super::tarball::{Kind, Tarball};

/// Everything that the archive holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// The blobs, by their path in the archive.
    blobs: BTreeMap<String, Blob>,
    /// Links: Docker 20.10 writes a layer that occurs twice once, and links to it.
    links: BTreeMap<String, String>,
    /// The size of the archive in bytes.
    pub(super) bytes: u64,
}

/// Reads the archive in `input` to its end; `again` is where it can be read again.
pub(super) fn read(input: impl Read, again: Option<&Place>, limits: &Limits) -> Result<Contents, CheckError> {
    let mut archive = Tarball::new(Counting::new(input));
    let mut blobs = BTreeMap::new();
    let mut links = BTreeMap::new();
    let spent = Spent::default();
    while let Some(member) = archive.next_member().map_err(not_an_archive(blobs.is_empty()))? {
        if member.path.len() > limits.path {
            return Err(CheckError::Limit { what: "bytes in the name of a blob", limit: limits.path as u64 });
        }
        let path = String::from_utf8_lossy(&member.path).trim_start_matches("./").to_owned();
        match member.kind {
            Kind::File => {
                let again = again.map(|all| all.part(archive.get_ref().count(), member.size));
                blobs.insert(path, blob::scan(&mut archive, again, limits, &spent)?);
            }
            Kind::Symlink | Kind::Hardlink => {
                let link = String::from_utf8_lossy(&member.link).into_owned();
                let from = if member.kind == Kind::Symlink { path.as_str() } else { "" };
                links.insert(path.clone(), beside(from, &link));
            }
            Kind::Directory | Kind::Other => {}
        }
        if blobs.len() + links.len() > limits.blobs {
            return Err(CheckError::Limit { what: "blobs", limit: limits.blobs as u64 });
        }
    }
    let mut rest: Counting<_> = archive.into_inner();
    std::io::copy(&mut rest, &mut std::io::sink()).map_err(CheckError::Read)?;
    Ok(Contents { blobs, links, bytes: rest.count() })
}

/// Returns the path of a blob in a layout of OCI.
pub(super) fn blob_path(digest: crate::oci::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Before the first blob, garbage means another kind of file; later, that the stream broke.
fn not_an_archive(at_start: bool) -> impl Fn(std::io::Error) -> CheckError {
    move |error| match error.kind() {
        std::io::ErrorKind::InvalidData if at_start => CheckError::NotAnImage(error.to_string()),
        _ => CheckError::Read(error),
    }
}

/// Returns the path that `link` means when it is written in the file at `path`.
fn beside(path: &str, link: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Contents {
    /// Returns blobs that were read one by one, as a layout of OCI holds them.
    pub(super) fn of_blobs(read: impl IntoIterator<Item = Blob>) -> Self {
        let mut contents = Self { blobs: BTreeMap::new(), links: BTreeMap::new(), bytes: 0 };
        for blob in read {
            contents.bytes += blob.size;
            contents.blobs.insert(blob_path(blob.digest), blob);
        }
        contents
    }

    /// Returns the blob at `path`, through one link.
    pub(super) fn blob(&self, path: &str) -> Option<(&str, &Blob)> {
        let path = self.links.get(path).map_or(path, String::as_str);
        self.blobs.get_key_value(path).map(|(path, blob)| (path.as_str(), blob))
    }

    /// Returns the JSON document at `path`.
    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        match &self.blob(path)?.1.content {
            Content::Document(bytes) => Some(bytes),
            Content::Layer(_) | Content::Other => None,
        }
    }

    /// Returns every blob with its path.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (&str, &Blob)> {
        self.blobs.iter().map(|(path, blob)| (path.as_str(), blob))
    }

    /// Returns the blobs themselves, by path.
    pub(super) fn into_blobs(self) -> BTreeMap<String, Blob> {
        self.blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_docker_20_mean_the_layer_beside() {
        assert_eq!(beside("aa/layer.tar", "../bb/layer.tar"), "bb/layer.tar");
        assert_eq!(beside("aa/layer.tar", "../../../etc/passwd"), "etc/passwd");
    }
}
