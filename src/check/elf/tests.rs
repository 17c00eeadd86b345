//! Tests of the ELF reader: on this test program itself, which a linker made, and on damaged copies of it.

use std::io::Write as _;
use std::rc::Rc;
use std::sync::OnceLock;

use super::ElfNote;
use super::reader::read as read_as;
use crate::check::again::Place;
use crate::check::fatbin::tests::{container, entry};

/// Reads what streams by.
fn read(path: &str, bytes: &[u8]) -> Option<ElfNote> {
    read_as(path, bytes, None)
}

/// Reads what can be read again: a file that lies inside another.
fn read_again(path: &str, bytes: &[u8]) -> Option<ElfNote> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b"another file", bytes, b"and one behind"].concat()).unwrap();
    read_as(path, bytes, Some(Place::all(&Rc::new(file)).unwrap().part(12, bytes.len() as u64)))
}

/// This test program, cut to its first and last mebibyte where only the reading of garbage is tested.
fn program() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "the test program itself is the real part that is read")]
    BYTES.get_or_init(|| std::fs::read(std::env::current_exe().unwrap()).unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_program_asks_of_the_loader_is_read_from_the_stream() {
    let note = read("bin/program", program()).unwrap();
    assert_eq!((note.bits, note.unread.as_deref(), note.gpu.as_deref()), (64, None, None));
    let dynamic = note.dynamic.unwrap();
    assert!(dynamic.needed.iter().any(|name| &**name == "libc.so.6"), "{:?}", dynamic.needed);
    assert!(dynamic.interpreter.unwrap().contains("/ld-"));
    let libc = |need: &&super::VersionNeed| &*need.file == "libc.so.6" && need.version.starts_with("GLIBC_");
    assert!(dynamic.needs.iter().filter(libc).count() > 1, "{:?}", dynamic.needs);
}

#[test]
fn a_file_that_can_be_read_again_says_the_same_as_it_says_when_it_streams_by() {
    // Names by which the reader asks for different symbols.
    for path in ["bin/program", "torch/lib/libtorch_cpu.so", "opt/libnccl-net.so"] {
        assert_eq!(read_again(path, program()), read(path, program()), "{path}");
        let cut = &program()[..program().len() / 2];
        assert_eq!(read_again(path, cut).unwrap().dynamic, None, "{path}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_file_that_does_not_say_wants_an_executable_stack_as_one_that_says_so() {
    let with_stack = |kind: u32, flags: u32| {
        let mut bytes = program().to_vec();
        let header =
            (64..).step_by(56).find(|&at| bytes[at..at + 4] == 0x6474_e551_u32.to_le_bytes()).unwrap();
        bytes[header..header + 4].copy_from_slice(&kind.to_le_bytes());
        bytes[header + 4..header + 8].copy_from_slice(&flags.to_le_bytes());
        read("lib/x.so", &bytes).unwrap().executable_stack
    };
    let (stack, nothing) = (0x6474_e551, 0);
    assert_eq!([with_stack(stack, 6), with_stack(stack, 7), with_stack(nothing, 6)], [false, true, true]);
}

#[test]
fn a_segment_at_the_end_of_all_numbers_is_no_panic() {
    let mut bytes = program()[..4096].to_vec();
    // Every program header gets an impossible offset and size; found by fuzzing.
    let count = usize::from(bytes[56]);
    for at in (0..count).map(|index| 64 + index * 56) {
        bytes[at + 8..at + 16].copy_from_slice(&u64::MAX.wrapping_sub(at as u64).to_le_bytes());
        bytes[at + 32..at + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    }
    assert!(read("lib/x.so", &bytes).is_some());
}

/// A library as patchelf leaves one whose table of names grew to `names` bytes: a last segment of that table, with the name for which the
/// library asks at its end, and the dynamic section behind it, as in `libcusparseLt` 0.7.1.
fn with_names_before_the_dynamic_section(names: usize, noise: usize) -> Vec<u8> {
    let (start, wanted) = (4096, b"libz.so.1\0");
    let number = |value: usize| (value as u64).to_le_bytes();
    let mut bytes = program()[..64].to_vec();
    // Program headers at 64, no sections, three headers.
    bytes[32..40].copy_from_slice(&number(64));
    bytes[40..48].fill(0);
    bytes[56] = 3;
    bytes[60..64].fill(0);
    for (kind, at, size) in [(1_u8, 0, start), (1, start, names + 80), (2, start + names, 80)] {
        bytes.extend([kind, 0, 0, 0, 6, 0, 0, 0]);
        for value in [at, at, at, size, size, 8] {
            bytes.extend(number(value));
        }
    }
    bytes.resize(start, 0);
    let mut state = 1_u64;
    while bytes.len() < start + noise {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((state ^ (state >> 29)).to_le_bytes());
    }
    for name in 0.. {
        let left = start + names - wanted.len() - bytes.len();
        bytes.extend(format!("_ZN4cask{name:08}E\0").as_bytes().iter().take(left));
        if left == 0 {
            break;
        }
    }
    bytes.extend(wanted);
    for (tag, value) in [(5, start), (10, names), (1, names - wanted.len()), (0, 0), (0, 0)] {
        bytes.extend(number(tag));
        bytes.extend(number(value));
    }
    bytes
}

#[test]
fn a_name_at_the_end_of_twenty_five_mebibytes_of_names_is_read() {
    let note = read("lib/libcusparseLt.so.0", &with_names_before_the_dynamic_section(25 << 20, 0)).unwrap();
    let needed = note.dynamic.unwrap().needed;
    assert_eq!(needed.iter().map(|name| &**name).collect::<Vec<_>>(), ["libz.so.1"]);
}

#[test]
fn a_dynamic_section_behind_forty_mebibytes_that_do_not_pack_is_read() {
    // As in NCCL, whose code for GPUs lies in its last segment; of the names nothing is kept then, which is said.
    let note = read("lib/libnccl.so.2", &with_names_before_the_dynamic_section(41 << 20, 40 << 20)).unwrap();
    assert_eq!(note.unread.as_deref(), Some("the names in its dynamic section cannot be read"));
}

#[test]
fn names_beyond_what_is_kept_are_said_to_be_unread() {
    let note = read("lib/libx.so.0", &with_names_before_the_dynamic_section(70 << 20, 0)).unwrap();
    assert_eq!((note.dynamic, note.unread.is_some()), (None, true));
}

#[test]
fn where_a_library_can_be_read_again_its_names_may_lie_anywhere() {
    for (names, noise) in [(25, 0), (41, 40), (70, 0)] {
        let library = with_names_before_the_dynamic_section(names << 20, noise << 20);
        let needed = read_again("lib/libx.so.0", &library).unwrap().dynamic.unwrap().needed;
        assert_eq!(needed.iter().map(|name| &**name).collect::<Vec<_>>(), ["libz.so.1"], "{names} MiB");
    }
}

#[test]
fn gpu_code_without_a_table_of_sections_is_unknown() {
    let mut bytes = program()[..4096].to_vec();
    bytes.resize(8192, 0);
    bytes.extend(container(&[entry(2, 90, 0x11, &[1; 64])]));
    let note = read("lib/x.so", &bytes).unwrap();
    assert!(note.unread.is_some());
    assert!(note.gpu.unwrap().unreadable.is_some());
}

proptest::proptest! {
    #[test]
    fn a_program_with_changed_bytes_is_read_without_panic(at in 0_usize..4096, value in proptest::num::u8::ANY, cut in 64_usize..65_536) {
        let mut bytes = program()[..cut.max(at + 1).min(program().len())].to_vec();
        bytes[at] = value;
        let _any = (read("torch/lib/libtorch_cpu.so", &bytes), read_again("torch/lib/libtorch_cpu.so", &bytes));
    }
}
