//! Images whose blobs are opened one by one: a folder in OCI's layout, and a source that lies.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write as _};

use super::*;
use crate::oci::Digest;

/// The archive that a new engine exports, unpacked: an OCI layout.
fn layout() -> tempfile::TempDir {
    let layers = layers();
    let packed: Vec<fixture::Packed> = vec![(gzip(&layers[0]), GZIP), (zstd(&layers[1]), ZSTD)];
    let bytes = docker26(&packed, &config(&layers, &json!({})), &packed);
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(folder.path()).unwrap();
    folder
}

/// A fake source: blobs in memory under the digests that a test says.
struct Shelf(BTreeMap<Digest, Vec<u8>>);

impl Blobs for Shelf {
    fn open(&self, digest: Digest) -> std::io::Result<Box<dyn Read + Send + '_>> {
        let bytes = self.0.get(&digest).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Box::new(bytes.as_slice()))
    }
}

#[test]
fn a_folder_in_oci_s_layout_is_read_as_the_archive_of_it() {
    let folder = layout();
    let (blobs, index) = Layout::open(folder.path()).unwrap();
    let found = inspect_blobs(index, &blobs, &target(&expectations())).unwrap();
    assert_eq!(codes(&found), ["media-type"; 0].as_slice());
    let layers: Vec<u64> = found.layers.iter().map(|layer| layer.files).collect();
    assert_eq!((layers, found.read.elf_files), (vec![3, 2], 2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_in_a_file_s_plain_layers_says_what_it_says_in_a_stream_and_in_a_packed_layer() {
    // This test program, under a name of which everything that it loads is judged.
    let mut program = Vec::new();
    File::open(std::env::current_exe().unwrap()).unwrap().read_to_end(&mut program).unwrap();
    let mut layers = layers();
    layers.push(LayerBuilder::new().file("usr/lib/libfabric.so.1", &program).done());
    let config = config(&layers, &json!({}));
    let packed: Vec<fixture::Packed> = layers.iter().map(|layer| (zstd(layer), ZSTD)).collect();
    let mut needed = Vec::new();
    for archive in [docker20(&layers, &config), docker26(&packed, &config, &packed)] {
        let streamed = inspect(archive.as_slice(), &target(&[])).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&archive).unwrap();
        let found = inspect_file(file.reopen().unwrap(), &target(&[])).unwrap();
        assert_eq!(found.findings, streamed.findings);
        let missing = found.findings.into_iter().filter(|finding| finding.rule == RuleCode::LibraryMissing);
        needed.push(missing.map(|finding| finding.subject).collect::<Vec<_>>());
    }
    assert!(needed[0].contains(&"libc.so.6".to_owned()), "{needed:?}");
    assert_eq!(needed[0], needed[1]);
}

#[test]
fn an_export_without_the_configuration_says_which_blob_it_lacks() {
    let folder = layout();
    let config = Digest::of(config(&layers(), &json!({})).to_string().as_bytes());
    let name = format!("blobs/sha256/{}", config.hex());
    std::fs::remove_file(folder.path().join(&name)).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("", folder.path()).unwrap();
    let error = inspect(archive.into_inner().unwrap().as_slice(), &target(&[])).unwrap_err();
    assert_eq!(error.to_string(), format!("{name} is missing from the exported image"));
}

#[test]
fn a_folder_that_is_no_layout_says_which_file_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let error = Layout::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("index.json"), "{error}");
}

#[test]
fn blobs_that_are_missing_or_have_other_bytes_are_errors_that_name_them() {
    let layer = layers().remove(0);
    let config = config(std::slice::from_ref(&layer), &json!({})).to_string().into_bytes();
    let describe =
        |bytes: &[u8]| json!({ "mediaType": "x", "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({ "config": describe(&config), "layers": [describe(&layer)] }).to_string();
    let look = |shelf: &Shelf| inspect_blobs(manifest.clone().into_bytes(), shelf, &target(&[]));

    let mut shelf =
        Shelf(BTreeMap::from([(Digest::of(&config), config.clone()), (Digest::of(&layer), layer.clone())]));
    assert!(look(&shelf).is_ok());
    shelf.0.insert(Digest::of(&layer), config.clone());
    assert!(look(&shelf).unwrap_err().to_string().contains("its bytes have the digest"));
    shelf.0.remove(&Digest::of(&layer));
    let error = look(&shelf).unwrap_err();
    assert!(
        matches!(&error, CheckError::Incomplete(what) if *what == Digest::of(&layer).to_string()),
        "{error}"
    );
}

#[test]
fn an_index_that_names_itself_ends() {
    // Its digest cannot be its own; three that name each other in a row are as deep as anybody goes.
    let index = |digest: Digest| json!({ "manifests": [{ "digest": digest }] }).to_string().into_bytes();
    let mut shelf = Shelf(BTreeMap::new());
    let mut inner = index(Digest::of("nothing"));
    for _ in 0..5 {
        let digest = Digest::of(&inner);
        shelf.0.insert(digest, inner);
        inner = index(digest);
    }
    let error = inspect_blobs(inner, &shelf, &target(&[])).unwrap_err();
    assert!(error.to_string().contains("index of an index"), "{error}");
}

#[test]
fn an_index_without_the_platform_says_so() {
    let entry = json!({ "digest": Digest::of("x"), "platform": { "os": "linux", "architecture": "s390x" } });
    let index = json!({ "manifests": [entry] }).to_string().into_bytes();
    let error = inspect_blobs(index, &Shelf(BTreeMap::new()), &target(&[])).unwrap_err();
    assert!(error.to_string().contains("none of its 1 entries is for linux/amd64"), "{error}");
}
