//! A file of which only some ranges are kept while its bytes pass by; none where it can be read again.

use std::ops::Range;

use object::ReadRef;

use super::packed::{Packed, Packer, Thawed};
use super::pages::Pages;
use crate::check::again::Place;

/// What the kept ranges of one file may take of memory, packed. Honest tables of 60 MB take some eight.
const STORED: usize = 32 << 20;
/// What a window of it may take: where it holds code for GPUs it does not pack, and then the rest of it is no table.
const WINDOW: usize = 8 << 20;
/// What of it may be unpacked for readers: the symbols of the largest extensions of torch.
const THAWED: usize = 32 << 20;

/// The kept ranges of a file.
pub(super) struct Ranges {
    /// The file itself, where it can be read again.
    pages: Option<Pages>,
    parts: Vec<Part>,
    packer: Packer,
    thawed: Thawed,
    /// How many bytes of the file have passed.
    passed: u64,
    /// How many bytes may be kept still.
    left: u64,
    /// How many bytes of memory the kept ranges take; nothing more is kept above [`STORED`].
    stored: usize,
}

struct Part {
    at: u64,
    end: u64,
    bytes: Packed,
    /// How many bytes of memory it may take still.
    room: usize,
    /// Whether it is a window, of which not all is wanted.
    window: bool,
}

impl Ranges {
    /// Returns a file of which at most `most` bytes are kept, or none where `again` has it.
    pub(super) fn new(most: u64, again: Option<Place>) -> Self {
        Self {
            pages: again.map(Pages::new),
            parts: Vec::new(),
            packer: Packer::default(),
            thawed: Thawed::new(THAWED),
            passed: 0,
            left: most,
            stored: 0,
        }
    }

    /// Keeps of `range` what packs, as [`Self::keep`]: somewhere in it tables are expected.
    pub(super) fn keep_window(&mut self, range: Range<u64>) -> bool {
        self.keep_within(range, WINDOW, true)
    }

    /// Keeps `range`, of which nothing may have passed unless it joins what is being kept; says whether it will be there whole.
    pub(super) fn keep(&mut self, range: Range<u64>) -> bool {
        self.keep_within(range, STORED, false)
    }

    /// Ends the windows that are open behind the last of `wanted`, now that it is known where the tables are.
    pub(super) fn narrow(&mut self, wanted: &[Range<u64>]) {
        for part in self.parts.iter_mut().filter(|part| part.window) {
            let kept = part.at + part.bytes.len() as u64;
            let ends = wanted.iter().filter(|range| range.start < part.end && range.end > part.at);
            let end = ends.map(|range| range.end).max().unwrap_or(kept);
            part.end = part.end.min(end.max(kept));
        }
    }

    fn keep_within(&mut self, range: Range<u64>, room: usize, window: bool) -> bool {
        let length = range.end.saturating_sub(range.start);
        if length == 0
            || self.pages.is_some()
            || self.parts.iter().any(|part| part.at <= range.start && range.end <= part.end)
        {
            return true;
        }
        // The beginning may have passed while a part was growing that holds it: that one grows on.
        let passed = self.passed;
        let growing =
            self.parts.iter_mut().find(|part| part.at <= range.start && part.end >= passed.max(range.start));
        if let Some(part) = growing {
            let more = range.end - part.end;
            if more > self.left {
                return false;
            }
            self.left -= more;
            part.end = range.end;
            part.room = room;
            part.window = window;
            return true;
        }
        if range.start < self.passed || length > self.left {
            return false;
        }
        self.left -= length;
        self.parts.push(Part { at: range.start, end: range.end, bytes: Packed::default(), room, window });
        true
    }

