//! Shows what an engine says while it works, in the form that fits where the output goes.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use crate::cli::{Cli, Format};
use crate::commands::World;
use crate::engine::{Event, Events};
use crate::report::progress::{Form, show};

/// Shows events until it is finished.
pub(super) struct Watcher {
    events: Events,
    shown: JoinHandle<()>,
}

impl Watcher {
    /// Starts to show the part of the work called `name`.
    pub(super) fn start(name: &'static str, about: String, cli: &Cli, world: &World) -> Self {
        let (events, receiver) = unbounded_channel();
        let json = cli.format == Format::Json;
        let form = Form::for_output(json, world.terminal, world.var("CI").is_some());
        let quiet = cli.quiet;
        let shown = tokio::spawn(async move {
            if quiet {
                return drain(receiver).await;
            }
            show_all(receiver, form, name, &about).await;
        });
        Self { events, shown }
    }

    /// Returns where an engine sends its events.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Waits until everything that was said is shown.
    pub(super) async fn finish(self) {
        drop(self.events);
        // A printer that broke has nothing left to show; the work itself is not its business.
        let _whatever_it_showed = self.shown.await;
    }
}

async fn drain(mut receiver: UnboundedReceiver<Event>) {
    while receiver.recv().await.is_some() {}
}

async fn show_all(mut receiver: UnboundedReceiver<Event>, form: Form, name: &str, about: &str) {
    let mut progress = show(form, Box::new(std::io::stderr()), Box::new(jiff::Timestamp::now));
    let mut listening = progress.stage(name, about).is_ok();
    while let Some(event) = receiver.recv().await {
        // Where standard error is closed nobody looks any more; the work goes on.
        listening = listening && progress.event(&event).is_ok();
    }
    let _nobody_listens = progress.finish();
}
