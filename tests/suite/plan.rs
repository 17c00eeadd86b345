//! What a plan decides and what it refuses, on the locks of the built-in recipes with one thing changed.

use smp_image::catalog::Catalog;
use smp_image::lock::{Lock, Origin, Pin, PinnedRequirement};
use smp_image::oci::Digest;
use smp_image::plan::{Options, Plan, PlanError, ProbeName, Runs, Work};
use smp_image::recipe::{Component, Recipe, Source, builtin};

fn recipe(name: &str, change: impl Fn(&str) -> String) -> Recipe {
    let text = change(builtin::find(name).unwrap().text);
    Recipe::parse(&Source::new(name, text)).unwrap()
}

fn lock(name: &str) -> Lock {
    Lock::parse(name, builtin::find(name).unwrap().lock.unwrap()).unwrap()
}

fn plan(recipe: &Recipe, lock: &Lock) -> Result<Plan, PlanError> {
    Plan::new(recipe, lock, &Catalog::embedded().unwrap(), &Options::default())
}

fn planned(name: &str) -> Plan {
    plan(&recipe(name, str::to_owned), &lock(name)).unwrap()
}

/// Plans the built-in recipe `name` after `change` of its lock.
fn with_lock(name: &str, change: impl FnOnce(&mut Lock)) -> Result<Plan, PlanError> {
    let mut changed = lock(name);
    change(&mut changed);
    plan(&recipe(name, str::to_owned), &changed)
}

/// Plans `quickstart` with one variable more.
fn with_env(name: &str, value: &str) -> Result<Plan, PlanError> {
    let recipe = recipe("quickstart", |text| format!("{text}\n[image.env]\n{name} = \"{value}\"\n"));
    plan(&recipe, &lock("quickstart"))
}

fn set_version(lock: &mut Lock, component: Component, version: &str) {
    let locked = lock.components.iter_mut().find(|locked| locked.name == component).unwrap();
    locked.version = Pin::Known(version.parse().unwrap());
}

fn pinned(requirement: &str) -> PinnedRequirement {
    PinnedRequirement {
        requirement: requirement.parse().unwrap(),
        hashes: vec![Digest::of(requirement)],
        size: None,
        source: false,
    }
}

fn efa_flags(plan: &Plan) -> Vec<String> {
    let found = plan.stages.iter().find_map(|stage| match &stage.work {
        Work::Efa { flags, .. } => Some(flags.clone()),
        _ => None,
    });
    found.unwrap()
}

fn stage_needs(plan: &Plan, name: &str) -> Vec<String> {
    let stage = plan.stages.iter().find(|stage| stage.name.as_str() == name).unwrap();
    stage.needs().into_iter().map(ToString::to_string).collect()
}

#[test]
fn the_flags_against_ngc_are_given_exactly_from_1_48_on_and_compared_as_numbers() {
    assert!(efa_flags(&planned("nccl-tests")).contains(&"--disable-build-ngc".to_owned()));
    for (version, expected) in
        [("1.47.0", false), ("1.48.0", true), ("1.50.0", true), ("1.9.0", false), ("1.100.0", true)]
    {
        let plan = with_lock("nccl-tests", |lock| set_version(lock, Component::Efa, version)).unwrap();
        let flags = efa_flags(&plan);
        assert_eq!(flags.contains(&"--disable-ngc".to_owned()), expected, "{version}: {flags:?}");
    }
    assert!(!efa_flags(&planned("smp-2.8-from-parts")).contains(&"--disable-ngc".to_owned()));
}

#[test]
fn a_second_plugin_is_refused() {
    let error =
        with_lock("smp-2.8-from-parts", |lock| set_version(lock, Component::Efa, "1.38.0")).unwrap_err();
    assert!(matches!(error, PlanError::TwoPlugins { .. }), "{error}");
    let error = with_lock("smp-2.8", |lock| {
        let efa = lock.components.iter_mut().find(|locked| locked.name == Component::Efa).unwrap();
        efa.origin = Origin::Installer;
        efa.version = Pin::Known("1.42.0".parse().unwrap());
    })
    .unwrap_err();
    assert!(matches!(error, PlanError::TwoPlugins { .. }), "{error}");
}

