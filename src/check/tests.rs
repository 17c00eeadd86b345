//! Whole images, built in memory, looked into.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalog::Catalog;
use crate::engine::{EngineInfo, FakeEngine, GpuOffer, Store};
use crate::lock::Origin;
use crate::plan::Expectation;
use crate::recipe::Component;

pub(crate) mod fixture;
mod hostile;
mod sources;

use fixture::{AMD64, GZIP, LayerBuilder, ZSTD, config, docker20, docker26, elf, expect, gzip, zstd};

const NCCL: &str = "opt/venv/lib/python3.13/site-packages/nvidia/nccl/lib/libnccl.so.2";
const NCCL_METADATA: &str =
    "opt/venv/lib/python3.13/site-packages/nvidia_nccl_cu12-2.32.3.dist-info/METADATA";
const METADATA: &str = "Metadata-Version: 2.4\nName: nvidia-nccl-cu12\nVersion: 2.32.3\n\nText\n";

fn layers() -> Vec<Vec<u8>> {
    vec![
        LayerBuilder::new()
            .file("bin/sh", elf(62, &[]))
            .file("etc/os-release", "ID=debian\nVERSION_ID=\"13\"\n")
            .file(
                "var/lib/dpkg/status",
                "Package: libfabric1\nStatus: install ok installed\nVersion: 2.1.0-1\n",
            )
            .done(),
        LayerBuilder::new()
            .file(NCCL, elf(62, b"xxNCCL version 2.32.3+cuda12.9\0"))
            .file(NCCL_METADATA, METADATA)
            .done(),
    ]
}

fn expectations() -> Vec<Expectation> {
    vec![
        expect(Component::Os, "13", Origin::Base, [&[], &[], &[]]),
        expect(Component::Nccl, "2.32.3", Origin::Wheels, [&["nvidia-nccl-cu12"], &[], &["libnccl.so.2"]]),
        expect(Component::Libfabric, "", Origin::Apt, [&[], &["libfabric1"], &[]]),
    ]
}

fn target(expectations: &[Expectation]) -> Target {
    Target::new(AMD64, Arc::new(Catalog::embedded().unwrap())).expecting(expectations.to_vec())
}

fn look(archive: &[u8], expectations: &[Expectation]) -> Inspection {
    inspect(archive, &target(expectations)).unwrap()
}

/// The codes of all findings but those of `info`.
fn codes(inspection: &Inspection) -> Vec<&'static str> {
    let counted = inspection.findings.iter().filter(|finding| finding.severity != Severity::Info);
    counted.map(|finding| finding.rule.name()).collect()
}

/// Looks into `layers` in the layout of Docker 20.10, with nothing expected.
fn codes_of(layers: &[Vec<u8>], more: &serde_json::Value) -> Vec<&'static str> {
    codes(&look(&docker20(layers, &config(layers, more)), &[]))
}

#[test]
fn a_sound_image_has_no_findings_in_either_layout() {
    let layers = layers();
    let config = config(&layers, &json!({}));
    let packed = [(gzip(&layers[0]), GZIP), (zstd(&layers[1]), ZSTD)];
    for archive in [docker20(&layers, &config), docker26(&packed, &config, &packed)] {
        let inspection = look(&archive, &expectations());
        assert_eq!(codes(&inspection), Vec::<&str>::new(), "{:#?}", inspection.findings);
        let found: Vec<Option<&str>> =
            inspection.components.iter().map(|seen| seen.found.as_deref()).collect();
        assert_eq!(found, [Some("13"), Some("2.32.3"), Some("2.1.0-1")]);
        assert_eq!((inspection.read.files, inspection.read.elf_files), (5, 2));
        assert_eq!(inspection.read.bytes, archive.len() as u64);
        assert_eq!(inspection.layers[0].created_by, "RUN make");
    }
}

/// A reader that gives a few bytes at a time, as a pipe may.
struct Trickle<'a>(&'a [u8]);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(100);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn an_image_that_comes_in_small_pieces_is_read_as_one_that_comes_at_once() {
    let layers = layers();
    let archive = docker20(&layers, &config(&layers, &json!({})));
    let inspection = inspect(Trickle(&archive), &target(&expectations())).unwrap();
    assert_eq!(inspection.findings, look(&archive, &expectations()).findings);
    assert_eq!(inspection.layers.len(), 2);
}

