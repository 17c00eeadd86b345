//! What is kept of an ELF file: for which machine it is, what it asks of the loader, which GPU code it carries.
//!
//! The file comes once and forwards only, of any size: [`Reader`] is fed with its bytes and keeps the few ranges that hold answers
//! (`elf/ranges.rs`): program headers and what they lead to, and the table of sections at the end. What cannot be read is said
//! ([`ElfNote::unread`], [`GpuCode::unreadable`]) and never taken for absent.

use super::fatbin::GpuCode;

mod dynamic;
mod format;
mod packed;
mod pages;
mod ranges;
mod reader;
mod symbols;
#[cfg(test)]
pub(super) mod tests;
mod versions;

pub(super) use reader::Reader;
pub(crate) use symbols::Symbols;

/// What an ELF file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ElfNote {
    /// `e_machine`: the architecture.
    pub(crate) machine: u16,
    /// `e_type`: relocatable, executable, shared, core.
    pub(crate) kind: u16,
    /// 32 or 64.
    pub(crate) bits: u8,
    /// Whether it wants a stack that can be executed: `PT_GNU_STACK` says so, or is not there where the processor's ABI then means it.
    pub(crate) executable_stack: bool,
    /// What it asks of the loader; none for static programs, object files, and where it could not be read.
    pub(crate) dynamic: Option<Box<Dynamic>>,
    /// The GPU code in it; none where there is no container of it.
    pub(crate) gpu: Option<Box<GpuCode>>,
    /// Why its tables could not be read, where they could not.
    pub(crate) unread: Option<Box<str>>,
    /// The version that the library carries in a marker string, such as `2.23.4` after `NCCL version `.
    pub(crate) marker: Option<Box<str>>,
    /// Names that the library asks for by itself, such as `libcudart.so` or `ncclNetPlugin_v10` ([`super::markers`]).
    pub(crate) mentions: Vec<Box<str>>,
    /// The hash of its content, if it is a library of at least [`super::note::COMPARED`] bytes: two with the same one are the same. Not a
    /// digest that withstands an enemy, who could have a warning for it.
    pub(crate) content: Option<u128>,
}

/// What a file asks of the loader and offers to others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dynamic {
    /// The name by which others ask for it.
    pub(crate) soname: Option<Box<str>>,
    /// The names for which it asks, in order.
    pub(crate) needed: Vec<Box<str>>,
    /// `DT_RPATH`: searched before `LD_LIBRARY_PATH`, for it and what it loads; nothing where there is a `RUNPATH`.
    pub(crate) rpath: Option<Box<str>>,
    /// `DT_RUNPATH`: searched after `LD_LIBRARY_PATH`, for it alone.
    pub(crate) runpath: Option<Box<str>>,
    /// The versions for which it asks (`GLIBC_2.34` of `libc.so.6`).
    pub(crate) needs: Vec<VersionNeed>,
    /// The versions that it defines.
    pub(crate) defines: Vec<Box<str>>,
    /// The program interpreter, such as `/lib64/ld-linux-x86-64.so.2`.
    pub(crate) interpreter: Option<Box<str>>,
    /// Its dynamic symbols, for the few files where a rule compares them.
    pub(crate) symbols: Option<Box<Symbols>>,
}

/// A version that one library must define for another to load.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VersionNeed {
    /// The library, by soname.
    pub(crate) file: Box<str>,
    /// The version.
    pub(crate) version: Box<str>,
    /// Whether the file loads without it.
    pub(crate) weak: bool,
}

impl ElfNote {
    /// Returns about how many bytes of memory it holds beside itself.
    pub(super) fn cost(&self) -> usize {
        let dynamic = self.dynamic.as_ref().map_or(0, |dynamic| dynamic.cost());
        let gpu = self.gpu.as_ref().map_or(0, |gpu| gpu.cost());
        let texts = [&self.unread, &self.marker].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let mentions = self.mentions.iter().map(|name| name.len() + size_of::<Box<str>>()).sum::<usize>();
        dynamic + gpu + texts + mentions
    }
}

impl Dynamic {
    fn cost(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let list =
            |list: &[Box<str>]| list.iter().map(|text| text.len() + size_of::<Box<str>>()).sum::<usize>();
        let needs =
            self.needs.iter().map(|need| need.file.len() + need.version.len() + size_of::<VersionNeed>());
        size_of::<Self>()
            + [&self.soname, &self.rpath, &self.runpath, &self.interpreter]
                .into_iter()
                .map(text)
                .sum::<usize>()
            + list(&self.needed)
            + list(&self.defines)
            + needs.sum::<usize>()
            + self.symbols.as_ref().map_or(0, |symbols| symbols.cost())
    }
}
