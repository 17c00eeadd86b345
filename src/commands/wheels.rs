//! Compiled wheels and builds: taken from the wheelhouse where they are there, compiled once and put into it where they are not.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Seek as _, SeekFrom};
use std::path::PathBuf;

use super::failure;
use super::progress::Watcher;
use crate::cli::Cli;
use crate::commands::World;
use crate::engine::{BuildRequest, Context, Credentials, DockerEngine, Engine as _, EngineError, Login};
use crate::error::{Failure, Fault};
use crate::oci::{Platform, Reference};
use crate::plan::{KeptWheel, Plan, WheelKey};
use crate::registry::distribution::{Distribution, Limits, RegistryError};
use crate::wheelhouse::{Wheelhouse, WheelhouseError};

/// What the name of a wheelhouse in a registry begins with.
const OCI: &str = "oci://";
/// How Dockerfiles call the image of a wheel that an engine holds while another one is built from it.
const LOCAL: &str = "smp-image/wheel";

/// Where compiled wheels are kept.
enum House {
    /// In a folder.
    Folder(Wheelhouse),
    /// In a repository of a registry: each an image whose tag is the key.
    Registry {
        /// Registry and repository.
        name: String,
        /// The login there.
        login: Option<Login>,
    },
}

/// What is needed to compile or to hand over a wheel.
pub(super) struct Workbench<'a> {
    /// The engine.
    pub(super) engine: &'a DockerEngine,
    /// Whether builds go to a builder beside the engine.
    pub(super) beside: bool,
    /// The build of the image, from which the compilation's is made.
    pub(super) request: &'a BuildRequest,
    /// For the progress.
    pub(super) cli: &'a Cli,
    /// For what is said.
    pub(super) world: &'a World,
}

impl House {
    /// Opens the wheelhouse that `asked` names: a folder, or `oci://HOST/REPOSITORY`.
    async fn open(asked: &str, world: &World) -> Result<Self, Failure> {
        let Some(name) = asked.strip_prefix(OCI) else {
            return Ok(Self::Folder(Wheelhouse::open(&world.path(asked))?));
        };
        let reference: Reference = format!("{name}:wheel")
            .parse()
            .map_err(|error| Failure::said(Fault::Usage, format!("--wheelhouse {asked}: {error}")))?;
        let credentials = Credentials::from_docker(&world.environment())?;
        let login = credentials.login(reference.registry()).await?;
        let name = format!("{}/{}", reference.registry(), reference.repository());
        Ok(Self::Registry { name, login })
    }

    /// Returns what holds the wheel of `key`; nothing where it is not here.
    async fn find(&self, key: &WheelKey) -> Result<Option<Found>, Failure> {
        match self {
            Self::Folder(house) => Ok(house.find(key)?.map(Found::Folder)),
            Self::Registry { name, login } => {
                let reference = named(name, key)?;
                let door = Distribution::new(Limits { attempts: 2, ..Limits::default() }, None);
                match door.image_for(&reference, key.platform, login.as_ref()).await {
                    Ok(image) => Ok(Some(Found::Image(format!("{name}@{}", image.named.digest)))),
                    Err(RegistryError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(refused(&error)),
                }
            }
        }
    }

    /// Returns the wheels of `plan` that are here, by the names of their keys.
    async fn look(&self, plan: &Plan) -> Result<BTreeMap<String, Found>, Failure> {
        let mut found = BTreeMap::new();
        for (_, compile) in plan.compiles() {
            if let Some(one) = self.find(&compile.key).await? {
                found.insert(compile.key.to_string(), one);
            }
        }
        Ok(found)
    }

    /// Puts the wheel that the engine holds as `local` here, and returns the image to take it from.
    async fn keep(
        &self,
        key: &WheelKey,
        local: &Reference,
        bench: &Workbench<'_>,
    ) -> Result<String, Failure> {
        match self {
            Self::Folder(house) => {
                let mut archive = tempfile::tempfile().map_err(|error| {
                    Failure::said(Fault::Machine, format!("cannot write a temporary file: {error}"))
                })?;
                bench.engine.export(&local.whole(), &mut archive).await?;
                let (house, put_under) = (house.clone(), key.clone());
                let kept = tokio::task::spawn_blocking(move || put(&house, &put_under, archive));
                kept.await.map_err(|error| Failure::said(Fault::Defect, error.to_string()))??;
                Ok(named(LOCAL, key)?.whole())
            }
            Self::Registry { name, login } => {
                let remote = named(name, key)?;
                bench.engine.tag(&local.whole(), &remote).await?;
                let watcher = Watcher::start("push", remote.whole(), bench.cli, bench.world);
                let pushed = bench.engine.push(&remote, login.as_ref(), watcher.events()).await;
                watcher.finish().await;
                bench.engine.remove(&remote.whole()).await?;
                Ok(format!("{name}@{}", pushed?.digest))
            }
        }
    }
}

fn put(house: &Wheelhouse, key: &WheelKey, mut archive: File) -> Result<PathBuf, WheelhouseError> {
    let rewound = archive.seek(SeekFrom::Start(0));
    rewound.map_err(|source| WheelhouseError::Folder {
        path: PathBuf::from("a temporary file"),
        doing: "read the archive again",
        source,
    })?;
    house.keep(key, archive)
}

/// What holds a wheel.
enum Found {
    /// A folder.
    Folder(PathBuf),
    /// An image in a registry, by digest.
    Image(String),
}

impl Found {
    /// Returns the image from which a build takes it.
    fn image(&self, key: &WheelKey) -> Result<KeptWheel, Failure> {
        let image = match self {
            Self::Image(image) => image.clone(),
            Self::Folder(_) => named(LOCAL, key)?.whole(),
        };
        Ok(KeptWheel { image })
    }
}

/// The wheelhouse of a build and what it has for it; nothing where none was named.
#[derive(Default)]
pub(super) struct Stock {
    house: Option<House>,
    found: BTreeMap<String, Found>,
}

impl Stock {
    /// Looks for the wheels of `plan` in the wheelhouse `asked`.
    pub(super) async fn open(asked: Option<&str>, plan: &Plan, world: &World) -> Result<Self, Failure> {
        let Some(asked) = asked else { return Ok(Self::default()) };
        let house = House::open(asked, world).await?;
        let found = house.look(plan).await?;
        for (_, compile) in plan.compiles() {
            let key = compile.key.to_string();
            let has = if found.contains_key(&key) { "has" } else { "has no" };
            world.say(&format!("{asked} {has} {key}"));
        }
        Ok(Self { house: Some(house), found })
    }

