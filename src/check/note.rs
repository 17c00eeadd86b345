//! What is kept of a file while its bytes pass by: its size, its ELF header, small texts that rules read, version markers.
//!
//! A rule that needs more of a file adds a field to [`FileNote`] and a reader in [`Notes::read`]; nothing is read twice.

use std::io::{self, Read};

use twox_hash::XxHash3_128;

use super::again::Place;
use super::elf::{self, ElfNote};
use super::markers::Markers;
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

/// What is kept of a file; of most only how large it is, so what only some have is in a box.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FileNote {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// What it says as an ELF file, if it is one.
    pub(crate) elf: Option<Box<ElfNote>>,
    /// Its text, if rules read it.
    pub(crate) text: Option<Box<Text>>,
}

impl FileNote {
    /// Returns the version that the library carries.
    pub(crate) fn marker(&self) -> Option<&str> {
        self.elf.as_ref()?.marker.as_deref()
    }
}

/// The size from which the contents of libraries are compared; smaller ones cost nobody time.
pub(crate) const COMPARED: u64 = 16 << 20;

/// A text that rules read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The lines that were kept.
    pub(crate) lines: String,
    /// Whether the file was longer than what is kept.
    pub(crate) cut: bool,
}

impl Entry {
    /// Returns about how many bytes of memory the entry holds.
    pub(super) fn cost(&self) -> usize {
        let node = match &self.node {
            Node::Symlink(target) | Node::Hardlink(target) => target.len(),
            Node::File(note) => {
                note.text.as_ref().map_or(0, |text| text.lines.len() + size_of::<Text>())
                    + note.elf.as_ref().map_or(0, |elf| size_of::<ElfNote>() + elf.cost())
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
    const BUFFER: usize = 128 << 10;

    pub(super) fn new() -> Self {
        Self { buffer: vec![0; Self::BUFFER] }
    }

    /// Reads the file at `path` with `size` bytes of content from `data`; what no rule reads is left to be skipped. `again` is where it
    /// can be read again.
    pub(super) fn read(
        &mut self,
        path: &str,
        size: u64,
        again: Option<Place>,
        data: &mut impl Read,
    ) -> io::Result<FileNote> {
        let mut note = FileNote { size, ..FileNote::default() };
        if let Some(wanted) = texts::wanted(path) {
            let (lines, cut) = wanted.read(data)?;
            note.text = Some(Box::new(Text { lines, cut }));
            return Ok(note);
        }
        // The file's kind is in its first bytes; a buffer full of a file that nobody reads would be read in vain.
        let head = read_fully(data, &mut self.buffer[..64])?;
        let Some(mut reader) = elf::Reader::new(path, &self.buffer[..head], again) else { return Ok(note) };
        let mut markers = Markers::of(path);
        let mut content = (size >= COMPARED).then(XxHash3_128::new);
        let mut filled = head + read_fully(data, &mut self.buffer[head..])?;
        while filled > 0 {
            let chunk = &self.buffer[..filled];
            reader.feed(chunk);
            if let Some(markers) = &mut markers {
                markers.feed(chunk);
            }
            if let Some(content) = &mut content {
                content.write(chunk);
            }
            filled = read_fully(data, &mut self.buffer)?;
        }
        let mut elf = reader.finish();
        elf.content = content.map(|content| content.finish_128());
        if let Some(markers) = markers {
            (elf.marker, elf.mentions) = markers.finish();
        }
        note.elf = Some(Box::new(elf));
        Ok(note)
    }
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
        Notes::new().read(path, bytes.len() as u64, None, &mut &*bytes).unwrap()
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
}
