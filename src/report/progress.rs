//! Progress while it happens: bars on a terminal, plain lines with the time elsewhere, JSON lines for programs.
//!
//! All of it goes to standard error; standard output is for data. With `--format json` each event is one JSON object on a line of
//! its own, the events of the engine as they are with `time` added, and `{"event": "stage", …}` between them.

use std::io;

use jiff::Timestamp;

use crate::engine::Event;

mod bars;
mod events;
mod lines;

pub use bars::Bars;
pub use events::JsonLines;
pub use lines::Lines;

/// Tells the time: passed in, so that a test can say what it is.
pub type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// Something that shows progress.
pub trait Progress: Send {
    /// Says that another part of the work begins, such as `build`, with what it works on.
    fn stage(&mut self, name: &str, about: &str) -> io::Result<()>;

    /// Shows what an engine says.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Clears what only made sense while it moved.
    fn finish(&mut self) -> io::Result<()>;
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bars that move.
    Bars,
    /// Lines with the time.
    Lines,
    /// One JSON object on each line.
    Json,
}

impl Form {
    /// Returns the form for where the output goes: a person's terminal gets bars, a pipeline's log lines.
    pub fn for_output(json: bool, terminal: bool, ci: bool) -> Self {
        match (json, terminal && !ci) {
            (true, _) => Self::Json,
            (false, true) => Self::Bars,
            (false, false) => Self::Lines,
        }
    }
}

/// Returns what shows progress in `form`; lines and JSON go to `output`, bars to the terminal of standard error.
pub fn show(form: Form, output: Box<dyn io::Write + Send>, clock: Clock) -> Box<dyn Progress> {
    match form {
        Form::Bars => Box::new(Bars::new(indicatif::ProgressDrawTarget::stderr())),
        Form::Lines => Box::new(Lines::new(output, clock)),
        Form::Json => Box::new(JsonLines::new(output, clock)),
    }
}

/// Lets a moving thing speak at most once in a while.
struct Throttle {
    every: jiff::SignedDuration,
    last: std::collections::BTreeMap<String, Timestamp>,
}

impl Throttle {
    fn every_seconds(seconds: i64) -> Self {
        Self { every: jiff::SignedDuration::from_secs(seconds), last: std::collections::BTreeMap::new() }
    }

    /// Returns whether the thing called `key` may speak now. The first time it may not: most things end before they are worth a
    /// line.
    fn allows(&mut self, key: &str, now: Timestamp) -> bool {
        match self.last.get_mut(key) {
            None => {
                self.last.insert(key.to_owned(), now);
                false
            }
            Some(last) if now.duration_since(*last) >= self.every => {
                *last = now;
                true
            }
            Some(_) => false,
        }
    }

    fn forget(&mut self, key: &str) {
        self.last.remove(key);
    }
}
