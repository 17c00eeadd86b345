//! What is kept of a file while its bytes pass by: its size, its ELF header, small texts that rules read, version markers.
//!
//! A rule that needs more of a file adds a field to [`FileNote`] and a reader in [`Notes::read`]; nothing is read twice.

use std::io::{self, Read};

use super::tarball::read_fully;
use super::texts;

/// A member of a layer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its path without leading `/`.
    pub(super) path: Box<str>,
    /// What it is.
    pub(super) node: Node,
}

/// What a member of a layer is.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory,
    File(FileNote),
    /// A symbolic link and its target as written.
    Symlink(Box<str>),
    /// A hard link and the path of the file that it is.
    Hardlink(Box<str>),
    Other,
}

/// What is kept of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FileNote {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its ELF header, if it has one.
    pub(crate) elf: Option<ElfNote>,
    /// Its text, if rules read it.
    pub(crate) text: Option<Box<Text>>,
    /// The version that the library carries in a marker string, such as `2.23.4` after `NCCL version `.
    pub(crate) marker: Option<Box<str>>,
}

/// A text that rules read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The lines that were kept.
    pub(crate) lines: String,
    /// Whether the file was longer than what is kept.
    pub(crate) cut: bool,
}

/// What an ELF file says about itself in its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElfNote {
    /// `e_machine`: the architecture.
    pub(crate) machine: u16,
    /// `e_type`: relocatable, executable, shared, core.
    pub(crate) kind: u16,
    /// 32 or 64.
    pub(crate) bits: u8,
}

impl Entry {
    /// Returns about how many bytes of memory the entry holds.
    pub(super) fn cost(&self) -> usize {
        let node = match &self.node {
            Node::Symlink(target) | Node::Hardlink(target) => target.len(),
            Node::File(note) => {
                note.text.as_ref().map_or(0, |text| text.lines.len() + size_of::<Text>())
                    + note.marker.as_ref().map_or(0, |marker| marker.len())
            }
            Node::Directory | Node::Other => 0,
        };
        size_of::<Self>() + self.path.len() + node
    }
}

/// Reads files and keeps notes. Holds the one buffer.
pub(super) struct Notes {
    buffer: Vec<u8>,
}

impl Notes {
    const BUFFER: usize = 64 << 10;

    pub(super) fn new() -> Self {
        Self { buffer: vec![0; Self::BUFFER] }
    }

    /// Reads the file at `path` with `size` bytes of content from `data`; what no rule reads is left to be skipped.
    pub(super) fn read(&mut self, path: &str, size: u64, data: &mut impl Read) -> io::Result<FileNote> {
        let mut note = FileNote { size, ..FileNote::default() };
        if let Some(wanted) = texts::wanted(path) {
            let (lines, cut) = wanted.read(data)?;
            note.text = Some(Box::new(Text { lines, cut }));
            return Ok(note);
        }
        let head = read_fully(data, &mut self.buffer[..64])?;
        note.elf = elf_note(&self.buffer[..head]);
        if note.elf.is_some()
            && let Some(prefix) = marker_prefix(path)
        {
            note.marker = self.find_marker(prefix.as_bytes(), data)?;
        }
        Ok(note)
    }

    /// Looks for `prefix` with a version behind it; 473 MB of libnccl hold theirs in the first 4 MB.
    fn find_marker(&mut self, prefix: &[u8], data: &mut impl Read) -> io::Result<Option<Box<str>>> {
        const LONGEST: usize = 96;
        let mut kept = 0;
        loop {
            let read = read_fully(data, &mut self.buffer[kept..])?;
            let filled = kept + read;
            let window = &self.buffer[..filled];
            let end = read == 0 || filled < self.buffer.len();
            // A marker near the end of the window is looked at again with what follows.
            let usable = if end { filled } else { filled - LONGEST };
            if let Some(version) = marker_in(window, prefix, usable) {
                return Ok(Some(version));
            }
            if end {
                return Ok(None);
            }
            self.buffer.copy_within(filled - LONGEST..filled, 0);
            kept = LONGEST;
        }
    }
}

