//! The checks: each a pure function from facts to what was found.

use super::facts::{Disk, Efa, Facts};
use super::{Checkup, Fix, Need, Severity, Steps};
use crate::engine::{BuildxBuilder, EngineInfo, Store};

mod outside;
#[cfg(test)]
mod tests;

const GIB: u64 = 1 << 30;

/// Runs every check.
pub(super) fn all(facts: &Facts, need: &Need) -> Vec<Checkup> {
    let mut found = match &facts.engine {
        Ok(engine) => of_engine(engine, facts, need),
        Err(reason) => vec![no_engine(reason)],
    };
    found.push(buildx(facts));
    found.extend(gpu(facts));
    found.push(efa(&facts.efa));
    found.extend(outside::aws(facts.aws.as_ref()));
    found.extend(outside::way(&facts.way));
    found.extend(outside::clock(facts.clock.as_ref()));
    found
}

fn no_engine(reason: &str) -> Checkup {
    let remedy =
        "start Docker, or say where an engine is: --host, DOCKER_HOST, --context (docker context ls)";
    Checkup::of("engine", Severity::Fatal, reason).remedy(remedy)
}

fn of_engine(engine: &EngineInfo, facts: &Facts, need: &Need) -> Vec<Checkup> {
    let mut found = vec![Checkup::of(
        "engine",
        Severity::Fine,
        format!("Docker {}, API {}, {} at {}", engine.version, engine.api, engine.platform, engine.endpoint),
    )];
    if engine.studio {
        found.push(
            Checkup::of("studio", Severity::Note, "this is SageMaker Studio or Code Editor: classic builder, network `sagemaker`, no exec, no privileges")
                .remedy("nothing to do: build and smoke adapt; a VPC-only domain takes base images only from Amazon ECR accounts that it trusts"),
        );
    }
    found.push(store(engine));
    found.push(buildkit(engine));
    found.push(platform(engine, facts, need));
    found.push(disk(facts.disk.as_ref(), engine, need));
    found.push(memory(engine, need));
    found
}

fn store(engine: &EngineInfo) -> Checkup {
    match engine.store {
        Store::Containerd => Checkup::of(
            "image-store",
            Severity::Fine,
            "containerd image store: zstd layers, all kinds of caches",
        ),
        Store::Graph => Checkup::of(
            "image-store",
            Severity::Note,
            "overlay2 graph driver: layers are compressed when they are pushed, only inline caches are written",
        ),
    }
}

fn buildkit(engine: &EngineInfo) -> Checkup {
    if engine.buildkit {
        return Checkup::of("buildkit", Severity::Fine, "BuildKit answers");
    }
    let found = Checkup::of(
        "buildkit",
        Severity::Warning,
        "no BuildKit: the classic builder knows no secrets, shares no cache and builds one stage after the other",
    );
    if engine.studio { found } else { found.remedy("take Docker Engine 23.0 or later, or --builder") }
}

/// Whether what the image needs can run where it is built.
fn platform(engine: &EngineInfo, facts: &Facts, need: &Need) -> Checkup {
    let (own, target) = (engine.platform, need.platform);
    let found = |severity, message: String| Checkup::of("platform", severity, message);
    if own == target {
        return found(Severity::Fine, format!("the builder is {own}, and so is the image"));
    }
    if !engine.links() {
        let message = format!(
            "the builder is {own}, and it cannot build for {target}: no BuildKit, or one older than Docker Engine 23.0"
        );
        return found(Severity::Fatal, message)
            .remedy(format!("take Docker Engine 23.0 or later, or a builder that is {target}"));
    }
    let emulators = facts.emulation.as_ref().map(|known| known.names.join(", ")).unwrap_or_default();
    let by = if emulators.is_empty() { String::new() } else { format!(" ({emulators})") };
    let can = match &facts.runs {
        Some(Ok(true)) => format!("it starts programs of {target}{by}"),
        Some(Ok(false)) => format!(
            "it starts no programs of {target}, though its BuildKit lists that platform: the emulator is gone"
        ),
        Some(Err(reason)) => format!("whether it starts programs of {target} could not be tried: {reason}"),
        None => format!("it starts no programs of {target}"),
    };
    let starts = facts.runs == Some(Ok(true));
    let untried = matches!(facts.runs, Some(Err(_)));
    match need.steps {
        Some(Steps { emulated: 0, all }) => found(
            Severity::Fine,
            format!("the builder is {own}: none of {all} steps runs programs of {target}; {can}"),
        ),
        Some(Steps { emulated, all }) => {
            let message =
                format!("the builder is {own}: {emulated} of {all} steps run programs of {target}; {can}");
            match (starts, untried) {
                (true, _) => found(Severity::Note, message).remedy(SLOW),
                (false, true) => found(Severity::Unknown, message).remedy(EMULATOR),
                (false, false) => found(Severity::Fatal, message).remedy(EMULATOR),
            }
        }
        None => {
            let message = format!(
                "the builder is {own}; {can}; without a lock for {target} it is not known whether a step must"
            );
            let severity = if starts { Severity::Note } else { Severity::Warning };
            found(severity, message)
                .remedy("smp-image lock --arch, then again: with a lock the steps are counted")
        }
    }
}

