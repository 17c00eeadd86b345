//! What a registry holds under a name: one image or a list of them, read from the bytes; and whether it fits a profile.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::{Deserialize, Serialize};

use crate::oci::{Digest, Platform, Profile, media_type};

/// The manifest of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The digest of the image's configuration.
    pub config: Digest,
    /// The media type of the configuration.
    pub config_media_type: String,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// One layer as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Their form.
    pub media_type: String,
}

/// One image in a list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The size of its manifest in bytes.
    pub size: u64,
    /// The form of its manifest.
    pub media_type: String,
    /// What it is made for, as the list says: `linux/amd64`, `linux/arm/v7`, `unknown`.
    pub platform: String,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One image.
    Image(Image),
    /// A list of images; attestations are left out.
    Index(Vec<Entry>),
}

impl Content {
    /// Returns the size of an image's layers as the registry keeps them; nothing for a list of images.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Image(image) => {
                Some(image.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add))
            }
            Self::Index(_) => None,
        }
    }
}

/// Bytes that are not the manifest that their media type promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadManifest(String);

/// The field by which a manifest may name its own form.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    media_type: Option<String>,
}

impl Content {
    /// Returns what `bytes` say, read as `media_type`.
    ///
    /// # Errors
    ///
    /// When the media type is no manifest's, when the bytes contradict it, or when a digest is not SHA-256.
    pub fn read(media_type: &str, bytes: &[u8]) -> Result<Self, BadManifest> {
        if !is_manifest(media_type) {
            return Err(BadManifest(format!("`{}` is not an image manifest", shown(media_type))));
        }
        let bad =
            |error: &dyn std::fmt::Display| BadManifest(format!("the manifest cannot be read: {error}"));
        let own: Own = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
        if let Some(own) = own.media_type.filter(|own| own != media_type) {
            return Err(BadManifest(format!(
                "a manifest that calls itself `{}` came as `{media_type}`",
                shown(&own)
            )));
        }
        if media_type::is_index(media_type) {
            let index: ImageIndex = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
            index
                .manifests()
                .iter()
                .filter(|entry| !is_attestation(entry))
                .map(entry)
                .collect::<Result<_, _>>()
                .map(Self::Index)
        } else {
            let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
            image(&manifest).map(Self::Image)
        }
    }
}

impl Image {
    /// Returns the sum of the layers' sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Entry {
    /// Returns whether it is made for `platform`.
    pub fn is_for(&self, platform: Platform) -> bool {
        self.platform.parse() == Ok(platform)
    }
}

/// Returns whether `media_type` is a form in which registries keep images that we read.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(
        media_type,
        media_type::DOCKER_MANIFEST
            | media_type::DOCKER_LIST
            | media_type::OCI_MANIFEST
            | media_type::OCI_INDEX
    )
}

/// Returns what stands against `profile` in an image that came as `media_type`; nothing where it fits.
///
/// A `listed` image came out of a list of images. Each fault is one lower-case sentence that names the part.
pub fn faults(profile: Profile, media_type: &str, image: &Image, listed: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if profile == Profile::SageMaker {
        if listed {
            faults.push("it is a list of images; SageMaker takes one image".to_owned());
        }
        if media_type != media_type::DOCKER_MANIFEST {
            faults.push(format!(
                "its manifest is `{media_type}`; SageMaker takes `{}`",
                media_type::DOCKER_MANIFEST
            ));
        }
        if image.config_media_type != DOCKER_CONFIG {
            faults.push(format!(
                "its configuration is `{}`; SageMaker takes `{DOCKER_CONFIG}`",
                shown(&image.config_media_type)
            ));
        }
    }
    for layer in &image.layers {
        let fits = match profile {
            Profile::SageMaker => layer.media_type == DOCKER_GZIP_LAYER,
            Profile::Oci => LAYERS.contains(&layer.media_type.as_str()),
        };
        if !fits {
            let takes = if profile == Profile::SageMaker {
                "SageMaker takes gzip"
            } else {
                "container runtimes take tar, gzip and zstd"
            };
            faults.push(format!("layer {} is `{}`; {takes}", layer.digest.short(), shown(&layer.media_type)));
        }
    }
    faults
}

/// The configuration of an image, Docker's form.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A gzipped layer, Docker's form.
const DOCKER_GZIP_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Layers that containerd unpacks (containerd 1.7, `images/mediatypes.go`).
const LAYERS: [&str; 6] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    DOCKER_GZIP_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];

fn image(manifest: &ImageManifest) -> Result<Image, BadManifest> {
    let layers = manifest.layers().iter().map(|layer| {
        Ok(Layer { digest: digest(layer)?, size: layer.size(), media_type: layer.media_type().to_string() })
    });
    Ok(Image {
        config: digest(manifest.config())?,
        config_media_type: manifest.config().media_type().to_string(),
        layers: layers.collect::<Result<_, _>>()?,
    })
}

