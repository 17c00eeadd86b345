//! Tests of the fatbin scanner, on containers made here; real libraries are compared in `make oracle`.

use super::scan::{Containers, Scan};
use super::{Arch, GpuCode, Packing, Variant};

/// The head of an entry: kind, architecture, flags, payload.
pub(in crate::check) fn entry(kind: u16, sm: u32, flags: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(0x0101_u16.to_le_bytes());
    bytes.extend(64_u32.to_le_bytes());
    let padded = payload.len().next_multiple_of(8);
    bytes.extend((padded as u64).to_le_bytes());
    bytes.resize(28, 0);
    bytes.extend(sm.to_le_bytes());
    bytes.resize(40, 0);
    bytes.extend(flags.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(payload);
    bytes.resize(64 + padded, 0);
    bytes
}

pub(in crate::check) fn container(entries: &[Vec<u8>]) -> Vec<u8> {
    let body = entries.concat();
    let mut bytes = 0x0010_0001_BA55_ED50_u64.to_le_bytes().to_vec();
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn scan(bytes: &[u8], chunk: usize) -> Containers {
    let mut scan = Scan::default();
    bytes.chunks(chunk).for_each(|chunk| scan.feed(chunk));
    scan.finish()
}

fn code(bytes: &[u8], chunk: usize, section: std::ops::Range<u64>) -> Option<GpuCode> {
    let sections = |name: &[u8]| if name == b".nv_fatbin" { vec![section.clone()] } else { Vec::new() };
    scan(bytes, chunk).attribute(sections).map(|code| *code)
}

fn two() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes.extend(container(&[entry(2, 80, 0x11, &[7; 100]), entry(1, 80, 0x8011, &[1; 9])]));
    bytes.extend(container(&[entry(2, 90, 0x10_0011, &[3; 64]), entry(2, 100, 0x20_2011, &[])]));
    bytes
}

#[test]
fn architectures_variants_and_packing_are_read_wherever_the_chunks_fall() {
    let bytes = two();
    for chunk in (8..bytes.len() + 8).step_by(8) {
        let code = code(&bytes, chunk, 64..bytes.len() as u64).unwrap();
        let names =
            |set: &std::collections::BTreeSet<Arch>| set.iter().map(Arch::to_string).collect::<Vec<_>>();
        assert_eq!(
            (names(&code.sass).join(" "), names(&code.ptx).join(" ")),
            ("sm_80 sm_90a sm_100f".into(), "sm_80".into())
        );
        assert_eq!(
            code.packing.into_iter().collect::<Vec<_>>(),
            [Packing::Plain, Packing::Lz4, Packing::Zstd]
        );
        assert_eq!(code.unreadable, None);
    }
}

#[test]
fn only_what_stands_in_the_loaded_section_counts() {
    let bytes = two();
    let first = 64 + container(&[entry(2, 80, 0x11, &[7; 100]), entry(1, 80, 0x8011, &[1; 9])]).len() as u64;
    let code = code(&bytes, 4096, 64..first).unwrap();
    assert_eq!(code.sass.into_iter().collect::<Vec<_>>(), [Arch { sm: 80, variant: Variant::Base }]);
}

#[test]
fn a_section_that_is_not_all_containers_is_not_all_read() {
    let mut bytes = two();
    let end = bytes.len() as u64;
    let why = |code: Option<GpuCode>| code.unwrap().unreadable.unwrap_or_default().to_string();
    assert_eq!(why(code(&bytes, 4096, 0..end + 100)), "it has bytes behind its containers that are none");
    assert_eq!(why(code(&bytes, 4096, 64..end - 8)), "a container is longer than its section");
    bytes[64 + 16 + 2] = 9;
    assert_eq!(why(code(&bytes, 4096, 64..end)), "an entry has an unknown version");
    assert_eq!(why(code(&[0; 4096], 4096, 0..4096)), "it has bytes behind its containers that are none");
}

#[test]
fn a_container_that_lies_about_its_size_is_said_and_swallows_nothing_else() {
    let mut bytes = two();
    bytes[64 + 8..64 + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    let end = bytes.len() as u64;
    let found = code(&bytes, 4096, 64..end).unwrap();
    assert!(found.unreadable.is_some());
    assert!(found.sass.contains(&Arch { sm: 90, variant: Variant::Specific }));
}

#[test]
fn code_of_which_no_section_is_known_is_unknown() {
    let found = scan(&two(), 4096).unattributed("it has no table of sections").unwrap();
    assert!(found.sass.is_empty() && found.unreadable.is_some());
    assert_eq!(scan(&[0; 100], 64).unattributed("it has no table of sections"), None);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..800), at in 0_usize..90) {
        let head = two();
        bytes.splice(0..0, head[..head.len() - at].iter().copied());
        let _any = code(&bytes, 64, 0..bytes.len() as u64);
    }
}
