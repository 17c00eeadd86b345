//! Bytes that come one after the other, kept packed where they are many: of 60 MB of tables a few hundred names are read.

use std::cell::{Cell, OnceCell};
use std::ops::Range;

use elsa::FrozenVec;

/// The first bytes of a window stay plain: of most libraries that is all of it.
const PLAIN: usize = 1 << 20;
/// What is packed together; a read unpacks one or a few of these.
const BLOCK: usize = 64 << 10;
/// Packed blocks of any size lie one behind the other in pieces of this size: freed, these fit the next library's, as blocks do not.
const PIECE: usize = 256 << 10;
/// Fast; tables of symbols still get to an eighth.
const LEVEL: i32 = 1;

/// Bytes, the later ones packed in blocks.
#[derive(Default)]
pub(super) struct Packed {
    plain: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    blocks: Vec<Block>,
    /// The block that is not full yet.
    tail: Vec<u8>,
}

struct Block {
    piece: usize,
    place: Range<usize>,
    plain: OnceCell<Vec<u8>>,
}

/// Packs; its tables and its buffer are used again for every block.
#[derive(Default)]
pub(super) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

/// What was unpacked for readers, who borrow it: bounded, for the tables of an enemy unpack to anything.
pub(super) struct Thawed {
    joined: FrozenVec<Box<[u8]>>,
    left: Cell<usize>,
}

impl Packer {
    /// Returns `bytes` packed, or as they are where that fails: then they cannot be unpacked, and are said to be unread.
    fn pack<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.compressor.is_none() {
            self.compressor = zstd::bulk::Compressor::new(LEVEL).ok();
            self.packed.reserve_exact(zstd::zstd_safe::compress_bound(BLOCK));
        }
        let packed =
            self.compressor.as_mut().map(|packer| packer.compress_to_buffer(bytes, &mut self.packed));
        if matches!(packed, Some(Ok(_))) { &self.packed } else { bytes }
    }
}

impl Thawed {
    /// Returns room for `most` unpacked bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { joined: FrozenVec::new(), left: Cell::new(most) }
    }

    /// Counts `bytes` that are about to be unpacked or read; none where that is more than there is room for.
    pub(super) fn take(&self, bytes: usize) -> Option<()> {
        self.left.set(self.left.get().checked_sub(bytes)?);
        Some(())
    }

    /// Keeps what was unpacked or read, and returns it.
    pub(super) fn keep(&self, bytes: Vec<u8>) -> &[u8] {
        self.joined.push_get(bytes.into_boxed_slice())
    }
}

impl Block {
    fn plain(&self, pieces: &[Vec<u8>], thawed: &Thawed) -> Option<&[u8]> {
        if self.plain.get().is_none() {
            thawed.take(BLOCK)?;
        }
        let packed = pieces.get(self.piece)?.get(self.place.clone())?;
        let unpack = || zstd::bulk::decompress(packed, BLOCK).unwrap_or_default();
        Some(self.plain.get_or_init(unpack))
    }
}

