//! Progress as plain lines with the time: for pipelines and logs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;

use super::super::plain::{bytes, line, short, step as plain_step, took};
use super::{Clock, Progress, Throttle};
use crate::engine::Event;

/// Writes a line for what happens; a download or a layer gets one every ten seconds.
pub struct Lines {
    output: Box<dyn Write + Send>,
    clock: Clock,
    steps: BTreeMap<String, Step>,
    layers: BTreeMap<String, String>,
    throttle: Throttle,
}

struct Step {
    number: usize,
    name: String,
    started: Timestamp,
}

impl Lines {
    /// Returns a printer that writes to `output`.
    pub fn new(output: Box<dyn Write + Send>, clock: Clock) -> Self {
        let throttle = Throttle::every_seconds(10);
        Self { output, clock, steps: BTreeMap::new(), layers: BTreeMap::new(), throttle }
    }

    fn say(&mut self, now: Timestamp, text: &str) -> io::Result<()> {
        writeln!(self.output, "{} {text}", now.strftime("%H:%M:%S"))
    }

    /// Returns `#3`, as BuildKit's own plain output numbers steps.
    fn number(&mut self, id: &str, now: Timestamp) -> usize {
        let next = self.steps.len() + 1;
        let unknown = || Step { number: next, name: id.to_owned(), started: now };
        self.steps.entry(id.to_owned()).or_insert_with(unknown).number
    }

    fn ended(&mut self, id: &str, cached: bool, error: Option<&str>, now: Timestamp) -> io::Result<()> {
        let number = self.number(id, now);
        let Some(step) = self.steps.get(id) else { return Ok(()) };
        let elapsed = took(now.duration_since(step.started).try_into().unwrap_or_default());
        let text = match error {
            Some(error) => format!("#{number} failed after {elapsed}: {}", line(error)),
            None if cached => format!("#{number} cached"),
            None => format!("#{number} done in {elapsed}"),
        };
        self.say(now, &text)
    }

    fn layer(
        &mut self,
        id: &str,
        status: &str,
        (current, total): (u64, u64),
        now: Timestamp,
    ) -> io::Result<()> {
        // `Retrying in 5 seconds` counts down; once is enough.
        let status = status
            .split_once(" in ")
            .map_or(status, |(word, _)| if word == "Retrying" { word } else { status });
        let news = self.layers.get(id).is_none_or(|before| before != status);
        if !news && !self.throttle.allows(id, now) {
            return Ok(());
        }
        if news {
            self.layers.insert(id.to_owned(), status.to_owned());
            self.throttle.forget(id);
            self.throttle.allows(id, now);
        }
        let far = far(current, total);
        self.say(now, &format!("layer {} {}{far}", short(id, 20), line(status)))
    }
}

/// Returns how far something is, with a space before it; nothing where nothing is known.
fn far(current: u64, total: u64) -> String {
    match (current, total) {
        (0, _) => String::new(),
        (current, 0) => format!(" {}", bytes(current)),
        (current, total) => format!(" {} of {}", bytes(current), bytes(total)),
    }
}

impl Progress for Lines {
    fn stage(&mut self, name: &str, about: &str) -> io::Result<()> {
        let now = (self.clock)();
        self.steps.clear();
        self.layers.clear();
        self.say(now, format!("== {} {}", line(name), line(about)).trim_end())
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let now = (self.clock)();
        match event {
            Event::Step { id, name } => {
                self.number(id, now);
                if let Some(step) = self.steps.get_mut(id) {
                    step.name = plain_step(name, 120);
                }
                Ok(())
            }
            Event::StepStarted { id } => {
                let number = self.number(id, now);
                let Some(step) = self.steps.get_mut(id) else { return Ok(()) };
                step.started = now;
                let text = format!("#{number} {}", step.name);
                self.say(now, &text)
            }
            Event::StepEnded { id, cached, error } => self.ended(id, *cached, error.as_deref(), now),
            Event::Progress { id, what, current, total } => {
                if !self.throttle.allows(&format!("{id} {what}"), now) {
                    return Ok(());
                }
                let number = self.number(id, now);
                self.say(now, &format!("#{number} {}{}", short(what, 80), far(*current, *total)))
            }
            Event::Output { id, line: written } => {
                let number = self.number(id, now);
                self.say(now, format!("#{number} | {}", line(written)).trim_end())
            }
            Event::Warning { message, line: 0 } => self.say(now, &format!("warning: {}", line(message))),
            Event::Warning { message, line: at } => {
                self.say(now, &format!("warning: {} (Dockerfile, line {at})", line(message)))
            }
            Event::Layer { id, status, current, total } => self.layer(id, status, (*current, *total), now),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
