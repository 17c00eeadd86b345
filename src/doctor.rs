//! What this machine can do for a recipe, and what is in its way: facts gathered at one door, checks that are pure functions over them.
//!
//! A check that could not be made says `unknown`, never `fine`. [`Diagnosis::ready`] is what `build` would come to.

use serde::Serialize;

use crate::oci::Platform;

mod checks;
mod facts;
mod machine;

pub use facts::{Aws, Builders, Clock, Disk, Ecr, Efa, Emulation, Facts, Gpu, Way};
pub use machine::{FakeMachine, Machine, ThisMachine, Where, space};

/// The version of the JSON form. Fields are only added while it stays.
pub const FORMAT: u32 = 1;

/// What a recipe needs of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The platform of the image.
    pub platform: Platform,
    /// Space for the build where the engine keeps its data, in bytes.
    pub disk: u64,
    /// How many compilers would run at once.
    pub max_jobs: u64,
    /// The steps of its plan on this builder; absent where no plan can be made without asking, or no engine says what it is.
    pub steps: Option<Steps>,
}

/// The steps of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Those that must run programs of the image on a builder that is another machine.
    pub emulated: usize,
    /// All of them.
    pub all: usize,
}

/// How grave what was found is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing; nothing is in the way.
    Note,
    /// It could not be found out.
    Unknown,
    /// In the way of a part of the work, such as pushing to ECR.
    Warning,
    /// A build would fail.
    Fatal,
}

/// What `--fix` may do: what changes nothing that anybody has, and can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Let NVIDIA's toolkit write the specification of this machine's GPUs for the Container Device Interface.
    WriteCdi,
}

impl Fix {
    /// Returns the command that it is.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::WriteCdi => &["nvidia-ctk", "cdi", "generate", "--output=/etc/cdi/nvidia.yaml"],
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Checkup {
    /// What was looked at, such as `engine`.
    pub check: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What `--fix` would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Checkup {
    fn of(check: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        // What an engine or a server said may hold anything.
        message.retain(|character| !character.is_control());
        Self { check, severity, message, remedy: None, fix: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// [`FORMAT`].
    pub format: u32,
    /// The tool and its version.
    pub tool: String,
    /// The recipe that the machine was looked at for.
    pub recipe: String,
    /// The platform of its image.
    pub platform: Platform,
    /// Whether a build would find what it needs.
    pub ready: bool,
    /// What each check found.
    pub checks: Vec<Checkup>,
}

impl Diagnosis {
    /// Looks at what is known of a machine, for what a recipe needs.
    pub fn of(facts: &Facts, need: &Need, recipe: String) -> Self {
        let checks = checks::all(facts, need);
        let ready = !checks.iter().any(|check| check.severity == Severity::Fatal);
        let tool = concat!("smp-image ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { format: FORMAT, tool, recipe, platform: need.platform, ready, checks }
    }

    /// Returns the JSON Schema of its JSON form.
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// Returns it as text for people, in lines of `width` where the terminal says how wide it is.
    pub fn text(&self, colour: bool, width: Option<usize>) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{} for the recipe {}, {}\n\n", self.tool, self.recipe, self.platform);
        let names = self.checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
        let indent = names + 11;
        for check in &self.checks {
            let (mark, code) = match check.severity {
                Severity::Fine => ("ok     ", "32"),
                Severity::Note => ("note   ", "36"),
                Severity::Unknown => ("unknown", "35"),
                Severity::Warning => ("warning", "33"),
                Severity::Fatal => ("FAILS  ", "31"),
            };
            let mark = if colour { format!("\u{1b}[{code}m{mark}\u{1b}[0m") } else { mark.to_owned() };
            let message = hanging(&check.message, indent, width);
            let _infallible = writeln!(text, "{mark}  {:names$}  {message}", check.check);
            let mut below = |what: &str| {
                let _infallible = writeln!(text, "{:indent$}→ {}", "", hanging(what, indent + 2, width));
            };
            if let Some(remedy) = &check.remedy {
                below(remedy);
            }
            if let Some(fix) = check.fix {
                below(&format!("--fix runs: {}", fix.command().join(" ")));
            }
        }
        let end = if self.ready { "A build finds what it needs." } else { "A build would fail." };
        format!("{text}\n{end}\n")
    }
}

/// The least room that is worth wrapping for.
const NARROW: usize = 24;

/// Breaks `text` between words, so that its lines fit between `indent` and `width`.
fn hanging(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(room) = width.map(|width| width.saturating_sub(indent)).filter(|room| *room >= NARROW) else {
        return text.to_owned();
    };
    let (mut broken, mut column) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > room {
            broken.push('\n');
            broken.extend(std::iter::repeat_n(' ', indent));
            column = 0;
        } else if column > 0 {
            broken.push(' ');
            column += 1;
        }
        broken += word;
        column += length;
    }
    broken
}
