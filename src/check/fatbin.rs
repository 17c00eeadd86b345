//! The GPU code inside a library: for which architectures, as machine code or as PTX, read from its fatbin containers.
//!
//! The format is not documented; the layout is the one that several projects found, held here against `cuobjdump` on real libraries
//! (`make oracle`). Only what stands in `.nv_fatbin` is loaded; `__nv_relfatbin` is input for a linker. What cannot be read is
//! unknown, never fine.

use std::collections::BTreeSet;

mod arch;
mod scan;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use arch::{Arch, Coverage, Variant};
pub(super) use scan::{Containers, Scan};

/// The GPU code of one library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct GpuCode {
    /// Machine code, by architecture.
    pub(crate) sass: BTreeSet<Arch>,
    /// PTX, which a driver compiles on the node, by architecture.
    pub(crate) ptx: BTreeSet<Arch>,
    /// How entries are packed.
    pub(crate) packing: BTreeSet<Packing>,
    /// Why some of it could not be read; then what is not listed may still be there.
    pub(crate) unreadable: Option<Box<str>>,
}

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Packing {
    Plain,
    /// CUDA's own, before LZ4.
    Old,
    Lz4,
    /// CUDA 13's default.
    Zstd,
}

impl GpuCode {
    /// Returns about how many bytes of memory it holds.
    pub(super) fn cost(&self) -> usize {
        let entries = self.sass.len() + self.ptx.len();
        // A tree's node holds eleven; most are one node.
        size_of::<Self>()
            + entries * 2 * size_of::<Arch>()
            + self.unreadable.as_ref().map_or(0, |text| text.len())
    }

    /// Returns whether a GPU of compute capability `sm` (90 for H100) can run it.
    pub(crate) fn coverage(&self, sm: u32) -> Coverage {
        arch::coverage(self, sm)
    }
}
