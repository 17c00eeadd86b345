//! Starting from a built-in recipe.

use smp_image::recipe::builtin;

use crate::program::Place;

#[test]
fn every_built_in_recipe_can_be_started_from_and_then_planned_and_rendered() {
    for recipe in builtin::all() {
        let place = Place::new();
        let ended = place.run(&["new", "--from", recipe.name]);
        assert!(ended.err.contains("next: smp-image build --arch amd64"), "{}", ended.err);
        assert_eq!(ended.fine(), "");
        assert_eq!(place.files(), ["here/smp-image.lock", "here/smp-image.toml"], "{}", recipe.name);
        assert_eq!(place.read("smp-image.toml"), recipe.text);
        let _fresh = place.run(&["lock", "--check"]).fine();
        assert!(place.run(&["plan"]).fine().contains(recipe.name));
        for dialect in ["buildkit", "classic"] {
            let here = place.run(&["render", "--dialect", dialect]).fine();
            assert!(parse_dockerfile::parse(&here).is_ok(), "{}:\n{here}", recipe.name);
            let built_in = place.run(&["render", recipe.name, "--dialect", dialect]).fine();
            assert_eq!(here, built_in, "{}", recipe.name);
        }
    }
}

#[test]
fn new_overwrites_nothing() {
    for file in ["smp-image.toml", "smp-image.lock"] {
        let place = Place::new();
        place.write(file, "mine");
        place.run(&["new"]).failed(
            3,
            &[&format!("{file} is already here"), "hint: move it away first; nothing was changed"],
        );
        assert_eq!(place.read(file), "mine");
        assert_eq!(place.files(), [format!("here/{file}")]);
    }
}

#[test]
fn an_unknown_recipe_is_told_with_the_nearest_one() {
    let place = Place::new();
    for arguments in [
        &["new", "--from", "quickstrt"][..],
        &["plan", "quickstrt"],
        &["render", "quickstrt"],
        &["lock", "quickstrt"],
        &["build", "quickstrt"],
        &["release", "quickstrt", "--to", "x"],
    ] {
        place.run(arguments).failed(3, &["`quickstrt`", "hint: did you mean `quickstart`?"]);
    }
    place.run(&["plan", "zzz"]).failed(3, &["neither a file nor built in", "hint: built in: quickstart, "]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_recipe_that_cannot_be_read_is_named() {
    let place = Place::new();
    std::fs::write(place.path("bytes.toml"), b"name = \"\xff\"").unwrap();
    place.run(&["plan", "bytes.toml"]).failed(3, &["cannot read bytes.toml"]);
}

#[test]
fn the_recipe_of_the_folder_comes_first_and_quickstart_where_there_is_none() {
    let place = Place::new();
    assert!(place.run(&["plan"]).fine().starts_with("quickstart for linux/amd64"));
    let _told = place.run(&["new", "--from", "nccl-tests"]).fine();
    assert!(place.run(&["plan"]).fine().starts_with("nccl-tests for linux/amd64"));
}
