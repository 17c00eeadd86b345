//! `smp-image check`: looks into an image without a GPU, and tells what its rules are about.

use std::sync::Arc;

use super::prepare::{Machine, prepare};
use super::workshop::Workpiece;
use super::{output, source};
use crate::catalog::Own;
use crate::check::{self, CheckError, Chosen, RULES, RuleCode, Severity, Silence, Target};
use crate::cli::{AgainstArgs, Check, Cli, FailOn, Format, RecipeArgs, SourceArgs};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::oci::{Arch, Platform};
use crate::plan::Probe;
use crate::recipe::{RecipeError, nearest};
use crate::report::text::explained;
use crate::verdict::Subject;

pub(super) async fn run(verb: &Check, cli: &Cli, world: &World) -> Result<(), Failure> {
    if let Some(code) = &verb.explain {
        return explain(code, cli, world);
    }
    let Some(name) = &verb.image else {
        return Err(Failure::said(Fault::Usage, "which image shall be looked into?"));
    };
    let platform = Platform { arch: verb.arch };
    let Expected { mut target, own, .. } = expected(verb.recipe.as_deref(), verb.arch, world).await?;
    if !verb.instances.is_empty() {
        target.instances.clear();
        target = on(target, &verb.instances)?;
    }
    target.profile = verb.profile;
    let inspection = source::inspect(name, (&verb.engine, &verb.source), target, world).await?;
    let failing = |finding: &&check::Finding| match verb.fail_on {
        FailOn::Error => matches!(finding.severity, Severity::Error | Severity::Unknown),
        FailOn::Warning => finding.severity != Severity::Info,
        FailOn::Never => false,
    };
    let failed = inspection.findings.iter().filter(failing).count();
    let gravest = inspection.findings.first().map(|finding| finding.rule);
    let mut report =
        output::about(Subject { reference: name.clone(), id: inspection.config.digest, platform });
    report.inspection = Some(inspection);
    report.catalog = own;
    output::print(&report, cli, world)?;
    let said = match failed {
        0 => return Ok(()),
        1 => "one finding speaks against it".to_owned(),
        many => format!("{many} findings speak against it"),
    };
    let failure = Failure::said(Fault::Verdict, format!("the image does not pass: {said}"));
    Err(gravest.into_iter().fold(failure, |failure, rule| {
        failure.hint(format!("smp-image check --explain {rule} tells what goes wrong with the gravest"))
    }))
}

/// Tells what the rule `code` looks for and why.
fn explain(code: &str, cli: &Cli, world: &World) -> Result<(), Failure> {
    let known = RuleCode::named(code)
        .and_then(|code| Some((code, RULES.iter().find(|rule| rule.codes.contains(&code))?)));
    let Some((code, rule)) = known else {
        return Err(unknown_rule(code));
    };
    let text = match cli.format {
        Format::Json => format!(
            "{}\n",
            serde_json::json!({
                "rule": code.name(), "meaning": code.meaning(), "promise": rule.promise, "story": rule.story,
            })
        ),
        _ => explained(code, rule, world.width.unwrap_or(100).min(100)),
    };
    world.print(&text).map_err(|error| super::failure::stdout(&error))
}