    /// Takes the next bytes of the file.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let from = self.passed;
        let to = from + chunk.len() as u64;
        for part in &mut self.parts {
            let (start, end) = (part.at.max(from), part.end.min(to));
            if start < end && self.stored <= STORED {
                let more = part.bytes.push(&chunk[index(start - from)..index(end - from)], &mut self.packer);
                self.stored += more;
                part.room = part.room.saturating_sub(more);
                if part.room == 0 {
                    part.end = part.at + part.bytes.len() as u64;
                }
            }
        }
        self.passed = to;
    }

    /// Returns how many bytes of the file have passed.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Returns the kept range that holds the byte at `at` and goes on longest, and where in it that byte is.
    fn part(&self, at: u64) -> Option<(&Packed, usize)> {
        let kept = |part: &Part| part.at + part.bytes.len() as u64;
        let holds = |part: &&Part| part.at <= at && at < kept(part);
        let part = self.parts.iter().filter(holds).max_by_key(|part| kept(part))?;
        Some((&part.bytes, index(at - part.at)))
    }
}

/// Within a chunk or a kept range, both of which are in memory.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl<'a> ReadRef<'a> for &'a Ranges {
    fn len(self) -> Result<u64, ()> {
        Ok(self.passed)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size == 0 {
            return Ok(&[]);
        }
        if let Some(pages) = &self.pages {
            return pages.read(offset..offset.saturating_add(size), &self.thawed).ok_or(());
        }
        let (bytes, at) = self.part(offset).ok_or(())?;
        bytes.read(at..at.saturating_add(index(size)), &self.thawed).ok_or(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        if let Some(pages) = &self.pages {
            return pages.until(range, delimiter, &self.thawed).ok_or(());
        }
        let (bytes, at) = self.part(range.start).ok_or(())?;
        let end = at.saturating_add(index(range.end.saturating_sub(range.start)));
        bytes.until(at, end, delimiter, &self.thawed).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(ranges: &mut Ranges, bytes: &[u8]) {
        for chunk in bytes.chunks(7) {
            ranges.feed(chunk);
        }
    }

    #[test]
    fn only_the_ranges_asked_for_are_kept() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut ranges = Ranges::new(50, None);
        assert!(ranges.keep(0..10) && ranges.keep(40..60));
        fed(&mut ranges, &bytes);
        assert_eq!((&ranges).read_bytes_at(45, 10), Ok(&bytes[45..55]));
        assert_eq!((&ranges).read_bytes_at(8, 4), Err(()));
        assert_eq!((&ranges).read_bytes_at_until(41..60, 44), Ok(&bytes[41..44]));
    }

    #[test]
    fn a_window_ends_where_the_tables_end_as_soon_as_they_are_known() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut ranges = Ranges::new(200, None);
        assert!(ranges.keep_window(10..50) && ranges.keep_window(60..90));
        fed(&mut ranges, &bytes[..35]);
        ranges.narrow(&[12..20, 30..42]);
        assert!(ranges.keep(30..42) && ranges.keep(70..75));
        fed(&mut ranges, &bytes[35..]);
        assert_eq!((&ranges).read_bytes_at(12, 30), Ok(&bytes[12..42]));
        assert_eq!((&ranges).read_bytes_at(70, 5), Ok(&bytes[70..75]));
        let gone = [(42, 1), (60, 1), (75, 1)].map(|(at, size)| (&ranges).read_bytes_at(at, size));
        assert_eq!(gone, [Err(()); 3]);
    }

    #[test]
    fn a_range_that_began_in_a_growing_one_is_kept_and_one_that_passed_is_not() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut ranges = Ranges::new(60, None);
        assert!(ranges.keep(0..20));
        fed(&mut ranges, &bytes[..14]);
        assert!(ranges.keep(10..40));
        fed(&mut ranges, &bytes[14..60]);
        assert!(!ranges.keep(45..50), "it has passed");
        assert!(!ranges.keep(70..99), "it is more than may be kept");
        fed(&mut ranges, &bytes[60..]);
        assert_eq!((&ranges).read_bytes_at(5, 35), Ok(&bytes[5..40]));
    }
}
