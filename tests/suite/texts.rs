//! No text of a recipe or a lock makes the program panic: real ones, torn apart and put together again.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smp_image::catalog::Catalog;
use smp_image::lock::Lock;
use smp_image::plan::{Options, Plan};
use smp_image::recipe::{Recipe, Source, builtin};
use smp_image::resolve::{self, Renewal, upstream::offline::Offline};

/// One wound of a text: at which part of its length, how much is taken, what is put there.
fn wounds() -> impl Strategy<Value = Vec<(f64, usize, String)>> {
    let pieces = prop::sample::select(vec![
        "",
        "\"",
        "\n",
        "[",
        "]]",
        "=",
        "*",
        "\0",
        "\u{2028}",
        "ß→😀",
        "999999999999999999999",
        "1!2",
        "..",
        "sha256:",
        "==",
        "~=",
        "[[component]]\n",
        "{ unresolved = \"x\" }",
        "version = 2\n",
        "\\u0000",
    ]);
    prop::collection::vec((0.0..1.0_f64, 0..24_usize, pieces.prop_map(str::to_owned)), 1..4)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places in small texts"
)]
fn torn(text: &str, wounds: &[(f64, usize, String)]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for (at, take, put) in wounds {
        let from = (letters.len() as f64 * at) as usize;
        let to = (from + take).min(letters.len());
        letters.splice(from..to, put.chars());
    }
    letters.into_iter().collect()
}

#[test]
fn no_text_of_a_recipe_makes_the_program_panic() {
    let catalog = Catalog::embedded().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let names: Vec<&str> = builtin::all().iter().map(|recipe| recipe.name).collect();
    let read = std::cell::Cell::new(0);
    let cases = (prop::sample::select(names), wounds());
    TestRunner::new(Config { cases: 192, failure_persistence: None, ..Config::default() })
        .run(&cases, |(name, wounds)| {
            let source = Source::new("torn.toml", torn(builtin::find(name).unwrap().text, &wounds));
            let Ok(recipe) = Recipe::parse(&source) else { return Ok(()) };
            read.set(read.get() + 1);
            let platform = "linux/amd64".parse().unwrap();
            let renewal = Renewal::default();
            let locked =
                runtime.block_on(resolve::lock(&source, &recipe, platform, &catalog, &renewal, &Offline));
            if let Ok(locked) = locked {
                let text = locked.lock.to_text();
                prop_assert_eq!(Lock::parse("torn.lock", &text).unwrap().to_text(), text);
                let _either = Plan::new(&recipe, &locked.lock, &catalog, &Options::default());
            }
            Ok(())
        })
        .unwrap();
    assert!(read.get() > 10, "only {} torn recipes could be read: the wounds are too deep", read.get());
}

#[test]
fn no_text_of_a_lock_makes_the_program_panic_and_no_edit_passes() {
    let locks: Vec<&str> = builtin::all().iter().filter_map(|recipe| recipe.lock).collect();
    let cases = (prop::sample::select(locks), wounds());
    TestRunner::new(Config { cases: 192, failure_persistence: None, ..Config::default() })
        .run(&cases, |(text, wounds)| {
            if let Ok(lock) = Lock::parse("torn.lock", &torn(text, &wounds)) {
                // What still reads is what was written: only comments and blanks may differ.
                prop_assert_eq!(lock.to_text(), text);
            }
            Ok(())
        })
        .unwrap();
}
