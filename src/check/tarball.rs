//! Reads a tar archive as a stream, with bounded memory.
//!
//! The `tar` crate reads long names and PAX records of any size into memory and cannot be told not to; here the crate decodes
//! header fields only, and we walk the blocks. Understands what Docker, containerd and BuildKit write: ustar, GNU long names, PAX.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// PAX records and long names above this are nobody's honest work (`PATH_MAX` is 4096, extended attributes at most 64 KiB each).
const EXTENSION: u64 = 1 << 20;

/// A member of an archive, before its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path as written.
    pub(super) path: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
    /// Where a link points.
    pub(super) link: Vec<u8>,
    /// The size of its content in bytes.
    pub(super) size: u64,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    /// A device, a FIFO.
    Other,
}

/// Walks the members of an archive.
pub(super) struct Tarball<R> {
    input: R,
    content: u64,
    padding: u64,
    ended: bool,
}

/// What extension headers say about the next member.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Tarball<R> {
    /// Returns a walk over the archive in `input`.
    pub(super) fn new(input: R) -> Self {
        Self { input, content: 0, padding: 0, ended: false }
    }

    /// Returns the input, which was read to the present place and no further.
    pub(super) fn get_ref(&self) -> &R {
        &self.input
    }

    /// Returns what is left of the input after the archive's end.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// Moves on to the next member; what was not read of the last one is skipped.
    pub(super) fn next_member(&mut self) -> io::Result<Option<Member>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_member()?;
            let Some(block) = self.header_block()? else { return Ok(None) };
            let header = tar::Header::from_byte_slice(&block);
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| damage("a member's size is not a number"))?;
            match kind.as_byte() {
                b'L' => extensions.path = Some(without_nul(self.extension(size)?)),
                b'K' => extensions.link = Some(without_nul(self.extension(size)?)),
                b'x' => extensions.take_pax(&self.extension(size)?)?,
                b'g' => drop(self.extension(size)?),
                b'S' => return Err(damage("it holds a GNU sparse file, which container tools do not write")),
                _ => return self.member(header, size, extensions).map(Some),
            }
        }
    }

    fn member(&mut self, header: &tar::Header, size: u64, extensions: Extensions) -> io::Result<Member> {
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Symlink,
            tar::EntryType::Link => Kind::Hardlink,
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => Kind::Other,
            // POSIX: an unknown type is read as a regular file.
            _ => Kind::File,
        };
        // As Go's reader, which every container tool uses: only files have content, whatever the header of a link says.
        let size = if kind == Kind::File { extensions.size.unwrap_or(size) } else { 0 };
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        self.begin_content(size)?;
        Ok(Member { path, kind, link: link.unwrap_or_default(), size })
    }

    fn begin_content(&mut self, size: u64) -> io::Result<()> {
        let block = BLOCK as u64;
        let padded =
            size.checked_next_multiple_of(block).ok_or_else(|| damage("a member's size overflows"))?;
        self.content = size;
        self.padding = padded - size;
        Ok(())
    }

    /// Reads the content of an extension header.
    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION {
            return Err(damage("an extension header is larger than 1 MiB"));
        }
        self.begin_content(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn skip_member(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.content).saturating_add(std::mem::take(&mut self.padding));
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        if skipped < rest { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Returns the next header; none at the end mark, or where the input ends at a member's border, as some writers leave it.
    fn header_block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        let read = read_fully(&mut self.input, &mut block)?;
        if read == 0 || block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(None);
        }
        if read < BLOCK {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !is_header(&block) {
            return Err(damage("a header's checksum is wrong"));
        }
        Ok(Some(block))
    }
}

/// Reads the content of the current member.
impl<R: Read> Read for Tarball<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.content == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let want = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        let read = self.input.read(&mut buffer[..want])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= read as u64;
        Ok(read)
    }
}

impl Extensions {
    /// Takes what we need from PAX records: `<length> <key>=<value>\n`, where the length counts the whole record.
    fn take_pax(&mut self, mut records: &[u8]) -> io::Result<()> {
        let bad = || damage("a PAX record is malformed");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length: usize = text(&records[..space]).and_then(|t| t.parse().ok()).ok_or_else(bad)?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(bad());
            }
            let record = &records[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let value = &record[equals + 1..];
            match &record[..equals] {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(text(value).and_then(|t| t.parse().ok()).ok_or_else(bad)?),
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(damage("it holds a sparse file, which container tools do not write"));
                }
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }
}

/// Returns whether `block` is a tar header: its checksum is right.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    let sum = |block: &[u8]| block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum field itself counts as eight spaces.
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|written| written == expected)
}

/// Fills `buffer` as far as the input goes and returns how far that was.
pub(super) fn read_fully(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn damage(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
        let mut tarball = Tarball::new(bytes);
        let mut found = Vec::new();
        while let Some(member) = tarball.next_member()? {
            let mut content = Vec::new();
            tarball.read_to_end(&mut content)?;
            found.push((member, content));
        }
        Ok(found)
    }

    #[test]
    fn long_names_links_and_contents_are_read_as_the_tar_crate_wrote_them() {
        let long = format!("opt/{}/file", "long/".repeat(60));
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in [("a", b"one".to_vec()), (long.as_str(), vec![7; 1500])] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content.as_slice()).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "link", &long).unwrap();
        let found = members(&builder.into_inner().unwrap()).unwrap();
        let paths: Vec<String> =
            found.iter().map(|(member, _)| String::from_utf8_lossy(&member.path).into_owned()).collect();
        assert_eq!(paths, ["a", long.as_str(), "link"]);
        assert_eq!(found[1].1, vec![7; 1500]);
        assert_eq!(found[2].0.link, long.as_bytes());
    }

    #[test]
    fn a_pax_path_and_size_win_over_the_header() {
        let mut builder = tar::Builder::new(Vec::new());
        let records = [("path", b"w\xc3\xa4ge".as_slice()), ("size", b"3"), ("SCHILY.xattr.user.x", b"a\nb")];
        builder.append_pax_extensions(records).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(3);
        header.set_cksum();
        builder.append(&header, b"abc".as_slice()).unwrap();
        let found = members(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(
            (found[0].0.path.as_slice(), found[0].1.as_slice()),
            ("wäge".as_bytes(), b"abc".as_slice())
        );
    }

    #[test]
    fn an_endless_long_name_is_refused_before_it_is_read() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 40);
        header.set_cksum();
        let error = members(header.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "an extension header is larger than 1 MiB");
    }

    #[test]
    fn an_archive_that_stops_in_the_middle_of_a_file_is_an_error() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5000);
        builder.append_data(&mut header, "a", [1; 5000].as_slice()).unwrap();
        let bytes = builder.into_inner().unwrap();
        assert_eq!(members(&bytes[..2000]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _any_answer = members(&bytes);
        }

        #[test]
        fn a_valid_archive_with_one_byte_changed_never_panics(at in 0_usize..4096, value in any::<u8>()) {
            let mut builder = tar::Builder::new(Vec::new());
            builder.append_pax_extensions([("path", b"abc".as_slice())]).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(600);
            builder.append_data(&mut header, "a".repeat(300), [1; 600].as_slice()).unwrap();
            let mut bytes = builder.into_inner().unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            let _any_answer = members(&bytes);
        }
    }
}
