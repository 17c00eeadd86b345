//! `smp-image build`: recognises an unchanged image, else builds it.

use std::collections::BTreeMap;

use super::prepare::{Draft, INPUTS, Machine, Prepared};
use super::progress::Watcher;
use super::wheels::{Borrowed, Stock, Workbench};
use super::{docker, doctor, failure, foreign, output};
use crate::cli::{Build, BuildArgs, Cli};
use crate::commands::World;
use crate::engine::{
    BuildRequest, Built, Cache, Context, DockerEngine, Engine as _, EngineError, EngineInfo, Secret,
};
use crate::error::{Failure, Fault};
use crate::lock::Lock;
use crate::oci::{Dialect, Digest, Platform, Reference};
use crate::recipe::Recipe;
use crate::render::Builder;
use crate::report::{Building, Report};
use crate::verdict::Subject;

/// An image that is there now, with everything that led to it.
pub(super) struct Image {
    /// Recipe, lock and plan.
    pub(super) prepared: Prepared,
    /// Its first name.
    pub(super) reference: Reference,
    /// What the engine calls it.
    pub(super) id: Digest,
    /// How it came to be.
    pub(super) building: Building,
}

pub(super) async fn run(verb: &Build, cli: &Cli, world: &World) -> Result<(), Failure> {
    let engine = docker::connect(&verb.build.engine, world)?;
    let image = build(&verb.build, &engine, cli, world).await?;
    output::print(&image.report(), cli, world)
}

/// Builds the image that `arguments` ask for, unless it is there.
pub(super) async fn build(
    arguments: &BuildArgs,
    engine: &DockerEngine,
    cli: &Cli,
    world: &World,
) -> Result<Image, Failure> {
    // What is wrong with what was said is told before anybody is asked, also where there is no engine.
    let draft = Draft::read(&arguments.recipe, &arguments.source, (&arguments.lock).into(), world)?;
    if arguments.lock.locked {
        refuse_open_pins(&draft)?;
    }
    let tags = tags(arguments, &draft.workpiece.recipe)?;
    draft.copies_are_there(world)?;
    let bundle = docker::ca_bundle(arguments.ca_bundle.as_ref(), world)?;
    let cache_from = docker::caches("--cache-from", &arguments.cache_from)?;
    let cache_to = docker::caches("--cache-to", &arguments.cache_to)?;
    let engine = &docker::with_builder(engine, arguments, world).await?;
    let info = engine.info().await?;
    let mut prepared = draft.prepared(machine(&info), world).await?;
    prepared.plan.warnings.iter().for_each(|warning| world.say(&format!("warning: {warning}")));
    let stock = Stock::open(arguments.wheelhouse.as_deref(), &prepared.plan, world).await?;
    stock.reaches(info.builder.as_deref())?;
    prepared.take(stock.images(&prepared.plan)?)?;
    let studio = arguments.engine.studio || info.studio;
    let builder = builder(arguments.dialect, studio, &info)?;
    if prepared.plan.is_foreign() && builder.dialect == Dialect::Buildkit {
        Box::pin(foreign::check(&prepared.plan, builder, engine, &info, world)).await?;
    }
    let secrets = secrets(bundle, builder.dialect, arguments)?;
    let dockerfile = prepared.dockerfile(builder)?;
    let labels = prepared.labels(&dockerfile, arguments.profile, world)?;
    let platform = prepared.plan.target.platform;
    if !arguments.refresh
        && !arguments.no_cache
        && let Some(id) = unchanged(engine, &tags, &labels, platform).await?
    {
        return Ok(Image { prepared, reference: tags[0].clone(), id, building: Building::Unchanged });
    }
    if info.builder.is_none() {
        doctor::warn_of_space(&info, &prepared.lock.base.image, world);
    }
    let request = BuildRequest {
        source_date_epoch: Some(prepared.epoch(world)),
        context: context(&prepared, world),
        dockerfile,
        platform,
        tags,
        labels,
        args: BTreeMap::new(),
        secrets,
        profile: arguments.profile,
        network: docker::network(&arguments.network, "default", studio),
        no_cache: arguments.no_cache,
        dialect: builder.dialect,
        cache_from,
        cache_to: cache_to.into_iter().map(Cache::written).collect(),
    };
    let reference = request.tags[0].clone();
    let beside = info.builder.is_some();
    let mut job = Job { engine, beside, request, builder, prepared, cli, world };
    let mut borrowed = Borrowed::none();
    let built = job.run(&stock, &mut borrowed).await;
    borrowed.put_away(engine).await;
    let built = built?;
    Ok(Image { prepared: job.prepared, reference, id: built.id, building: Building::Built(built) })
}

/// A build that has to run.
struct Job<'a> {
    engine: &'a DockerEngine,
    beside: bool,
    request: BuildRequest,
    builder: Builder,
    prepared: Prepared,
    cli: &'a Cli,
    world: &'a World,
}

