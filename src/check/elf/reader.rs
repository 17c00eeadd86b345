//! Reads one ELF file as it streams by: which ranges to keep, then what they say.

use object::Endianness;
use object::elf::{
    EM_386, EM_X86_64, FileHeader32, FileHeader64, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD,
};
use object::read::elf::{FileHeader, ProgramHeader as _};

use super::ElfNote;
use super::dynamic;
use super::format::{self, Broken};
use super::ranges::Ranges;
use super::symbols::Interest;
use crate::check::again::Place;
use crate::check::fatbin::Scan;

/// Kept of the beginning, where linkers put the tables of the loader: `libtorch_cpu` 2.9 has its names 24 MiB from the start.
const HEAD: u64 = 64 << 20;
/// Kept of the last segment, where patchelf puts tables that grew: the names in `libcusparseLt` 0.7.1 have 25 MiB, before the dynamic section.
const LAST: u64 = 64 << 20;
/// Kept before the table of sections, where linkers put the names of sections.
const NAMES: u64 = 64 << 10;
/// The largest table of sections that is kept: 65,536 of them.
const SECTIONS: u64 = 4 << 20;
/// The largest dynamic section that is kept; honest ones are below a kilobyte.
const DYNAMIC: u64 = 256 << 10;

/// Reads an ELF file that comes in chunks.
pub(in crate::check) struct Reader {
    note: ElfNote,
    interest: Interest,
    ranges: Ranges,
    scan: Scan,
    /// Where the dynamic section ends, until it has passed.
    dynamic_end: Option<u64>,
    broken: Option<Broken>,
}

/// What the program headers say.
#[derive(Debug, Default)]
struct Segments {
    dynamic: Option<(u64, u64)>,
    interpreter: Option<(u64, u64)>,
    first: u64,
    last: Option<(u64, u64)>,
    /// The flags of the stack.
    stack: Option<u32>,
}

impl Reader {
    /// Returns a reader for the file at `path`, if `head`, its first bytes, say that it is an ELF file; `again` is where it can be
    /// read again.
    pub(in crate::check) fn new(path: &str, head: &[u8], again: Option<Place>) -> Option<Self> {
        let note = format::note(head)?;
        let interest = Interest::of(path);
        let mut ranges = Ranges::new(HEAD + LAST + 2 * SECTIONS, again);
        ranges.keep(0..format::HEAD);
        let scan = Scan::default();
        Some(Self { note, interest, ranges, scan, dynamic_end: None, broken: None })
    }

    /// Takes the next bytes; all chunks but the last have a length divisible by eight.
    pub(in crate::check) fn feed(&mut self, chunk: &[u8]) {
        let first = self.ranges.passed() == 0;
        // The first chunk is looked at before the rest passes; what it leads to may begin inside it.
        let early = chunk.len().min(usize::try_from(format::HEAD).unwrap_or(usize::MAX));
        let (head, rest) = if first { chunk.split_at(early) } else { (chunk, [].as_slice()) };
        self.ranges.feed(head);
        if first {
            self.plan();
        }
        self.ranges.feed(rest);
        self.scan.feed(chunk);
        if self.dynamic_end.is_some_and(|end| end <= self.ranges.passed()) {
            self.dynamic_end = None;
            self.follow();
        }
    }

    /// Returns the note, after the last chunk.
    pub(in crate::check) fn finish(self) -> ElfNote {
        let Self { mut note, interest, ranges, scan, broken, .. } = self;
        let containers = scan.finish();
        let read = match (broken, note.bits) {
            (Some(broken), _) => Err(broken),
            (None, 32) => {
                dynamic::read::<FileHeader32<Endianness>>(&ranges, interest, &containers, &mut note)
            }
            (None, _) => dynamic::read::<FileHeader64<Endianness>>(&ranges, interest, &containers, &mut note),
        };
        if let Err(Broken(why)) = read {
            note.unread = Some(why.into());
            // Not knowing the sections, we do not know which containers count.
            if note.gpu.is_none() {
                note.gpu = containers.unattributed(why);
            }
        }
        note
    }

