//! Every built-in recipe renders, in both dialects, to the Dockerfile under `tests/golden/`: what its plan says and nothing else.

use std::path::{Path, PathBuf};

use parse_dockerfile::Instruction as Parsed;
use smp_image::catalog::Catalog;
use smp_image::lock::Lock;
use smp_image::oci::{Arch, Dialect, Platform};
use smp_image::plan::{Instruction, Options, Plan, Runs};
use smp_image::recipe::{Recipe, Source, builtin};
use smp_image::render::render;

use crate::golden;

const DIALECTS: [(Dialect, &str); 2] = [(Dialect::Buildkit, "buildkit"), (Dialect::Classic, "classic")];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn plan_of(name: &str) -> Plan {
    plan_on(name, None)
}

/// Plans the built-in recipe `name` for a builder of another architecture than the image's.
fn foreign(name: &str) -> Plan {
    plan_on(name, Some(Platform { arch: Arch::Arm64 }))
}

fn plan_on(name: &str, builder: Option<Platform>) -> Plan {
    let found = builtin::find(name).unwrap();
    let recipe = Recipe::parse(&Source::new(name, found.text)).unwrap();
    let lock = Lock::parse(name, found.lock.unwrap()).unwrap();
    Plan::new(&recipe, &lock, &Catalog::embedded().unwrap(), &Options { builder, ..Options::default() })
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_built_in_recipe_renders_to_its_golden_dockerfiles() {
    for recipe in builtin::all() {
        let plan = plan_of(recipe.name);
        for (dialect, word) in DIALECTS {
            let text = render(&plan, dialect).unwrap_or_else(|error| panic!("{}: {error}", recipe.name));
            golden::equals(&folder("tests/golden").join(format!("{}.{word}.Dockerfile", recipe.name)), &text);
        }
    }
}

#[test]
fn every_built_in_recipe_renders_to_its_golden_dockerfile_for_a_foreign_builder() {
    for recipe in builtin::all() {
        let text = render(&foreign(recipe.name), Dialect::Buildkit).unwrap();
        golden::equals(&folder("tests/golden").join(format!("{}.foreign.Dockerfile", recipe.name)), &text);
    }
}

/// Plans `quickstart` for arm64.
fn quickstart_for_arm(builder: Arch) -> Plan {
    let found = builtin::find("quickstart").unwrap();
    let recipe = Recipe::parse(&Source::new("quickstart", found.text)).unwrap();
    let lock = Lock::parse("quickstart", found.arm64.unwrap()).unwrap();
    let options = Options { builder: Some(Platform { arch: builder }), ..Options::default() };
    Plan::new(&recipe, &lock, &Catalog::embedded().unwrap(), &options).unwrap()
}

#[test]
fn quickstart_for_arm64_renders_to_its_golden_dockerfiles() {
    for (builder, word) in [(Arch::Arm64, "buildkit"), (Arch::Amd64, "foreign")] {
        let text = render(&quickstart_for_arm(builder), Dialect::Buildkit).unwrap();
        golden::equals(&folder("tests/golden").join(format!("quickstart.arm64.{word}.Dockerfile")), &text);
    }
}

#[test]
fn quickstart_is_locked_to_the_same_versions_for_both_architectures() {
    let found = builtin::find("quickstart").unwrap();
    let versions = |text: &str| {
        let lock = Lock::parse("quickstart", text).unwrap();
        let mut all: Vec<String> = lock.requirements().map(|pinned| pinned.requirement.to_string()).collect();
        all.extend(lock.components.iter().map(|locked| format!("{} {:?}", locked.name, locked.version)));
        all
    };
    assert_eq!(versions(found.lock.unwrap()), versions(found.arm64.unwrap()));
}

#[test]
fn a_foreign_build_is_refused_in_the_classic_dialect() {
    let error = render(&foreign("quickstart"), Dialect::Classic).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image is for linux/amd64 and the builder is linux/arm64: the classic builder cannot run stages on its own platform"
    );
}

#[test]
fn no_command_of_a_foreign_build_that_is_called_native_runs_on_the_target() {
    for recipe in builtin::all() {
        let plan = foreign(recipe.name);
        let text = render(&plan, Dialect::Buildkit).unwrap();
        let mut native: Vec<&str> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("FROM ")) {
            let words: Vec<&str> = line.split(' ').collect();
            let name = words[words.len() - 1];
            if line.contains("--platform=$BUILDPLATFORM") || native.contains(&words[1]) {
                native.push(name);
            }
        }
        for stage in &plan.stages {
            let said = native.contains(&stage.name.as_str());
            assert_eq!(stage.native, said, "{}: {}", recipe.name, stage.name);
            for step in stage.steps.iter().filter(|step| step.instruction == Instruction::Run) {
                assert_eq!(step.runs == Runs::Native, said, "{}: {}", recipe.name, step.does);
            }
        }
    }
}

#[test]
fn what_needs_no_compiler_needs_no_emulator() {
    for (name, emulated) in [("quickstart", 0), ("smp-2.8", 0)] {
        let plan = foreign(name);
        assert_eq!(plan.emulated_steps, emulated, "{name}");
        assert_eq!(plan.emulated().count(), emulated, "{name}");
    }
    let plan = foreign("smp-2.8-from-parts");
    let emulated: Vec<&str> = plan.emulated().map(|(stage, _)| stage.name.as_str()).collect();
    for stage in ["efa", "smp", "aws-ofi-nccl", "transformer-engine", "flash-attn"] {
        assert!(emulated.contains(&stage), "{stage} is not in {emulated:?}");
    }
    assert_eq!(plan.emulated_steps, emulated.len());
    assert_eq!(plan_of("smp-2.8-from-parts").emulated_steps, 0, "a native build emulates nothing");
}

