//! The documentation is run: its recipes are recipes, and its commands can be said.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use smp_image::cli::Cli;
use smp_image::recipe::{Recipe, Source};

use crate::golden;

/// A fenced block of a page: its language, its text and its first line in the page.
struct Block {
    language: String,
    text: String,
    place: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the pages that a user reads.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = walkdir::WalkDir::new(root().join("docs"))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .chain(std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 6, "{pages:?}");
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap();
    let shown = page.strip_prefix(root()).unwrap().display();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                let (language, place) = (language.trim().to_owned(), format!("{shown}:{}", number + 1));
                open = Some(Block { language, text: String::new(), place });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{shown}: a block is not closed");
    blocks
}

#[test]
fn every_recipe_of_the_documentation_is_one() {
    let mut recipes = 0;
    for block in pages().iter().flat_map(|page| blocks(page)) {
        if block.language != "toml" || !block.text.contains("[base]") {
            continue;
        }
        if let Err(error) = Recipe::parse(&Source::new(block.place.clone(), block.text)) {
            panic!("{}: {:?}", block.place, miette::Report::new(error));
        }
        recipes += 1;
    }
    assert!(recipes >= 1);
}

#[test]
fn every_command_of_the_documentation_can_be_said() {
    let mut commands = 0;
    for block in pages().iter().flat_map(|page| blocks(page)) {
        let text = block.text.replace("\\\n", " ");
        for line in text.lines().map(|line| line.trim_start_matches("$ ")) {
            let line = line.split(" #").next().unwrap();
            for said in line.split(" && ").filter_map(|part| part.trim().strip_prefix("smp-image ")) {
                let words = said.split_whitespace().take_while(|word| !["|", ">", "2>"].contains(word));
                let parsed = Cli::try_parse_from(std::iter::once("smp-image").chain(words));
                assert!(parsed.is_ok(), "{}: {said}: {}", block.place, parsed.unwrap_err());
                commands += 1;
            }
        }
    }
    assert!(commands >= 10, "only {commands} commands");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target} is not there", page.display());
        }
    }
}

#[test]
fn golden_schema_of_the_report() {
    let schema = serde_json::to_string_pretty(&smp_image::report::json::schema()).unwrap() + "\n";
    golden::equals(&root().join("docs/report.schema.json"), &schema);
}

#[test]
fn golden_schema_of_doctor() {
    let schema = serde_json::to_string_pretty(&smp_image::doctor::Diagnosis::schema()).unwrap() + "\n";
    golden::equals(&root().join("docs/doctor.schema.json"), &schema);
}

#[test]
fn golden_schema_of_diff() {
    let schema = serde_json::to_string_pretty(&smp_image::report::diff::Difference::schema()).unwrap() + "\n";
    golden::equals(&root().join("docs/diff.schema.json"), &schema);
}

#[test]
fn golden_schema_of_a_failure() {
    let schema =
        serde_json::to_string_pretty(&smp_image::report::failure::FailureReport::schema()).unwrap() + "\n";
    golden::equals(&root().join("docs/failure.schema.json"), &schema);
}
