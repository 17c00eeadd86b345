//! The libraries of an image with code for GPUs.

use serde::Serialize;

use super::fatbin::{Arch, GpuCode, Packing};
use super::rules::Image;

/// The GPU code of one library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LibraryCode {
    /// Its path.
    pub path: String,
    /// Architectures with machine code, such as `sm_90a`.
    pub sass: Vec<String>,
    /// Architectures with PTX, which a driver compiles on the node.
    pub ptx: Vec<String>,
    /// How the code is packed, and `unreadable` where not all of it could be read.
    pub flags: Vec<String>,
}

/// Returns the libraries with code for GPUs, by path.
pub(super) fn of(image: &Image) -> Vec<LibraryCode> {
    let code =
        image.root.files().filter_map(|(path, note, _)| Some((path, note.elf.as_ref()?.gpu.as_deref()?)));
    code.map(|(path, code)| LibraryCode::new(&format!("/{path}"), code)).collect()
}

impl LibraryCode {
    /// Returns what `code` says, for the library at `path`.
    pub(super) fn new(path: &str, code: &GpuCode) -> Self {
        let mut flags: Vec<String> = code.packing.iter().map(|packing| packing.name().to_owned()).collect();
        flags.extend(code.unreadable.is_some().then(|| "unreadable".to_owned()));
        let names =
            |archs: &std::collections::BTreeSet<Arch>| archs.iter().map(ToString::to_string).collect();
        Self { path: path.to_owned(), sass: names(&code.sass), ptx: names(&code.ptx), flags }
    }
}

impl Packing {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Old => "old",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}
