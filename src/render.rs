//! Plan and templates become a Dockerfile in a dialect. Decides nothing: two equal plans give the same bytes.
//!
//! Values reach a template as text and leave it only through a quoting filter (`word`, `words`, `sh`, `env`, `requirement`,
//! `comment`); a test reads the templates and refuses any other way out.

mod quote;

pub(crate) use quote::quoted;

use tera::{Context, Tera};

use crate::oci::{Dialect, Platform};
use crate::plan::{Plan, Stage, StartsFrom};

/// The templates, embedded: name and text.
const TEMPLATES: &[(&str, &str)] = &[
    ("components.tera", include_str!("../dockerfiles/components.tera")),
    ("header.tera", include_str!("../dockerfiles/header.tera")),
    ("from.tera", include_str!("../dockerfiles/from.tera")),
    ("system.tera", include_str!("../dockerfiles/system.tera")),
    ("python.tera", include_str!("../dockerfiles/python.tera")),
    ("wheels.tera", include_str!("../dockerfiles/wheels.tera")),
    ("fetch.tera", include_str!("../dockerfiles/fetch.tera")),
    ("source.tera", include_str!("../dockerfiles/source.tera")),
    ("efa.tera", include_str!("../dockerfiles/efa.tera")),
    ("aws-ofi-nccl.tera", include_str!("../dockerfiles/aws-ofi-nccl.tera")),
    ("gdrcopy.tera", include_str!("../dockerfiles/gdrcopy.tera")),
    ("nccl-tests.tera", include_str!("../dockerfiles/nccl-tests.tera")),
    ("smp.tera", include_str!("../dockerfiles/smp.tera")),
    ("python-compile.tera", include_str!("../dockerfiles/python-compile.tera")),
    ("transformer-engine.tera", include_str!("../dockerfiles/transformer-engine.tera")),
    ("flash-attn.tera", include_str!("../dockerfiles/flash-attn.tera")),
    ("taken.tera", include_str!("../dockerfiles/taken.tera")),
    ("tools.tera", include_str!("../dockerfiles/tools.tera")),
    ("base.tera", include_str!("../dockerfiles/base.tera")),
    ("twin.tera", include_str!("../dockerfiles/twin.tera")),
    ("debs.tera", include_str!("../dockerfiles/debs.tera")),
    ("distribution.tera", include_str!("../dockerfiles/distribution.tera")),
    ("files.tera", include_str!("../dockerfiles/files.tera")),
    ("loader.tera", include_str!("../dockerfiles/loader.tera")),
    ("overlay.tera", include_str!("../dockerfiles/overlay.tera")),
    ("foreign-debs.py", include_str!("../dockerfiles/foreign-debs.py")),
    ("foreign-loader.py", include_str!("../dockerfiles/foreign-loader.py")),
    ("image.tera", include_str!("../dockerfiles/image.tera")),
];

/// For which builder a Dockerfile is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builder {
    /// The language that it understands.
    pub dialect: Dialect,
    /// Whether it knows `COPY --link`: `BuildKit` since Engine 23.0, not that of Engine 20.10.
    pub link: bool,
}

impl From<Dialect> for Builder {
    /// Returns the newest builder of `dialect`.
    fn from(dialect: Dialect) -> Self {
        Self { dialect, link: dialect == Dialect::Buildkit }
    }
}

/// Why a plan could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A plan for a foreign builder in a dialect that has no stages on the builder's own platform.
    #[error(
        "the image is for {target} and the builder is {builder}: the classic builder cannot run stages on its own platform"
    )]
    Foreign {
        /// For what the image is made.
        target: Platform,
        /// Where it would be built.
        builder: Platform,
    },
    /// A template that does not read or does not fit the plan: a defect of the template, never of a recipe.
    #[error("template {template}: {message}")]
    Template {
        /// The template.
        template: String,
        /// What is wrong, with line and column.
        message: String,
    },
}

