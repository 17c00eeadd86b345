//! Joins what an archive holds into one image: manifest, configuration, layers in order. Both layouts of `docker save`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::CheckError;
use super::archive::Contents;
use super::blob::Content;
use super::source::Entry;
use crate::oci::{Arch, Digest, Platform, media_type};

/// The configuration of an image, as far as we read it. Lenient: what is missing is for a rule to say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(rename = "config", deserialize_with = "or_default")]
    pub(crate) run: Run,
    #[serde(deserialize_with = "or_default")]
    pub(crate) history: Vec<History>,
    pub(crate) rootfs: RootFs,
}

/// How a container of the image runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Run {
    #[serde(deserialize_with = "or_default")]
    pub(crate) env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) cmd: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
}

/// One step of the image's history.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    pub(crate) created_by: String,
    pub(crate) empty_layer: bool,
}

/// The unpacked layers by digest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    pub(crate) diff_ids: Vec<String>,
}

/// A value that may be `null` or absent.
fn or_default<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A line of Docker's own `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    layers: Vec<String>,
}

/// A manifest of one image, Docker's or OCI's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// A blob by digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// An image joined from the parts of an archive.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) config: Config,
    pub(super) config_digest: Digest,
    /// The manifest, where the archive holds one.
    pub(super) manifest: Option<Descriptor>,
    /// The layers from the bottom up: path in the archive, and how the manifest describes each.
    pub(super) layers: Vec<(String, Option<Descriptor>)>,
    /// Blobs whose content is not what their name or descriptor says.
    pub(super) mismatches: Vec<Mismatch>,
}

/// What a document of a layout lists.
pub(super) enum Listed {
    /// An index: the entry for the platform, or its only one.
    Index(Digest),
    /// An image.
    Image { config: Digest, layers: Vec<Digest> },
}

/// Reads an index or a manifest.
pub(super) fn listed(bytes: &[u8], platform: Platform) -> Result<Listed, CheckError> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Entry>,
    }
    let malformed = |message: String| CheckError::Malformed { what: "the manifest".to_owned(), message };
    if let Ok(Index { manifests }) = serde_json::from_slice::<Index>(bytes) {
        let fits = |entry: &&Entry| {
            entry.platform.as_ref().is_some_and(|found| {
                found.os == "linux" && architecture(&found.architecture) == Some(platform.arch)
            })
        };
        // An entry of one image alone needs no platform; `unknown` is the platform of attestations.
        let nameless = |entry: &&Entry| entry.platform.as_ref().is_none_or(|found| found.os.is_empty());
        let found = manifests.iter().find(fits).or_else(|| manifests.iter().find(nameless));
        return found
            .map(|entry| Listed::Index(entry.digest))
            .ok_or_else(|| malformed(format!("none of its {} entries is for {platform}", manifests.len())));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    let layers = manifest.layers.iter().map(|layer| layer.digest).collect();
    Ok(Listed::Image { config: manifest.config.digest, layers })
}

/// Something whose content is not what a digest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) subject: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Joins the image for `platform`; where the archive holds only others, the first.
pub(super) fn join(contents: &Contents, platform: Platform) -> Result<Joined, CheckError> {
    let manifests = manifests(contents);
    let candidates = match contents.document("manifest.json") {
        Some(bytes) => saved_images(bytes)?,
        None => manifests.iter().map(|(_, manifest)| manifest.as_saved()).collect(),
    };
    let mut configured = Vec::new();
    for image in candidates {
        // A multi-platform image may leave the blobs of other platforms out.
        if let Some(bytes) = contents.document(&image.config) {
            let config: Config = serde_json::from_slice(bytes).map_err(|error| CheckError::Malformed {
                what: image.config.clone(),
                message: error.to_string(),
            })?;
            configured.push((image, config));
        }
    }
    let fits = |config: &Config| matches_platform(config, platform);
    let at = configured.iter().position(|(_, config)| fits(config)).unwrap_or(0);
    if configured.is_empty() {
        return Err(CheckError::NotAnImage(
            "it holds no manifest.json and no manifest with its configuration".to_owned(),
        ));
    }
    let (image, config) = configured.swap_remove(at);
    assemble(contents, &manifests, &image, config)
}

