//! Every program and library is for the processor of the platform.

use std::collections::BTreeMap;

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};
use crate::oci::Arch;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::ForeignBinary],
    promise: "Every ELF file that a container sees is for the platform's processor.",
    story: "An image may say amd64 and hold arm64 programs: a wheel fetched for the builder, a binary copied from a build stage \
            that ran natively on a Mac. The label is right and the library does not load. Files that an upper layer deletes or \
            overwrites do not count, nor do GPU and BPF objects, which are for no processor.",
    run,
};

/// `e_machine` of code that is not for a processor: BPF and CUDA objects lie beside programs on purpose.
const NOT_FOR_A_PROCESSOR: [u16; 3] = [object::elf::EM_NONE.0, object::elf::EM_BPF.0, object::elf::EM_CUDA.0];
/// So many paths are named for each processor.
const NAMED: usize = 5;

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let arch = subject.platform.arch;
    let mut foreign: BTreeMap<(u16, u8), Vec<(&str, usize)>> = BTreeMap::new();
    for (path, note, layer) in subject.image.root.files() {
        let Some(elf) = note.elf.as_deref() else { continue };
        let native = elf.machine == arch.elf_machine() || is_32_bit_sibling(arch, elf.machine);
        if !native && !NOT_FOR_A_PROCESSOR.contains(&elf.machine) && !is_stub(path, elf.machine) {
            foreign.entry((elf.machine, elf.bits)).or_default().push((path, layer));
        }
    }
    foreign.into_iter().map(|(machine, files)| finding(machine, &files, arch)).collect()
}

/// Compilers of kernels bring stubs for the machines that they compile for, each in a folder of that name; nothing loads them.
/// nvidia-cutlass-dsl 4.8.1, which cuDNN's frontend requires, has `stubs/aarch64-unknown-linux-gnu` in its wheels for x86-64.
fn is_stub(path: &str, machine: u16) -> bool {
    let own = [Arch::Amd64, Arch::Arm64].into_iter().find(|arch| arch.elf_machine() == machine);
    let below = path.split_once("/stubs/").map(|(_, below)| below);
    own.zip(below).is_some_and(|(arch, below)| below.starts_with(&format!("{}-", arch.machine())))
}

/// The kernel of an amd64 machine runs i386 programs too, and some packages bring a few.
fn is_32_bit_sibling(arch: Arch, machine: u16) -> bool {
    arch == Arch::Amd64 && machine == object::elf::EM_386.0
}

fn finding((machine, bits): (u16, u8), files: &[(&str, usize)], arch: Arch) -> Finding {
    let mut named: Vec<String> =
        files.iter().take(NAMED).map(|(path, layer)| format!("/{path} (layer {layer})")).collect();
    if files.len() > NAMED {
        named.push(format!("and {} more", files.len() - NAMED));
    }
    let processor = match machine {
        62 => "x86-64".to_owned(),
        183 => "64-bit Arm".to_owned(),
        40 => "32-bit Arm".to_owned(),
        21 => "64-bit PowerPC".to_owned(),
        243 => format!("{bits}-bit RISC-V"),
        other => format!("ELF machine {other}"),
    };
    let files_are =
        if files.len() == 1 { "1 ELF file is".to_owned() } else { format!("{} ELF files are", files.len()) };
    Finding::new(
        Severity::Error,
        RuleCode::ForeignBinary,
        format!("/{}", files.first().map_or("", |(path, _)| path)),
        format!("{files_are} for {processor}: {}", named.join(", ")),
        format!("install these files for {} in a stage of the target platform", arch.name()),
    )
}
