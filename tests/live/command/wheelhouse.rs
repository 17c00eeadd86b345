//! Wheels that one engine compiles and another, clean one takes: from a folder and from a registry.

use std::fs;
use std::path::PathBuf;

use smp_image::lock::{Lock, LockedComponent, Origin, Pin, PinnedRequirement};
use smp_image::oci::Digest;
use smp_image::recipe::Component;

use super::{leads_out, lock_for, mirror};
use crate::emulation::Emulation;
use crate::program::{Ended, Place};
use crate::workbench::{Which, docker, unique, variable};

/// Returns a small C++ extension in the place of a large one: flash-attn takes hours and tens of gigabytes.
fn extension() -> LockedComponent {
    let hash = "sha256:9cbfebefe0a5f843eba29c6be4c84d601f4f41ad4ded0486f1b88c3b07739c15";
    LockedComponent {
        name: Component::FlashAttn,
        version: Pin::Known("1.17.3".parse().unwrap()),
        origin: Origin::Sdist,
        reason: "a small C++ extension in the place of a large one".to_owned(),
        packages: Vec::new(),
        wheels: Vec::new(),
        sdists: vec![PinnedRequirement {
            requirement: "annoy==1.17.3".parse().unwrap(),
            hashes: vec![hash.parse().unwrap()],
            size: None,
            source: false,
        }],
        conda: None,
        artefacts: Vec::new(),
    }
}

/// A word that is said only where the compilers are installed.
const COMPILER: &str = "cmake-data";

/// Writes a recipe that compiles, with its lock, and returns its place.
pub(super) fn workshop() -> Place {
    let place = Place::new();
    let recipe = |components: &str| {
        format!(
            "name = \"ext\"\ninstances = [\"ml.g5.8xlarge\"]\n[base]\nimage = \"debian:trixie-slim\"\ndevel = \"{}/library/debian:trixie-slim\"\n\
             [components]\n{components}",
            variable("SMP_WB_REGISTRY")
        )
    };
    place.write("ext.toml", &recipe("python = \"*\"\n"));
    for (arch, file) in [("amd64", "ext.lock"), ("arm64", "ext.arm64.lock")] {
        lock_for(&place, "ext.toml", arch);
        // As `smp-image lock` would write it, with the digests of its parts.
        let mut lock = Lock::parse(file, &place.read(file)).unwrap();
        lock.recipe.digest = Digest::of(recipe("python = \"*\"\nflash-attn = \"*\"\n"));
        lock.components.push(extension());
        place.write(file, &lock.to_text());
    }
    place.write("ext.toml", &recipe("python = \"*\"\nflash-attn = \"*\"\n"));
    place
}

pub(super) fn build(place: &Place, which: Which, tag: &str, house: &str, more: &[&str]) -> Ended {
    let mirror = mirror();
    let words = [
        "build",
        "ext.toml",
        "--tag",
        tag,
        "--mirror",
        &mirror,
        "--network",
        "host",
        "--locked",
        "--wheelhouse",
        house,
    ];
    let mut command = place.program(&[&words[..], more].concat());
    Ended::of(leads_out(&mut command).env("DOCKER_HOST", which.address()))
}

fn works(which: Which, tag: &str) {
    let script = "import annoy; index = annoy.AnnoyIndex(3, 'angular'); index.add_item(0, [1, 2, 3]); index.build(1); \
                  print(index.get_nns_by_item(0, 1))";
    let said = docker(which, &["run", "--rm", "--network", "none", tag, "python3", "-c", script]);
    assert_eq!(said, "[0]");
    docker(which, &["image", "rm", "--force", tag]);
}

