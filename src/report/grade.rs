//! A judged log as text, JSON and JUnit.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::ReportError;
use super::plain::{count, line, short, wrapped};
use super::text::{Colour, Style, paragraph};
use crate::catalog::SymptomSeverity;
use crate::grade::{Aspect, Grade, Line, Status};

/// A judged log as the tool's JSON document.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct GradeReport<'a> {
    /// The version of this document's form; fields are only added while it stays.
    pub format: u32,
    /// The tool and its version.
    pub tool: String,
    /// The judgement.
    pub grade: &'a Grade,
}

impl<'a> GradeReport<'a> {
    /// Returns the document for `grade`.
    pub fn new(grade: &'a Grade) -> Self {
        Self {
            format: super::FORMAT,
            tool: concat!("smp-image ", env!("CARGO_PKG_VERSION")).to_owned(),
            grade,
        }
    }
}

/// Returns `grade` as indented JSON that ends with a line end.
pub fn json(grade: &Grade) -> Result<String, ReportError> {
    Ok(serde_json::to_string_pretty(&GradeReport::new(grade))? + "\n")
}

/// Returns the JSON Schema of that document.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(GradeReport<'_>)
}

/// Returns `grade` as text that ends with a line end.
pub fn text(grade: &Grade, style: Style) -> String {
    section(grade, style, "Verdict ")
}

/// Returns `grade` as a part of a report; `said` stands before the judgement.
pub(super) fn section(grade: &Grade, style: Style, said: &str) -> String {
    let mut lines = heading(grade);
    lines.push(String::new());
    let mut last = "";
    for aspect in &grade.aspects {
        lines.extend(aspect_lines(aspect, grade, style));
        // What helps against the one helps against the next: it is said once.
        if !aspect.remedy.is_empty() && aspect.remedy != last {
            lines.extend(told("           hint: ", &aspect.remedy, style));
            last = &aspect.remedy;
        }
    }
    if !grade.symptoms.is_empty() {
        lines.extend([String::new(), "Symptoms".to_owned()]);
    }
    for symptom in &grade.symptoms {
        let (word, colour) = match symptom.severity {
            SymptomSeverity::Error => ("error", Colour::Red),
            SymptomSeverity::Warning => ("warning", Colour::Yellow),
            SymptomSeverity::Info | SymptomSeverity::Benign => ("info", Colour::Blue),
        };
        let times = if symptom.count == 1 { String::new() } else { format!(" ({} times)", symptom.count) };
        let lead = format!("  {word:<8} ");
        let mut cause = told(&lead, &format!("{}: {}{times}", symptom.code, symptom.cause), style);
        // Painted at last: colours have no width.
        if let Some(first) = cause.first_mut() {
            *first = first.replacen(word, &style.paint(word, colour), 1);
        }
        lines.extend(cause);
        lines.extend(symptom.lines.iter().take(1).map(|seen| quoted(seen, grade, None)));
        lines.extend(told("           hint: ", &symptom.remedy, style));
        lines.extend(told("           known from: ", &symptom.fact.source, style));
    }
    lines.extend(ranks(grade, style));
    lines.extend([String::new(), format!("{said}   {}", word(grade.verdict, 0, style))]);
    paragraph(&lines)
}

/// Returns what `lead` introduces, broken between words to the width of the terminal, all of it behind the lead.
fn told(lead: &str, text: &str, style: Style) -> Vec<String> {
    let indent = " ".repeat(lead.len());
    let pieces = wrapped(&line(text), style.width.saturating_sub(lead.len()).max(40));
    let leads = std::iter::once(lead).chain(std::iter::repeat(indent.as_str()));
    leads.zip(pieces).map(|(lead, piece)| format!("{lead}{piece}")).collect()
}

fn heading(grade: &Grade) -> Vec<String> {
    let read = &grade.read;
    let logs: Vec<String> = read.logs.iter().map(|log| line(log)).collect();
    let mut lines = vec![
        format!("Log        {}", logs.join(", ")),
        format!(
            "           {}, {} of NCCL",
            count(usize::try_from(read.lines).unwrap_or(usize::MAX), "line"),
            count(usize::try_from(read.messages).unwrap_or(usize::MAX), "message")
        ),
    ];
    if read.shortened > 0 {
        lines.push(format!("           note: of {} lines only the first 16 KiB were read", read.shortened));
    }
    lines.push(match &grade.expected {
        None => "Expected   nothing: no --instances".to_owned(),
        Some(expected) => {
            let network = match (expected.efa, expected.gpu_direct) {
                (false, _) => "no EFA",
                (true, Some(true)) => "EFA with GPUDirect RDMA",
                (true, Some(false)) => "EFA without GPUDirect RDMA",
                (true, None) => "EFA; whether with GPUDirect RDMA, nothing citable says",
            };
            format!("Expected   {}: {network}", expected.instances.join(", "))
        }
    });
    lines
}