impl Packed {
    /// Returns how many bytes it holds.
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.blocks.len() * BLOCK + self.tail.len()
    }

    /// Adds `bytes` at the end and returns how many bytes of memory more it takes.
    pub(super) fn push(&mut self, mut bytes: &[u8], packer: &mut Packer) -> usize {
        let early = bytes.len().min(PLAIN - self.plain.len());
        self.plain.extend_from_slice(&bytes[..early]);
        bytes = &bytes[early..];
        let mut more = early;
        while !bytes.is_empty() {
            let part = bytes.len().min(BLOCK - self.tail.len());
            self.tail.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            if self.tail.len() == BLOCK {
                let block = put(packer.pack(&self.tail), &mut self.pieces);
                more += block.place.len() + size_of::<Block>();
                self.blocks.push(block);
                self.tail.clear();
            }
        }
        more
    }

    /// Returns the piece that holds the byte at `at`: where it begins, and its bytes.
    fn piece<'a>(&'a self, at: usize, thawed: &'a Thawed) -> Option<(usize, &'a [u8])> {
        let Some(within) = at.checked_sub(self.plain.len()) else { return Some((0, &self.plain)) };
        let start = self.plain.len() + within / BLOCK * BLOCK;
        match self.blocks.get(within / BLOCK) {
            Some(block) => Some((start, block.plain(&self.pieces, thawed)?)),
            None => Some((start, &self.tail)),
        }
    }

    /// Returns the bytes of `range`.
    pub(super) fn read<'a>(&'a self, range: Range<usize>, thawed: &'a Thawed) -> Option<&'a [u8]> {
        if range.end > self.len() || range.start >= range.end {
            return None;
        }
        let (start, piece) = self.piece(range.start, thawed)?;
        if let Some(found) = piece.get(range.start - start..range.end - start) {
            return Some(found);
        }
        thawed.take(range.len())?;
        let mut joined = Vec::with_capacity(range.len());
        while joined.len() < range.len() {
            let at = range.start + joined.len();
            let (start, piece) = self.piece(at, thawed)?;
            let end = piece.len().min(range.end - start);
            joined.extend_from_slice(piece.get(at - start..end).filter(|part| !part.is_empty())?);
        }
        Some(thawed.keep(joined))
    }

    /// Returns the bytes from `at` to the next `delimiter` before `end`, which is not further than a block away.
    pub(super) fn until<'a>(
        &'a self,
        at: usize,
        end: usize,
        delimiter: u8,
        thawed: &'a Thawed,
    ) -> Option<&'a [u8]> {
        let end = end.min(self.len());
        if at >= end {
            return None;
        }
        let (start, piece) = self.piece(at, thawed)?;
        let here = piece.get(at - start..piece.len().min(end - start))?;
        if let Some(found) = memchr::memchr(delimiter, here) {
            return Some(&here[..found]);
        }
        // It goes on in the next piece.
        let next = start + piece.len();
        let (start, piece) = self.piece(next, thawed)?;
        let rest = piece.get(..piece.len().min(end.checked_sub(start)?))?;
        let found = memchr::memchr(delimiter, rest)?;
        self.read(at..next + found, thawed)
    }
}

/// Puts a packed block behind those that are there.
fn put(packed: &[u8], pieces: &mut Vec<Vec<u8>>) -> Block {
    if pieces.last().is_none_or(|piece| piece.len() + packed.len() > PIECE) {
        pieces.push(Vec::with_capacity(PIECE));
    }
    let piece = pieces.len() - 1;
    let start = pieces[piece].len();
    pieces[piece].extend_from_slice(packed);
    Block { piece, place: start..start + packed.len(), plain: OnceCell::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than two blocks behind the plain part, a zero after every hundred bytes.
    fn bytes() -> Vec<u8> {
        (0..PLAIN + 2 * BLOCK + 777)
            .map(|at| if at % 101 == 100 { 0 } else { u8::try_from(at % 251).unwrap() | 1 })
            .collect()
    }

    fn packed(bytes: &[u8]) -> Packed {
        let (mut all, mut packer) = (Packed::default(), Packer::default());
        for chunk in bytes.chunks(5000) {
            all.push(chunk, &mut packer);
        }
        all
    }

    #[test]
    fn what_was_put_in_comes_out_wherever_a_range_begins_and_ends() {
        let bytes = bytes();
        let packed = packed(&bytes);
        assert_eq!(packed.len(), bytes.len());
        let borders =
            [0, 1, PLAIN - 1, PLAIN, PLAIN + BLOCK - 1, PLAIN + BLOCK, PLAIN + 2 * BLOCK, bytes.len() - 1];
        for from in borders {
            for to in borders.into_iter().filter(|to| *to > from) {
                assert!(
                    packed.read(from..to, &Thawed::new(8 << 20)) == Some(&bytes[from..to]),
                    "{from}..{to}"
                );
            }
        }
        assert!(packed.read(5..bytes.len() + 1, &Thawed::new(8 << 20)).is_none());
    }

    #[test]
    fn a_name_is_found_also_where_it_goes_on_in_the_next_block() {
        let bytes = bytes();
        let packed = packed(&bytes);
        let thawed = Thawed::new(8 << 20);
        for at in
            (0..bytes.len() - 101).filter(|at| at % 997 == 0).chain(PLAIN + BLOCK - 60..PLAIN + BLOCK + 3)
        {
            let end = at + bytes[at..].iter().position(|byte| *byte == 0).unwrap();
            assert!(packed.until(at, bytes.len(), 0, &thawed) == Some(&bytes[at..end]), "{at}");
        }
        assert!(packed.until(10, 50, 0, &thawed).is_none(), "it ends behind the table");
    }

    #[test]
    fn no_more_is_unpacked_than_is_allowed() {
        let packed = packed(&bytes());
        let thawed = Thawed::new(BLOCK);
        assert!(packed.read(PLAIN + 5..PLAIN + 9, &thawed).is_some());
        assert!(packed.read(PLAIN + BLOCK + 5..PLAIN + BLOCK + 9, &thawed).is_none());
    }
}