fn entry(descriptor: &Descriptor) -> Result<Entry, BadManifest> {
    let platform = descriptor.platform().as_ref().map_or_else(
        || "unknown".to_owned(),
        |platform| {
            let variant =
                platform.variant().as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("{}/{}{variant}", platform.os(), platform.architecture())
        },
    );
    Ok(Entry {
        digest: digest(descriptor)?,
        size: descriptor.size(),
        media_type: descriptor.media_type().to_string(),
        platform: shown(&platform),
    })
}

fn digest(descriptor: &Descriptor) -> Result<Digest, BadManifest> {
    descriptor
        .digest()
        .as_ref()
        .parse()
        .map_err(|error: crate::oci::BadDigest| BadManifest(error.to_string()))
}

/// Returns whether the entry describes another one: `BuildKit` hangs provenance and SBOM beside the image so.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor
        .annotations()
        .as_ref()
        .and_then(|annotations| annotations.get("vnd.docker.reference.type"))
        .is_some_and(|kind| kind == "attestation-manifest")
}

/// Returns a foreign text fit for one line of an error.
fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str, seed: &str) -> serde_json::Value {
        serde_json::json!({ "mediaType": media_type, "digest": Digest::of(seed), "size": 7 })
    }

    fn manifest(media_type: &str, config: &str, layer: &str) -> Vec<u8> {
        let body = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": descriptor(config, "config"), "layers": [descriptor(layer, "layer")],
        });
        serde_json::to_vec(&body).unwrap()
    }

    fn read(media_type: &str, bytes: &[u8]) -> Image {
        match Content::read(media_type, bytes).unwrap() {
            Content::Image(image) => image,
            Content::Index(entries) => panic!("a list: {entries:?}"),
        }
    }

    #[test]
    fn a_docker_manifest_with_gzip_layers_fits_both_profiles() {
        let image = read(
            media_type::DOCKER_MANIFEST,
            &manifest(media_type::DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_GZIP_LAYER),
        );
        assert_eq!(image.config, Digest::of("config"));
        assert_eq!(image.bytes(), 7);
        for profile in [Profile::SageMaker, Profile::Oci] {
            assert_eq!(faults(profile, media_type::DOCKER_MANIFEST, &image, false), Vec::<String>::new());
        }
    }

    #[test]
    fn an_oci_manifest_with_zstd_layers_is_told_apart_for_sagemaker() {
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        let config = "application/vnd.oci.image.config.v1+json";
        let image = read(media_type::OCI_MANIFEST, &manifest(media_type::OCI_MANIFEST, config, zstd));
        assert!(faults(Profile::Oci, media_type::OCI_MANIFEST, &image, true).is_empty());
        let faults = faults(Profile::SageMaker, media_type::OCI_MANIFEST, &image, true);
        assert_eq!(faults.len(), 4, "{faults:#?}");
        assert!(faults[3].contains(zstd) && faults[3].contains("takes gzip"), "{faults:#?}");
    }

    #[test]
    fn a_layer_of_no_known_codec_is_a_fault_everywhere() {
        let bytes = manifest(
            media_type::OCI_MANIFEST,
            "application/vnd.oci.image.config.v1+json",
            "application/x-brotli",
        );
        let image = read(media_type::OCI_MANIFEST, &bytes);
        assert_eq!(faults(Profile::Oci, media_type::OCI_MANIFEST, &image, false).len(), 1);
    }

    #[test]
    fn a_list_is_read_without_its_attestations() {
        let mut attestation = descriptor(media_type::OCI_MANIFEST, "attestation");
        attestation["platform"] = serde_json::json!({ "os": "unknown", "architecture": "unknown" });
        attestation["annotations"] =
            serde_json::json!({ "vnd.docker.reference.type": "attestation-manifest" });
        let mut entry = descriptor(media_type::OCI_MANIFEST, "arm");
        entry["platform"] = serde_json::json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
        let body = serde_json::json!({ "schemaVersion": 2, "manifests": [attestation, entry] });
        let content = Content::read(media_type::OCI_INDEX, &serde_json::to_vec(&body).unwrap()).unwrap();
        let Content::Index(entries) = content else { panic!("not a list") };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].platform, "linux/arm64/v8");
        assert!(entries[0].is_for("linux/arm64".parse().unwrap()));
        assert!(!entries[0].is_for("linux/amd64".parse().unwrap()));
    }

    #[test]
    fn a_manifest_that_contradicts_its_media_type_is_refused() {
        let bytes = manifest(media_type::DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_GZIP_LAYER);
        let error = Content::read(media_type::OCI_MANIFEST, &bytes).unwrap_err();
        assert!(error.to_string().contains("calls itself"), "{error}");
        assert!(Content::read("text/html", &bytes).is_err());
        assert!(Content::read(media_type::OCI_MANIFEST, b"{}").is_err());
        assert!(Content::read(media_type::OCI_INDEX, b"[1]").is_err());
    }
}
