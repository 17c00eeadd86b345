//! Whose fault it was: the kind of a failure, its exit code and what helps. Decided at the edge, by `commands`.

use std::process::ExitCode;

/// Whose fault it was. Each has its exit code, which scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The command line makes no sense.
    Usage,
    /// A recipe or lock is invalid or stale.
    Input,
    /// No versions fit.
    NoFit,
    /// The build failed.
    Build,
    /// The image was looked at and does not pass.
    Verdict,
    /// A registry or AWS does not let us in.
    Unauthorised,
    /// The push failed.
    Push,
    /// This machine is not ready: no engine, no space, no network.
    Machine,
    /// The user interrupted us.
    Interrupted,
    /// A defect of this program.
    Defect,
}

impl Fault {
    /// Every fault, in the order of exit codes.
    pub const ALL: &[Self] = &[
        Self::Defect,
        Self::Usage,
        Self::Input,
        Self::NoFit,
        Self::Build,
        Self::Verdict,
        Self::Unauthorised,
        Self::Push,
        Self::Machine,
        Self::Interrupted,
    ];

    /// Returns the exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Defect => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::NoFit => 4,
            Self::Build => 5,
            Self::Verdict => 6,
            Self::Unauthorised => 7,
            Self::Push => 8,
            Self::Machine => 9,
            Self::Interrupted => 130,
        }
    }

    /// Returns the name as documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Defect => "defect",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::NoFit => "no-fit",
            Self::Build => "build",
            Self::Verdict => "verdict",
            Self::Unauthorised => "unauthorised",
            Self::Push => "push",
            Self::Machine => "machine",
            Self::Interrupted => "interrupted",
        }
    }

    /// Returns what the exit code means, for help and documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Defect => "a defect of smp-image",
            Self::Usage => "usage",
            Self::Input => "recipe or lock invalid or stale",
            Self::NoFit => "no versions fit",
            Self::Build => "build failed",
            Self::Verdict => "verdict failed",
            Self::Unauthorised => "not authorised",
            Self::Push => "push failed",
            Self::Machine => "machine not ready (no engine, disk full)",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Fault> for ExitCode {
    fn from(fault: Fault) -> Self {
        Self::from(fault.code())
    }
}

/// A command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// Whose fault it was.
    pub fault: Fault,
    /// What happened and where.
    pub report: miette::Report,
    /// What to do next; printed last, each as `hint: …`.
    pub hints: Vec<String>,
}

impl Failure {
    /// Returns a failure that was `fault`'s, told by `report`.
    #[must_use]
    pub fn new(fault: Fault, report: impl Into<miette::Report>) -> Self {
        Self { fault, report: report.into(), hints: Vec::new() }
    }

    /// Returns a failure told by one sentence, without the control characters that a server or a build step may have put there.
    #[must_use]
    pub fn said(fault: Fault, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        message.retain(|character| character == '\n' || !character.is_control());
        Self::new(fault, miette::Report::msg(message))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_faults_share_an_exit_code() {
        let mut codes: Vec<u8> = Fault::ALL.iter().map(|fault| fault.code()).collect();
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), Fault::ALL.len());
    }
}