fn aspect_lines(aspect: &Aspect, grade: &Grade, style: Style) -> Vec<String> {
    let plain = aspect.status.name();
    let mut lines = told(&format!("  {plain:<8} {:<10} ", aspect.name), &aspect.said, style);
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(plain, &word(aspect.status, 0, style), 1);
    }
    if aspect.status == Status::Passed {
        lines.extend(aspect.lines.first().map(|seen| quoted(seen, grade, Some(style.width))));
    } else {
        lines.extend(aspect.lines.iter().map(|seen| quoted(seen, grade, None)));
    }
    lines
}

/// Returns a line of the log as evidence; one that decided against the job is shown whole, and the terminal breaks it.
fn quoted(seen: &Line, grade: &Grade, width: Option<usize>) -> String {
    let place = match grade.read.logs.as_slice() {
        [_] => format!("line {}", seen.number),
        _ => format!("{}:{}", line(&seen.log), seen.number),
    };
    let text = format!("{place}: {}", line(&seen.text));
    let text = width.map_or_else(|| text.clone(), |width| short(&text, width.saturating_sub(13).max(40)));
    format!("           | {text}")
}

fn word(status: Status, width: usize, style: Style) -> String {
    let colour = match status {
        Status::Passed => Colour::Green,
        Status::Unknown => Colour::Yellow,
        Status::Failed => Colour::Red,
    };
    style.paint(&format!("{:<width$}", status.name()), colour)
}

/// Returns a line for each rank that did not pass, at most a screen of them.
fn ranks(grade: &Grade, style: Style) -> Vec<String> {
    const SHOWN: usize = 16;
    let bad: Vec<_> = grade.ranks.iter().filter(|rank| rank.status != Status::Passed).collect();
    if bad.is_empty() || grade.ranks.len() < 2 {
        return Vec::new();
    }
    let mut lines =
        vec![String::new(), format!("Ranks      {} of {} did not pass", bad.len(), grade.ranks.len())];
    for rank in bad.iter().take(SHOWN) {
        let number = rank.rank.map_or_else(|| "rank ?".to_owned(), |rank| format!("rank {rank}"));
        let device = rank.device.map_or_else(String::new, |device| format!(", GPU {device}"));
        let network = rank.network.as_deref().unwrap_or("no network named");
        lines.push(format!(
            "  {} {number:<10} {} pid {}{device}: {network}, {} of {} communicators complete",
            word(rank.status, 8, style),
            line(&rank.host),
            rank.pid,
            rank.completed,
            rank.started.max(rank.completed)
        ));
    }
    if bad.len() > SHOWN {
        lines.push(format!("           and {} more", bad.len() - SHOWN));
    }
    lines
}

/// Returns `grade` as JUnit XML.
pub fn junit(grade: &Grade) -> Result<String, ReportError> {
    let mut junit =
        Junit::new(format!("smp-image {} {}", env!("CARGO_PKG_VERSION"), grade.read.logs.join(" ")));
    junit.add_test_suite(suite(grade));
    super::junit::written(&junit)
}

/// Returns `grade` as a suite: each aspect is a test; what the log does not say is an error of the test, not a failure.
pub(super) fn suite(grade: &Grade) -> TestSuite {
    let mut suite = TestSuite::new("grade");
    for aspect in &grade.aspects {
        let mut case = TestCase::new(aspect.name, TestCaseStatus::success());
        case.set_classname("grade");
        let kind = match aspect.status {
            Status::Passed => None,
            Status::Unknown => Some(NonSuccessKind::Error),
            Status::Failed => Some(NonSuccessKind::Failure),
        };
        let said = line(&aspect.said);
        if let Some(kind) = kind {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(aspect.status.name());
            status.set_message(said.as_str());
            status.set_description(format!("hint: {}", aspect.remedy));
            case.status = status;
        }
        let mut lines = vec![said];
        lines.extend(aspect.lines.iter().map(|seen| format!("{}:{}: {}", seen.log, seen.number, seen.text)));
        case.set_system_out(lines.join("\n"));
        suite.add_test_case(case);
    }
    suite
}
