//! Why nothing fits: every independent conflict as its minimal core, the fewest rules that already exclude each other.

use std::collections::BTreeSet;

use super::problem::{Line, Problem, Rule};
use super::solve::{Rules, all, solve};

/// A conflict: rules that cannot all be kept, none of which can be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The rules, by their places in the problem.
    pub(super) rules: Rules,
    /// The lines of the recipe that take part.
    pub(super) lines: BTreeSet<Line>,
}

/// Returns the conflicts of `problem` that are independent, the first found first; none where it has a solution.
///
/// Two conflicts are independent where no line but the base and the instances takes part in both: mending one line could otherwise
/// settle both.
pub(super) fn conflicts(problem: &Problem) -> Vec<Conflict> {
    let mut left = all(problem);
    let mut found: Vec<Conflict> = Vec::new();
    let mut taken: BTreeSet<Line> = BTreeSet::new();
    while let Err(suspects) = solve(problem, &left) {
        let rules = minimal(problem, suspects);
        if rules.is_empty() {
            // A component without any value; whoever posed the problem says so.
            break;
        }
        let lines = lines(problem, &rules);
        left = without(problem, &left, &given_up(&lines), &rules);
        let own = lines.iter().filter(|line| !matches!(line, Line::Base | Line::Instance(_)));
        let own: Vec<Line> = own.cloned().collect();
        if found.is_empty() || !own.iter().any(|line| taken.contains(line)) {
            taken.extend(own);
            let rules = clearer(problem, &rules);
            found.push(Conflict { lines: self::lines(problem, &rules), rules });
        }
    }
    found
}

/// Adds the ranges that leave fewer rows of a table to tell: `SMP 2.8.0 is made with …` instead of a row for each SMP.
fn clearer(problem: &Problem, core: &Rules) -> Rules {
    let mut clearer = core.clone();
    for rule in core.iter().filter_map(|at| problem.rules.get(*at)) {
        let Some(when) = rule.when else { continue };
        let narrows = |line: &Rule| {
            line.is_line()
                && line.then == Some(when)
                && rule.rows.iter().any(|row| row.given.and(line.allows(0)).is_none())
        };
        clearer.extend((0..problem.rules.len()).filter(|at| narrows(&problem.rules[*at])));
    }
    clearer
}

/// Returns a minimal subset of `suspects` that has no solution either.
///
/// Rules with facts are tried first, so that of two explanations the one stays that names what the person wrote.
pub(super) fn minimal(problem: &Problem, suspects: Rules) -> Rules {
    let mut core = suspects;
    let mut order: Vec<usize> = core.iter().copied().collect();
    order.sort_by_key(|at| problem.rules.get(*at).map_or(0, |rule| usize::from(rule.is_line())));
    for candidate in order {
        let mut fewer = core.clone();
        if fewer.remove(&candidate)
            && let Err(still) = solve(problem, &fewer)
        {
            core = still;
        }
    }
    core
}

fn lines(problem: &Problem, rules: &Rules) -> BTreeSet<Line> {
    rules.iter().filter_map(|at| problem.rules.get(*at)).flat_map(|rule| rule.lines.clone()).collect()
}

/// Returns the lines that are given up to look for another conflict: the asked-for ranges, else everything but the base.
fn given_up(lines: &BTreeSet<Line>) -> BTreeSet<Line> {
    let ranges: BTreeSet<Line> =
        lines.iter().filter(|line| matches!(line, Line::Component(_))).cloned().collect();
    if ranges.is_empty() {
        lines.iter().filter(|line| **line != Line::Base).cloned().collect()
    } else {
        ranges
    }
}

fn without(problem: &Problem, rules: &Rules, lines: &BTreeSet<Line>, core: &Rules) -> Rules {
    let stays = |at: &&usize| {
        problem.rules.get(**at).is_some_and(|rule| !rule.lines.iter().any(|line| lines.contains(line)))
    };
    let left: Rules = rules.iter().filter(stays).copied().collect();
    // A core of facts alone is given up whole: it is told, and what else is wrong is told too.
    if left.len() == rules.len() { rules.difference(core).copied().collect() } else { left }
}