/// Returns the ELF header in the first bytes of a file, if it is one.
fn elf_note(head: &[u8]) -> Option<ElfNote> {
    let ident = head.first_chunk::<20>()?;
    if ident[..4] != object::elf::ELFMAG {
        return None;
    }
    let half = |at: usize| {
        let pair = [ident[at], ident[at + 1]];
        if ident[5] == object::elf::ELFDATA2MSB.0 {
            u16::from_be_bytes(pair)
        } else {
            u16::from_le_bytes(pair)
        }
    };
    let bits = if ident[4] == object::elf::ELFCLASS32.0 { 32 } else { 64 };
    Some(ElfNote { kind: half(16), machine: half(18), bits })
}

/// Returns the text that stands before the version inside the library at `path`, if it is one of those that carry it.
fn marker_prefix(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // Both computed: `strings` on nvidia-nccl-cu12 2.32.3, and PACKAGE_STRING in the plugin's start-up line.
    if name.starts_with("libnccl.so") {
        Some("NCCL version ")
    } else if name.starts_with("libnccl-net") {
        Some("aws-ofi-nccl ")
    } else {
        None
    }
}

/// Returns the version behind the first `prefix` that starts before `usable` and has digits and dots behind it.
fn marker_in(window: &[u8], prefix: &[u8], usable: usize) -> Option<Box<str>> {
    let first = *prefix.first()?;
    let mut from = 0;
    while let Some(step) = window.get(from..usable)?.iter().position(|byte| *byte == first) {
        let at = from + step;
        if let Some(rest) = window[at..].strip_prefix(prefix) {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
            let version = std::str::from_utf8(&rest[..length]).unwrap_or_default().trim_end_matches('.');
            if version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit()) {
                return Some(version.into());
            }
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u16, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        bytes.resize(16, 0);
        bytes.extend(3_u16.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.resize(64, 0);
        bytes.extend(tail);
        bytes
    }

    fn note(path: &str, bytes: &[u8]) -> FileNote {
        Notes::new().read(path, bytes.len() as u64, &mut &*bytes).unwrap()
    }

    #[test]
    fn the_machine_of_an_elf_file_is_read_in_both_byte_orders() {
        let mut big = elf(0, &[]);
        big[5] = 2;
        big[18..20].copy_from_slice(&183_u16.to_be_bytes());
        assert_eq!(note("bin/a", &elf(62, &[])).elf.unwrap().machine, 62);
        assert_eq!(note("bin/a", &big).elf.unwrap().machine, 183);
        assert_eq!(note("bin/a", b"\x7fELF").elf, None);
        assert_eq!(note("bin/a", b"#!/bin/sh\n").elf, None);
    }

    #[test]
    fn the_version_marker_of_nccl_is_found_wherever_the_window_falls() {
        let edge = Notes::BUFFER - 7;
        for at in [0, 10, edge - 96, edge, 200_000] {
            let mut tail = vec![b'N'; at];
            tail.extend(b"NCCL version mismatch\0NCCL version %d\0NCCL version 2.32.3+cuda12.9\0");
            tail.extend(vec![0; 1000]);
            let found = note("usr/lib/libnccl.so.2", &elf(62, &tail)).marker;
            assert_eq!(found.as_deref(), Some("2.32.3"), "at {at}");
        }
        assert_eq!(note("usr/lib/libnccl.so.2", &elf(62, b"NCCL version mismatch")).marker, None);
    }

    #[test]
    fn a_marker_at_the_very_end_of_the_file_counts() {
        let found =
            note("opt/amazon/ofi-nccl/lib/libnccl-net.so", &elf(62, b"aws-ofi-nccl 1.13.2-aws")).marker;
        assert_eq!(found.as_deref(), Some("1.13.2"));
    }
}