    /// Decides after the first bytes what to keep of the rest.
    fn plan(&mut self) {
        let segments = match self.note.bits {
            32 => segments::<FileHeader32<Endianness>>(&self.ranges),
            _ => segments::<FileHeader64<Endianness>>(&self.ranges),
        };
        let (segments, (table, table_end)) = match segments {
            Ok(found) => found,
            Err(broken) => return self.broken = Some(broken),
        };
        // glibc's default for a file that does not say (`DEFAULT_STACK_PERMS`).
        let unsaid = [EM_386.0, EM_X86_64.0].contains(&self.note.machine);
        self.note.executable_stack = segments.stack.map_or(unsaid, |flags| flags & PF_X.0 != 0);
        // Before the windows, which end early where they do not pack.
        if let Some((at, size)) = segments.dynamic {
            let end = at.saturating_add(size.min(DYNAMIC));
            self.ranges.keep(at..end);
            self.dynamic_end = Some(end);
        }
        if let Some((at, size)) = segments.interpreter {
            self.ranges.keep(at..at.saturating_add(size.min(4096)));
        }
        if table > 0 {
            let end = table_end.min(table.saturating_add(SECTIONS));
            self.ranges.keep(table.saturating_sub(NAMES).max(self.ranges.passed())..end);
            self.ranges.keep(table..end);
        }
        let first = if segments.first == 0 { HEAD } else { segments.first };
        self.ranges.keep_window(0..first.clamp(format::HEAD, HEAD));
        if let Some((at, end)) = segments.last {
            self.ranges.keep_window(at..end.min(at.saturating_add(LAST)));
        }
    }

    /// Keeps what the dynamic section leads to, where that is still to come.
    fn follow(&mut self) {
        let wanted = match self.note.bits {
            32 => dynamic::tables::<FileHeader32<Endianness>>(&self.ranges),
            _ => dynamic::tables::<FileHeader64<Endianness>>(&self.ranges),
        };
        self.ranges.narrow(&wanted);
        for range in wanted {
            self.ranges.keep(range);
        }
    }
}

/// Reads the program headers; returns also where the table of sections is.
fn segments<Elf: FileHeader<Endian = Endianness>>(ranges: &Ranges) -> Result<(Segments, (u64, u64)), Broken> {
    let header = Elf::parse(ranges).map_err(|_| Broken("its header is damaged"))?;
    let endian = header.endian().map_err(|_| Broken("its byte order is unknown"))?;
    let sections = header.e_shoff(endian).into();
    // With more than 65,279 sections the number stands elsewhere: no library has that many.
    let size = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    let mut found = Segments::default();
    let all = header
        .program_headers(endian, ranges)
        .map_err(|_| Broken("its program headers are not at its beginning"))?;
    for segment in all {
        let (at, size): (u64, u64) = segment.file_range(endian);
        match segment.p_type(endian) {
            PT_LOAD if at == 0 => found.first = size,
            PT_LOAD => {
                let end = at.saturating_add(size);
                found.last = found.last.filter(|(last, _)| *last > at).or(Some((at, end)));
            }
            PT_DYNAMIC => found.dynamic = Some((at, size)),
            PT_GNU_STACK => found.stack = Some(segment.p_flags(endian).0),
            PT_INTERP => found.interpreter = Some((at, size)),
            _ => {}
        }
    }
    Ok((found, (sections, sections.saturating_add(size))))
}

#[cfg(test)]
pub(super) fn read(path: &str, bytes: &[u8], again: Option<Place>) -> Option<ElfNote> {
    let mut reader = Reader::new(path, &bytes[..bytes.len().min(64)], again)?;
    for chunk in bytes.chunks(64 << 10) {
        reader.feed(chunk);
    }
    Some(reader.finish())
}
