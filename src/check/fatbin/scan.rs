//! Finds fatbin containers in a stream of bytes and reads the heads of their entries; payloads are skipped.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Arch, GpuCode, Packing, Variant};

/// The first eight bytes of a container: magic, version 1, header of 16 bytes.
const MAGIC: u64 = 0x0010_0001_BA55_ED50;
const HEADER: usize = 16;
const ENTRY: usize = 64;
/// The longest head of an entry: those with options for ptxas have their text in it.
const LONGEST_HEAD: u64 = 64 << 10;
/// More containers than any library has (`libtorch_cuda`: some hundred).
const CONTAINERS: usize = 1 << 18;
/// More different contents than any library has.
const CONTENTS: usize = 4096;

/// What stands in a container, or in several alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Contents {
    sass: BTreeSet<Arch>,
    ptx: BTreeSet<Arch>,
    packing: BTreeSet<Packing>,
    fault: Option<&'static str>,
}

/// A container that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Container {
    at: u64,
    end: u64,
    contents: u16,
}

/// All containers of a file.
#[derive(Debug, Default)]
pub(in crate::check) struct Containers {
    found: Vec<Container>,
    contents: Vec<Contents>,
    /// Whether there were too many to keep.
    overflow: bool,
}

/// Looks for containers in what is fed to it.
#[derive(Debug, Default)]
pub(in crate::check) struct Scan {
    at: u64,
    state: State,
    held: Vec<u8>,
    current: Contents,
    start: u64,
    containers: Containers,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Seeking,
    /// Reading the header of a container.
    Header,
    /// Reading the head of an entry; the container ends there.
    Entry(u64),
    /// Skipping to a place in the container that ends there.
    Skipping(u64, u64),
}

impl Scan {
    /// Takes the next bytes; all chunks but the last have a length divisible by eight.
    pub(in crate::check) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Seeking => self.seek(bytes),
                State::Header => self.hold(bytes, HEADER),
                State::Entry(_) => self.hold(bytes, ENTRY),
                State::Skipping(to, _) => {
                    let left = usize::try_from(to - self.at).unwrap_or(usize::MAX);
                    left.min(bytes.len())
                }
            };
            self.at += used as u64;
            bytes = &bytes[used..];
            self.step();
        }
    }

    /// Returns what was found, after the last byte.
    pub(in crate::check) fn finish(mut self) -> Containers {
        if !matches!(self.state, State::Seeking) {
            self.close(self.at, Some("a container is longer than the file"));
        }
        self.containers
    }

    /// Looks for the magic number and returns how many bytes stand before it, or how many were looked at.
    fn seek(&mut self, bytes: &[u8]) -> usize {
        let skew = usize::try_from(self.at.wrapping_neg() % 8).unwrap_or(0).min(bytes.len());
        let magic = MAGIC.to_le_bytes();
        let words = bytes[skew..].as_chunks::<8>().0;
        match words.iter().position(|word| *word == magic) {
            Some(word) => {
                self.state = State::Header;
                self.held.clear();
                self.start = self.at + (skew + word * 8) as u64;
                skew + word * 8
            }
            None => bytes.len(),
        }
    }

    fn hold(&mut self, bytes: &[u8], until: usize) -> usize {
        let take = (until - self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..take]);
        take
    }

    /// Goes on to what comes next, where the present state is complete.
    fn step(&mut self) {
        match self.state {
            State::Header if self.held.len() == HEADER => {
                let size = word(&self.held, 8);
                self.held.clear();
                self.current = Contents::default();
                match self.at.checked_add(size) {
                    Some(end) => self.enter(end),
                    None => self.close(self.at, Some("a container has an impossible size")),
                }
            }
            State::Entry(end) if self.held.len() == ENTRY => match self.take_entry(end) {
                Ok(next) => {
                    self.held.clear();
                    self.state = State::Skipping(next, end);
                    self.step();
                }
                Err(fault) => self.close(self.at, Some(fault)),
            },
            State::Skipping(to, end) if self.at == to => self.enter(end),
            _ => {}
        }
    }

    /// Reads on in the container that ends at `end`.
    fn enter(&mut self, end: u64) {
        self.state = match end - self.at {
            0 => return self.close(end, None),
            left if left < ENTRY as u64 => return self.close(self.at, Some("an entry is cut off")),
            _ => State::Entry(end),
        };
    }

    /// Reads the head of an entry and returns where the next one begins.
    fn take_entry(&mut self, end: u64) -> Result<u64, &'static str> {
        let head = self.held.as_slice();
        let (kind, version) = (half(head, 0), half(head, 2));
        let (length, payload) = (u64::from(int(head, 4)), word(head, 8));
        let (sm, flags) = (int(head, 28), word(head, 40));
        if version != 0x0101 {
            return Err("an entry has an unknown version");
        }
        if length < ENTRY as u64 || length > LONGEST_HEAD {
            return Err("the head of an entry has an impossible length");
        }
        let start = self.at - ENTRY as u64;
        let next =
            start.checked_add(length).and_then(|at| at.checked_add(payload)).filter(|next| *next <= end);
        let next = next.ok_or("an entry is longer than its container")?;
        if !(10..1000).contains(&sm) {
            return Err("an entry is for an impossible architecture");
        }
        let arch = Arch { sm, variant: variant(flags) };
        let set = match kind {
            1 => &mut self.current.ptx,
            2 => &mut self.current.sass,
            _ => return Err("an entry is of an unknown kind"),
        };
        set.insert(arch);
        self.current.packing.insert(packing(flags));
        Ok(next)
    }

    /// Notes the container that ends here and seeks the next one.
    fn close(&mut self, end: u64, fault: Option<&'static str>) {
        self.state = State::Seeking;
        self.held.clear();
        let mut contents = std::mem::take(&mut self.current);
        contents.fault = fault;
        self.containers.add(self.start, end, contents);
    }
}