#[test]
fn an_image_without_docker_s_own_manifest_is_read_as_an_oci_layout() {
    let layers = layers();
    let config = config(&layers, &json!({}));
    let packed = [(gzip(&layers[0]), GZIP), (gzip(&layers[1]), GZIP)];
    let whole = docker26(&packed, &config, &packed);
    let mut kept = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(whole.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().as_os_str() != "manifest.json" {
            let header = entry.header().clone();
            kept.append(&header, &mut entry).unwrap();
        }
    }
    assert_eq!(codes(&look(&kept.into_inner().unwrap(), &expectations())), Vec::<&str>::new());
}

#[test]
fn a_layer_with_other_bytes_than_its_digest_is_an_error_and_names_both() {
    let layers = layers();
    let promised = [(gzip(&layers[0]), GZIP), (gzip(&layers[1]), GZIP)];
    let mut packed = promised.clone();
    let last = packed[1].0.len() - 6;
    packed[1].0[last] ^= 1;
    let inspection = look(&docker26(&packed, &config(&layers, &json!({})), &promised), &[]);
    assert!(
        codes(&inspection).contains(&"digest-mismatch") && codes(&inspection).contains(&"unreadable-layer")
    );
    let finding =
        inspection.findings.iter().find(|finding| finding.subject == "layer 2 (descriptor)").unwrap();
    let digests = [&promised[1].0, &packed[1].0].map(|bytes| Digest::of(bytes).to_string());
    assert_eq!(finding.evidence, format!("{} is promised, {} was read", digests[0], digests[1]));
}

#[test]
fn a_layer_that_unpacks_to_something_else_than_the_configuration_says_is_an_error() {
    let layers = layers();
    let config = config(&layers, &json!({}));
    let swapped = vec![layers[0].clone(), LayerBuilder::new().file("x", "y").done()];
    let inspection = look(&docker20(&swapped, &config), &[]);
    assert_eq!(codes(&inspection), ["digest-mismatch"]);
    assert_eq!(inspection.findings[0].subject, "layer 2 (unpacked)");
}

#[test]
fn a_configuration_for_another_platform_is_an_error() {
    assert_eq!(codes_of(&layers(), &json!({ "architecture": "arm64" })), ["platform-mismatch"]);
    assert_eq!(codes_of(&layers(), &json!({ "os": "" })), ["platform-mismatch"]);
}

#[test]
fn a_library_for_another_processor_is_found_and_its_layer_named() {
    let mut layers = layers();
    layers.push(LayerBuilder::new().file("usr/lib/libx.so", elf(183, &[])).done());
    let inspection = look(&docker20(&layers, &config(&layers, &json!({}))), &[]);
    assert_eq!(codes(&inspection), ["foreign-binary"]);
    assert_eq!(inspection.findings[0].evidence, "1 ELF file is for 64-bit Arm: /usr/lib/libx.so (layer 3)");
}

#[test]
fn a_foreign_file_that_an_upper_layer_deletes_or_overwrites_does_not_count() {
    let base =
        LayerBuilder::new().file("a", elf(183, &[])).file("b", elf(183, &[])).file("d/c", elf(183, &[]));
    let over = LayerBuilder::new().file("a", elf(62, &[])).file(".wh.b", "").file("d/.wh..wh..opq", "");
    assert_eq!(codes_of(&[base.done(), over.done()], &json!({})), Vec::<&str>::new());
}

#[test]
fn a_missing_component_a_moved_one_and_one_that_cannot_be_read_are_told_apart() {
    let layers = layers();
    let archive = docker20(&layers, &config(&layers, &json!({})));
    let expected = [
        expect(Component::Nccl, "2.23.4", Origin::Wheels, [&["nvidia-nccl-cu12"], &[], &["libnccl.so.2"]]),
        expect(Component::FlashAttn, "2.5.8", Origin::Sdist, [&["flash-attn"], &[], &[]]),
        expect(Component::Gdrcopy, "2.4", Origin::Archive, [&[], &[], &[]]),
    ];
    let inspection = look(&archive, &expected);
    let said: Vec<(&str, Severity, &str)> =
        inspection.findings.iter().map(|f| (f.rule.name(), f.severity, f.subject.as_str())).collect();
    assert_eq!(
        said,
        [
            ("component-missing", Severity::Error, "flash-attn"),
            ("component-version", Severity::Error, "nccl"),
            ("component-unknown", Severity::Unknown, "gdrcopy"),
        ]
    );
    let moved = &inspection.findings[1];
    assert!(moved.evidence.starts_with("2.23.4 is locked, 2.32.3 is installed"), "{}", moved.evidence);
}

