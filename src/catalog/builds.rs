//! What compiling a component costs: reports of memory and time, each with its source.

use serde::{Deserialize, Serialize};

use super::row::Row;
use super::{Catalog, Fact};
use crate::recipe::Component;

/// One report of what compiling a component cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compile {
    /// The component.
    pub component: Component,
    /// The memory that one compiler takes, in GiB.
    pub memory_per_job_gib: Option<u64>,
    /// How many compilers ran at once; absent where the report does not say.
    pub jobs: Option<u64>,
    /// The minutes that it took: from, to; from alone where only the least is known. Empty where the report is of memory alone.
    #[serde(default)]
    pub minutes: Vec<u64>,
    /// Where this comes from.
    pub fact: Fact,
}

/// How long compiling may take, by reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minutes {
    /// At least; absent where nobody reports as many compilers.
    pub from: Option<u64>,
    /// At most; absent where nobody reports as few.
    pub to: Option<u64>,
    /// The sources of both, each once.
    pub basis: Vec<String>,
}

/// How much longer compiling takes under an emulator than on the machine that it emulates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Emulation {
    /// The emulator and its version.
    pub emulator: String,
    /// So many times as long.
    pub times: u64,
    /// Where this comes from.
    pub fact: Fact,
}

impl Row for Emulation {
    fn subject(&self) -> String {
        self.emulator.clone()
    }

    fn fact(&self) -> &Fact {
        &self.fact
    }

    fn about(&self) -> Vec<Component> {
        Vec::new()
    }
}

impl Row for Compile {
    fn subject(&self) -> String {
        match (self.jobs, self.minutes.is_empty()) {
            (Some(jobs), _) => format!("{} with {jobs} compilers", self.component),
            (None, true) => format!("{}, memory", self.component),
            (None, false) => format!("{}, number of compilers not stated", self.component),
        }
    }

    fn fact(&self) -> &Fact {
        &self.fact
    }

    fn about(&self) -> Vec<Component> {
        vec![self.component]
    }
}

impl Catalog {
    /// Returns the memory in GiB that one compiler of `component` takes, with its source.
    pub fn memory_per_job(&self, component: Component) -> Option<(u64, &str)> {
        let reports = self.compile.iter().filter(|report| report.component == component);
        reports.filter_map(|report| Some((report.memory_per_job_gib?, report.fact.source.as_str()))).max()
    }

    /// Returns how long compiling `component` with `jobs` compilers may take: between the report with the fewest compilers that are
    /// no fewer, and the one with the most that are no more. Nothing where there is no report.
    pub fn compile_minutes(&self, component: Component, jobs: u64) -> Option<Minutes> {
        let timed = || {
            self.compile.iter().filter(|report| report.component == component && !report.minutes.is_empty())
        };
        let faster = timed().filter(|report| report.jobs.is_none_or(|reported| reported >= jobs));
        let slower = timed().filter(|report| report.jobs.is_none_or(|reported| reported <= jobs));
        let faster = faster.min_by_key(|report| report.jobs);
        let slower = slower.max_by_key(|report| report.jobs);
        let mut basis: Vec<String> =
            [faster, slower].into_iter().flatten().map(|report| report.fact.source.clone()).collect();
        basis.dedup();
        (!basis.is_empty()).then(|| Minutes {
            from: faster.and_then(|report| report.minutes.first().copied()).filter(|minutes| *minutes > 0),
            to: slower.and_then(|report| report.minutes.get(1).copied()),
            basis,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_between_the_reports_with_more_and_with_fewer_compilers() {
        let catalog = Catalog::embedded().unwrap();
        let took = |jobs| {
            let minutes = catalog.compile_minutes(Component::FlashAttn, jobs).unwrap();
            (minutes.from, minutes.to)
        };
        assert_eq!(took(2), (Some(120), None), "nobody reports as few: no upper end is promised");
        assert_eq!(took(16), (Some(45), None), "the slower report names only the least that it took");
        assert_eq!(took(48), (Some(8), Some(45)));
        assert_eq!(took(100), (None, Some(8)));
        assert_eq!(catalog.compile_minutes(Component::Gdrcopy, 2), None);
        assert_eq!(catalog.memory_per_job(Component::FlashAttn).unwrap().0, 5);
    }
}
