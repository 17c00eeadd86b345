//! One list of cases for every way to build: three engines with BuildKit and with their classic builder, buildx with its drivers `docker` and
//! `remote`, and BuildKit itself. What a way does otherwise is a row of [`DIFFERENCES`], and is asserted like everything else.

use std::collections::BTreeMap;

use smp_image::engine::{
    BuildRequest, Builder, Built, Context, Credentials, DockerEngine, Engine as _, EngineError, Environment,
    Secret, StepCount,
};
use smp_image::oci::{Dialect, Reference};

use crate::workbench::{
    AMD64, BASE, Which, build, containers, docker, eventually, heard, listen, processes, run, unique,
    variable,
};

mod cases;

/// A way to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// An engine's own BuildKit.
    Engine(Which),
    /// An engine's classic builder.
    Classic(Which),
    /// buildx with its `docker` driver, which is the engine's BuildKit.
    Buildx(Which),
    /// buildx with its `remote` driver; the result is loaded into the engine.
    Far(Which),
    /// A BuildKit daemon; the result is loaded into the engine.
    Daemon(Which),
}

/// What some ways do otherwise than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// Secrets are no part of its Dockerfiles: the build is refused.
    NoSecrets,
    /// All of the context is sent, each time, but for what `.dockerignore` names.
    WholeContext,
    /// It writes no cache into a registry.
    NoCacheExport,
    /// It builds the stages that nothing needs too.
    AllStages,
}

/// Which ways are meant.
type Those = fn(Way) -> bool;

/// Which way differs in what. A way that is not named does as the first of the list: everything.
const DIFFERENCES: &[(Those, Difference, &str)] = &[
    (is_classic, Difference::NoSecrets, "the classic builder knows no `RUN --mount`"),
    (is_classic, Difference::WholeContext, "the classic builder takes its context as one archive"),
    (is_classic, Difference::NoCacheExport, "the classic builder knows only its own cache"),
    (is_graph_store, Difference::NoCacheExport, "BuildKit over an overlay2 store writes only inline caches"),
    (is_classic, Difference::AllStages, "the classic builder goes through the file from top to end"),
];

fn is_classic(way: Way) -> bool {
    matches!(way, Way::Classic(_))
}

/// Builders beside an engine write every cache, whatever the store of the engine is.
fn is_graph_store(way: Way) -> bool {
    matches!(way, Way::Engine(which) | Way::Buildx(which) if which != Which::Containerd)
}

impl Way {
    fn which(self) -> Which {
        match self {
            Self::Engine(which)
            | Self::Classic(which)
            | Self::Buildx(which)
            | Self::Far(which)
            | Self::Daemon(which) => which,
        }
    }

    fn differs(self, difference: Difference) -> bool {
        DIFFERENCES.iter().any(|(of, other, _)| *other == difference && of(self))
    }

    /// Returns a build of `dockerfile` from nothing, in this way's dialect, under a name of its own.
    fn request(self, dockerfile: &str) -> (BuildRequest, Reference) {
        let mut request = build(dockerfile);
        let name: Reference = format!("example.test/{}:1", unique("same")).parse().unwrap();
        request.dialect = if is_classic(self) { Dialect::Classic } else { Dialect::Buildkit };
        request.tags = vec![name.clone()];
        (request, name)
    }
}

/// A way to build, connected.
struct Place {
    way: Way,
    engine: DockerEngine,
    /// buildx's own folder, which ends with this.
    _folder: tempfile::TempDir,
}