#[test]
fn a_package_whose_library_was_removed_is_missing_although_its_metadata_is_there() {
    let mut layers = layers();
    layers.push(
        LayerBuilder::new()
            .file(&format!("{}/.wh.libnccl.so.2", NCCL.rsplit_once('/').unwrap().0), "")
            .done(),
    );
    let inspection = look(&docker20(&layers, &config(&layers, &json!({}))), &expectations());
    assert_eq!(codes(&inspection), ["component-missing"]);
    assert!(inspection.findings[0].evidence.contains("libnccl.so.2"), "{:?}", inspection.findings[0]);
}

#[test]
fn a_component_whose_version_nothing_tells_is_unknown_and_never_passed() {
    let layers = [LayerBuilder::new().file("usr/lib/libnccl.so.2", elf(62, b"stripped")).done()];
    let archive = docker20(&layers, &config(&layers, &json!({})));
    let inspection =
        look(&archive, &[expect(Component::Nccl, "2.23.4", Origin::Base, [&[], &[], &["libnccl.so.2"]])]);
    assert_eq!(codes(&inspection), ["component-unknown"]);
    assert_eq!(inspection.findings[0].severity, Severity::Unknown);
}

#[test]
fn two_versions_of_nccl_in_one_image_are_named() {
    let mut layers = layers();
    layers.push(
        LayerBuilder::new().file("usr/lib/libnccl.so.2", elf(62, b"NCCL version 2.21.5+cuda12.4")).done(),
    );
    let inspection = look(&docker20(&layers, &config(&layers, &json!({}))), &expectations());
    assert_eq!(codes(&inspection), ["component-twice"]);
    assert!(inspection.findings[0].evidence.contains("2.21.5 in /usr/lib/libnccl.so.2"));
}

#[test]
fn leftovers_secrets_and_variables_of_the_job_are_warnings_and_no_value_is_shown() {
    let layers = [LayerBuilder::new()
        .file("root/.cache/pip/http/a", vec![0; 2 << 20])
        .file("tmp/ca-bundle.crt", "-----BEGIN CERTIFICATE-----")
        .done()];
    let more = json!({
        "config": { "Env": ["FI_PROVIDER=efa", "HF_TOKEN=hunter2hunter2"], "Labels": { "ci-token": "hunter2" } },
        "history": [{ "created_by": "|1 PASSWORD=hunter2 /bin/sh -c true" }],
    });
    let inspection = look(&docker20(&layers, &config(&layers, &more)), &[]);
    assert_eq!(
        codes(&inspection),
        ["cache-left-behind", "ca-bundle", "transport-variable", "secret", "secret", "secret"]
    );
    assert!(!serde_json::to_string(&inspection).unwrap().contains("hunter2"));
}

#[test]
fn a_folder_over_the_link_of_a_merged_usr_is_an_error() {
    let base = LayerBuilder::new().link(tar::EntryType::Symlink, "lib", "usr/lib").done();
    let over = LayerBuilder::new().file("lib/libfabric.so.1", elf(62, &[])).done();
    assert_eq!(codes_of(&[base, over], &json!({})), ["replaced-link"]);
}

#[test]
fn many_bytes_that_a_later_layer_hides_are_a_warning() {
    let base = LayerBuilder::new().file("big", vec![1; 30_000_000]).done();
    let over = LayerBuilder::new().file("big", "small").done();
    let layers = [base, over];
    let inspection = look(&docker20(&layers, &config(&layers, &json!({}))), &[]);
    assert_eq!(codes(&inspection), ["wasted-space"]);
    assert!(
        inspection.findings[0].evidence.ends_with("/big (30.0 MB)"),
        "{}",
        inspection.findings[0].evidence
    );
}

#[test]
fn what_is_no_image_is_refused_in_words() {
    let refusal = |bytes: &[u8]| inspect(bytes, &target(&[])).unwrap_err().to_string();
    assert!(refusal(&[b'x'; 2000]).starts_with("this is no exported image (docker save): "));
    assert!(refusal(b"").contains("it holds no manifest.json"));
    let layers = layers();
    let whole = docker20(&layers, &config(&layers, &json!({})));
    assert!(refusal(&whole[..whole.len() / 2]).starts_with("cannot read the exported image to its end"));
}