/// The engine keeps no image of a wheel after a build; one that another test builds with is soon gone.
fn left_no_wheel(which: Which) {
    for _ in 0..120 {
        if docker(which, &["images", "--quiet", "smp-image/wheel"]).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("{which:?}: {}", docker(which, &["images", "smp-image/wheel"]));
}

fn wheel(place: &Place) -> PathBuf {
    let mut found =
        walkdir::WalkDir::new(place.path("house")).into_iter().map(|entry| entry.unwrap().into_path());
    found.find(|path| path.extension().is_some_and(|ending| ending == "whl")).unwrap()
}

#[test]
fn what_one_engine_compiled_another_takes_from_a_folder_and_nobody_takes_it_changed() {
    let place = workshop();
    let tag = unique("smp-image-test/wheel");
    // Other tests may have compiled the same there.
    let first = build(&place, Which::Graph, &tag, "house", &["--no-cache"]);
    assert!(first.err.contains("house has no flash-attn-1.17.3-amd64-"), "{}", first.err);
    assert!(first.err.contains(COMPILER), "{}", first.err);
    let _built = first.fine();
    works(Which::Graph, &tag);

    let second = build(&place, Which::Containerd, &tag, "house", &[]);
    assert!(second.err.contains("house has flash-attn-1.17.3-amd64-"), "{}", second.err);
    assert!(!second.err.contains(COMPILER), "{}", second.err);
    let _built = second.fine();
    works(Which::Containerd, &tag);
    for which in [Which::Graph, Which::Containerd] {
        left_no_wheel(which);
    }
    let plan = Ended::of(&mut place.program(&[
        "plan",
        "ext.toml",
        "--on",
        "amd64",
        "--wheelhouse",
        "house",
        "--format",
        "json",
    ]));
    let plan: serde_json::Value = serde_json::from_str(&plan.fine()).unwrap();
    assert_eq!((&plan["cached_steps"], &plan["emulated_steps"]), (&1.into(), &0.into()));

    let wheel = wheel(&place);
    let mut bytes = fs::read(&wheel).unwrap();
    bytes[100] ^= 1;
    fs::write(&wheel, bytes).unwrap();
    let _told = build(&place, Which::Containerd, &tag, "house", &[])
        .failed(5, &["it is not the wheel that was put there", "find out who changed it"]);
}

#[test]
fn what_one_engine_compiled_another_takes_from_a_registry() {
    let place = workshop();
    let tag = unique("smp-image-test/wheel");
    let house = format!("oci://{}/{}", variable("SMP_WB_REGISTRY"), unique("wheels"));
    let first = build(&place, Which::Graph, &tag, &house, &[]);
    assert!(first.err.contains(&format!("{house} has no flash-attn-1.17.3-amd64-")), "{}", first.err);
    let _built = first.fine();
    works(Which::Graph, &tag);
    let second = build(&place, Which::Containerd, &tag, &house, &[]);
    assert!(second.err.contains(&format!("{house} has flash-attn-1.17.3-amd64-")), "{}", second.err);
    assert!(!second.err.contains(COMPILER), "{}", second.err);
    let _built = second.fine();
    works(Which::Containerd, &tag);
}

/// Returns the folders of a wheelhouse, with what lies in each.
fn shelves(place: &Place) -> Vec<(String, Vec<String>)> {
    let names = |folder: &std::path::Path| {
        let entries =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    let house = place.path("house");
    names(&house).into_iter().map(|name| (name.clone(), names(&house.join(&name)))).collect()
}

#[test]
fn two_builders_that_race_for_one_key_both_build_and_leave_one_whole_wheel() {
    let place = workshop();
    let tag = unique("smp-image-test/race");
    // Two on different engines, and two on one.
    let racers = [(Which::Graph, 1), (Which::Containerd, 1), (Which::Containerd, 2)];
    let ended = std::thread::scope(|scope| {
        let racing = racers.map(|(which, number)| {
            let (place, tag) = (&place, format!("{tag}-{number}"));
            scope.spawn(move || build(place, which, &tag, "house", &["--no-cache"]))
        });
        racing.map(|racer| racer.join().unwrap())
    });
    for ((which, number), ended) in racers.into_iter().zip(ended) {
        assert!(ended.err.contains("house has no flash-attn-1.17.3-amd64-"), "{which:?}: {}", ended.err);
        let _built = ended.fine();
        works(which, &format!("{tag}-{number}"));
        left_no_wheel(which);
    }
    let shelves = shelves(&place);
    assert_eq!(shelves.len(), 1, "{shelves:?}");
    let files = &shelves[0].1;
    assert!(files.len() == 3 && files[0] == "SHA256SUMS" && files[2] == "key.json", "{shelves:?}");
    // Whoever comes next takes it, and finds it as its checksum says.
    let next = build(&place, Which::Graph, &tag, "house", &["--refresh"]);
    assert!(next.err.contains("house has flash-attn-1.17.3-amd64-"), "{}", next.err);
    let _built = next.fine();
    works(Which::Graph, &tag);
}

#[test]
fn a_miss_on_a_foreign_builder_without_an_emulator_says_what_next_before_anything_starts() {
    let place = workshop();
    let _machine = Emulation::none();
    let told = build(&place, Which::Containerd, "x", "house", &["--arch", "arm64"]).failed(
        9,
        &[
            "house has no flash-attn-1.17.3-arm64-",
            "steps must run programs of linux/arm64, and this builder is linux/amd64 and has no emulator",
            "flash-attn: compile annoy==1.17.3",
            "what is compiled need be compiled only once",
            "--host ssh://HOST",
        ],
    );
    assert!(!told.contains("RUN"), "{told}");
}

#[test]
fn a_wheelhouse_that_cannot_be_used_is_told_before_anything_is_compiled() {
    let place = workshop();
    place.write("file", "");
    let _told =
        build(&place, Which::Graph, "x", "file", &[]).failed(9, &["wheelhouse", "cannot make the folder"]);
    let _told = build(&place, Which::Graph, "x", "oci://", &[]).failed(2, &["--wheelhouse oci://"]);
    let closed = format!("oci://{}/wheels", variable("SMP_WB_REGISTRY_AUTH"));
    let _told = build(&place, Which::Graph, "x", &closed, &[]).failed(7, &["wheelhouse", "docker login"]);
}
