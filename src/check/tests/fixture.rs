//! Builds exported images in memory, in both layouts of `docker save`.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::lock::Origin;
use crate::oci::{Arch, Digest, Platform};
use crate::plan::Expectation;
use crate::recipe::Component;

pub(crate) const AMD64: Platform = Platform { arch: Arch::Amd64 };

/// A layer under construction.
pub(crate) struct LayerBuilder(tar::Builder<Vec<u8>>);

impl LayerBuilder {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        self.0.append_data(&mut header, path, content).unwrap();
        self
    }

    pub(crate) fn link(mut self, kind: tar::EntryType, path: &str, target: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Returns an ELF file for `machine` with `tail` behind its header.
pub(crate) fn elf(machine: u16, tail: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(3_u16.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(tail);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).unwrap()
}

/// Returns a configuration for `layers`, with `more` laid over it.
pub(crate) fn config(layers: &[Vec<u8>], more: &Value) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let mut config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/usr/bin"], "Labels": null, "WorkingDir": "/workspace" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": layers.iter().map(|_| json!({ "created_by": "RUN /bin/sh -c make # buildkit" })).collect::<Vec<_>>(),
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content).unwrap();
}

/// Returns the image as Docker 20.10 exports it: plain layers first, then the configuration, `manifest.json` last.
pub(crate) fn docker20(layers: &[Vec<u8>], config: &Value) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut names = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let name = format!("{at:064x}/layer.tar");
        append(&mut archive, &name, layer);
        names.push(name);
    }
    let config = config.to_string();
    let name = format!("{}.json", Digest::of(&config).hex());
    append(&mut archive, &name, config.as_bytes());
    let manifest = json!([{ "Config": name, "RepoTags": ["a:1"], "Layers": names }]);
    append(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    archive.into_inner().unwrap()
}

/// A packed layer and its media type.
pub(crate) type Packed = (Vec<u8>, &'static str);

pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Returns the image as Docker 26 with the containerd store exports it; `promised` may differ from what `packed` holds.
pub(crate) fn docker26(packed: &[Packed], config: &Value, promised: &[Packed]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let path = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    let describe = |bytes: &[u8], media_type: &str| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
    for ((bytes, _), (named, _)) in packed.iter().zip(promised) {
        append(&mut archive, &path(Digest::of(named)), bytes);
    }
    let config = config.to_string();
    append(&mut archive, &path(Digest::of(&config)), config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": crate::oci::media_type::OCI_MANIFEST,
        "config": describe(config.as_bytes(), "application/vnd.oci.image.config.v1+json"),
        "layers": promised.iter().map(|(bytes, media_type)| describe(bytes, media_type)).collect::<Vec<_>>(),
    })
    .to_string();
    append(&mut archive, &path(Digest::of(&manifest)), manifest.as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [describe(manifest.as_bytes(), crate::oci::media_type::OCI_MANIFEST)] });
    append(&mut archive, "index.json", index.to_string().as_bytes());
    let layers: Vec<String> = promised.iter().map(|(bytes, _)| path(Digest::of(bytes))).collect();
    let saved = json!([{ "Config": path(Digest::of(&config)), "RepoTags": null, "Layers": layers }]);
    append(&mut archive, "manifest.json", saved.to_string().as_bytes());
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.into_inner().unwrap()
}

/// Returns the expectation of `component` at `version`, with its names as `[distributions, packages, libraries]`.
pub(crate) fn expect(
    component: Component,
    version: &str,
    origin: Origin,
    names: [&[&str]; 3],
) -> Expectation {
    let [distributions, packages, libraries] =
        names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    let version = Some(version).filter(|version| !version.is_empty()).map(|version| version.parse().unwrap());
    Expectation { component, version, origin, distributions, packages, libraries }
}
