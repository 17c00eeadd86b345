//! What the classic builder says, as events; and what is left of it when a step fails.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::engine::buildkit::{TAIL, last_of_overwritten};
use crate::engine::dockerfile::{Instruction, instructions};
use crate::engine::http::{NO_SPACE, foreign, refused_by_registry};
use crate::engine::{BuildRequest, EngineError, Event, Events, StepCount, StepFailure, dockerfile};
use crate::oci::Digest;

/// One line of the engine's answer.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Line {
    stream: String,
    status: String,
    id: String,
    #[serde(rename = "progressDetail")]
    progress: Option<ProgressDetail>,
    #[serde(rename = "errorDetail")]
    error: Option<ErrorDetail>,
    aux: Option<Aux>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProgressDetail {
    current: Option<u64>,
    total: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorDetail {
    code: Option<i64>,
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Aux {
    #[serde(rename = "ID")]
    id: String,
}

/// Reads the answer line by line.
pub(super) struct Reader<'a> {
    request: &'a BuildRequest,
    events: &'a Events,
    instructions: Vec<Instruction>,
    step: Option<Step>,
    count: StepCount,
    partial: String,
    id: Option<Digest>,
}

struct Step {
    number: usize,
    name: String,
    cached: bool,
    tail: VecDeque<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(request: &'a BuildRequest, events: &'a Events) -> Self {
        Self {
            request,
            events,
            instructions: instructions(&request.dockerfile),
            step: None,
            count: StepCount::default(),
            partial: String::new(),
            id: None,
        }
    }

    /// Takes one line; an error where it says that the build failed.
    pub(super) fn take(&mut self, line: Line) -> Result<(), EngineError> {
        if let Some(error) = line.error {
            self.flush();
            return Err(self.failure(error));
        }
        if let Some(aux) = line.aux {
            self.id = aux.id.parse().ok().or(self.id);
        }
        if !line.status.is_empty() {
            let progress = line.progress.unwrap_or_default();
            let what = if line.id.is_empty() { line.status } else { format!("{} {}", line.id, line.status) };
            let id = self.step.as_ref().map(Step::id).unwrap_or_default();
            let (current, total) = (progress.current.unwrap_or(0), progress.total.unwrap_or(0));
            self.say(Event::Progress { id, what, current, total });
        }
        self.partial.push_str(&line.stream);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(&line);
        }
        Ok(())
    }

    /// Ends the reading: the image, and what was done for it.
    pub(super) fn end(mut self) -> Result<(Digest, StepCount), EngineError> {
        self.flush();
        self.end_step(None);
        let id = self.id.ok_or_else(|| EngineError::Protocol {
            doing: super::BUILDING.into(),
            reason: "the build ended without an image".into(),
        })?;
        Ok((id, self.count))
    }

    fn line(&mut self, line: &str) {
        // The builder paints what a step writes to standard error, across the ends of lines.
        let line = last_of_overwritten(&line.replace("\u{1b}[91m", "").replace("\u{1b}[0m", ""));
        if let Some((number, command)) = step_line(&line) {
            self.end_step(None);
            let step = Step { number, name: command.to_owned(), cached: false, tail: VecDeque::new() };
            self.say(Event::Step { id: step.id(), name: step.name.clone() });
            self.say(Event::StepStarted { id: step.id() });
            self.step = Some(step);
            return;
        }
        let Some(step) = &mut self.step else { return };
        if line == " ---> Using cache" {
            step.cached = true;
        } else if !line.starts_with(" ---> ")
            && !line.starts_with("Removing intermediate container ")
            && !line.is_empty()
        {
            if step.tail.len() == TAIL {
                step.tail.pop_front();
            }
            step.tail.push_back(line.clone());
            let id = step.id();
            self.say(Event::Output { id, line });
        }
    }

    fn flush(&mut self) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
        }
    }

    fn end_step(&mut self, error: Option<String>) {
        let Some(step) = &self.step else { return };
        let from = step.name.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("FROM"));
        match (from || error.is_some(), step.cached) {
            (true, _) => {}
            (false, true) => self.count.cached += 1,
            (false, false) => self.count.run += 1,
        }
        self.say(Event::StepEnded { id: step.id(), cached: step.cached, error });
        if let Some(step) = &mut self.step {
            step.cached = false;
        }
    }

    fn failure(&mut self, error: ErrorDetail) -> EngineError {
        let message = error.message;
        self.end_step(Some(message.clone()));
        if message.contains(NO_SPACE) {
            return EngineError::NoSpace(message);
        }
        let Some(step) = self.step.take() else {
            return EngineError::Dockerfile { line: 0, message };
        };
        let lines =
            step.number.checked_sub(1).and_then(|index| self.instructions.get(index)).map(|it| it.lines);
        if let Some(found) = foreign(&message).or_else(|| step.tail.iter().find_map(|line| foreign(line))) {
            let image =
                dockerfile::final_base(&self.request.dockerfile).unwrap_or_else(|| "the base image".into());
            return EngineError::Platform { image, found, wanted: self.request.platform };
        }
        let mut words = step.name.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("FROM")) {
            let image = words.find(|word| !word.starts_with("--")).unwrap_or_default();
            return refused_by_registry(image, message);
        }
        let status = error.code.filter(|&code| code != 0);
        let tail = step.tail.into_iter().collect();
        EngineError::Step(Box::new(StepFailure { name: step.name, lines, status, tail, message }))
    }

    fn say(&self, event: Event) {
        let _unheard = self.events.send(event);
    }
}

impl Step {
    fn id(&self) -> String {
        self.number.to_string()
    }
}

/// Reads `Step 3/7 : RUN make`.
fn step_line(line: &str) -> Option<(usize, &str)> {
    let (place, command) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, _) = place.split_once('/')?;
    Some((number.parse().ok()?, command))
}
