//! What the loader reads of a file: the dynamic section and the tables to which it leads.

use std::ops::Range;

use object::Endianness;
use object::elf::{
    DT_GNU_HASH, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMTAB, DT_VERDEF,
    DT_VERNEED, DT_VERSYM, DynamicTag, PT_INTERP, PT_LOAD,
};
use object::read::StringTable;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _, SectionHeader as _, SectionTable};

use super::format::Broken;
use super::ranges::Ranges;
use super::symbols::{self, Interest};
use super::{Dynamic, ElfNote, versions};
use crate::check::fatbin::Containers;

/// More entries than any library has.
const NEEDED: usize = 4096;
/// The longest name or path that is kept.
const TEXT: usize = 4096;
/// Kept for each table of versions.
const VERSIONS: u64 = 256 << 10;
/// Kept for symbols whose number is not known before the table of sections.
const SYMBOLS: u64 = 8 << 20;

/// The file as far as it was kept.
pub(super) type Sections<'a, Elf> = SectionTable<'a, Elf, &'a Ranges>;

/// Reads what was kept in `ranges` into `note`.
pub(super) fn read<Elf: FileHeader<Endian = Endianness>>(
    ranges: &Ranges,
    interest: Interest,
    containers: &Containers,
    note: &mut ElfNote,
) -> Result<(), Broken> {
    let header = Elf::parse(ranges).map_err(|_| Broken("its header is damaged"))?;
    let endian = header.endian().map_err(|_| Broken("its byte order is unknown"))?;
    let mut dynamic = names::<Elf>(header, endian, ranges)?;
    let table = Broken("its table of sections cannot be read");
    let sections = header.sections(endian, ranges).map_err(|_| table)?;
    note.gpu = containers.attribute(|name| {
        let named = sections.iter().filter(|section| sections.section_name(endian, section) == Ok(name));
        named
            .filter_map(|section| section.file_range(endian))
            .map(|(at, size)| at..at.saturating_add(size))
            .collect()
    });
    if note.gpu.is_none() && !containers.is_empty() && !readable_names(&sections, endian) {
        note.gpu = containers.unattributed("the names of its sections cannot be read");
    }
    if let Some(dynamic) = &mut dynamic {
        let tables = if sections.is_empty() { Err(Broken("it has no table of sections")) } else { Ok(()) };
        let read = tables
            .and_then(|()| versions::read(&sections, endian, ranges, dynamic))
            .and_then(|()| symbols::read(&sections, endian, ranges, interest, dynamic));
        if let Err(Broken(why)) = read {
            note.unread = Some(why.into());
        }
    }
    note.dynamic = dynamic.map(Box::new);
    Ok(())
}

fn readable_names<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
) -> bool {
    sections.iter().all(|section| sections.section_name(endian, section).is_ok())
}

/// Reads the dynamic section itself; none in a file that has none.
fn names<Elf: FileHeader<Endian = Endianness>>(
    header: &Elf,
    endian: Endianness,
    ranges: &Ranges,
) -> Result<Option<Dynamic>, Broken> {
    let broken = Broken("its dynamic section cannot be read");
    let segments = header.program_headers(endian, ranges).map_err(|_| broken)?;
    let mut entries = None;
    let mut interpreter = None;
    for segment in segments {
        if segment.p_type(endian) == PT_INTERP {
            let bytes = segment.data(endian, ranges).map_err(|()| broken)?;
            interpreter = Some(text(bytes.split(|byte| *byte == 0).next().unwrap_or_default()));
        }
        entries = entries.or(segment.dynamic(endian, ranges).map_err(|_| broken)?);
    }
    let Some(entries) = entries else { return Ok(None) };
    let value = |tag: DynamicTag| {
        entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian).into())
    };
    let Some(strings) = value(DT_STRTAB) else {
        return Ok(Some(Dynamic { interpreter, ..Dynamic::default() }));
    };
    let at = offset::<Elf>(segments, endian, strings).ok_or(broken)?;
    let strings = StringTable::new(ranges, at, at.saturating_add(value(DT_STRSZ).unwrap_or(0)));
    let string = |entry: &Elf::Dyn| {
        let at = u32::try_from(entry.d_val(endian).into()).map_err(|_| broken)?;
        strings.get(at).map(text).map_err(|()| Broken("the names in its dynamic section cannot be read"))
    };
    let mut dynamic = Dynamic { interpreter, ..Dynamic::default() };
    for entry in entries {
        match entry.d_tag(endian) {
            DT_NEEDED if dynamic.needed.len() < NEEDED => dynamic.needed.push(string(entry)?),
            DT_NEEDED => return Err(Broken("it needs more libraries than any honest file")),
            DT_SONAME => dynamic.soname = Some(string(entry)?),
            DT_RPATH => dynamic.rpath = Some(string(entry)?),
            DT_RUNPATH => dynamic.runpath = Some(string(entry)?),
            _ => {}
        }
    }
    Ok(Some(dynamic))
}

/// Returns the ranges to which the dynamic section leads, as soon as it has passed.
pub(super) fn tables<Elf: FileHeader<Endian = Endianness>>(ranges: &Ranges) -> Vec<Range<u64>> {
    let Ok(header) = Elf::parse(ranges) else { return Vec::new() };
    let Ok(endian) = header.endian() else { return Vec::new() };
    let Ok(segments) = header.program_headers(endian, ranges) else { return Vec::new() };
    let entries = segments.iter().find_map(|segment| segment.dynamic(endian, ranges).ok().flatten());
    let value = |tag: DynamicTag| -> Option<u64> {
        let entry = entries?.iter().find(|entry| entry.d_tag(endian) == tag)?;
        Some(entry.d_val(endian).into())
    };
    let size = value(DT_STRSZ).unwrap_or(0);
    let wanted = [
        (DT_STRTAB, size),
        (DT_SYMTAB, SYMBOLS),
        (DT_GNU_HASH, SYMBOLS),
        (DT_VERSYM, VERSIONS),
        (DT_VERNEED, VERSIONS),
        (DT_VERDEF, VERSIONS),
    ];
    let found = wanted.into_iter().filter_map(|(tag, size)| {
        let at = offset::<Elf>(segments, endian, value(tag)?)?;
        Some(at..at.saturating_add(size))
    });
    found.collect()
}

/// Returns where in the file the address `address` lies.
fn offset<Elf: FileHeader<Endian = Endianness>>(
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    address: u64,
) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD).find_map(|segment| {
        let (at, size) = segment.file_range(endian);
        let within = address.checked_sub(segment.p_vaddr(endian).into()).filter(|within| *within < size)?;
        at.checked_add(within)
    })
}

/// Returns the bytes as text, cut where they are too long to be honest.
pub(super) fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT)]).into()
}
