//! Looks into the layers of a finished image, without a GPU and without unpacking it: one pass over what `docker save` writes.
//!
//! First the stream is read once, whatever the order of its parts, and notes are kept of every file (`check/blob.rs`,
//! `check/note.rs`). Then the notes are merged into the root that a container would see (`check/root.rs`). Rules are pure
//! functions over that ([`RULES`]): each is one file in `check/rules/`. Nothing is written to disk, and an archive from an enemy
//! costs bounded memory ([`Limits`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::rc::Rc;
use std::time::Instant;

use serde::Serialize;

use crate::engine::{Engine, EngineError};
use crate::oci::{Digest, Platform};

mod again;
mod archive;
mod blob;
mod component;
mod elf;
mod error;
mod fatbin;
mod finding;
mod instances;
mod inventory;
mod libraries;
mod limits;
mod link;
mod loader;
mod manifest;
mod markers;
mod meter;
mod note;
mod root;
mod rpm;
mod rules;
mod source;
mod tarball;
mod target;
#[cfg(test)]
mod tests;
mod texts;

pub use component::{ComponentSeen, Evidence, Sighting};
pub use error::CheckError;
pub use finding::{Finding, RuleCode, Severity};
pub use instances::{InstanceVerdict, Runs};
pub use libraries::LibraryCode;
pub use limits::Limits;
pub(crate) use rules::human;
pub use rules::{RULES, Rule};
pub use source::{Blobs, Layout};
pub use target::{Chosen, Silence, Silenced, Target};

/// What a look into an image found.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Inspection {
    /// The platform that was asked for.
    pub platform: Platform,
    /// The findings, the gravest first.
    pub findings: Vec<Finding>,
    /// The findings that the recipe silences, with its reasons.
    pub silenced: Vec<Silenced>,
    /// Who named the instances.
    pub target: Chosen,
    /// Whether the image runs on each instance.
    pub instances: Vec<InstanceVerdict>,
    /// The libraries with code for GPUs.
    pub libraries: Vec<LibraryCode>,
    /// The expected components and what is there of them; without a recipe those that were found.
    pub components: Vec<ComponentSeen>,
    /// The versions of everything that package managers say is installed.
    pub packages: BTreeMap<String, String>,
    /// The environment of a container, values that look secret left out.
    pub environment: Vec<String>,
    /// The layers from the bottom up.
    pub layers: Vec<LayerSummary>,
    /// What the configuration says.
    pub config: ConfigSummary,
    /// How much was read.
    pub read: ReadSummary,
}

/// A layer of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LayerSummary {
    /// The digest of its bytes as they lie in the archive.
    pub digest: Digest,
    /// The digest of its unpacked bytes.
    pub diff_id: Digest,
    /// Its media type: the manifest's word, or what Docker's layout without manifest means.
    pub media_type: String,
    /// Its size in the archive in bytes.
    pub size: u64,
    /// Its unpacked size in bytes.
    pub unpacked: u64,
    /// The number of its members.
    pub files: u64,
    /// The step that made it, shortened; empty where the history does not say.
    pub created_by: String,
}

/// What the configuration of an image says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ConfigSummary {
    /// Its digest.
    pub digest: Digest,
    /// The digest of the manifest, where the archive holds one.
    pub manifest: Option<Digest>,
    /// Operating system and architecture as written, such as `linux/amd64`.
    pub platform: String,
    /// The command of a container: entry point and arguments.
    pub command: Vec<String>,
    /// The folder in which it starts.
    pub workdir: String,
    /// The user; empty means root.
    pub user: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

/// How much was read.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ReadSummary {
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// Files in the merged root.
    pub files: u64,
    /// ELF files in the merged root.
    pub elf_files: u64,
    /// Bytes that upper layers delete or overwrite.
    pub wasted: u64,
    /// How long it took, in seconds.
    pub took: f64,
}

/// Looks into the image in `archive`, which `docker save` wrote, for `target`.
pub fn inspect(archive: impl Read, target: &Target) -> Result<Inspection, CheckError> {
    inspect_within(archive, target, &Limits::default())
}

/// As [`inspect`], within other limits.
pub fn inspect_within(
    archive: impl Read,
    target: &Target,
    limits: &Limits,
) -> Result<Inspection, CheckError> {
    let start = Instant::now();
    judge(archive::read(archive, None, limits)?, target, start)
}

/// As [`inspect`], from a file that was just opened: what libraries say is read again in it, and need not be kept while it passes.
pub fn inspect_file(archive: File, target: &Target) -> Result<Inspection, CheckError> {
    let start = Instant::now();
    let archive = Rc::new(archive);
    let again = again::Place::all(&archive);
    judge(archive::read(&*archive, again.as_ref(), &Limits::default())?, target, start)
}

/// Looks into the image behind `first`, the bytes of an index or a manifest, whose blobs are in `blobs`, for `target`.
pub fn inspect_blobs(first: Vec<u8>, blobs: &dyn Blobs, target: &Target) -> Result<Inspection, CheckError> {
    let start = Instant::now();
    let contents = source::read(first, blobs, target.platform, &Limits::default())?;
    judge(contents, target, start)
}

fn judge(contents: archive::Contents, target: &Target, start: Instant) -> Result<Inspection, CheckError> {
    let bytes = contents.bytes;
    let joined = manifest::join(&contents, target.platform)?;
    let image = rules::Image::new(joined, contents.into_blobs());
    Ok(rules::judge(&image, target, |image| ReadSummary::new(image, bytes, start)))
}

/// Returns the GPU code in the library at `path` with the bytes `data`, which are read once; none where there is no GPU code.
pub fn library(path: &str, mut data: impl Read) -> std::io::Result<Option<LibraryCode>> {
    let note = note::Notes::new().read(path, 0, None, &mut data)?;
    Ok(note.elf.and_then(|elf| elf.gpu).map(|code| LibraryCode::new(path, &code)))
}

/// Exports the image `name` from `engine` and looks into it as it streams by; nothing touches the disk.
pub async fn image(engine: &dyn Engine, name: &str, target: Target) -> Result<Inspection, CheckError> {
    let (reader, mut writer) = std::io::pipe().map_err(CheckError::Read)?;
    let looking = tokio::task::spawn_blocking(move || inspect(reader, &target));
    let exported = engine.export(name, &mut writer).await;
    drop(writer);
    let looked = looking.await.map_err(|error| CheckError::Read(std::io::Error::other(error)))?;
    match (exported, looked) {
        (Ok(()), looked) => looked,
        // We stopped reading, so the engine could not go on writing: our reason is the one.
        (Err(EngineError::Sink(_)), Err(error)) => Err(error),
        (Err(error), _) => Err(error.into()),
    }
}

impl ReadSummary {
    fn new(image: &rules::Image, bytes: u64, start: Instant) -> Self {
        let (mut files, mut elf_files) = (0, 0);
        for (_, note, _) in image.root.files() {
            files += 1;
            elf_files += u64::from(note.elf.is_some());
        }
        let took = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        Self { bytes, files, elf_files, wasted: image.root.wasted, took }
    }
}

impl Inspection {
    /// Returns the findings of `severity`.
    pub fn of_severity(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.severity == severity)
    }
}
