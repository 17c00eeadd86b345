//! A file that can be read again at any place: what readers ask for is read then, and nothing is kept before.

use std::ops::Range;

use elsa::FrozenMap;

use super::packed::Thawed;
use crate::check::again::Place;

/// What is read at once for names, which lie close together or far apart.
const PAGE: u64 = 4 << 10;
/// The longest text that is looked for: as long as in a stream, where it ends in the next block at the latest.
const TEXT: u64 = 64 << 10;

/// A file, and what was read of it.
pub(super) struct Pages {
    place: Place,
    read: FrozenMap<u64, Box<[u8]>>,
}

impl Pages {
    pub(super) fn new(place: Place) -> Self {
        Self { place, read: FrozenMap::new() }
    }

    fn page(&self, number: u64, thawed: &Thawed) -> Option<&[u8]> {
        if let Some(page) = self.read.get(&number) {
            return Some(page);
        }
        let page = self.bytes(number.checked_mul(PAGE)?, PAGE, thawed)?;
        Some(self.read.insert(number, page.into()))
    }

    /// Reads `size` bytes, or as many as there are.
    fn bytes(&self, at: u64, size: u64, thawed: &Thawed) -> Option<Vec<u8>> {
        let size = usize::try_from(size).ok()?;
        thawed.take(size)?;
        let mut bytes = vec![0; size];
        let read = self.place.read(at, &mut bytes).ok()?;
        bytes.truncate(read);
        Some(bytes)
    }

    /// Returns the bytes of `range`.
    pub(super) fn read<'a>(&'a self, range: Range<u64>, thawed: &'a Thawed) -> Option<&'a [u8]> {
        let size = range.end.checked_sub(range.start).filter(|size| *size > 0)?;
        let (number, within) = (range.start / PAGE, range.start % PAGE);
        if within + size <= PAGE {
            return self.page(number, thawed)?.get(index(within)..index(within + size));
        }
        let bytes = self.bytes(range.start, size, thawed)?;
        (bytes.len() as u64 == size).then(|| thawed.keep(bytes))
    }

    /// Returns the bytes from the start of `range` to the next `delimiter` in it.
    pub(super) fn until<'a>(
        &'a self,
        range: Range<u64>,
        delimiter: u8,
        thawed: &'a Thawed,
    ) -> Option<&'a [u8]> {
        let end = range.end.min(range.start.saturating_add(TEXT));
        let mut at = range.start;
        while at < end {
            let page = self.page(at / PAGE, thawed)?;
            let here = page.get(index(at % PAGE)..page.len().min(index(end - (at - at % PAGE))))?;
            match memchr::memchr(delimiter, here) {
                Some(0) if at == range.start => return Some(&[]),
                Some(found) => return self.read(range.start..at + found as u64, thawed),
                None if here.is_empty() => return None,
                None => at += here.len() as u64,
            }
        }
        None
    }
}

/// Within a page, or in memory already.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
