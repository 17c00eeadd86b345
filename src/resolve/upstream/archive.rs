//! Archives of Debian and Ubuntu, read as apt reads them: the list of a suite (`InRelease`), then the indexes of its packages.
//!
//! An index is held against the checksum that its suite lists. The signature over that list is not looked at: what is read here only
//! chooses versions, and apt verifies every file in the build.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use super::network::body;
use super::{AptQuestion, UpstreamError};
use crate::catalog::AptArchive;
use crate::lock::{AptVersion, LockedPackage, PackageFile, Pin};
use crate::oci::Digest;

/// The largest index that is read; the largest of Debian 13 has 60 MB.
const LIMIT: usize = 512 << 20;
/// Returns the host that is asked instead of another.
pub(super) type MirrorOf<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// One package of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    version: AptVersion,
    file: PackageFile,
}

/// Returns the newest version of each wanted package.
pub(super) async fn newest(
    question: &AptQuestion,
    mirror: MirrorOf<'_>,
) -> Result<Vec<LockedPackage>, UpstreamError> {
    let mut found: BTreeMap<String, Entry> = BTreeMap::new();
    let mut instants = Vec::new();
    for archive in &question.archives {
        for suite in &archive.suites {
            let url = mirrored(&format!("{}/dists/{suite}", archive.url), mirror);
            let text = String::from_utf8_lossy(&body(&format!("{url}/InRelease"), LIMIT).await?).into_owned();
            let release = Release::read(&url, &text)?;
            instants.extend(release.instant.clone());
            for (name, entry) in suite_entries(question, archive, &url, &release).await? {
                match found.get(&name) {
                    Some(known) if known.version >= entry.version => {}
                    _ => {
                        found.insert(name, entry);
                    }
                }
            }
        }
    }
    // At the latest instant each of the suites was as it was read.
    let snapshot = instants.into_iter().max().filter(|_| question.snapshot);
    let locked = |name: &crate::recipe::AptPackage| {
        let Entry { version, file } = found.get(name.as_str())?.clone();
        let file = PackageFile { snapshot: snapshot.clone(), ..file };
        Some(LockedPackage { name: name.clone(), version: Pin::Known(version), file: Some(file) })
    };
    Ok(question.names.iter().filter_map(locked).collect())
}

/// Returns what one suite has of the wanted packages. The first component that has a package is enough, so that the large indexes of
/// `universe` are read only where `main` has not everything.
async fn suite_entries(
    question: &AptQuestion,
    archive: &AptArchive,
    url: &str,
    release: &Release,
) -> Result<BTreeMap<String, Entry>, UpstreamError> {
    let mut wanted: BTreeSet<&str> = question.names.iter().map(crate::recipe::AptPackage::as_str).collect();
    let mut entries = BTreeMap::new();
    for component in &archive.components {
        if wanted.is_empty() {
            break;
        }
        let Some(index) = release.index(component, question.arch.name()) else { continue };
        let packed = body(&format!("{url}/{}", index.path), LIMIT).await?;
        if Digest::of(&packed) != index.sha256 {
            let what = format!("{url}/{}", index.path);
            let reason = "it is not what its suite lists; is the mirror being renewed? Try again".to_owned();
            return Err(UpstreamError::Nonsense { what, reason });
        }
        let what = format!("{url}/{}", index.path);
        let text = unpacked(&what, &packed)?;
        let of_index = read(&text, &archive.url, &wanted, &what)?;
        wanted.retain(|name| !of_index.contains_key(*name));
        entries.extend(of_index);
    }
    Ok(entries)
}

/// Returns `url` with the host that stands for its own.
pub(super) fn mirrored(url: &str, mirror: MirrorOf<'_>) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    mirror(host).map_or_else(|| url.to_owned(), |other| format!("{scheme}://{other}/{path}"))
}

/// What a suite says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Release {
    /// When it was made, as snapshot services name instants.
    instant: Option<String>,
    /// Its files with their checksums.
    files: BTreeMap<String, Digest>,
}

struct Index {
    path: String,
    sha256: Digest,
}

impl Release {
    fn read(url: &str, text: &str) -> Result<Self, UpstreamError> {
        let date = text.lines().find_map(|line| line.strip_prefix("Date:"));
        let instant = date.and_then(|date| {
            let date = date.trim().strip_suffix("UTC")?.trim();
            let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", date).ok()?;
            Some(civil.strftime("%Y%m%dT%H%M%SZ").to_string())
        });
        let mut files = BTreeMap::new();
        let lines = text.lines().skip_while(|line| !line.starts_with("SHA256:")).skip(1);
        for line in lines.take_while(|line| line.starts_with(' ')) {
            let mut words = line.split_whitespace();
            if let (Some(hex), Some(_), Some(path)) = (words.next(), words.next(), words.next())
                && let Ok(digest) = format!("sha256:{hex}").parse()
            {
                files.insert(path.to_owned(), digest);
            }
        }
        if files.is_empty() {
            let reason = "it lists no files with SHA-256".to_owned();
            return Err(UpstreamError::Nonsense { what: format!("{url}/InRelease"), reason });
        }
        Ok(Self { instant, files })
    }

    /// Returns the index of `component` for `arch`, the smallest form that is offered.
    fn index(&self, component: &str, arch: &str) -> Option<Index> {
        ["xz", "gz"].into_iter().find_map(|ending| {
            let path = format!("{component}/binary-{arch}/Packages.{ending}");
            self.files.get(&path).map(|sha256| Index { path, sha256: *sha256 })
        })
    }
}

fn unpacked(what: &str, packed: &[u8]) -> Result<String, UpstreamError> {
    let mut bytes = Vec::new();
    let limit = LIMIT as u64;
    let done = if packed.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(packed).take(limit).read_to_end(&mut bytes)
    } else {
        lzma_rust2::XzReader::new(packed, true).take(limit).read_to_end(&mut bytes)
    };
    let nonsense = |reason: String| UpstreamError::Nonsense { what: what.to_owned(), reason };
    done.map_err(|error| nonsense(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| nonsense(error.to_string()))
}

/// Returns the newest entry of each wanted package in the index `text` of the archive `base`.
fn read(
    text: &str,
    base: &str,
    wanted: &BTreeSet<&str>,
    what: &str,
) -> Result<BTreeMap<String, Entry>, UpstreamError> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for record in text.split("\n\n") {
        let field = |key: &str| {
            record.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
        };
        let Some(name) = field("Package").filter(|name| wanted.contains(name)) else { continue };
        let entry = entry(&field, base).ok_or_else(|| UpstreamError::Nonsense {
            what: what.to_owned(),
            reason: format!("entry {name}"),
        })?;
        match entries.get(name) {
            Some(known) if known.version >= entry.version => {}
            _ => {
                entries.insert(name.to_owned(), entry);
            }
        }
    }
    Ok(entries)
}

fn entry<'a>(field: &impl Fn(&str) -> Option<&'a str>, base: &str) -> Option<Entry> {
    let sha256 = format!("sha256:{}", field("SHA256")?).parse().ok()?;
    let url = format!("{base}/{}", field("Filename")?);
    let file = PackageFile { url, sha256, size: field("Size")?.parse().ok()?, snapshot: None };
    Some(Entry { version: field("Version")?.parse().ok()?, file })
}

#[cfg(test)]
mod tests;
