//! Layers have media types that registries and runtimes take, and are packed as these say.

use super::super::blob::Codec;
use super::super::finding::{Finding, RuleCode, Severity};
use super::{Layer, Rule, Subject};
use crate::oci::{Profile, media_type};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::MediaType],
    promise: "Every layer has a known media type and is packed as it says.",
    story: "SageMaker refuses OCI manifests and zstd layers (aws/amazon-sagemaker-feedback#180, moby/buildkit#5480), and Docker 20.10 cannot pull them; foreign layers are not copied into a \
            registry at all, so that the image pulls only where the original host can be reached.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let layers = || subject.image.layers.iter().enumerate().map(|(at, layer)| (at + 1, layer));
    let mut findings: Vec<Finding> = layers().filter_map(|(number, layer)| judge(number, layer)).collect();
    if subject.target.profile == Some(Profile::SageMaker) {
        findings.extend(for_sagemaker(subject));
        return findings;
    }
    let zstd: Vec<String> =
        layers().filter(|(_, layer)| is_zstd(layer)).map(|(number, _)| number.to_string()).collect();
    findings.extend((!zstd.is_empty()).then(|| {
        Finding::new(
            Severity::Info,
            RuleCode::MediaType,
            format!("{} {}", if zstd.len() == 1 { "layer" } else { "layers" }, zstd.join(", ")),
            "packed with zstd, which EKS and HyperPod take and SageMaker jobs do not",
            "build with --for sagemaker where SageMaker shall run it",
        )
    }));
    findings
}

/// Says what `SageMaker` does not take.
fn for_sagemaker(subject: &Subject<'_>) -> Vec<Finding> {
    let refuse = |subject: &str, evidence: String| {
        let remedy =
            "build and push with --for sagemaker: one Docker schema-2 manifest, layers packed with gzip";
        Finding::new(Severity::Error, RuleCode::MediaType, subject, evidence, remedy)
    };
    // An engine with a graph store keeps no manifest: it writes one as it exports, and packs no layer. That one is never pushed.
    let kept = subject.image.layers.iter().any(|layer| layer.codec != Codec::Plain);
    let manifest = subject
        .image
        .manifest
        .as_ref()
        .filter(|_| kept)
        .filter(|manifest| manifest.media_type != media_type::DOCKER_MANIFEST);
    let manifest = manifest.map(|manifest| {
        refuse("manifest", format!("it is {}, which SageMaker refuses", manifest.media_type))
    });
    let layers = subject.image.layers.iter().enumerate().filter(|(_, layer)| layer.codec == Codec::Zstd);
    let layers = layers.map(|(at, _)| {
        refuse(&format!("layer {}", at + 1), "it is packed with zstd, which SageMaker refuses".to_owned())
    });
    manifest.into_iter().chain(layers).collect()
}

/// Returns whether a layer says that it is packed with zstd, and is.
fn is_zstd(layer: &Layer) -> bool {
    layer.codec == Codec::Zstd && layer.described.as_deref().and_then(codec_of) == Some(Codec::Zstd)
}

fn judge(number: usize, layer: &Layer) -> Option<Finding> {
    let media_type = layer.described.as_deref()?;
    let finding = |severity, evidence: String, remedy: &str| {
        // What no runtime unpacks stops everything.
        let stops = severity == Severity::Error;
        Some(
            Finding::new(severity, RuleCode::MediaType, format!("layer {number}"), evidence, remedy)
                .stopping(stops),
        )
    };
    let Some(codec) = codec_of(media_type) else {
        return finding(
            Severity::Error,
            format!("{media_type} is no media type of a layer"),
            "build the image again with a current builder; no runtime will unpack this layer",
        );
    };
    if media_type.contains("foreign") || media_type.contains("nondistributable") {
        return finding(
            Severity::Warning,
            format!("{media_type}: registries do not keep this layer"),
            "copy its content into a layer of your own",
        );
    }
    if codec != layer.codec {
        return finding(
            Severity::Error,
            format!("{media_type} is promised, and the bytes are {}", layer.codec.name()),
            "build the image again; runtimes refuse the layer",
        );
    }
    None
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "not packed",
            Self::Gzip => "packed with gzip",
            Self::Zstd => "packed with zstd",
        }
    }
}

/// Returns how a layer of `media_type` is packed; none where it is not a layer's media type.
fn codec_of(media_type: &str) -> Option<Codec> {
    let docker = media_type.strip_prefix("application/vnd.docker.image.rootfs.");
    let form = docker
        .and_then(|rest| rest.strip_prefix("diff.tar").or_else(|| rest.strip_prefix("foreign.diff.tar")))
        .or_else(|| {
            let oci = media_type.strip_prefix("application/vnd.oci.image.layer.")?;
            oci.strip_prefix("v1.tar").or_else(|| oci.strip_prefix("nondistributable.v1.tar"))
        })?;
    match form {
        "" => Some(Codec::Plain),
        ".gzip" | "+gzip" => Some(Codec::Gzip),
        ".zstd" | "+zstd" => Some(Codec::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_docker_and_oci_are_known_and_others_are_not() {
        assert_eq!(codec_of("application/vnd.docker.image.rootfs.diff.tar.gzip"), Some(Codec::Gzip));
        assert_eq!(codec_of("application/vnd.oci.image.layer.v1.tar"), Some(Codec::Plain));
        assert_eq!(
            codec_of("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
            Some(Codec::Zstd)
        );
        assert_eq!(codec_of("application/vnd.oci.image.layer.v1.tar+lz4"), None);
        assert_eq!(codec_of("text/plain"), None);
    }
}