fn unknown_rule(code: &str) -> Failure {
    let failure = Failure::said(Fault::Usage, format!("there is no rule `{}`", code.escape_debug()));
    let names = || RuleCode::ALL.iter().map(|code| code.name());
    match nearest(code, names()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("rules: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// What follows from a recipe for an image that was built from it.
pub(super) struct Expected {
    /// For what it is checked.
    pub(super) target: Target,
    /// How to test it.
    pub(super) probes: Vec<Probe>,
    /// What files of the user's did to the facts that are used.
    pub(super) own: Option<Own>,
}

/// Returns what the recipe says that the image must hold, where it must run, what is silenced, and how to test it; without a
/// recipe nothing is expected.
pub(super) async fn expected(asked: Option<&str>, arch: Arch, world: &World) -> Result<Expected, Failure> {
    let catalog = Arc::new(super::catalog::load(world)?);
    let own = Some(catalog.own().clone()).filter(|own| !own.is_empty());
    let target = Target::new(Platform { arch }, catalog);
    let Some(recipe) = asked else { return Ok(Expected { target, probes: Vec::new(), own }) };
    let recipe = RecipeArgs { recipe: Some(recipe.to_owned()), arch };
    let source = SourceArgs { mirror: Vec::new() };
    let prepared = prepare(&recipe, &source, Machine::default(), world).await?;
    let target = of_recipe(target, &prepared.workpiece)?.expecting(prepared.plan.expectations);
    Ok(Expected { target, probes: prepared.plan.probes, own })
}

/// Returns what `arguments` name, as [`expected`].
pub(super) async fn of_image(arguments: &AgainstArgs, world: &World) -> Result<Expected, Failure> {
    expected(arguments.recipe.as_deref(), arguments.arch, world).await
}

/// Adds the instances and silences of a recipe to `target`.
pub(super) fn of_recipe(target: Target, workpiece: &Workpiece) -> Result<Target, Failure> {
    let names = workpiece.recipe.instances.iter().map(|name| name.get_ref().as_str());
    let mut target = target.on(names, Chosen::Recipe).map_err(unknown_instance)?;
    target.silences = silences(workpiece)?;
    Ok(target)
}

/// Adds the instances that the command line names.
pub(super) fn on(target: Target, names: &[String]) -> Result<Target, Failure> {
    let catalog = Arc::clone(&target.catalog);
    target.on(names.iter().map(String::as_str), Chosen::Given).map_err(|name| {
        let known = &catalog.instances;
        let failure = unknown_instance(name);
        match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure,
        }
    })
}

fn unknown_instance(name: &str) -> Failure {
    Failure::said(
        Fault::Usage,
        format!("`{}` is no instance type that the catalogue knows", name.escape_debug()),
    )
    .hint("`smp-image catalog instance` lists those that it knows")
}

/// Reads what the recipe silences; a rule that does not exist and an empty reason are pointed at.
fn silences(workpiece: &Workpiece) -> Result<Vec<Silence>, Failure> {
    let wrong = |place: &toml::Spanned<String>, message: &str, help: String| {
        let error = RecipeError::at(&workpiece.source, place.span(), message).with_help(help);
        Failure::new(Fault::Input, error)
    };
    let read = |silence: &crate::recipe::Silence| {
        let rule = RuleCode::named(silence.rule.get_ref()).ok_or_else(|| {
            let names = || RuleCode::ALL.iter().map(|code| code.name());
            let near = nearest(silence.rule.get_ref(), names());
            let help = near.map_or_else(
                || format!("rules: {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            wrong(&silence.rule, "there is no such rule", help)
        })?;
        if silence.reason.get_ref().trim().is_empty() {
            return Err(wrong(
                &silence.reason,
                "a silence needs a reason",
                "reports print it: say why this is meant so".to_owned(),
            ));
        }
        let subject = silence.subject.as_ref();
        Silence::new(rule, subject.map(|subject| subject.get_ref().as_str()), silence.reason.get_ref())
            .map_err(|error| {
                wrong(subject.unwrap_or(&silence.rule), "this is no pattern", error.kind().to_string())
            })
    };
    workpiece.recipe.check.silence.iter().map(read).collect()
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Engine(error) => error.into(),
            // moby/moby#49473: pulled beside an image with the same layers, it runs and is exported without its content.
            error @ CheckError::Incomplete(_) => Self::said(
                Fault::Verdict,
                format!("the image could not be looked into: {error}"),
            )
            .hint("engines with the containerd store may export an image that they pulled without its layers")
            .hint("docker://IMAGE reads it in its registry"),
            other => Self::said(Fault::Verdict, format!("the image could not be looked into: {other}")),
        }
    }
}
