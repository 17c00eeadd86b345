//! What BuildKit reports about a build, as events; and what is left of it when a step fails.

use std::collections::{HashMap, VecDeque};

use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};

use crate::engine::{Event, Events, StepCount};

/// How many last lines of a failed step are kept, and how long one may be.
pub(in crate::engine) const TAIL: usize = 40;
const LINE_LIMIT: usize = 8 * 1024;

/// Follows one build.
pub(super) struct Progress {
    events: Events,
    steps: HashMap<String, Step>,
    /// The first step that failed by itself.
    failed: Option<String>,
    transferred: u64,
}

/// What is known of one step.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) error: String,
    pub(super) tail: VecDeque<String>,
    partial: Vec<u8>,
    started: bool,
    ended: bool,
    cached: bool,
}

impl Progress {
    pub(super) fn new(events: Events) -> Self {
        Self { events, steps: HashMap::new(), failed: None, transferred: 0 }
    }

    /// Takes one report.
    pub(super) fn take(&mut self, report: StatusResponse) {
        for vertex in report.vertexes {
            self.vertex(vertex);
        }
        for status in report.statuses {
            self.status(status);
        }
        for log in &report.logs {
            self.log(log);
        }
        for warning in &report.warnings {
            self.warning(warning);
        }
    }

    /// Says the last lines of steps that ended without an end of line.
    pub(super) fn finish(&mut self) {
        for (id, step) in &mut self.steps {
            step.flush(id, &self.events);
        }
    }

    /// Returns the step that failed, if one did.
    pub(super) fn failed(&self) -> Option<&Step> {
        self.failed.as_ref().and_then(|id| self.steps.get(id))
    }

    /// Returns the step with this digest.
    pub(super) fn step(&self, id: &str) -> Option<&Step> {
        self.steps.get(id)
    }

    /// Counts the steps of the Dockerfile; loading files and base images, and writing the result, are no steps.
    pub(super) fn count(&self) -> StepCount {
        let of_dockerfile = |step: &&Step| {
            let command = step.name.strip_prefix('[').and_then(|rest| rest.split_once("] "));
            command.is_some_and(|(place, command)| place != "internal" && !command.starts_with("FROM "))
        };
        let mut count = StepCount::default();
        for step in self.steps.values().filter(of_dockerfile) {
            match (step.ended, step.cached) {
                (true, true) => count.cached += 1,
                (true, false) => count.run += 1,
                (false, _) => {}
            }
        }
        count
    }

    /// Returns how many bytes of the context were sent, as the builder counts them.
    pub(super) fn transferred(&self) -> u64 {
        self.transferred
    }

    fn vertex(&mut self, vertex: Vertex) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        let id = vertex.digest;
        if step.name.is_empty() && !vertex.name.is_empty() {
            step.name.clone_from(&vertex.name);
            say(&self.events, Event::Step { id: id.clone(), name: vertex.name });
        }
        if vertex.started.is_some() && !step.started {
            step.started = true;
            say(&self.events, Event::StepStarted { id: id.clone() });
        }
        step.cached |= vertex.cached;
        if vertex.completed.is_some() && !step.ended {
            step.ended = true;
            step.flush(&id, &self.events);
            step.error.clone_from(&vertex.error);
            let error = (!vertex.error.is_empty()).then_some(vertex.error);
            // Steps beside the failed one are only cancelled; a cache that cannot be read is no failure, but must be known.
            let reading = step.name.starts_with("importing cache manifest");
            if let Some(error) = error.as_ref().filter(|_| reading) {
                let message = format!("the cache is not read: {} ({error})", step.name);
                say(&self.events, Event::Warning { message, line: 0 });
            } else if error.as_ref().is_some_and(|error| !error.contains("context canceled")) {
                self.failed.get_or_insert_with(|| id.clone());
            }
            say(&self.events, Event::StepEnded { id, cached: step.cached, error });
        }
    }

    fn status(&mut self, status: VertexStatus) {
        let number = |value: i64| u64::try_from(value).unwrap_or_default();
        if status.id == "transferring context:" || status.name == "transferring context:" {
            self.transferred = self.transferred.max(number(status.current));
        }
        say(
            &self.events,
            Event::Progress {
                id: status.vertex,
                what: if status.name.is_empty() { status.id } else { status.name },
                current: number(status.current),
                total: number(status.total),
            },
        );
    }

    fn log(&mut self, log: &VertexLog) {
        let step = self.steps.entry(log.vertex.clone()).or_default();
        step.partial.extend_from_slice(&log.msg);
        while let Some(end) = step.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = step.partial.drain(..=end).collect();
            step.line(&line, &log.vertex, &self.events);
        }
        if step.partial.len() > LINE_LIMIT {
            step.flush(&log.vertex, &self.events);
        }
    }

    fn warning(&mut self, warning: &VertexWarning) {
        let line =
            warning.ranges.first().and_then(|range| range.start.as_ref()).map_or(0, |start| start.line);
        say(
            &self.events,
            Event::Warning {
                message: String::from_utf8_lossy(&warning.short).into_owned(),
                line: u32::try_from(line).unwrap_or_default(),
            },
        );
    }
}

