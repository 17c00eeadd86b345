//! A wheelhouse takes whole wheels, gives back what it took, and refuses everything else.

use std::fs;
use std::path::Path;

use super::{Wheelhouse, WheelhouseError};
use crate::oci::{Arch, Digest, Platform};
use crate::plan::WheelKey;
use crate::recipe::Component;

const NAME: &str = "te-1.0-cp312-cp312-linux_x86_64.whl";

fn key(python: &str) -> WheelKey {
    WheelKey {
        component: Component::TransformerEngine,
        sources: vec!["transformer-engine-torch==2.20.2 sha256:00".to_owned()],
        against: vec!["pytorch 2.13.0".to_owned()],
        python: Some(python.to_owned()),
        platform: Platform { arch: Arch::Amd64 },
        os: "debian 13, glibc 2.41".to_owned(),
        compilers: "example.org/devel:1".to_owned(),
        settings: vec!["NVTE_CUDA_ARCHS=80;90".to_owned()],
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Returns an image that holds `wheel` under its true checksum or under another one.
fn image(wheel: &[u8], sum: &str) -> Vec<u8> {
    let sums = format!("{sum}  ./{NAME}\n");
    let layer = tar(&[(&format!("wheels/{NAME}"), wheel), ("wheels/SHA256SUMS", sums.as_bytes())]);
    let packed = zstd::encode_all(&layer[..], 1).unwrap();
    tar_of_image(&packed)
}

fn tar_of_image(layer: &[u8]) -> Vec<u8> {
    tar(&[("manifest.json", b"[]"), ("blobs/sha256/00", layer)])
}

fn good(wheel: &[u8]) -> Vec<u8> {
    image(wheel, &Digest::of(wheel).hex())
}

fn house(folder: &Path) -> Wheelhouse {
    Wheelhouse::open(&folder.join("wheelhouse")).unwrap()
}

#[test]
fn a_wheel_is_given_back_under_its_exact_key_and_under_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    assert!(house.find(&key("3.12")).unwrap().is_none());
    let kept = house.keep(&key("3.12"), &good(b"machine code")[..]).unwrap();
    assert_eq!(fs::read(kept.join(NAME)).unwrap(), b"machine code");
    assert_eq!(house.find(&key("3.12")).unwrap(), Some(kept));
    assert!(house.find(&key("3.13")).unwrap().is_none());
    assert_ne!(key("3.12").to_string(), key("3.13").to_string());
}

#[test]
fn layers_are_read_whatever_they_are_packed_with() {
    let wheel = b"machine code";
    let sums = format!("{}  {NAME}\n", Digest::of(wheel).hex());
    let layer = tar(&[(&format!("wheels/{NAME}"), wheel), ("wheels/SHA256SUMS", sums.as_bytes())]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &layer).unwrap();
    for packed in [layer.clone(), gzip.finish().unwrap()] {
        let folder = tempfile::tempdir().unwrap();
        house(folder.path()).keep(&key("3.12"), &tar_of_image(&packed)[..]).unwrap();
    }
}

#[test]
fn a_wheel_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let kept = house.keep(&key("3.12"), &good(b"machine code")[..]).unwrap();
    fs::write(kept.join(NAME), b"other code").unwrap();
    let error = house.find(&key("3.12")).unwrap_err();
    assert!(matches!(error, WheelhouseError::Tampered { .. }), "{error}");
    fs::write(kept.join(NAME), b"machine code").unwrap();
    fs::write(kept.join("more-1.0-py3-none-any.whl"), b"slipped in").unwrap();
    let error = house.find(&key("3.12")).unwrap_err();
    assert!(error.to_string().ends_with("SHA256SUMS does not name it"), "{error}");
}

#[test]
fn what_is_not_whole_is_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let cut = &good(b"machine code")[..700];
    for bad in
        [cut.to_vec(), image(b"machine code", &"0".repeat(64)), tar(&[("manifest.json", b"[]")]), Vec::new()]
    {
        assert!(house.keep(&key("3.12"), &bad[..]).is_err());
        let left: Vec<_> = fs::read_dir(folder.path().join("wheelhouse")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn what_lies_there_and_is_no_wheelhouse_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let place = folder.path().join("wheelhouse").join(key("3.12").to_string());
    fs::write(&place, "a file").unwrap();
    assert!(house.find(&key("3.12")).unwrap_err().to_string().ends_with("it is no folder"));
    fs::remove_file(&place).unwrap();
    let kept = house.keep(&key("3.13"), &good(b"machine code")[..]).unwrap();
    fs::rename(&kept, &place).unwrap();
    assert!(house.find(&key("3.12")).unwrap_err().to_string().ends_with("another key"));
    fs::write(place.join("key.json"), "{").unwrap();
    assert!(matches!(house.find(&key("3.12")).unwrap_err(), WheelhouseError::Corrupt { .. }));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Wheelhouse::open(&file).unwrap_err(), WheelhouseError::Folder { .. }));
}

#[test]
fn builders_that_race_for_one_key_leave_one_whole_wheel() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let wheels: Vec<Vec<u8>> = (0..16_u8).map(|number| vec![number; 100_000]).collect();
    std::thread::scope(|scope| {
        for wheel in &wheels {
            let house = house.clone();
            scope.spawn(move || house.keep(&key("3.12"), &good(wheel)[..]).unwrap());
        }
    });
    let kept = house.find(&key("3.12")).unwrap().unwrap();
    assert!(wheels.contains(&fs::read(kept.join(NAME)).unwrap()), "a wheel of nobody");
    let names: Vec<_> = fs::read_dir(folder.path().join("wheelhouse")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
#[cfg(unix)]
fn a_place_that_takes_nothing_is_told_before_anything_is_compiled() {
    // A folder of the kernel, in which nobody can make files.
    let Ok(house) = Wheelhouse::open(Path::new("/proc/self")) else { return };
    assert!(matches!(house.takes().unwrap_err(), WheelhouseError::Folder { doing: "write", .. }));
}