impl Place {
    async fn open(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = way.which().endpoint();
        let engine = DockerEngine::connect(&endpoint, Credentials::none()).unwrap();
        let buildx: Environment = [
            ("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG")),
            ("BUILDX_CONFIG", folder.path().display().to_string()),
            ("HOME", folder.path().display().to_string()),
            ("PATH", std::env::var("PATH").unwrap()),
        ]
        .into_iter()
        .collect();
        let name = match way {
            Way::Engine(_) | Way::Classic(_) => None,
            Way::Buildx(_) => Some("default".to_owned()),
            Way::Far(_) => {
                let mut create = std::process::Command::new(variable("SMP_WB_BUILDX"));
                create.args(["create", "--name", "far", "--driver", "remote", &variable("SMP_WB_BUILDKITD")]);
                create
                    .env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG"))
                    .env("BUILDX_CONFIG", folder.path());
                let created = create.output().unwrap();
                assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
                Some("far".to_owned())
            }
            Way::Daemon(_) => Some(variable("SMP_WB_BUILDKITD")),
        };
        let engine = match name {
            Some(name) => engine.with_builder(Builder::find(&name, AMD64, &buildx, &endpoint).await.unwrap()),
            None => engine,
        };
        Self { way, engine, _folder: folder }
    }

    async fn build(&self, request: &BuildRequest) -> Result<Built, EngineError> {
        let (events, _said) = listen();
        self.engine.build(request, &events).await
    }

    /// Runs a script in the image and returns what it prints.
    async fn says(&self, image: &Reference, script: &str) -> String {
        let ran = self.engine.run(&run(&image.whole(), script)).await.unwrap();
        assert_eq!(ran.status, 0, "{:?}: {ran:?}", self.way);
        String::from_utf8(ran.stdout).unwrap()
    }

    async fn forget(&self, image: &Reference) {
        self.engine.remove(&image.whole()).await.unwrap();
    }
}

/// Makes one test of each case for each way.
macro_rules! each {
    ($($way:ident = $value:expr),* $(,)?) => { $(each!(@ $way, $value,
        a_file_an_argument_a_label_and_a_name_arrive,
        a_second_build_runs_nothing_and_gives_the_same_image,
        without_the_cache_every_step_runs_again,
        other_bytes_of_a_file_are_another_image,
        what_dockerignore_names_stays_behind,
        a_secret_is_there_for_its_step_and_nowhere_else,
        a_stage_that_nothing_needs_is_not_built,
        a_step_that_fails_is_told_with_its_status_and_last_words_and_leaves_no_image,
        a_base_that_is_nowhere_is_not_found,
        a_cache_in_a_registry_is_written_or_refused_before_the_build,
        a_cancelled_build_ends_its_step_and_leaves_no_image
    );)* };
    (@ $way:ident, $value:expr, $($case:ident),*) => {
        mod $way {
            use super::{Way, Which, Place};
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::cases::$case(&Place::open($value).await).await;
            })*
        }
    };
}

each! {
    engine20 = Way::Engine(Which::Old),
    engine26 = Way::Engine(Which::Graph),
    engine26c = Way::Engine(Which::Containerd),
    classic_of_engine20 = Way::Classic(Which::Old),
    classic_of_engine26 = Way::Classic(Which::Graph),
    classic_of_engine26c = Way::Classic(Which::Containerd),
    buildx_of_engine20 = Way::Buildx(Which::Old),
    buildx_of_engine26 = Way::Buildx(Which::Graph),
    buildx_of_engine26c = Way::Buildx(Which::Containerd),
    buildx_remote_into_engine26 = Way::Far(Which::Graph),
    buildx_remote_into_engine26c = Way::Far(Which::Containerd),
    buildkitd_into_engine26 = Way::Daemon(Which::Graph),
    buildkitd_into_engine26c = Way::Daemon(Which::Containerd),
}

#[test]
fn every_difference_has_its_reason_and_holds_for_some_way_and_not_for_all() {
    let ways = [
        Way::Engine(Which::Old),
        Way::Engine(Which::Containerd),
        Way::Classic(Which::Graph),
        Way::Far(Which::Graph),
    ];
    for (of, difference, reason) in DIFFERENCES {
        assert!(!reason.is_empty() && ways.iter().any(|way| of(*way)), "{difference:?}");
        assert!(!ways.iter().all(|way| way.differs(*difference)), "{difference:?}");
    }
}
