//! Whatever a recipe holds, it is refused or it stays where it belongs: no extra line, instruction, flag or shell word.

use std::cell::Cell;
use std::collections::BTreeMap;

use parse_dockerfile::Instruction as Parsed;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use smp_image::catalog::Catalog;
use smp_image::lock::{Lock, LockedImage, LockedPackage, Pin, PinnedRequirement};
use smp_image::oci::{Arch, Dialect, Digest, Platform};
use smp_image::plan::{Options, Plan};
use smp_image::recipe::{Recipe, Source, builtin};
use smp_image::render::render;

use crate::dockerfiles::{planned, stages};

/// The places of a recipe that hold free text.
#[derive(Debug, Clone)]
struct Texts {
    image: String,
    workdir: String,
    from: String,
    to: String,
    apt: String,
    python: String,
    name: String,
    value: String,
    reason: String,
}

/// Text that tries to leave its place.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b1",
        "/",
        "/opt",
        ".",
        "..",
        "-",
        "--",
        "--from=x",
        "=",
        "==1",
        "==1.0",
        "@",
        ":",
        ":1",
        "latest",
        "[x]",
        "\n",
        "\r",
        "\r\n",
        "\\",
        "\\\n",
        "\t",
        " ",
        "\"",
        "'",
        "`",
        "$",
        "${A}",
        "$(id)",
        ";",
        "&&",
        "|",
        ">",
        "<<EOF",
        "#",
        "# escape=`",
        "RUN id",
        "\nRUN id\n",
        "\u{2028}",
        "\u{202e}",
        "é",
        "\0",
        "*",
        "?",
        "~",
        "!",
        "%s",
        "{{ x }}",
        "{% raw %}",
    ]);
    prop::collection::vec(pieces, 0..5).prop_map(|parts| parts.concat())
}

/// Mostly text of the right form, sometimes hostile.
fn text(usual: &'static str) -> impl Strategy<Value = String> {
    let usual = usual.to_owned();
    prop_oneof![10 => Just(usual.clone()), 1 => hostile(), 1 => hostile().prop_map(move |tail| format!("{usual}{tail}"))]
}

fn texts() -> impl Strategy<Value = Texts> {
    let first =
        (text("debian:trixie-slim"), text("/workspace"), text("scripts"), text("/opt/scripts"), text("curl"));
    let second = (text("datasets==2.19.0"), text("NAME"), prop_oneof![hostile(), any::<String>()], hostile());
    (first, second).prop_map(|((image, workdir, from, to, apt), (python, name, value, reason))| Texts {
        image,
        workdir,
        from,
        to,
        apt,
        python,
        name,
        value,
        reason,
    })
}

fn recipe(texts: &Texts) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    format!(
        "name = \"hostile\"\ninstances = [\"ml.g5.8xlarge\"]\n[base]\nimage = {}\n[components]\nnccl = \"*\"\npython = \"*\"\n\
         [python]\npackages = [{}]\n[apt]\npackages = [{}]\n[[copy]]\nfrom = {}\nto = {}\n[image]\nworkdir = {}\n\
         [image.env]\n{} = {}\n",
        quoted(&texts.image),
        quoted(&texts.python),
        quoted(&texts.apt),
        quoted(&texts.from),
        quoted(&texts.to),
        quoted(&texts.workdir),
        quoted(&texts.name),
        quoted(&texts.value)
    )
}

/// Returns the lock of `quickstart` with the recipe's own values put in, as locking would.
fn lock(recipe: &Recipe, reason: &str) -> Lock {
    let mut lock = Lock::parse("quickstart", builtin::find("quickstart").unwrap().lock.unwrap()).unwrap();
    let digest = Pin::Unresolved(reason.to_owned());
    lock.base = LockedImage { image: recipe.base.image.get_ref().clone(), digest, size: None };
    lock.packages = recipe.apt.packages.iter().map(|package| package.get_ref().clone()).collect();
    for name in &lock.packages {
        lock.apt.push(LockedPackage {
            name: name.clone(),
            version: Pin::Unresolved(reason.to_owned()),
            file: None,
        });
    }
    lock.python = recipe
        .python
        .packages
        .iter()
        .map(|package| PinnedRequirement {
            requirement: package.get_ref().clone(),
            hashes: vec![Digest::of("wheel")],
            size: None,
            source: false,
        })
        .collect();
    lock
}

