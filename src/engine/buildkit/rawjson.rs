//! What buildx reports with `--progress rawjson`: BuildKit's own reports as JSON, with words between and after them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use bollard_buildkit_proto::pb::{Position, Range};
use serde::Deserialize;

/// How much of one report is read.
const LIMIT: usize = 16 * 1024 * 1024;

/// One line more of what buildx writes.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// A report is complete.
    Report(StatusResponse),
    /// Words for people.
    Words(String),
    /// More lines are to come.
    Nothing,
}

/// Puts reports together, which old buildx breaks into many lines and newer ones write on one.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: String,
}

impl Reader {
    /// Takes one line.
    pub(super) fn take(&mut self, line: &str) -> Said {
        if self.begun.is_empty() && !line.starts_with('{') {
            return if line.trim().is_empty() { Said::Nothing } else { Said::Words(line.to_owned()) };
        }
        self.begun.push_str(line);
        self.begun.push('\n');
        // The first line and those that close the outermost brace are where a report may end.
        if !line.starts_with('{') && !line.starts_with('}') && self.begun.len() < LIMIT {
            return Said::Nothing;
        }
        match serde_json::from_str::<Report>(&self.begun) {
            Ok(report) => {
                self.begun.clear();
                Said::Report(report.into())
            }
            Err(error) if error.is_eof() && self.begun.len() < LIMIT => Said::Nothing,
            Err(_) => Said::Words(std::mem::take(&mut self.begun).trim_end().to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    vertexes: Vec<Step>,
    #[serde(default)]
    statuses: Vec<Part>,
    #[serde(default)]
    logs: Vec<Log>,
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Step {
    digest: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
    started: Option<serde::de::IgnoredAny>,
    completed: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    id: String,
    #[serde(default)]
    vertex: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    current: i64,
    #[serde(default)]
    total: i64,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    vertex: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Warning {
    #[serde(default)]
    vertex: String,
    #[serde(default)]
    short: String,
    #[serde(default)]
    range: Vec<Lines>,
}

#[derive(Deserialize)]
struct Lines {
    #[serde(default)]
    start: Line,
}

#[derive(Deserialize, Default)]
struct Line {
    #[serde(default)]
    line: i32,
}

impl From<Report> for StatusResponse {
    fn from(report: Report) -> Self {
        // When a step started matters to nobody; that it did does.
        let then = |at: Option<serde::de::IgnoredAny>| at.map(|_| Timestamp::default());
        Self {
            vertexes: report
                .vertexes
                .into_iter()
                .map(|step| Vertex {
                    digest: step.digest,
                    name: step.name,
                    cached: step.cached,
                    error: step.error,
                    started: then(step.started),
                    completed: then(step.completed),
                    ..Vertex::default()
                })
                .collect(),
            statuses: report
                .statuses
                .into_iter()
                .map(|part| VertexStatus {
                    id: part.id,
                    vertex: part.vertex,
                    name: part.name,
                    current: part.current,
                    total: part.total,
                    ..VertexStatus::default()
                })
                .collect(),
            logs: report
                .logs
                .into_iter()
                .map(|log| VertexLog { vertex: log.vertex, msg: bytes(&log.data), ..VertexLog::default() })
                .collect(),
            warnings: report
                .warnings
                .into_iter()
                .map(|warning| VertexWarning {
                    vertex: warning.vertex,
                    short: bytes(&warning.short),
                    ranges: warning
                        .range
                        .iter()
                        .map(|lines| Range {
                            start: Some(Position { line: lines.start.line, character: 0 }),
                            end: None,
                        })
                        .collect(),
                    ..VertexWarning::default()
                })
                .collect(),
        }
    }
}

/// Bytes come as base64, as Go writes them.
fn bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_whether_they_come_on_one_line_or_on_many() {
        let one =
            r#"{"vertexes":[{"digest":"sha256:a","name":"[1/2] RUN x","started":"2026-01-01T00:00:00Z"}]}"#;
        let mut reader = Reader::default();
        let Said::Report(report) = reader.take(one) else { panic!() };
        assert!(report.vertexes[0].started.is_some() && report.vertexes[0].completed.is_none());

        let many = "{\n  \"logs\": [\n    {\n      \"vertex\": \"sha256:a\",\n      \"data\": \"aGkK\"\n    }\n  ]\n}";
        let said: Vec<Said> = many.lines().map(|line| reader.take(line)).collect();
        let (last, before) = said.split_last().unwrap();
        assert!(before.iter().all(|said| *said == Said::Nothing));
        let Said::Report(report) = last else { panic!("{last:?}") };
        assert_eq!(report.logs[0].msg, b"hi\n");
    }

    #[test]
    fn words_and_what_is_no_report_are_kept_as_words() {
        let mut reader = Reader::default();
        assert_eq!(reader.take("ERROR: failed to solve: x"), Said::Words("ERROR: failed to solve: x".into()));
        assert_eq!(reader.take(""), Said::Nothing);
        assert_eq!(reader.take(r#"{"vertexes": 3}"#), Said::Words(r#"{"vertexes": 3}"#.into()));
        assert_eq!(reader.take("after"), Said::Words("after".into()));
    }

    #[test]
    fn a_warning_tells_its_line() {
        let line =
            r#"{"warnings":[{"vertex":"v","short":"T2xk","range":[{"start":{"line":3},"end":{"line":3}}]}]}"#;
        let Said::Report(report) = Reader::default().take(line) else { panic!() };
        assert_eq!(report.warnings[0].short, b"Old");
        assert_eq!(report.warnings[0].ranges[0].start.unwrap().line, 3);
    }
}
