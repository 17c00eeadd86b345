//! Images for another architecture than the builder's, built while nothing on this machine can start their programs.

use super::{leads_out, lock_for, mirror};
use crate::emulation::Emulation;
use crate::program::{Ended, Place};
use crate::workbench::{Which, docker, unique, variable};

mod same;

const FOREIGN: &str = include_str!("../recipes/foreign.toml");

#[test]
fn an_image_for_arm64_is_built_where_nothing_can_start_its_programs_and_runs_where_something_can() {
    let mut machine = Emulation::none();
    variable("SMP_WB_BASE_ARM64");
    let place = Place::new();
    place.write("foreign.toml", FOREIGN);
    let tag = unique("smp-image-test/foreign");
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let run = |words: &[&str]| {
        let mut command = place.program(words);
        Ended::of(leads_out(&mut command).env("DOCKER_HOST", Which::Containerd.address()))
    };
    let mut images = Vec::new();
    for arch in ["amd64", "arm64"] {
        lock_for(&place, "foreign.toml", arch);
        let name = format!("{tag}:{arch}");
        let words = [
            "build",
            "foreign.toml",
            "--arch",
            arch,
            "--tag",
            &name,
            "--mirror",
            &mirror(),
            "--network",
            "host",
            "--locked",
        ];
        let _told = run(&words).fine();
        images.push(same::files(&name, arch));
    }
    let told = run(&["plan", "foreign.toml", "--arch", "arm64", "--on", "amd64"]).fine();
    assert!(told.contains("none emulated: nothing of linux/arm64 is started"), "{told}");
    same::same(&images[0], &images[1]);

    machine.switch_on();
    let arm = format!("{tag}:arm64");
    // What is as old as the build would make another layer of the same packages. The engine itself puts some files there.
    let new = format!(
        "find /etc /usr /var -mindepth 1 -newermt @{begun} ! -name hosts ! -name hostname ! -name resolv.conf ! -name mtab"
    );
    let words = ["run", "--rm", "--platform", "linux/arm64", "--network", "none", &arm, "sh", "-c", &new];
    assert_eq!(docker(Which::Containerd, &words), "");
    let script = "uname -m && dpkg --audit && apt-get check -qq && fi_info -l && python3 -c 'import etcd, yaml; print(yaml.CSafeLoader)' \
                  && ldconfig -p > /tmp/a && ldconfig && ldconfig -p > /tmp/b && grep '=>' /tmp/a > /tmp/c && grep '=>' /tmp/b | cmp - /tmp/c";
    let words = ["run", "--rm", "--platform", "linux/arm64", "--network", "none", &arm, "sh", "-c", script];
    let said = docker(Which::Containerd, &words);
    assert!(said.starts_with("aarch64") && said.contains("efa:") && said.contains("CSafeLoader"), "{said}");
    let _told = run(&["smoke", &arm, "--recipe", "foreign.toml", "--arch", "arm64"]).fine();
    for arch in ["amd64", "arm64"] {
        docker(Which::Containerd, &["image", "rm", "--force", &format!("{tag}:{arch}")]);
    }
}

#[test]
fn a_foreign_build_that_an_old_engine_cannot_do_is_refused_before_it_starts() {
    let place = Place::new();
    place.write("foreign.toml", FOREIGN);
    lock_for(&place, "foreign.toml", "arm64");
    let build = |which: Which, more: &[&str]| {
        let words = [&["build", "foreign.toml", "--arch", "arm64", "--locked"], more].concat();
        Ended::of(place.program(&words).env("DOCKER_HOST", which.address()))
    };
    let _told = build(Which::Old, &[]).failed(9, &["its BuildKit is too old", "Docker Engine 23.0"]);
    let _told = build(Which::Graph, &["--dialect", "classic"])
        .failed(9, &["the classic builder cannot run stages on its own platform", "take BuildKit"]);
}

/// Where AWS keeps the images of SMP, which nobody without an account can pull.
const SMP_REGISTRY: &str = "658645717510.dkr.ecr.us-west-2.amazonaws.com";

#[test]
fn the_packages_of_smp_2_8_are_laid_over_a_base_of_which_nothing_is_started() {
    let _machine = Emulation::none();
    let place = Place::new();
    let registry = variable("SMP_WB_REGISTRY");
    // In the place of AWS's image: one of the same name with a Python of its own; what it holds besides the overlay does not touch.
    let base = format!("{registry}/smdistributed-modelparallel:2.5.1-gpu-py311-cu124");
    place.write(
        "base/Dockerfile",
        "FROM debian:trixie-slim\nRUN apt-get update -qq && apt-get install -qq -y --no-install-recommends python3 >/dev/null\n",
    );
    let context = place.path("base").display().to_string();
    docker(Which::Containerd, &["buildx", "build", "--quiet", "--network", "host", "--tag", &base, &context]);
    docker(Which::Containerd, &["push", "--quiet", &base]);
    docker(Which::Containerd, &["image", "rm", "--force", &base]);

    let (hub, smp) = (mirror(), format!("{SMP_REGISTRY}={registry}"));
    // On a builder of another architecture, where nothing of the base can be started; the Dockerfile then runs nothing of it here either.
    let run = |verb: &str, more: &[&str]| {
        let words = [&[verb, "smp-2.8", "--on", "arm64", "--mirror", &hub, "--mirror", &smp], more].concat();
        Ended::of(&mut place.program(&words)).fine()
    };
    let plan: serde_json::Value = serde_json::from_str(&run("plan", &["--format", "json"])).unwrap();
    assert_eq!(plan["emulated_steps"], 0, "{plan}");
    let dockerfile = run("render", &[]);
    let after_base = dockerfile.rsplit_once("AS image\n").unwrap().1;
    assert!(dockerfile.contains(&base) && !after_base.contains("RUN"), "{after_base}");
    place.write("Dockerfile", &dockerfile);
    place.write("scripts/train.py", "import etcd\n");
    let tag = unique("smp-image-test/overlay");
    let bundle =
        std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".to_owned());
    let secret = format!("id=ca-bundle,src={bundle}");
    let context = place.path("").display().to_string();
    docker(
        Which::Containerd,
        &["buildx", "build", "--quiet", "--network", "host", "--secret", &secret, "--tag", &tag, &context],
    );
    let script = "import etcd, dns, urllib3; [print(module.__file__) for module in (etcd, dns, urllib3)]; \
                  import runpy; runpy.run_path('train.py'); import importlib.metadata as m; print(m.version('python-etcd'))";
    let said =
        docker(Which::Containerd, &["run", "--rm", "--network", "none", &tag, "python3", "-c", script]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[..3].iter().all(|path| path.starts_with("/opt/smp-image/python/")), "{said}");
    assert_eq!(lines[3..], ["0.4.5"], "{said}");
    docker(Which::Containerd, &["image", "rm", "--force", &tag]);
}
