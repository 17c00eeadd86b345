//! Images that an enemy made: a finding or an error each, never a panic, never a write, never more memory than the limits.

use super::*;

/// Looks into an image of one layer with the bytes `layer`.
fn one(layer: Vec<u8>) -> Result<Inspection, CheckError> {
    let layers = vec![layer];
    let target = target(&[]);
    inspect_within(
        docker20(&layers, &config(&layers, &json!({}))).as_slice(),
        &target,
        &Limits { ratio_from: 4 << 20, ..Limits::default() },
    )
}

fn unreadable(inspection: &Inspection) -> String {
    let finding = inspection.findings.iter().find(|finding| finding.rule == RuleCode::UnreadableLayer);
    finding.expect("the layer should be unreadable").evidence.clone()
}

/// A layer with one member whose header says `size`, of type `kind`, and `content` behind it.
fn member(path: &str, kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.as_mut_bytes()[156] = kind;
    header.set_cksum();
    [header.as_bytes().as_slice(), content].concat()
}

#[test]
fn paths_that_climb_out_of_the_image_are_left_out() {
    let mut layer = member("../../../etc/cron.d/evil", b'0', 0, &[]);
    layer.extend(member("a/../../b", b'0', 0, &[]));
    layer.extend(member("/etc/absolute", b'0', 0, &[]));
    layer.extend([0; 1024]);
    let inspection = one(layer).unwrap();
    assert_eq!(inspection.read.files, 1, "only the absolute path is inside");
}

#[test]
fn links_in_circles_end_wherever_a_rule_follows_them() {
    let symlink = tar::EntryType::Symlink;
    let hard = tar::EntryType::Link;
    let layer = LayerBuilder::new()
        .link(symlink, "usr/lib/libnccl.so.2", "libnccl.so.2")
        .link(symlink, "etc/os-release", "../usr/lib/os-release")
        .link(symlink, "usr/lib/os-release", "../../etc/os-release")
        .link(symlink, "lib", "lib64/deep")
        .link(symlink, "lib64", "lib/deep")
        .link(hard, "h1", "h2")
        .link(hard, "h2", "h1")
        .file("opt/x/torch/lib/libtorch_cuda.so", elf(62, b"x"))
        .done();
    assert!(one(layer).is_ok());
}

#[test]
fn sparse_giants_and_lying_sizes_make_the_layer_unreadable() {
    let sparse = one(member("giant", b'S', 1 << 40, &[0; 512])).unwrap();
    assert!(unreadable(&sparse).contains("sparse"), "{}", unreadable(&sparse));
    let lying = one(member("usr/lib/libnccl.so.2", b'0', 1 << 40, &elf(62, &[7; 448]))).unwrap();
    assert!(unreadable(&lying).contains("ends in the middle"), "{}", unreadable(&lying));
    let overflow = one(member("x", b'0', u64::MAX >> 1, &[])).unwrap();
    assert!(!unreadable(&overflow).is_empty());
}

#[test]
fn a_bomb_of_either_codec_is_stopped_before_it_unpacks() {
    let zeros = vec![0; 64 << 20];
    let head = member("zeros", b'0', 64 << 30, &[]);
    for bomb in [gzip(&[head.as_slice(), &zeros].concat()), zstd(&[head.as_slice(), &zeros].concat())] {
        let limits = Limits { unpacked: 16 << 20, ..Limits::default() };
        let layers = vec![bomb];
        let archive = docker20(&layers, &config(&layers, &json!({})));
        let error = inspect_within(archive.as_slice(), &target(&[]), &limits).unwrap_err();
        assert!(matches!(error, CheckError::Limit { .. }), "{error}");
    }
}

#[test]
fn elf_files_and_gpu_code_of_garbage_are_unread_and_never_fine() {
    let mut garbage = elf(62, &[0xff; 4096]);
    garbage[32..64].fill(0xff);
    let mut container = vec![0; 64];
    container.extend(0x0010_0001_BA55_ED50_u64.to_le_bytes());
    container.extend(u64::MAX.to_le_bytes());
    let site = "opt/venv/lib/python3.11/site-packages";
    // A header that names no tables at all: nobody can say whether the container in it is loaded.
    container.splice(0..0, vec![0; 64 << 10]);
    let mut lost = elf(62, &container);
    lost[40] = 0xff;
    lost[58] = 1;
    lost[60] = 9;
    let layer = LayerBuilder::new()
        .file(&format!("{site}/torch/lib/libtorch_cuda.so"), lost)
        .file(&format!("{site}/torch/lib/libtorch_cpu.so"), garbage)
        .done();
    let inspection = one(layer).unwrap();
    assert_eq!(codes(&inspection), ["library-unread", "library-unread"]);
    let library = &inspection.libraries[0];
    assert!(library.sass.is_empty() && library.flags == ["unreadable"], "{library:?}");
}