#[test]
fn a_missing_layer_is_named() {
    let layers = layers();
    let config = config(&layers, &json!({}));
    let packed = [(gzip(&layers[0]), GZIP), (gzip(&layers[1]), GZIP)];
    let archive = docker26(&packed[..1], &config, &packed);
    let missing = Digest::of(&packed[1].0).hex();
    assert_eq!(
        inspect(archive.as_slice(), &target(&[])).unwrap_err().to_string(),
        format!("blobs/sha256/{missing} is missing from the exported image")
    );
}

#[test]
fn each_limit_stops_an_image_that_breaks_it() {
    let layers = layers();
    let archive = docker20(&layers, &config(&layers, &json!({})));
    let whole = Limits::default();
    let tight = [
        Limits { blobs: 2, ..whole },
        Limits { files: 3, ..whole },
        Limits { kept: 300, ..whole },
        Limits { path: 20, ..whole },
        Limits { documents: 100, ..whole },
        Limits { unpacked: 3000, ..whole },
    ];
    for limits in tight {
        let result = inspect_within(archive.as_slice(), &target(&[]), &limits);
        assert!(matches!(result, Err(CheckError::Limit { .. })), "{limits:?}: {result:?}");
    }
}

#[test]
fn a_layer_that_unpacks_without_end_is_stopped_by_its_ratio() {
    let zeros = LayerBuilder::new().file("zeros", vec![0; 16 << 20]).done();
    let packed = zstd(&zeros);
    let archive = docker26(&[(packed.clone(), ZSTD)], &config(&[zeros], &json!({})), &[(packed, ZSTD)]);
    let limits = Limits { ratio: 500, ratio_from: 1 << 20, ..Limits::default() };
    let error = inspect_within(archive.as_slice(), &target(&[]), &limits).unwrap_err();
    assert!(matches!(error, CheckError::Limit { what: "times the packed size of a layer", .. }), "{error}");
}

/// Exports `archive` from an engine and looks into it.
async fn exported(archive: Result<Vec<u8>, EngineError>) -> Result<Inspection, CheckError> {
    let info = EngineInfo {
        endpoint: "unix:///fake".to_owned(),
        version: "26.1.5".to_owned(),
        api: "1.45".to_owned(),
        platform: AMD64,
        platforms: Vec::new(),
        store: Store::Containerd,
        buildkit: true,
        data_root: String::new(),
        memory: 0,
        processors: 2,
        studio: false,
        builder: None,
        gpus: GpuOffer::default(),
    };
    image(&FakeEngine::new(info).will_export(archive), "a:1", target(&expectations())).await
}

#[tokio::test]
async fn an_image_is_looked_into_as_an_engine_exports_it() {
    let layers = layers();
    let archive = docker20(&layers, &config(&layers, &json!({})));
    assert_eq!(codes(&exported(Ok(archive)).await.unwrap()), Vec::<&str>::new());
}

#[tokio::test]
async fn whose_fault_it_was_is_told_apart_when_an_export_stops() {
    let stalled = EngineError::Protocol { doing: "exporting".to_owned(), reason: "it stopped".to_owned() };
    assert!(matches!(exported(Err(stalled)).await, Err(CheckError::Engine(EngineError::Protocol { .. }))));
    // More than a pipe holds: the engine cannot go on writing once we know that it is garbage.
    let garbage = exported(Ok(vec![b'x'; 1 << 20])).await;
    assert!(matches!(garbage, Err(CheckError::NotAnImage(_))), "{garbage:?}");
}

#[test]
fn every_code_belongs_to_one_rule() {
    let mut listed: Vec<RuleCode> = RULES.iter().flat_map(|rule| rule.codes).copied().collect();
    listed.sort_unstable();
    assert_eq!(listed, RuleCode::ALL);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..8192)) {
        let _any_answer = inspect(bytes.as_slice(), &target(&[]));
    }

    #[test]
    fn an_image_with_changed_bytes_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        modern in any::<bool>(),
    ) {
        let layers = layers();
        let config = config(&layers, &json!({}));
        let packed = [(gzip(&layers[0]), GZIP), (zstd(&layers[1]), ZSTD)];
        let mut archive = if modern { docker26(&packed, &config, &packed) } else { docker20(&layers, &config) };
        for (at, value) in changes {
            let at = at.index(archive.len());
            archive[at] = value;
        }
        let _any_answer = inspect(archive.as_slice(), &target(&expectations()));
    }
}