    /// Refuses a folder where builds go to a builder beside the engine: that one sees no image that the engine holds.
    pub(super) fn reaches(&self, builder: Option<&str>) -> Result<(), Failure> {
        match (&self.house, builder) {
            (Some(House::Folder(_)), Some(builder)) => Err(Failure::said(
                Fault::Usage,
                format!("the builder {builder} cannot take wheels from a folder of this machine"),
            )
            .hint("name a repository that it reaches: --wheelhouse oci://HOST/REPOSITORY; or build without --builder")),
            _ => Ok(()),
        }
    }

    /// Returns the images that hold what was found, by the names of the keys.
    pub(super) fn images(&self, plan: &Plan) -> Result<BTreeMap<String, KeptWheel>, Failure> {
        let keys = plan.compiles().filter_map(|(_, compile)| {
            let name = compile.key.to_string();
            self.found.get(&name).map(|one| Ok((name, one.image(&compile.key)?)))
        });
        keys.collect()
    }
}

/// Images that an engine holds only while another one is built from them, each under a name of this process: another one that builds there
/// with the same wheel must not take it away.
pub(super) struct Borrowed {
    ending: String,
    held: Vec<Reference>,
}

impl Borrowed {
    /// Returns none.
    pub(super) fn none() -> Self {
        // The standard library seeds every `RandomState` differently.
        Self { ending: format!("-{:016x}", RandomState::new().hash_one(0)), held: Vec::new() }
    }

    /// Returns the name under which the engine shall hold the wheel of `key`.
    fn name(&mut self, key: &str) -> Result<Reference, Failure> {
        let own = tagged(LOCAL, &format!("{key}{}", self.ending))?;
        self.held.push(own.clone());
        Ok(own)
    }

    /// Returns `dockerfile`, which calls each wheel by its key, with the names under which the engine holds them.
    pub(super) fn in_dockerfile(&self, dockerfile: &str) -> String {
        self.held.iter().map(Reference::whole).fold(dockerfile.to_owned(), |text, own| {
            let known = own.strip_suffix(&self.ending).unwrap_or(&own);
            text.replace(known, &own)
        })
    }

    /// Removes them.
    pub(super) async fn put_away(self, engine: &DockerEngine) {
        for local in &self.held {
            // What cannot be removed stays as a small image; the build that is to be told of ended otherwise.
            let _stays = engine.remove(&local.whole()).await;
        }
    }
}

impl Workbench<'_> {
    /// Gives the engine the wheels of `stock`, compiles and keeps what `plan` still compiles, and returns the images of the latter.
    pub(super) async fn supply(
        &self,
        plan: &Plan,
        stock: &Stock,
        borrowed: &mut Borrowed,
    ) -> Result<BTreeMap<String, KeptWheel>, Failure> {
        let Some(house) = &stock.house else { return Ok(BTreeMap::new()) };
        self.hand_over(&stock.found, borrowed).await?;
        self.compile(plan, house, borrowed).await
    }