#[test]
fn every_built_in_recipe_has_its_golden_plan() {
    for recipe in builtin::all() {
        let text = serde_json::to_string_pretty(&plan_of(recipe.name)).unwrap() + "\n";
        golden::equals(&folder("tests/golden").join(format!("{}.plan.json", recipe.name)), &text);
    }
}

#[test]
fn a_plan_is_read_back_as_it_was_written() {
    for recipe in builtin::all() {
        let plan = plan_of(recipe.name);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{}", recipe.name);
    }
}

#[test]
fn every_file_in_recipes_is_a_built_in_recipe() {
    for entry in std::fs::read_dir(folder("recipes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(builtin::find(name).is_some(), "{name} is not in src/recipe/builtin.rs");
        }
    }
}

/// Returns the stages of a Dockerfile as pairs of name and instructions; instructions that no plan knows make it panic.
pub(crate) fn stages(text: &str) -> Vec<(String, Vec<Instruction>)> {
    let parsed = parse_dockerfile::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(parsed.parser_directives.syntax.is_none() && parsed.parser_directives.escape.is_none(), "{text}");
    let mut stages: Vec<(String, Vec<Instruction>)> = Vec::new();
    for instruction in &parsed.instructions {
        let kind = match instruction {
            Parsed::From(from) => {
                let (_, name) = from.as_.as_ref().unwrap();
                stages.push((name.value.to_string(), Vec::new()));
                continue;
            }
            Parsed::Arg(_) => Instruction::Arg,
            Parsed::Copy(_) => Instruction::Copy,
            Parsed::Env(_) => Instruction::Env,
            Parsed::Run(_) => Instruction::Run,
            Parsed::Workdir(_) => Instruction::Workdir,
            other => panic!("no plan has such an instruction: {other:?}\n{text}"),
        };
        stages.last_mut().unwrap().1.push(kind);
    }
    stages
}

/// Returns what a plan says that [`stages`] of its Dockerfile are.
pub(crate) fn planned(plan: &Plan, dialect: Dialect) -> Vec<(String, Vec<Instruction>)> {
    let stages = plan.stages.iter().filter(|stage| stage.is_in(dialect));
    stages
        .map(|stage| (stage.name.to_string(), stage.steps.iter().map(|step| step.instruction).collect()))
        .collect()
}

#[test]
fn a_dockerfile_has_the_planned_stages_and_instructions_and_no_other() {
    for recipe in builtin::all() {
        let text = render(&foreign(recipe.name), Dialect::Buildkit).unwrap();
        assert_eq!(
            stages(&text),
            planned(&foreign(recipe.name), Dialect::Buildkit),
            "{}\n{text}",
            recipe.name
        );
        let plan = plan_of(recipe.name);
        for (dialect, word) in DIALECTS {
            let text = render(&plan, dialect).unwrap();
            assert_eq!(stages(&text), planned(&plan, dialect), "{} {word}\n{text}", recipe.name);
        }
    }
}

#[test]
fn a_stage_names_only_stages_before_it() {
    let plans = builtin::all().iter().flat_map(|recipe| [plan_of(recipe.name), foreign(recipe.name)]);
    for plan in plans {
        let mut known = Vec::new();
        for stage in &plan.stages {
            for needed in stage.needs() {
                assert!(known.contains(needed), "{}: {} needs {needed}", plan.recipe, stage.name);
            }
            known.push(stage.name.clone());
        }
    }
}

#[test]
fn the_classic_dialect_holds_nothing_that_needs_buildkit() {
    for recipe in builtin::all() {
        let text = render(&plan_of(recipe.name), Dialect::Classic).unwrap();
        for word in ["--mount", "--link", "--chmod", "--checksum", "<<", "# syntax", "FROM scratch"] {
            assert!(!text.contains(word), "{}: {word}", recipe.name);
        }
    }
}

#[test]
fn a_continued_line_is_followed_by_an_indented_one() {
    for recipe in builtin::all() {
        for (dialect, word) in DIALECTS {
            let text = render(&plan_of(recipe.name), dialect).unwrap();
            for pair in text.lines().collect::<Vec<_>>().windows(2) {
                let joined = pair[0].ends_with('\\') == pair[1].starts_with("    ");
                assert!(
                    joined && !pair[0].ends_with(' '),
                    "{} {word}:\n{}\n{}",
                    recipe.name,
                    pair[0],
                    pair[1]
                );
            }
        }
    }
}

#[test]
fn nothing_moves_and_nothing_is_unverified() {
    for recipe in builtin::all() {
        let native = DIALECTS.map(|(dialect, _)| render(&plan_of(recipe.name), dialect).unwrap());
        let foreign = render(&foreign(recipe.name), Dialect::Buildkit).unwrap();
        for text in native.into_iter().chain([foreign]) {
            for word in [
                ":latest",
                "/latest",
                "git clone",
                "pip install --upgrade",
                "--trusted-host",
                "--insecure",
                " -k ",
            ] {
                assert!(!text.contains(word), "{}: {word}", recipe.name);
            }
            assert_eq!(
                text.matches("curl --fail").count(),
                text.matches("--output ").count(),
                "{}",
                recipe.name
            );
            let verified = text.matches("sha256sum --check").count();
            assert!(verified >= text.matches("--output ").count(), "{}: an unverified download", recipe.name);
            // Wheels that pip made of verified sources lie in a folder and come from no index.
            let made = text.matches("-m pip wheel").count();
            assert_eq!(made, text.matches("--no-index --no-deps").count(), "{}", recipe.name);
            let pip = text.matches("-m pip install").count();
            assert_eq!(pip, text.matches("--require-hashes --no-deps").count(), "{}", recipe.name);
        }
    }
}
