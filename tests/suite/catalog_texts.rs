//! No text that claims to be a file of facts makes the program panic, and every refusal names its place.

use proptest::prelude::*;
use smp_image::catalog::Catalog;
use smp_image::recipe::Source;

/// Rows of every table as our own files write them, to be torn apart.
const ROWS: &[&str] = &[
    include_str!("../../catalog/abi.toml"),
    include_str!("../../catalog/constraints.toml"),
    include_str!("../../catalog/efa-installer.toml"),
    include_str!("../../catalog/gpu-code.toml"),
    include_str!("../../catalog/images.toml"),
    include_str!("../../catalog/instance-needs.toml"),
    include_str!("../../catalog/nodes.toml"),
    include_str!("../../catalog/precision.toml"),
    include_str!("../../catalog/releases.toml"),
    include_str!("../../catalog/smp.toml"),
];

/// Pieces that mean something in such a file, each at the edge of what is allowed.
const PIECES: &[&str] = &[
    "[[",
    "]]",
    "=",
    "\"",
    "\n",
    "{",
    "}",
    ",",
    "[]",
    "*",
    "==",
    ">=",
    "<0",
    "99999999999999999999",
    "-1",
    "1e400",
    "nan",
    "null",
    "2026-02-30",
    "0000-00-00",
    "9999-12-31",
    "1.0",
    "1.0.0",
    "1!2.0",
    "2.0rc1",
    "nccl",
    "efa",
    "fact",
    "source",
    "\\u0000",
    "\u{202e}",
    "ml.p5.*",
    "*",
    "sha256:",
    "version",
    "versions",
    "when",
    "needs",
];

fn read(text: &str) {
    if let Err(error) = Catalog::with_own(vec![Source::new("own.toml", text)]) {
        let report: &dyn miette::Diagnostic = &error;
        assert!(report.source_code().is_some() && report.labels().is_some(), "no place: {error}");
        assert!(report.help().is_some(), "no help: {error}");
        let mut shown = String::new();
        miette::GraphicalReportHandler::new().render_report(&mut shown, report).unwrap();
        assert!(shown.contains("own.toml"), "the file is not named: {shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused_with_its_place(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn our_own_rows_torn_apart_are_read_or_refused_with_their_place(
        file in 0..ROWS.len(),
        cuts in prop::collection::vec((0_usize..20_000, 0_usize..60, prop::sample::select(PIECES)), 1..6),
    ) {
        let mut text: Vec<char> = ROWS[file].chars().collect();
        for (at, length, piece) in cuts {
            let start = at % text.len();
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        read(&text.into_iter().collect::<String>());
    }
}