/// Splits a command of a POSIX shell into words, as far as our templates write them; panics on an open quote.
fn shell_words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "an open quote in {command}");
    words.extend(word);
    words
}

fn shell_commands(text: &str) -> Vec<Vec<String>> {
    let parsed = parse_dockerfile::parse(text).unwrap();
    let runs = parsed.instructions.iter().filter_map(|instruction| match instruction {
        Parsed::Run(run) => match &run.arguments {
            parse_dockerfile::Command::Shell(shell) => Some(shell.value.replace("\\\n", " ")),
            parse_dockerfile::Command::Exec(_) => panic!("no template writes the exec form"),
            _ => None,
        },
        _ => None,
    });
    runs.map(|run| shell_words(&run)).collect()
}

/// Returns the variables that `ENV` sets, unquoted.
fn environment(text: &str) -> BTreeMap<String, String> {
    let line = text.split("\nENV ").nth(1).unwrap();
    let end = line.find("\nWORKDIR").unwrap_or(line.len());
    let words = shell_words(&line[..end].replace("\\\n", " "));
    words
        .into_iter()
        .map(|word| word.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap())
        .collect()
}

/// Checks that the recipe of `texts` is refused, or renders to what is planned; returns whether it was rendered.
fn refused_or_as_planned(texts: &Texts) -> Result<bool, TestCaseError> {
    let source = Source::new("hostile", recipe(texts));
    let Ok(recipe) = Recipe::parse(&source) else { return Ok(false) };
    let lock = lock(&recipe, &texts.reason);
    let on = |builder| {
        let options = Options { builder, ..Options::default() };
        Plan::new(&recipe, &lock, &Catalog::embedded().unwrap(), &options)
    };
    let (Ok(plan), Ok(foreign)) = (on(None), on(Some(Platform { arch: Arch::Arm64 }))) else {
        return Ok(false);
    };
    let rendered = [(&plan, Dialect::Buildkit), (&plan, Dialect::Classic), (&foreign, Dialect::Buildkit)];
    for (plan, dialect) in rendered {
        let dockerfile = render(plan, dialect).unwrap();
        prop_assert_eq!(stages(&dockerfile), planned(plan, dialect), "{}", dockerfile);
        let commands = shell_commands(&dockerfile);
        let word = |wanted: &str| commands.iter().flatten().any(|word| word.trim_end_matches(';') == wanted);
        prop_assert!(word(&texts.apt), "{}", dockerfile);
        let line = format!("{} --hash={}", texts.python, Digest::of("wheel"));
        prop_assert!(word(&line), "{}", dockerfile);
        let environment = environment(&dockerfile);
        prop_assert_eq!(environment.get(&texts.name), Some(&texts.value), "{}", dockerfile);
    }
    Ok(true)
}

#[test]
fn a_recipe_is_refused_or_renders_to_what_is_planned() {
    let config = ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() };
    let rendered = Cell::new(0);
    let result = TestRunner::new(config).run(&texts(), |texts| {
        rendered.set(rendered.get() + u32::from(refused_or_as_planned(&texts)?));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(
        (50..550).contains(&rendered.get()),
        "{} of 600 were rendered: the test says nothing",
        rendered.get()
    );
}

#[test]
fn hostile_values_that_have_a_right_form_stay_whole() {
    let texts = Texts {
        image: "debian:trixie-slim".to_owned(),
        workdir: "/work+space@1".to_owned(),
        from: "scripts".to_owned(),
        to: "/opt/scripts".to_owned(),
        apt: "g++".to_owned(),
        python: "datasets[s3]==2.19.0".to_owned(),
        name: "NAME".to_owned(),
        value: r#"^lo "$HOME" `id` $(id) \ ' # \"#.to_owned(),
        reason: "no network\nRUN id".to_owned(),
    };
    let source = Source::new("hostile", recipe(&texts));
    let recipe = Recipe::parse(&source).unwrap();
    let lock = lock(&recipe, &texts.reason);
    let plan = Plan::new(&recipe, &lock, &Catalog::embedded().unwrap(), &Options::default()).unwrap();
    let dockerfile = render(&plan, Dialect::Buildkit).unwrap();
    assert_eq!(stages(&dockerfile), planned(&plan, Dialect::Buildkit), "{dockerfile}");
    assert_eq!(environment(&dockerfile)["NAME"], texts.value);
}