fn assemble(
    contents: &Contents,
    manifests: &[(Descriptor, Manifest)],
    image: &SavedImage,
    config: Config,
) -> Result<Joined, CheckError> {
    let missing = |path: &str| CheckError::Incomplete(path.to_owned());
    let (_, config_blob) = contents.blob(&image.config).ok_or_else(|| missing(&image.config))?;
    let config_digest = config_blob.digest;
    let manifest = manifests.iter().find(|(_, manifest)| manifest.config.digest == config_digest);
    let described = manifest.map(|(_, manifest)| manifest.layers.as_slice()).unwrap_or_default();
    let mut layers = Vec::new();
    for (at, path) in image.layers.iter().enumerate() {
        let (path, blob) = contents.blob(path).ok_or_else(|| missing(path))?;
        if !matches!(blob.content, Content::Layer(_)) {
            return Err(CheckError::Malformed {
                what: path.to_owned(),
                message: "it is listed as a layer and is no tar archive".to_owned(),
            });
        }
        layers.push((path.to_owned(), described.get(at).cloned()));
    }
    let mut mismatches = misnamed(contents);
    mismatches.extend(misdescribed(contents, &layers, &config)?);
    let manifest = manifest.map(|(descriptor, _)| descriptor.clone());
    Ok(Joined { config, config_digest, manifest, layers, mismatches })
}

fn saved_images(bytes: &[u8]) -> Result<Vec<SavedImage>, CheckError> {
    serde_json::from_slice(bytes).map_err(|error| CheckError::Malformed {
        what: "manifest.json".to_owned(),
        message: error.to_string(),
    })
}

/// Returns every manifest of one image in the archive, with its own descriptor. Attestations look like images and are none.
fn manifests(contents: &Contents) -> Vec<(Descriptor, Manifest)> {
    let parse = |(_, blob): (&str, &super::blob::Blob)| {
        let Content::Document(bytes) = &blob.content else { return None };
        let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
        let media_type = match manifest.media_type.as_str() {
            "" => media_type::OCI_MANIFEST.to_owned(),
            written => written.to_owned(),
        };
        let attests = manifest.layers.iter().any(|layer| layer.media_type.contains("in-toto"));
        (!attests).then_some((Descriptor { media_type, digest: blob.digest, size: blob.size }, manifest))
    };
    contents.blobs().filter_map(parse).collect()
}

impl Manifest {
    /// Returns the manifest as a line of `manifest.json` would be.
    fn as_saved(&self) -> SavedImage {
        let path = super::archive::blob_path;
        SavedImage {
            config: path(self.config.digest),
            layers: self.layers.iter().map(|layer| path(layer.digest)).collect(),
        }
    }
}

/// Returns whether `config` says that it is for `platform`.
pub(crate) fn matches_platform(config: &Config, platform: Platform) -> bool {
    config.os == "linux" && architecture(&config.architecture) == Some(platform.arch)
}

/// Returns the architecture that a configuration names.
fn architecture(name: &str) -> Option<Arch> {
    match name {
        "amd64" => Some(Arch::Amd64),
        "arm64" => Some(Arch::Arm64),
        _ => None,
    }
}

/// Finds blobs whose content is not what their path promises (`blobs/sha256/<hex>`, `<hex>.json`).
fn misnamed(contents: &Contents) -> Vec<Mismatch> {
    let promised = |path: &str| -> Option<Digest> {
        let hex = path.strip_prefix("blobs/sha256/").or_else(|| path.strip_suffix(".json"))?;
        format!("sha256:{hex}").parse().ok()
    };
    contents
        .blobs()
        .filter_map(|(path, blob)| {
            let expected = promised(path).filter(|expected| *expected != blob.digest)?;
            Some(Mismatch {
                subject: path.to_owned(),
                expected: expected.to_string(),
                found: blob.digest.to_string(),
            })
        })
        .collect()
}

/// Finds layers whose bytes are not those of the manifest, or whose unpacked bytes are not those of the configuration.
fn misdescribed(
    contents: &Contents,
    layers: &[(String, Option<Descriptor>)],
    config: &Config,
) -> Result<Vec<Mismatch>, CheckError> {
    let mut mismatches = Vec::new();
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != layers.len() {
        mismatches.push(Mismatch {
            subject: "configuration".to_owned(),
            expected: format!("{} layers in rootfs.diff_ids", layers.len()),
            found: diff_ids.len().to_string(),
        });
    }
    for (at, (path, descriptor)) in layers.iter().enumerate() {
        let (_, blob) = contents.blob(path).ok_or_else(|| CheckError::Incomplete(path.clone()))?;
        let Content::Layer(layer) = &blob.content else { continue };
        let mut compare = |what: &str, expected: String, found: String| {
            if expected != found {
                mismatches.push(Mismatch { subject: format!("layer {} ({what})", at + 1), expected, found });
            }
        };
        if let Some(descriptor) = descriptor {
            compare("descriptor", descriptor.digest.to_string(), blob.digest.to_string());
            compare("size", descriptor.size.to_string(), blob.size.to_string());
        }
        if layer.damage.is_none()
            && let Some(expected) = diff_ids.get(at)
        {
            compare("unpacked", expected.clone(), layer.diff_id.to_string());
        }
    }
    Ok(mismatches)
}
