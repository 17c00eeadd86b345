//! The first bytes of an ELF file.

use object::elf::{ELFCLASS32, ELFDATA2MSB, ELFMAG};

use super::ElfNote;

/// How many bytes of a file are looked at before anything is decided.
pub(super) const HEAD: u64 = 64 << 10;

/// Why the tables of a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// Returns what the first bytes of a file say, if it is an ELF file.
pub(super) fn note(head: &[u8]) -> Option<ElfNote> {
    let ident = head.first_chunk::<20>()?;
    if ident[..4] != ELFMAG {
        return None;
    }
    let half = |at: usize| {
        let pair = [ident[at], ident[at + 1]];
        if ident[5] == ELFDATA2MSB.0 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    let bits = if ident[4] == ELFCLASS32.0 { 32 } else { 64 };
    Some(ElfNote { kind: half(16), machine: half(18), bits, ..ElfNote::default() })
}