impl Containers {
    fn add(&mut self, at: u64, end: u64, contents: Contents) {
        let known = self.contents.iter().position(|known| *known == contents);
        let place = known.unwrap_or(self.contents.len());
        if self.found.len() >= CONTAINERS || place >= CONTENTS {
            self.overflow = true;
            return;
        }
        if known.is_none() {
            self.contents.push(contents);
        }
        if let Ok(contents) = u16::try_from(place) {
            self.found.push(Container { at, end, contents });
        }
    }

    /// Returns whether there is none.
    pub(in crate::check) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the code in the sections that are loaded; `sections` returns where those of a name are.
    pub(in crate::check) fn attribute(
        &self,
        sections: impl Fn(&[u8]) -> Vec<Range<u64>>,
    ) -> Option<Box<GpuCode>> {
        let loaded: Vec<Range<u64>> =
            sections(b".nv_fatbin").into_iter().filter(|range| !range.is_empty()).collect();
        if loaded.is_empty() {
            return None;
        }
        let mut code = GpuCode::default();
        for range in loaded {
            self.take(&range, &mut code);
        }
        Some(Box::new(code))
    }

    /// Returns that there is code of which we do not know whether it is loaded; none where there is no code.
    pub(in crate::check) fn unattributed(&self, why: &'static str) -> Option<Box<GpuCode>> {
        (!self.is_empty()).then(|| Box::new(GpuCode { unreadable: Some(why.into()), ..GpuCode::default() }))
    }

    /// Adds what stands in the section at `range` to `code`.
    fn take(&self, range: &Range<u64>, code: &mut GpuCode) {
        let mut fault = self.overflow.then_some("it has more containers than any library");
        let mut covered = range.start;
        for container in self.found.iter().filter(|container| range.contains(&container.at)) {
            let contents = &self.contents[usize::from(container.contents)];
            code.sass.extend(&contents.sass);
            code.ptx.extend(&contents.ptx);
            code.packing.extend(&contents.packing);
            fault = fault.or(contents.fault);
            if container.end > range.end {
                fault = fault.or(Some("a container is longer than its section"));
            }
            if container.at - covered.min(container.at) > GAP {
                fault = fault.or(Some("it has bytes between its containers that are none"));
            }
            covered = covered.max(container.end);
        }
        if range.end.saturating_sub(covered) > GAP {
            fault = fault.or(Some("it has bytes behind its containers that are none"));
        }
        if let Some(fault) = fault {
            code.unreadable.get_or_insert_with(|| fault.into());
        }
    }
}

/// The most bytes between two containers: zeros up to the next multiple of eight, and what a linker adds.
const GAP: u64 = 64;

/// Returns for which devices code with `flags` is. `cuobjdump` names `a` alone (NVIDIA/TensorRT-LLM#19069); the flag of `f` was found
/// where build files ask for it: NCCL 2.32 (`sm_100f`), Transformer Engine 2.14 (`sm_120f`).
fn variant(flags: u64) -> Variant {
    match flags & 0x30_0000 {
        0 => Variant::Base,
        0x20_0000 => Variant::Family,
        _ => Variant::Specific,
    }
}

fn packing(flags: u64) -> Packing {
    if flags & 0x8000 != 0 {
        Packing::Zstd
    } else if flags & 0x2000 != 0 {
        Packing::Lz4
    } else if flags & 0x1000 != 0 {
        Packing::Old
    } else {
        Packing::Plain
    }
}

/// Returns the number of eight bytes at `at`; nought where `bytes` ends before.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn int(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}
