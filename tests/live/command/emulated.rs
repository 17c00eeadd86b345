//! Steps that must run programs of the image on a builder that is another machine: emulators that come and go, and wheels that were compiled
//! before, in whose place nothing has to run.

use std::process::Command;

use serde_json::Value;
use smp_image::engine::{Builder, Engine as _, Environment};
use smp_image::oci::{Arch, Digest, Platform};
use smp_image::plan::WheelKey;

use super::wheelhouse::{build, workshop};
use super::{TINY, Workshop, leads_out, mirror};
use crate::emulation::Emulation;
use crate::program::{Ended, Place};
use crate::workbench::{ALL, AMD64, Which, docker, unique, variable};

const ARM64: Platform = Platform { arch: Arch::Arm64 };

fn doctor(place: &Place, which: Which, recipe: &str) -> (i32, Value) {
    let words = ["doctor", recipe, "--arch", "arm64", "--offline", "--mirror", &mirror(), "--format", "json"];
    let ended = Ended::of(leads_out(&mut place.program(&words)).env("DOCKER_HOST", which.address()));
    let told: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let checks = told["checks"].as_array().unwrap();
    (ended.code, checks.iter().find(|check| check["check"] == "platform").unwrap().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulator_that_is_gone_is_missed_before_the_build_though_buildkit_goes_on_listing_it() {
    let place = workshop();
    let mut machine = Emulation::none();
    machine.switch_on();
    for which in ALL {
        let engine = which.connect();
        assert!(engine.info().await.unwrap().platforms.contains(&ARM64), "{which:?}");
        assert!(engine.runs(ARM64).await.unwrap(), "{which:?}");
    }
    let (code, check) = doctor(&place, Which::Containerd, "ext.toml");
    assert_eq!((code, &check["severity"]), (0, &"note".into()), "{check}");
    assert!(check["message"].as_str().unwrap().contains("it starts programs of linux/arm64"), "{check}");

    machine.switch_off();
    for which in ALL {
        let engine = which.connect();
        assert!(
            engine.info().await.unwrap().platforms.contains(&ARM64),
            "{which:?}: BuildKit has learnt to forget"
        );
        assert!(!engine.runs(ARM64).await.unwrap(), "{which:?}");
        assert!(engine.runs(AMD64).await.unwrap(), "{which:?}");
    }
    for which in [Which::Graph, Which::Containerd] {
        let told = build(&place, which, "x", "house", &["--arch", "arm64"]).failed(
            9,
            &[
                "house has no flash-attn-1.17.3-arm64-",
                "has no emulator",
                "flash-attn: compile annoy==1.17.3",
            ],
        );
        assert!(!told.contains("RUN"), "{told}");
        let (code, check) = doctor(&place, which, "ext.toml");
        assert_eq!((code, &check["severity"]), (9, &"fatal".into()), "{check}");
        assert!(check["message"].as_str().unwrap().contains("the emulator is gone"), "{check}");
    }
    let (code, check) = doctor(&place, Which::Containerd, "quickstart");
    assert_eq!((code, &check["severity"]), (0, &"fine".into()), "no step of it needs one: {check}");
}

#[tokio::test(flavor = "multi_thread")]
async fn builders_beside_the_engine_are_tried_where_they_are() {
    let mut machine = Emulation::none();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().display().to_string();
    let mut create = Command::new(variable("SMP_WB_BUILDX"));
    create.args(["create", "--name", "far", "--driver", "remote", &variable("SMP_WB_BUILDKITD")]);
    create.env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG")).env("BUILDX_CONFIG", &config);
    assert!(create.status().unwrap().success());
    let environment: Environment = [
        ("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG")),
        ("BUILDX_CONFIG", config),
        ("PATH", std::env::var("PATH").unwrap()),
    ]
    .into_iter()
    .collect();
    for name in ["far", &variable("SMP_WB_BUILDKITD"), "default"] {
        let endpoint = Which::Graph.endpoint();
        let builder = Builder::find(name, AMD64, &environment, &endpoint).await.unwrap();
        let engine = Which::Graph.connect().with_builder(builder);
        for (on, emulated) in [(false, false), (true, true), (false, false)] {
            if on {
                machine.switch_on();
            } else {
                machine.switch_off();
            }
            assert_eq!(engine.runs(ARM64).await.unwrap(), emulated, "{name}");
            assert!(engine.runs(AMD64).await.unwrap(), "{name}");
        }
    }
}

#[test]
fn a_build_for_arm64_whose_steps_start_nothing_is_fine_for_doctor_and_one_on_an_old_engine_is_not() {
    let _alone = Emulation::none();
    let workshop = Workshop::tiny(Which::Containerd);
    let lock = ["lock", "tiny.toml", "--arch", "arm64", "--mirror", &mirror()];
    let _locked = workshop.run(&lock).fine();
    let (code, check) = doctor(&workshop.place, Which::Containerd, "tiny.toml");
    assert_eq!((code, &check["severity"]), (0, &"fine".into()), "{check}");
    let (code, check) = doctor(&workshop.place, Which::Old, "tiny.toml");
    assert_eq!((code, &check["severity"]), (9, &"fatal".into()), "{check}");
    // Without a lock nobody knows, and doctor asks nobody.
    workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"nano\"]\n"));
    let (code, check) = doctor(&workshop.place, Which::Containerd, "tiny.toml");
    assert_eq!((code, &check["severity"]), (0, &"warning".into()), "{check}");
    assert!(check["message"].as_str().unwrap().contains("without a lock"), "{check}");
}

