//! Readers that hash, count and stop what passes through them.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest as _;

use super::CheckError;
use super::limits::Limits;
use crate::oci::Digest;

/// Hashes and counts what is read through it.
pub(super) struct Hashing<R> {
    input: R,
    hasher: sha2::Sha256,
    bytes: Rc<Cell<u64>>,
}

/// Counts what is read through it.
pub(super) struct Counting<R> {
    input: R,
    bytes: u64,
}

impl<R> Counting<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, bytes: 0 }
    }

    /// Returns the number of bytes read so far.
    pub(super) fn count(&self) -> u64 {
        self.bytes
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<R> Hashing<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, hasher: sha2::Sha256::new(), bytes: Rc::default() }
    }

    /// Returns the counter, which goes on counting.
    pub(super) fn counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.bytes)
    }

    /// Returns the digest and the number of the bytes read so far.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_hasher(self.hasher), self.bytes.get())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

/// Stops an unpacked layer that grows beyond what an honest one would.
pub(super) struct Budget<'a, R> {
    input: R,
    limits: Limits,
    packed: Rc<Cell<u64>>,
    unpacked: u64,
    all: &'a AtomicU64,
    exceeded: Option<(&'static str, u64)>,
}

impl<'a, R> Budget<'a, R> {
    /// Returns a reader of `input`, the unpacked form of what `packed` counts; `all` counts the unpacked bytes of all layers.
    pub(super) fn new(input: R, limits: Limits, packed: Rc<Cell<u64>>, all: &'a AtomicU64) -> Self {
        Self { input, limits, packed, unpacked: 0, all, exceeded: None }
    }

    /// Returns the limit that stopped the reading, if one did.
    pub(super) fn exceeded(&self) -> Option<CheckError> {
        self.exceeded.map(|(what, limit)| CheckError::Limit { what, limit })
    }

    /// Returns the number of bytes read so far.
    pub(super) fn count(&self) -> u64 {
        self.unpacked
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }
}

impl<R: Read> Read for Budget<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.unpacked += read as u64;
        let all = self.all.fetch_add(read as u64, Ordering::Relaxed).saturating_add(read as u64);
        if all > self.limits.unpacked {
            self.exceeded = Some(("unpacked bytes in all layers", self.limits.unpacked));
        } else if self.unpacked > self.limits.ratio_from
            && self.unpacked / self.limits.ratio.max(1) > self.packed.get()
        {
            self.exceeded = Some(("times the packed size of a layer", self.limits.ratio));
        }
        match self.exceeded {
            Some(_) => Err(io::Error::other("a limit was reached")),
            None => Ok(read),
        }
    }
}