#[test]
fn an_installer_that_does_not_know_the_distribution_is_refused() {
    let debian = "docker.io/library/debian:trixie-slim".parse().unwrap();
    let error = with_lock("nccl-tests", |lock| {
        lock.base.image = debian;
        set_version(lock, Component::Efa, "1.45.1");
    })
    .unwrap_err();
    let expected =
        "EFA installer 1.45.1 does not support debian 13; take `efa = \">=1.46.0\"` or another base";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn stock_pytorch_over_smps_is_refused() {
    for name in ["smp-2.8", "smp-2.8-from-parts"] {
        let error = with_lock(name, |lock| lock.python.push(pinned("torch==2.5.1"))).unwrap_err();
        assert!(matches!(error, PlanError::StockTorch { .. }), "{name}: {error}");
    }
}

#[test]
fn device_rdma_is_refused_where_an_instance_has_none() {
    let error = with_env("FI_EFA_USE_DEVICE_RDMA", "1").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("image.env.FI_EFA_USE_DEVICE_RDMA is set and ml.g5.8xlarge has no RDMA")
    );
    let recipe = recipe("quickstart", |text| {
        format!("{text}\n[image.env]\nFI_EFA_USE_DEVICE_RDMA = \"1\"\n").replace("\"ml.g5.8xlarge\", ", "")
    });
    let plan = plan(&recipe, &lock("quickstart")).unwrap();
    assert!(
        plan.warnings.iter().any(|warning| warning.contains("FI_EFA_USE_DEVICE_RDMA")),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn variables_of_the_job_are_warned_of_and_others_are_not() {
    for (name, warned) in
        [("FI_PROVIDER", true), ("RDMAV_FORK_SAFE", true), ("NCCL_PROTO", true), ("NCCL_DEBUG", false)]
    {
        let plan = with_env(name, "x").unwrap();
        let found = plan.warnings.iter().any(|warning| warning.starts_with(&format!("image.env.{name} ")));
        assert_eq!(found, warned, "{name}");
    }
}

#[test]
fn a_package_without_checksums_is_refused() {
    let error = with_lock("quickstart", |lock| lock.python[0].hashes.clear()).unwrap_err();
    assert!(matches!(error, PlanError::Unhashed { .. }), "{error}");
}

#[test]
fn a_package_that_two_bring_is_refused_whatever_its_spelling() {
    let error =
        with_lock("quickstart", |lock| lock.python.push(pinned("Nvidia_NCCL.cu12==2.21.5"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nvidia-nccl-cu12 is locked twice, for nccl and for packages; lock the recipe again"
    );
}

#[test]
fn compiling_without_an_image_that_has_compilers_is_refused() {
    let error = with_lock("pytorch-te", |lock| lock.devel = None).unwrap_err();
    assert!(matches!(error, PlanError::NoDevel { .. }), "{error}");
    let jammy = "docker.io/nvidia/cuda:13.0.2-devel-ubuntu22.04".parse().unwrap();
    let error = with_lock("pytorch-te", |lock| lock.devel.as_mut().unwrap().image = jammy).unwrap_err();
    assert!(matches!(error, PlanError::OtherDistribution { .. }), "{error}");
}

#[test]
fn an_instance_that_nobody_knows_is_named_with_the_nearest() {
    let recipe = recipe("quickstart", |text| text.replace("ml.p5.48xlarge", "ml.p5.48xlrage"));
    let error = plan(&recipe, &lock("quickstart")).unwrap_err();
    assert!(error.to_string().ends_with("nearest: ml.p5.48xlarge"), "{error}");
}

#[test]
fn a_base_that_moves_is_refused() {
    let latest = "docker.io/library/debian:latest".parse().unwrap();
    let error = with_lock("quickstart", |lock| lock.base.image = latest).unwrap_err();
    assert!(matches!(error, PlanError::MovingBase { .. }), "{error}");
}

#[test]
fn another_nccl_changes_no_stage_but_its_own() {
    let before = planned("quickstart");
    let after = with_lock("quickstart", |lock| {
        set_version(lock, Component::Nccl, "2.31.2");
        let nccl = lock.components.iter_mut().find(|locked| locked.name == Component::Nccl).unwrap();
        nccl.wheels = vec![pinned("nvidia-nccl-cu12==2.31.2")];
    })
    .unwrap();
    let changed: Vec<_> =
        before.stages.iter().zip(&after.stages).filter(|(a, b)| a != b).map(|(a, _)| &a.name).collect();
    assert_eq!(changed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["nccl"]);
}

#[test]
fn what_is_compiled_for_hours_depends_on_nothing_that_it_does_not_need() {
    let plan = planned("smp-2.8-from-parts");
    let flash_attn = stage_needs(&plan, "flash-attn");
    for other in ["efa", "aws-ofi-nccl", "transformer-engine", "transformer-engine-compiled"] {
        assert!(!flash_attn.contains(&other.to_owned()), "{other}");
    }
    assert!(!stage_needs(&plan, "transformer-engine-compiled").contains(&"flash-attn".to_owned()));
}

#[test]
fn a_mirror_is_asked_instead_and_the_digest_is_kept() {
    let mut lock = lock("quickstart");
    lock.base.digest = Pin::Known(Digest::of("base"));
    let options =
        Options { mirrors: vec!["docker.io=127.0.0.1:5000".parse().unwrap()], ..Options::default() };
    let recipe = recipe("quickstart", str::to_owned);
    let plan = Plan::new(&recipe, &lock, &Catalog::embedded().unwrap(), &options).unwrap();
    let text = smp_image::render::render(&plan, smp_image::oci::Dialect::Buildkit).unwrap();
    let from = format!("FROM 127.0.0.1:5000/library/debian:trixie-slim@{} AS system", Digest::of("base"));
    assert!(text.contains(&from), "{text}");
}

#[test]
fn steps_that_only_fetch_unpack_or_copy_are_native() {
    let plan = planned("quickstart");
    let native = plan.stages.iter().flat_map(|stage| &stage.steps).filter(|step| step.runs == Runs::Native);
    assert!(native.clone().any(|step| step.does.starts_with("fetch, verify and unpack nvidia-nccl-cu12")));
    assert!(
        native.clone().all(|step| !step.does.starts_with("install") && !step.does.starts_with("compile"))
    );
}

#[test]
fn probes_stand_in_the_order_of_what_they_need_and_a_library_with_a_module_is_left_to_its_import() {
    let plan = planned("quickstart");
    let tiers: Vec<u8> = plan.probes.iter().map(smp_image::plan::Probe::tier).collect();
    assert!(tiers.is_sorted() && tiers.first() == Some(&1) && tiers.last() == Some(&4), "{tiers:?}");
    assert!(plan.probes.iter().all(|probe| probe.gpu == (probe.tier() > 1)));
    let of = |name| plan.probes.iter().find(|probe| probe.name == name).unwrap().input.to_string();
    let libraries = of(ProbeName::Libraries);
    assert!(libraries.contains("libnccl.so.2") && !libraries.contains("transformer"), "{libraries}");
    assert!(of(ProbeName::Imports).contains("transformer_engine"), "{}", of(ProbeName::Imports));
}

#[test]
fn layers_of_transformer_engine_run_only_where_the_image_has_pytorch() {
    let layers = |name| {
        let probes = planned(name).probes;
        probes.iter().filter(|probe| probe.name.name().starts_with("transformer-engine")).count()
    };
    assert_eq!((layers("quickstart"), layers("pytorch-te")), (0, 2));
}

/// Returns the value of a variable of the image.
fn variable(plan: &Plan, name: &str) -> Option<String> {
    plan.stages.iter().find_map(|stage| match &stage.work {
        Work::Image { env, .. } => {
            let found = env.iter().find(|variable| variable.name.to_string() == name);
            found.map(|variable| variable.value.to_string())
        }
        _ => None,
    })
}

#[test]
fn transformer_engine_is_told_of_the_cuda_headers_that_a_wheel_brings_and_only_of_those() {
    let headers = |plan: &Plan| variable(plan, "NVTE_CUDA_INCLUDE_DIR");
    let without = with_lock("pytorch-te", |lock| {
        lock.python.retain(|pinned| pinned.package() != "nvidia-cuda-runtime");
    });
    assert_eq!(headers(&without.unwrap()), None);
    let found = headers(&planned("pytorch-te"));
    assert_eq!(found.as_deref(), Some("/opt/venv/lib/python3.12/site-packages/nvidia/cu13/include"));
    let own =
        recipe("pytorch-te", |text| format!("{text}\n[image.env]\nNVTE_CUDA_INCLUDE_DIR = \"/opt/cuda\"\n"));
    let own = plan(&own, &lock("pytorch-te")).unwrap();
    assert_eq!(headers(&own).as_deref(), Some("/opt/cuda"));
}