/// What is said where an emulator is there.
const SLOW: &str = "these steps are many times slower than on a machine of that platform: `smp-image plan` shows them; --builder takes one that is";

/// What is said where one is missing.
const EMULATOR: &str = "take a builder of that platform (--builder, --host ssh://…), or wheels that were compiled before (--wheelhouse); or \
                        install an emulator: docker run --privileged --rm tonistiigi/binfmt --install all";

fn disk(disk: Option<&Disk>, engine: &EngineInfo, need: &Need) -> Checkup {
    let wanted = need.disk / GIB;
    let Some(disk) = disk else {
        let message = format!(
            "{} lies on another machine or in a virtual one; this recipe wants about {wanted} GiB there",
            engine.data_root
        );
        return Checkup::of("disk", Severity::Unknown, message).remedy("docker system df shows what is used");
    };
    let free = disk.free / GIB;
    let message =
        format!("{free} GiB free in {}; this recipe wants about {wanted} (a rule of thumb)", disk.folder);
    // What it wants is a rule of thumb, and its base may be there already; a quarter of it will not do.
    let severity = match disk.free {
        free if free >= need.disk => Severity::Fine,
        free if free >= need.disk / 4 => Severity::Warning,
        _ => Severity::Fatal,
    };
    let found = Checkup::of("disk", severity, message);
    if severity == Severity::Fine {
        found
    } else {
        found.remedy("docker system prune, docker builder prune; or move data-root to a larger disk")
    }
}

fn memory(engine: &EngineInfo, need: &Need) -> Checkup {
    if let Some(builder) = &engine.builder {
        return Checkup::of(
            "memory",
            Severity::Unknown,
            format!("{builder} does not tell its memory; compilers are started as for 16 GiB"),
        );
    }
    let gib = engine.memory / GIB;
    let message = format!(
        "{gib} GiB, {} processors: MAX_JOBS={} where something is compiled",
        engine.processors, need.max_jobs
    );
    if gib < 7 {
        return Checkup::of("memory", Severity::Warning, message)
            .remedy("one nvcc takes up to 5 GiB: give the engine's machine more (Docker Desktop: Settings, Resources), or take wheels");
    }
    Checkup::of("memory", Severity::Fine, message)
}

fn buildx(facts: &Facts) -> Checkup {
    match &facts.builders {
        Ok(builders) => {
            let shown: Vec<String> = builders.all.iter().map(builder).collect();
            Checkup::of("buildx", Severity::Fine, format!("{}: {}", builders.version, shown.join(", ")))
        }
        Err(reason) => Checkup::of("buildx", Severity::Note, reason.clone())
            .remedy("only --builder NAME needs it (Debian: docker-buildx; Docker Desktop brings it)"),
    }
}

/// Returns a builder in words; one that does not answer has no driver or no status.
fn builder(builder: &BuildxBuilder) -> String {
    let known = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let driver = known(&builder.driver, "unknown driver");
    let mut states: Vec<String> =
        builder.nodes.iter().map(|node| known(&node.status, "not running")).collect();
    states.dedup();
    format!("{} ({driver}, {})", builder.name, known(&states.join(" and "), "not running"))
}

fn gpu(facts: &Facts) -> Vec<Checkup> {
    let gpu = &facts.gpu;
    let Some(driver) = &gpu.driver else {
        let message = "no NVIDIA driver: building and checking need none, probes on a GPU are skipped";
        return vec![Checkup::of("gpu", Severity::Note, message)];
    };
    let found = match (gpu.toolkit, gpu.cdi) {
        (_, true) => Checkup::of(
            "gpu",
            Severity::Fine,
            format!("NVIDIA driver {driver}, Container Device Interface set up"),
        ),
        (true, false) => Checkup::of(
            "gpu",
            Severity::Warning,
            format!(
                "NVIDIA driver {driver} and toolkit, no specification for the Container Device Interface"
            ),
        )
        .fix(Fix::WriteCdi),
        (false, false) => Checkup::of(
            "gpu",
            Severity::Warning,
            format!("NVIDIA driver {driver}, and no toolkit: containers see no GPU"),
        )
        .remedy("install nvidia-container-toolkit, then run this again"),
    };
    vec![found]
}

fn efa(efa: &Efa) -> Checkup {
    match efa.devices.as_slice() {
        [] => Checkup::of("efa", Severity::Note, "no EFA device here: only jobs on EFA instances need one"),
        devices => Checkup::of("efa", Severity::Fine, devices.join(", ")),
    }
}
