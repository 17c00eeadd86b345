//! How much an image may make us do or keep: a hostile archive gets an error, never our memory.

/// What one inspection may cost. The defaults let every image through that a registry would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files of the outer archive: blobs, manifests, configurations.
    pub blobs: usize,
    /// Files in all layers together.
    pub files: usize,
    /// Bytes that are kept in memory of all files together: paths, link targets, small texts.
    pub kept: usize,
    /// The length of one path or link target in bytes (Linux: `PATH_MAX`).
    pub path: usize,
    /// The size of one JSON document (ECR takes manifests of up to 4 MiB).
    pub document: usize,
    /// The size of all JSON documents together.
    pub documents: usize,
    /// Unpacked bytes of all layers together.
    pub unpacked: u64,
    /// How many times larger than packed a layer may be, once it is larger than `ratio_from`.
    pub ratio: u64,
    /// Unpacked bytes below which nobody cares how well a layer was packed.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blobs: 4096,
            files: 2_000_000,
            kept: 384 << 20,
            path: 4096,
            document: 8 << 20,
            documents: 64 << 20,
            unpacked: 256 << 30,
            ratio: 5000,
            ratio_from: 1 << 30,
        }
    }
}