impl Step {
    fn flush(&mut self, id: &str, events: &Events) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&line, id, events);
        }
    }

    fn line(&mut self, line: &[u8], id: &str, events: &Events) {
        let line = last_of_overwritten(&String::from_utf8_lossy(line));
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        say(events, Event::Output { id: id.to_owned(), line });
    }
}

/// Returns what a terminal would show of a line whose parts are overwritten after carriage returns.
pub(in crate::engine) fn last_of_overwritten(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default().to_owned()
}

/// Nobody need listen.
fn say(events: &Events, event: Event) {
    let _unheard = events.send(event);
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::google::protobuf::Timestamp;

    use super::*;

    fn vertex(name: &str, cached: bool, error: &str) -> Vertex {
        Vertex {
            digest: name.into(),
            name: name.into(),
            cached,
            started: Some(Timestamp::default()),
            completed: Some(Timestamp::default()),
            error: error.into(),
            ..Vertex::default()
        }
    }

    fn taken(report: StatusResponse) -> (Progress, Vec<Event>) {
        let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut progress = Progress::new(events);
        progress.take(report);
        progress.finish();
        let heard = std::iter::from_fn(|| heard.try_recv().ok()).collect();
        (progress, heard)
    }

    #[test]
    fn only_steps_of_the_dockerfile_are_counted() {
        let vertexes = vec![
            vertex("[internal] load build context", false, ""),
            vertex("[1/3] FROM debian", false, ""),
            vertex("[2/3] RUN a", true, ""),
            vertex("[base 3/3] COPY a b", false, ""),
            vertex("exporting to image", false, ""),
        ];
        let (progress, _) = taken(StatusResponse { vertexes, ..StatusResponse::default() });
        assert_eq!(progress.count(), StepCount { run: 1, cached: 1 });
    }

    #[test]
    fn the_failed_step_is_not_one_that_was_only_cancelled() {
        let vertexes = vec![
            vertex("[2/3] RUN a", false, "context canceled"),
            vertex("[3/3] RUN b", false, "exit code: 3"),
        ];
        let (progress, _) = taken(StatusResponse { vertexes, ..StatusResponse::default() });
        assert_eq!(progress.failed().unwrap().name, "[3/3] RUN b");
    }

    #[test]
    fn output_comes_in_whole_lines_as_a_terminal_shows_them() {
        let log = |text: &str| VertexLog { vertex: "v".into(), msg: text.into(), ..VertexLog::default() };
        let logs = vec![log("one\ntw"), log("o\n10%\r20%\r"), log("\nend")];
        let (progress, heard) = taken(StatusResponse { logs, ..StatusResponse::default() });
        let lines = heard.into_iter().filter_map(|event| match event {
            Event::Output { line, .. } => Some(line),
            _ => None,
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines, ["one", "two", "20%", "end"]);
        assert_eq!(progress.step("v").unwrap().tail, lines);
    }
}
