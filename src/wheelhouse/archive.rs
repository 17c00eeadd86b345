//! Takes the wheels out of an image's archive, as `docker save` writes it: layers plain or packed, in any order.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use super::SUMS;

/// The folder of the wheels in the image.
const FOLDER: &str = "wheels";
/// Where a tar says that it is one.
const MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Writes the wheels of the image in `archive`, and their checksums, into `folder`.
pub(super) fn wheels(archive: impl Read, folder: &Path) -> io::Result<()> {
    let mut members = tar::Archive::new(archive);
    for member in members.entries()? {
        let member = member?;
        if !member.header().entry_type().is_file() {
            continue;
        }
        let mut packed = BufReader::with_capacity(1 << 16, member);
        let start = packed.fill_buf()?;
        if start.starts_with(&[0x1f, 0x8b]) {
            layer(flate2::read::GzDecoder::new(packed), folder)?;
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            layer(zstd::Decoder::with_buffer(packed)?, folder)?;
        } else if is_tar(start) {
            layer(packed, folder)?;
        }
    }
    Ok(())
}

fn is_tar(start: &[u8]) -> bool {
    start.get(MAGIC.0..).is_some_and(|rest| rest.starts_with(MAGIC.1))
}

fn layer(tar: impl Read, folder: &Path) -> io::Result<()> {
    for file in tar::Archive::new(tar).entries()? {
        let mut file = file?;
        let path = file.path()?.into_owned();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let in_place = path.parent().is_some_and(|parent| parent.ends_with(FOLDER));
        if in_place && file.header().entry_type().is_file() && (is_wheel(&name) || name == SUMS) {
            let mut kept = File::create(folder.join(&name))?;
            io::copy(&mut file, &mut kept)?;
            kept.sync_all()?;
        }
    }
    Ok(())
}

/// Returns whether `name` is the name of a wheel: one word that means nothing else anywhere.
pub(super) fn is_wheel(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
    let Some(stem) = name.strip_suffix(".whl") else { return false };
    !stem.is_empty() && !stem.starts_with(['.', '-']) && stem.chars().all(plain)
}
