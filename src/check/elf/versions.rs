//! The versions of symbols that a file asks for and defines.

use object::Endianness;
use object::elf::VER_FLG_WEAK;
use object::read::elf::FileHeader;

use super::dynamic::{Sections, text};
use super::format::Broken;
use super::ranges::Ranges;
use super::{Dynamic, VersionNeed};

/// More versions than any library has; libc has some forty.
const MOST: usize = 8192;

/// Reads the versions that the file needs and defines.
pub(super) fn read<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
    ranges: &Ranges,
    dynamic: &mut Dynamic,
) -> Result<(), Broken> {
    needs(sections, endian, ranges, dynamic)
        .map_err(|_| Broken("the versions that it needs cannot be read"))?;
    defines(sections, endian, ranges, dynamic)
        .map_err(|_| Broken("the versions that it defines cannot be read"))
}

fn needs<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
    ranges: &Ranges,
    dynamic: &mut Dynamic,
) -> object::read::Result<()> {
    let Some((mut files, link)) = sections.gnu_verneed(endian, ranges)? else { return Ok(()) };
    let strings = sections.strings(endian, ranges, link)?;
    while let Some((file, mut wanted)) = files.next()? {
        let library = text(file.file(endian, strings)?);
        while let Some(version) = wanted.next()? {
            if dynamic.needs.len() >= MOST {
                return Ok(());
            }
            let weak = version.vna_flags.get(endian).contains(VER_FLG_WEAK);
            let version = text(version.name(endian, strings)?);
            dynamic.needs.push(VersionNeed { file: library.clone(), version, weak });
        }
    }
    Ok(())
}

fn defines<Elf: FileHeader<Endian = Endianness>>(
    sections: &Sections<'_, Elf>,
    endian: Endianness,
    ranges: &Ranges,
    dynamic: &mut Dynamic,
) -> object::read::Result<()> {
    let Some((mut all, link)) = sections.gnu_verdef(endian, ranges)? else { return Ok(()) };
    let strings = sections.strings(endian, ranges, link)?;
    while let Some((_, mut names)) = all.next()? {
        // The first name is the version; those behind it are its parents, which have an entry of their own.
        if let Some(name) = names.next()?
            && dynamic.defines.len() < MOST
        {
            dynamic.defines.push(text(name.name(endian, strings)?));
        }
    }
    Ok(())
}