/// A library in C++ with a Python module around it: what a compiled wheel is, in ten lines.
const SOURCE: &str = "#include <string>\nextern \"C\" int answer() { return static_cast<int>(std::string(42, 'x').size()); }\n";
const MODULE: &str = "import ctypes, os\nnative = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'native.so'))\n\n\ndef answer():\n    return native.answer()\n";

/// Compiles a wheel of that name for arm64 with a cross compiler, emulating nothing, into the folder of `key` in the wheelhouse.
fn cross_compiled(place: &Place, key: &WheelKey) {
    place.write("cross/native.cc", SOURCE);
    place.write("cross/__init__.py", MODULE);
    let tag =
        "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: false\\nTag: py3-none-linux_aarch64\\n";
    let wheel = "annoy-1.17.3-py3-none-linux_aarch64.whl";
    let pack = format!(
        "import zipfile; z = zipfile.ZipFile('/house/{wheel}', 'w'); info = 'annoy-1.17.3.dist-info/'; \
         z.write('native.so', 'annoy/native.so'); z.write('__init__.py', 'annoy/__init__.py'); \
         z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: annoy\\nVersion: 1.17.3\\n'); z.writestr(info + 'WHEEL', '{tag}'); \
         z.writestr(info + 'RECORD', ''.join(name + ',,\\n' for name in z.namelist() + [info + 'RECORD'])); z.close()"
    );
    place.write("cross/pack.py", &pack);
    let dockerfile = format!(
        "FROM debian:trixie-slim AS cross\nRUN apt-get update -qq && apt-get install -qq -y --no-install-recommends g++-aarch64-linux-gnu python3 >/dev/null\n\
         WORKDIR /src\nCOPY . .\nRUN aarch64-linux-gnu-g++ -O2 -shared -fPIC -static-libstdc++ -o native.so native.cc && mkdir /house && python3 pack.py \\\n\
         && cd /house && sha256sum {wheel} > SHA256SUMS\nFROM scratch\nCOPY --from=cross /house /\n"
    );
    place.write("cross/Dockerfile", &dockerfile);
    let house = place.path("house").join(key.to_string());
    let output = format!("type=local,dest={}", house.display());
    let context = place.path("cross").display().to_string();
    docker(
        Which::Containerd,
        &["buildx", "build", "--quiet", "--network", "host", "--output", &output, &context],
    );
    std::fs::write(house.join("key.json"), serde_json::to_string(key).unwrap()).unwrap();
}

/// Returns the one key of a plan for arm64.
fn key(place: &Place) -> WheelKey {
    let words = ["plan", "ext.toml", "--arch", "arm64", "--on", "amd64", "--format", "json"];
    let plan: Value = serde_json::from_str(&Ended::of(&mut place.program(&words)).fine()).unwrap();
    assert!(plan["emulated_steps"].as_u64() > Some(0), "{plan}");
    let keys: Vec<&Value> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| &stage["work"]["key"])
        .filter(|key| !key.is_null())
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    serde_json::from_value(keys[0].clone()).unwrap()
}

#[test]
fn a_foreign_build_takes_a_wheel_with_machine_code_and_starts_nothing_and_no_other_wheel() {
    let mut machine = Emulation::none();
    let place = workshop();
    cross_compiled(&place, &key(&place));
    let tag = unique("smp-image-test/foreign-wheel");
    let ended = build(&place, Which::Containerd, &tag, "house", &["--arch", "arm64"]);
    assert!(ended.err.contains("house has flash-attn-1.17.3-arm64-"), "{}", ended.err);
    let _built = ended.fine();
    let plan =
        ["plan", "ext.toml", "--arch", "arm64", "--on", "amd64", "--wheelhouse", "house", "--format", "json"];
    let plan: Value = serde_json::from_str(&Ended::of(&mut place.program(&plan)).fine()).unwrap();
    assert_eq!((&plan["cached_steps"], &plan["emulated_steps"]), (&1.into(), &0.into()));

    machine.switch_on();
    let script = "import annoy, platform; print(annoy.answer(), platform.machine())";
    let words =
        ["run", "--rm", "--platform", "linux/arm64", "--network", "none", &tag, "python3", "-c", script];
    assert_eq!(docker(Which::Containerd, &words), "42 aarch64");
    machine.switch_off();
    docker(Which::Containerd, &["image", "rm", "--force", &tag]);

    // Changed after it was put there.
    let house = place.path("house").join(key(&place).to_string());
    let wheel = house.join("annoy-1.17.3-py3-none-linux_aarch64.whl");
    let mut bytes = std::fs::read(&wheel).unwrap();
    let before = Digest::of(&bytes);
    bytes[60] ^= 1;
    assert_ne!(before, Digest::of(&bytes));
    std::fs::write(&wheel, bytes).unwrap();
    let _told = build(&place, Which::Containerd, &tag, "house", &["--arch", "arm64"])
        .failed(5, &["it is not the wheel that was put there"]);
}