    /// Gives the engine the wheels of `found` that lie in a folder.
    async fn hand_over(
        &self,
        found: &BTreeMap<String, Found>,
        borrowed: &mut Borrowed,
    ) -> Result<(), Failure> {
        for (key, one) in found {
            if let Found::Folder(folder) = one {
                let tag = borrowed.name(key)?;
                self.build(
                    "FROM scratch\nCOPY . /wheels/\n".to_owned(),
                    Context::Folder(folder.clone()),
                    &tag,
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Compiles what `plan` still compiles, keeps it in `house`, and returns the images to take it from.
    async fn compile(
        &self,
        plan: &Plan,
        house: &House,
        borrowed: &mut Borrowed,
    ) -> Result<BTreeMap<String, KeptWheel>, Failure> {
        let mut compiled = BTreeMap::new();
        for (stage, compile) in plan.compiles() {
            let key = &compile.key;
            if let House::Folder(folder) = house {
                folder.takes()?;
            }
            let text = borrowed.in_dockerfile(&self.request.dockerfile);
            let dockerfile = format!("{text}\nFROM scratch AS wheel\nCOPY --from={stage} /wheels /wheels\n");
            let tag = borrowed.name(&key.to_string())?;
            self.build(dockerfile, self.request.context.clone(), &tag).await?;
            let image = match house.keep(key, &tag, self).await {
                Ok(image) => image,
                Err(failure) => {
                    let why = failure.report;
                    self.world.say(&format!("warning: {key} was compiled and could not be kept: {why}"));
                    if self.beside {
                        // The builder cannot take it from the engine, and has the stage in its cache.
                        continue;
                    }
                    named(LOCAL, key)?.whole()
                }
            };
            compiled.insert(key.to_string(), KeptWheel { image });
        }
        Ok(compiled)
    }

    async fn build(&self, dockerfile: String, context: Context, tag: &Reference) -> Result<(), Failure> {
        let request = BuildRequest {
            dockerfile,
            context,
            tags: vec![tag.clone()],
            labels: BTreeMap::new(),
            // The image's own build writes it.
            cache_to: Vec::new(),
            ..self.request.clone()
        };
        let watcher = Watcher::start("build", tag.whole(), self.cli, self.world);
        let built = self.engine.build(&request, watcher.events()).await;
        watcher.finish().await;
        built.map(drop).map_err(|error: EngineError| failure::of_build(error, &request.dockerfile))
    }
}

/// Returns what a foreign builder without an emulator is told of its compilations.
pub(super) fn what_next(platform: Platform) -> String {
    format!(
        "what is compiled need be compiled only once: build with --wheelhouse DIR (or oci://HOST/REPOSITORY) on a machine that is \
         {platform}, then here with the same wheelhouse"
    )
}

fn named(name: &str, key: &WheelKey) -> Result<Reference, Failure> {
    tagged(name, &key.to_string())
}

fn tagged(name: &str, tag: &str) -> Result<Reference, Failure> {
    format!("{name}:{tag}")
        .parse()
        .map_err(|error| Failure::said(Fault::Defect, format!("{name}:{tag}: {error}")))
}

fn refused(error: &RegistryError) -> Failure {
    let fault = if matches!(error, RegistryError::Unauthorised { .. }) {
        Fault::Unauthorised
    } else {
        Fault::Machine
    };
    Failure::said(fault, format!("wheelhouse: {error}"))
        .hint("log in (docker login), name another --wheelhouse, or leave it away and compile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_has_a_name_of_this_process_in_the_engine_and_none_in_what_makes_an_image_the_same() {
        let mut borrowed = Borrowed::none();
        let known = tagged(LOCAL, "flash-attn-2.5.8-amd64-0123456789abcdef").unwrap().whole();
        let own = borrowed.name("flash-attn-2.5.8-amd64-0123456789abcdef").unwrap().whole();
        assert!(own.starts_with(&known) && own != known, "{own}");
        let dockerfile = format!("FROM scratch\nCOPY --from={known} /wheels /wheels\n");
        assert_eq!(borrowed.in_dockerfile(&dockerfile), dockerfile.replace(&known, &own));
    }

    #[test]
    fn a_folder_is_refused_where_builds_go_to_a_builder_beside_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let house = Some(House::Folder(Wheelhouse::open(folder.path()).unwrap()));
        let stock = Stock { house, found: BTreeMap::new() };
        stock.reaches(None).unwrap();
        let refused = stock.reaches(Some("far (remote)")).unwrap_err();
        assert_eq!(refused.fault, Fault::Usage);
        assert!(refused.report.to_string().contains("far (remote)"), "{}", refused.report);
        Stock::default().reaches(Some("far (remote)")).unwrap();
    }
}
