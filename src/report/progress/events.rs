//! Progress as JSON, one object on each line: for programs that watch.

use std::io::{self, Write};

use serde::Serialize;

use super::{Clock, Progress, Throttle};
use crate::engine::Event;

/// Writes each event as it comes; of what moves, one event a second.
pub struct JsonLines {
    output: Box<dyn Write + Send>,
    clock: Clock,
    throttle: Throttle,
}

#[derive(Serialize)]
struct Timed<'a, T> {
    time: String,
    #[serde(flatten)]
    what: &'a T,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Own<'a> {
    Stage { name: &'a str, about: &'a str },
}

impl JsonLines {
    /// Returns a printer that writes to `output`.
    pub fn new(output: Box<dyn Write + Send>, clock: Clock) -> Self {
        Self { output, clock, throttle: Throttle::every_seconds(1) }
    }

    fn write(&mut self, what: &impl Serialize) -> io::Result<()> {
        let time = (self.clock)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut line = serde_json::to_string(&Timed { time, what })?;
        line.push('\n');
        self.output.write_all(line.as_bytes())
    }
}

impl Progress for JsonLines {
    fn stage(&mut self, name: &str, about: &str) -> io::Result<()> {
        self.write(&Own::Stage { name, about })
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let moving = match event {
            Event::Progress { id, what, current, total } => Some((format!("{id} {what}"), current, total)),
            Event::Layer { id, status, current, total } => Some((format!("{id} {status}"), current, total)),
            _ => None,
        };
        if let Some((key, current, total)) = moving {
            let now = (self.clock)();
            // The end of what moves is always told.
            if current != total && *current != 0 && !self.throttle.allows(&key, now) {
                return Ok(());
            }
        }
        self.write(event)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