/// Returns `plan` as a Dockerfile for `builder`.
pub fn render(plan: &Plan, builder: impl Into<Builder>) -> Result<String, RenderError> {
    let builder = builder.into();
    if plan.is_foreign() && builder.dialect == Dialect::Classic {
        return Err(RenderError::Foreign { target: plan.target.platform, builder: plan.builder });
    }
    let tera = templates(TEMPLATES)?;
    let mut dockerfile = run(&tera, "header", &header(plan, builder))?;
    for stage in plan.stages.iter().filter(|stage| stage.is_in(builder.dialect)) {
        let template = stage.work.template();
        let context = context(plan, stage, builder).map_err(|error| failed(template, &error))?;
        dockerfile.push('\n');
        dockerfile.push_str(run(&tera, template, &context)?.trim_end());
        dockerfile.push('\n');
    }
    Ok(dockerfile)
}

/// Reads templates, each given by name and text.
fn templates(files: &[(&str, &str)]) -> Result<Tera, RenderError> {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::<&str>::new());
    quote::register(&mut tera);
    tera.add_raw_templates(files.iter().copied()).map_err(|error| failed("all", &error))?;
    Ok(tera)
}

fn run(tera: &Tera, template: &str, context: &Context) -> Result<String, RenderError> {
    tera.render(&format!("{template}.tera"), context).map_err(|error| failed(template, &error))
}

fn failed(template: &str, error: &tera::Error) -> RenderError {
    RenderError::Template { template: template.to_owned(), message: error.to_string() }
}

fn header(plan: &Plan, builder: Builder) -> Context {
    let instances: Vec<&str> = plan.target.instances.iter().map(|instance| instance.name.as_str()).collect();
    let mut context = Context::new();
    context.insert("recipe", plan.recipe.as_str());
    context.insert("recipe_digest", &plan.recipe_digest);
    context.insert("lock_digest", &plan.lock_digest);
    context.insert("buildkit", &(builder.dialect == Dialect::Buildkit));
    context.insert("platform", &plan.target.platform);
    context.insert("instances", &instances.join(", "));
    context.insert("foreign", &plan.is_foreign().then(|| plan.builder.to_string()));
    context.insert(
        "builder",
        match (builder.dialect, builder.link) {
            (Dialect::Buildkit, true) => "BuildKit of Docker Engine 23.0 or later",
            (Dialect::Buildkit, false) => "BuildKit of Docker Engine 20.10 or later",
            (Dialect::Classic, _) => "the classic builder of Docker Engine 20.10 or later",
        },
    );
    context
}

/// Returns what the template of `stage` sees: the fields of its work, its name and start, and the builder's abilities.
fn context(plan: &Plan, stage: &Stage, builder: Builder) -> Result<Context, tera::Error> {
    let mut context = Context::from_serialize(&stage.work)?;
    let (from, unresolved) = match &stage.from {
        StartsFrom::Stage(name) => (name.to_string(), None),
        StartsFrom::Image(image) => {
            let digest = image.digest.map(|digest| format!("@{digest}")).unwrap_or_default();
            let first =
                plan.stages.iter().find(|other| other.from == stage.from && other.is_in(builder.dialect));
            let says = first.is_some_and(|first| first.name == stage.name);
            (format!("{}{digest}", image.name), image.unresolved.as_deref().filter(|_| says))
        }
    };
    context.insert("name", stage.name.as_str());
    context.insert("from", &from);
    context.insert("unresolved", &unresolved);
    context.insert("elsewhere", &(stage.native && matches!(stage.from, StartsFrom::Image(_))));
    context.insert("buildkit", &(builder.dialect == Dialect::Buildkit));
    context.insert("link", &builder.link);
    context.insert("apt_cache", &format!("apt-{}-{}", distribution(plan, stage), stage.name));
    Ok(context)
}

/// Returns a word for the distribution of `stage`: repository and tag of the image at its root. Caches of apt are kept by it.
fn distribution(plan: &Plan, stage: &Stage) -> String {
    let mut from = &stage.from;
    for earlier in plan.stages.iter().rev() {
        if matches!(from, StartsFrom::Stage(name) if *name == earlier.name) {
            from = &earlier.from;
        }
    }
    match from {
        StartsFrom::Image(image) => {
            let last = image.name.rsplit('/').next().unwrap_or(&image.name);
            last.replace([':', '.', '_'], "-")
        }
        StartsFrom::Stage(name) => name.to_string(),
    }
}
