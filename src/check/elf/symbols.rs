//! Dynamic symbols, kept only where a rule compares them: what torch's libraries define, what extensions of torch want from them,
//! and the entry points of NCCL's plugins.

use object::Endianness;
use object::elf::{SHT_DYNSYM, SHT_GNU_HASH, gnu_hash};
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};

use super::Dynamic;
use super::dynamic::{Sections, text};
use super::format::Broken;
use super::ranges::Ranges;

/// The symbols of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Symbols {
    /// What a library of torch defines, as sorted hashes: `libtorch_cpu` has some 130,000. They are those of the loader's own table
    /// without the lowest bit, which marks ends there: that two of so many names agree happens once in 16,000 missing symbols.
    pub(crate) defined: Vec<u32>,
    /// What an extension wants of torch's C++ interface.
    pub(crate) undefined: Vec<Box<str>>,
    /// The entry points of a plugin of NCCL, such as `ncclNetPlugin_v8`.
    pub(crate) entry_points: Vec<Box<str>>,
}

/// What of a file's symbols is kept, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// One of torch's own libraries.
    Provider,
    /// A library that NCCL loads.
    Plugin,
    /// Anything else: only extensions of torch, which are known by what they need.
    Others,
}

/// More undefined symbols than any extension wants from torch.
const UNDEFINED: usize = 16_384;
/// More symbols than any library defines.
const DEFINED: usize = 1_000_000;

impl Symbols {
    pub(super) fn cost(&self) -> usize {
        let names =
            self.undefined.iter().chain(&self.entry_points).map(|name| name.len() + size_of::<Box<str>>());
        size_of::<Self>() + self.defined.len() * size_of::<u32>() + names.sum::<usize>()
    }

    /// Returns whether the symbol `name` is defined.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.defined.binary_search(&(gnu_hash(name.as_bytes()) | 1)).is_ok()
    }
}

impl Interest {
    pub(super) fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if name.contains(".so") && starts(&["libtorch", "libc10", "libcaffe2", "libshm"]) {
            Self::Provider
        } else if starts(&["libnccl-", "libnccl_"]) {
            Self::Plugin
        } else {
            Self::Others
        }
    }
}

/// Reads the loader's table of what a library defines; none where it has none. Its names need not be read then.
fn hashes<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
    ranges: &Ranges,
) -> Option<Vec<u32>> {
    let section = sections.iter().find(|section| section.sh_type(endian) == SHT_GNU_HASH)?;
    let data = section.data(endian, ranges).ok()?;
    // Four numbers, a filter of words of the file's class, a number for each bucket, then a hash for each symbol.
    let words = |bytes: &[u8]| -> Vec<u32> {
        let big = endian == Endianness::Big;
        let word =
            |bytes: &[u8; 4]| if big { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        bytes.as_chunks().0.iter().map(word).collect()
    };
    let head = words(data.get(..16)?);
    let (buckets, filter) = (usize::try_from(head[0]).ok()?, usize::try_from(head[2]).ok()?);
    let class = if Elf::is_type_64_sized() { 8 } else { 4 };
    let before = filter.checked_mul(class)?.checked_add(buckets.checked_mul(4)?)?.checked_add(16)?;
    let mut found = words(data.get(before..)?);
    for hash in &mut found {
        *hash |= 1;
    }
    found.sort_unstable();
    Some(found)
}

/// Reads what `interest` asks for.
pub(super) fn read<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
    ranges: &Ranges,
    interest: Interest,
    dynamic: &mut Dynamic,
) -> Result<(), Broken> {
    let extends_torch =
        dynamic.needed.iter().any(|name| name.starts_with("libtorch") || name.starts_with("libc10"));
    if interest == Interest::Others && !extends_torch {
        return Ok(());
    }
    if interest == Interest::Provider
        && let Some(defined) = hashes(sections, endian, ranges)
    {
        dynamic.symbols = Some(Box::new(Symbols { defined, ..Symbols::default() }));
        return Ok(());
    }
    let broken = Broken("its dynamic symbols cannot be read");
    let table = sections.symbols(endian, ranges, SHT_DYNSYM).map_err(|_| broken)?;
    let mut found = Symbols::default();
    for symbol in table.iter().skip(1) {
        // Names that nobody asks for are not read: those that an extension defines are most of its table.
        let asked = if interest == Interest::Others {
            symbol.is_undefined(endian) && !symbol.is_weak()
        } else {
            !symbol.is_undefined(endian)
        };
        if !asked {
            continue;
        }
        let name = table.symbol_name(endian, symbol).map_err(|_| broken)?;
        match interest {
            Interest::Plugin if is_entry_point(name) && found.entry_points.len() < 64 => {
                found.entry_points.push(text(name));
            }
            Interest::Provider if found.defined.len() < DEFINED => found.defined.push(gnu_hash(name) | 1),
            Interest::Others if is_torch_interface(name) && found.undefined.len() < UNDEFINED => {
                found.undefined.push(text(name));
            }
            _ => {}
        }
    }
    found.defined.sort_unstable();
    found.defined.shrink_to_fit();
    found.undefined.sort_unstable();
    dynamic.symbols = Some(Box::new(found));
    Ok(())
}

fn is_entry_point(name: &[u8]) -> bool {
    name.starts_with(b"nccl") && name.windows(8).any(|part| part == b"Plugin_v")
}

/// Returns whether the mangled `name` belongs to a namespace of torch: `_ZN3c105Error…`, `_ZNK2at6Tensor…`, `_ZTIN3c10…`.
fn is_torch_interface(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"_Z") else { return false };
    // Type information and virtual tables have a two-letter mark before the nested name.
    let rest = [b"TI", b"TV", b"TS"].iter().find_map(|mark| rest.strip_prefix(*mark)).unwrap_or(rest);
    let Some(rest) = rest.strip_prefix(b"N") else { return false };
    let rest = rest.strip_prefix(b"K").unwrap_or(rest);
    [b"3c10".as_slice(), b"2at", b"5torch", b"6caffe2"].iter().any(|space| rest.starts_with(space))
}