impl Job<'_> {
    /// Supplies the wheels, compiling those that are nowhere, and builds the image.
    async fn run(&mut self, stock: &Stock, borrowed: &mut Borrowed) -> Result<Built, Failure> {
        let Self { engine, beside, request, cli, world, .. } = self;
        let bench = Workbench { engine, beside: *beside, request, cli, world };
        let compiled = bench.supply(&self.prepared.plan, stock, borrowed).await?;
        if !compiled.is_empty() {
            self.prepared.take(compiled)?;
            self.request.dockerfile = self.prepared.dockerfile(self.builder)?;
            self.request.labels =
                self.prepared.labels(&self.request.dockerfile, self.request.profile, self.world)?;
        }
        self.request.dockerfile = borrowed.in_dockerfile(&self.request.dockerfile);
        let watcher = Watcher::start("build", self.request.tags[0].whole(), self.cli, self.world);
        let built = self.engine.build(&self.request, watcher.events()).await;
        watcher.finish().await;
        built.map_err(|error| failure::of_build(error, &self.request.dockerfile))
    }
}

/// Returns the files that the build may copy.
fn context(prepared: &Prepared, world: &World) -> Context {
    if prepared.workpiece.recipe.copy.is_empty() {
        Context::Empty
    } else {
        Context::Folder(prepared.workpiece.folder(world))
    }
}

impl Image {
    /// Returns the image as a verdict takes it.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            reference: self.reference.whole(),
            id: self.id,
            platform: self.prepared.plan.target.platform,
        }
    }

    /// Returns the beginning of a report about it.
    pub(super) fn report(&self) -> Report {
        let mut report = output::about(self.subject());
        report.recipe = Some(self.prepared.plan.recipe.to_string());
        report.build = Some(self.building.clone());
        report.catalog = self.prepared.said_of_facts();
        report
    }
}

/// Returns what is known of the machine that builds; a builder beside the engine does not tell its memory and processors.
fn machine(info: &EngineInfo) -> Machine {
    let known = info.builder.is_none();
    Machine {
        memory: known.then_some(info.memory),
        processors: known.then_some(info.processors),
        platform: Some(info.platform),
    }
}

/// Returns for which builder the Dockerfile is written: the one asked for, else BuildKit where the engine has it.
fn builder(asked: Option<Dialect>, studio: bool, info: &EngineInfo) -> Result<Builder, Failure> {
    let dialect = match (asked, info.buildkit && !studio) {
        (Some(Dialect::Buildkit), false) => {
            return Err(Failure::said(
                Fault::Machine,
                format!("the engine {} has no BuildKit", info.version),
            )
            .hint("leave --dialect away, or say --dialect classic"));
        }
        (Some(dialect), _) => dialect,
        (None, true) => Dialect::Buildkit,
        (None, false) => Dialect::Classic,
    };
    Ok(Builder { dialect, link: dialect == Dialect::Buildkit && info.links() })
}

/// Returns the secrets of the build by their names. The classic builder has none: certificates that were only found on this machine
/// are left away, those that were asked for are refused.
fn secrets(
    bundle: Option<Secret>,
    dialect: Dialect,
    arguments: &BuildArgs,
) -> Result<BTreeMap<String, Secret>, Failure> {
    match (bundle, dialect, &arguments.ca_bundle) {
        (Some(bundle), Dialect::Buildkit, _) => Ok(BTreeMap::from([("ca-bundle".to_owned(), bundle)])),
        (Some(_), Dialect::Classic, Some(path)) => {
            let path = path.display();
            Err(Failure::said(Fault::Usage, format!("the classic builder cannot be given the certificates in {path}"))
                .hint("it has no secrets, and an image must not carry them: take BuildKit, or a base image that trusts your authority and --ca-bundle none"))
        }
        _ => Ok(BTreeMap::new()),
    }
}

/// With `--locked` a build must be the same tomorrow: a base that is only a name can move.
fn refuse_open_pins(draft: &Draft) -> Result<(), Failure> {
    let open = draft.lock.as_ref().map(Lock::unresolved).unwrap_or_default();
    if open.is_empty() {
        return Ok(());
    }
    Err(Failure::said(Fault::Input, format!("--locked, and the lock leaves open: {}", open.join("; ")))
        .hint(format!("lock again where the network reaches it: {}", draft.locking())))
}

fn tags(arguments: &BuildArgs, recipe: &Recipe) -> Result<Vec<Reference>, Failure> {
    let default = format!("smp-image/{}:latest", recipe.name.get_ref());
    let asked = if arguments.tag.is_empty() { std::slice::from_ref(&default) } else { &arguments.tag[..] };
    asked
        .iter()
        .map(|text| {
            text.parse().map_err(|error| Failure::said(Fault::Usage, format!("--tag {text}: {error}")))
        })
        .collect()
}

/// Returns the image that has every name asked for and was made from the same inputs, if there is one.
async fn unchanged(
    engine: &DockerEngine,
    tags: &[Reference],
    labels: &BTreeMap<String, String>,
    platform: Platform,
) -> Result<Option<Digest>, EngineError> {
    let mut found = None;
    for tag in tags {
        match engine.image(&tag.whole()).await? {
            Some(image) if image.platform == platform && image.labels.get(INPUTS) == labels.get(INPUTS) => {
                found = Some(image.id);
            }
            _ => return Ok(None),
        }
    }
    Ok(found)
}
