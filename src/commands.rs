//! One file per verb: the only place where rooms meet, and the only one that reads and writes the user's files.

mod build;
mod catalog;
mod check;
mod cluster;
mod diff;
mod docker;
mod doctor;
mod drift;
mod failure;
mod foreign;
mod grade;
mod job;
mod lock;
mod new;
mod output;
mod outside;
mod plan;
mod prepare;
mod progress;
mod push;
mod recipes;
mod release;
mod render;
mod shell;
mod smoke;
mod source;
mod wheels;
mod why;
mod workshop;
mod world;

use std::io::Write as _;
use std::sync::atomic::Ordering;

use crate::cli::{Cli, Format, Verb};
use crate::error::{Failure, Fault};
use crate::report::failure::FailureReport;
use crate::report::plain;

pub use world::World;

/// Does what `cli` says, in `world`, to the end or to the interrupt.
///
/// An interrupt (Ctrl-C, SIGTERM) drops the work: what it had half made is removed by the guards of the rooms, then the failure
/// [`Fault::Interrupted`] is returned.
pub fn run_to_end(cli: &Cli, world: &World) -> Result<(), Failure> {
    let world = &World { quiet: cli.quiet, catalog: cli.catalog.clone(), ..world.clone() };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::said(Fault::Machine, format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        // Listening begins here, before any work: what comes earlier ends a process that has done nothing yet.
        let interrupted = interrupts();
        tokio::select! {
            outcome = run(cli, world) => outcome,
            () = interrupted => Err(Failure::said(Fault::Interrupted, "interrupted; nothing half-made was left")),
        }
    });
    // Guards that clean up after a dropped build or container run as tasks; they get a moment.
    runtime.shutdown_timeout(std::time::Duration::from_secs(10));
    if let Err(failure) = &outcome
        && cli.format == Format::Json
        && !world.printed.load(Ordering::Relaxed)
    {
        // Standard error tells the same; where this cannot be written either, the exit code says it.
        let fault = (failure.fault.name(), failure.fault.code());
        let document = FailureReport::of(fault, &failure.report, &failure.hints).json();
        let _told_there = document.map(|document| world.print(&document));
    }
    outcome
}

/// Returns what ends with the first interrupt from now on.
#[cfg(unix)]
fn interrupts() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listening = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        match listening {
            [Ok(mut interrupt), Ok(mut terminate)] => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            // Where signals cannot be listened to they do what they always do: end the process.
            _ => std::future::pending().await,
        }
    }
}

/// Returns what ends with the first interrupt.
#[cfg(not(unix))]
async fn interrupts() {
    let _either_way_stop = tokio::signal::ctrl_c().await;
}

/// Writes `failure` to standard error: what, where, and last what to do next; broken between words to the width of `margin`.
pub fn tell(failure: &Failure, color: bool, margin: Option<usize>) {
    let mut theme =
        if color { miette::GraphicalTheme::unicode() } else { miette::GraphicalTheme::unicode_nocolor() };
    "error:".clone_into(&mut theme.characters.error);
    // Lines are broken below, where names and paths stay whole.
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
    let mut text = String::new();
    let diagnostic: &dyn miette::Diagnostic = failure.report.as_ref();
    // Several reasons are told one after the other, each as if it were the only one.
    let several: Vec<&dyn miette::Diagnostic> = diagnostic.related().into_iter().flatten().collect();
    let told = if several.is_empty() {
        handler.render_report(&mut text, diagnostic)
    } else {
        text = format!("error: {}\n", failure.report);
        several.into_iter().try_for_each(|one| {
            text.push('\n');
            handler.render_report(&mut text, one)
        })
    };
    if told.is_err() {
        text = format!("{}\n", failure.report);
    }
    let mut lines = format!("{}\n", text.trim());
    if !failure.hints.is_empty() {
        lines.push('\n');
    }
    for hint in &failure.hints {
        lines = format!("{lines}hint: {hint}\n");
    }
    let lines = margin.map_or_else(|| lines.clone(), |margin| plain::folded(&lines, margin));
    // Where even standard error is closed there is nobody to tell.
    let _nobody_listens = std::io::stderr().write_all(lines.as_bytes());
}

async fn run(cli: &Cli, world: &World) -> Result<(), Failure> {
    let tested = matches!(cli.verb, Verb::Check(_) | Verb::Smoke(_) | Verb::Release(_));
    if cli.format == Format::Junit && !tested {
        return Err(Failure::said(Fault::Usage, "--format junit is for check, smoke and release")
            .hint("here it is text or json"));
    }
    let checked = matches!(cli.verb, Verb::Check(_) | Verb::Release(_));
    if cli.format == Format::Sarif && !checked {
        return Err(Failure::said(Fault::Usage, "--format sarif is for check and release")
            .hint("here it is text or json"));
    }
    match &cli.verb {
        Verb::New(verb) => new::run(verb, world),
        Verb::Recipes => recipes::run(cli.format, world),
        Verb::Lock(verb) => lock::run(verb, cli, world).await,
        Verb::Why(verb) => why::run(verb, cli, world),
        Verb::Plan(verb) => plan::run(verb, cli, world).await,
        Verb::Render(verb) => render::run(verb, cli, world).await,
        Verb::Doctor(verb) => doctor::run(verb, cli, world).await,
        Verb::Catalog(verb) => catalog::run(verb, cli, world).await,
        Verb::Completions(verb) => shell::completions(verb, world),
        Verb::Man(verb) => shell::man(verb, world),
        Verb::Build(verb) => build::run(verb, cli, world).await,
        Verb::Check(verb) => check::run(verb, cli, world).await,
        Verb::Diff(verb) => diff::run(verb, cli, world).await,
        Verb::Smoke(verb) => smoke::run(verb, cli, world).await,
        Verb::Job(verb) => job::run(verb, cli, world),
        Verb::Push(verb) => push::run(verb, cli, world).await,
        Verb::Release(verb) => Box::pin(release::run(verb, cli, world)).await,
    }
}
