//! What the solver is given: for each component the values that it may take, and rules between components, each with its reason.
//!
//! Every component has few known values, so a set of them is a row of bits. That makes `!=` and `==2.8.*` exact, where intervals
//! of versions would not be, and lets the complement of a set be a set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::catalog::Fact;
use crate::recipe::{Component, Version, VersionRange};

/// How many values a component may have.
pub(super) const LARGEST: usize = 256;

/// A set of values of one component, by their places in its [`Domain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Set([u64; 4]);

impl Set {
    pub(super) const NONE: Self = Self([0; 4]);
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    pub(super) fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::NONE;
        for place in places {
            if let Some(word) = set.0.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        set
    }

    pub(super) fn holds(self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    pub(super) fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..LARGEST).filter(|place| self.holds(*place))).finish()
    }
}

impl pubgrub::VersionSet for Set {
    type V = usize;

    fn empty() -> Self {
        Self::NONE
    }

    fn singleton(place: usize) -> Self {
        Self::of([place])
    }

    fn complement(&self) -> Self {
        self.not()
    }

    fn intersection(&self, other: &Self) -> Self {
        self.and(*other)
    }

    fn contains(&self, place: &usize) -> bool {
        self.holds(*place)
    }
}

/// What a component may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A version.
    Version(Version),
    /// There, in a version that its bringer does not state.
    Unstated,
    /// Not in the image.
    Absent,
}

impl Value {
    pub(super) fn version(&self) -> Option<&Version> {
        match self {
            Self::Version(version) => Some(version),
            Self::Unstated | Self::Absent => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Unstated => f.pad("in a version that is not stated"),
            Self::Absent => f.pad("absent"),
        }
    }
}

/// The values that a component may take, the most wanted first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Domain(Vec<Value>);

impl Domain {
    /// Returns the domain of `values` in this order; what is beyond [`LARGEST`] is left out.
    pub(super) fn new(values: impl IntoIterator<Item = Value>) -> Self {
        let mut domain = Vec::new();
        for value in values {
            if domain.len() < LARGEST && !domain.contains(&value) {
                domain.push(value);
            }
        }
        Self(domain)
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.0
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.0.iter().filter_map(Value::version)
    }

    /// Returns the values of which `wanted` holds.
    pub(super) fn set(&self, wanted: impl Fn(&Value) -> bool) -> Set {
        Set::of(self.0.iter().enumerate().filter(|(_, value)| wanted(value)).map(|(place, _)| place))
    }

    /// Returns the versions in `range`.
    pub(super) fn within(&self, range: &VersionRange) -> Set {
        self.set(|value| value.version().is_some_and(|version| range.admits(version)))
    }

    /// Returns the values in `set`.
    pub(super) fn picked(&self, set: Set) -> impl Iterator<Item = &Value> {
        self.0.iter().enumerate().filter(move |(place, _)| set.holds(*place)).map(|(_, value)| value)
    }
}

/// A line of the recipe, as the resolver knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    /// `[components]`: the range of a component.
    Component(Component),
    /// One of `instances`.
    Instance(String),
    /// `base.image`.
    Base,
    /// `nodes.driver`.
    Driver,
    /// One of `precision`.
    Precision(String),
    /// One of `image.env`.
    Variable(String),
    /// One of `python.packages`.
    Package(String),
}

/// Why a rule holds: the line of the recipe, the facts, or both.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// The component whose value decides which row holds; none where the rows hold whatever is chosen.
    pub(super) when: Option<Component>,
    /// The component that is narrowed; none where the rule is a contradiction in itself.
    pub(super) then: Option<Component>,
    /// What holds; values of `when` that no row names are not narrowed.
    pub(super) rows: Vec<Row>,
    /// The lines of the recipe without which the rule would not be there.
    pub(super) lines: Vec<Line>,
    /// How much it binds.
    pub(super) binds: Binds,
}

/// How much a rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binds {
    /// As much as the confidence of its facts lets it.
    AsItsFacts,
    /// It may be broken, with a word: it runs without, but not well.
    AsAdvice,
    /// Always: it says what a thing is made of, and nothing better is known.
    Always,
}

impl Binds {
    /// Returns how much a rule binds that may be nothing but advice.
    pub(super) fn advice(advice: bool) -> Self {
        if advice { Self::AsAdvice } else { Self::AsItsFacts }
    }
}

/// One row of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// For which values of `when`.
    pub(super) given: Set,
    /// Which values of `then` are left.
    pub(super) allows: Set,
    /// The reason in one plain sentence; empty where the line of the recipe says it.
    pub(super) sentence: String,
    /// Where the sentence comes from; none for what the recipe says.
    pub(super) fact: Option<Fact>,
}

impl Rule {
    /// Returns a rule that narrows `then` whatever is chosen.
    pub(super) fn always(
        then: Component,
        allows: Set,
        sentence: impl Into<String>,
        fact: Option<Fact>,
    ) -> Self {
        let row = Row { given: Set::ALL, allows, sentence: sentence.into(), fact };
        Self { when: None, then: Some(then), rows: vec![row], lines: Vec::new(), binds: Binds::AsItsFacts }
    }

    /// Returns a rule between two components.
    pub(super) fn between(when: Component, then: Component, rows: Vec<Row>) -> Self {
        Self { when: Some(when), then: Some(then), rows, lines: Vec::new(), binds: Binds::AsItsFacts }
    }

    /// Returns a rule that no choice can keep.
    pub(super) fn never(sentence: impl Into<String>, fact: Option<Fact>) -> Self {
        let row = Row { given: Set::ALL, allows: Set::NONE, sentence: sentence.into(), fact };
        Self { when: None, then: None, rows: vec![row], lines: Vec::new(), binds: Binds::AsItsFacts }
    }

    /// Returns the rule as one that is there because of `line`.
    pub(super) fn because_of(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Returns the rule as one that binds so.
    pub(super) fn binding(mut self, binds: Binds) -> Self {
        self.binds = binds;
        self
    }

    /// Returns whether the rule is nothing but a line of the recipe.
    pub(super) fn is_line(&self) -> bool {
        self.rows.iter().all(|row| row.fact.is_none()) && !self.lines.is_empty()
    }

    /// Returns what is left of `then` where `when` has the value at `place`.
    pub(super) fn allows(&self, place: usize) -> Set {
        let rows = self.rows.iter().filter(|row| row.given.holds(place));
        rows.fold(Set::ALL, |left, row| left.and(row.allows))
    }
}

/// Which values are to be found: one for each component, so that every rule is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Problem {
    /// The components and what each may be.
    pub(super) domains: BTreeMap<Component, Arc<Domain>>,
    /// The rules.
    pub(super) rules: Vec<Rule>,
    /// Values that are taken before the newest wherever they fit, the most wanted first: what the base carries, what a lock had.
    pub(super) preferred: BTreeMap<Component, Vec<usize>>,
}

/// A value for each component, by its place in the domain.
pub(super) type Assignment = BTreeMap<Component, usize>;

impl Problem {
    /// Returns the value of `component` in `assignment`.
    pub(super) fn value<'a>(&'a self, assignment: &Assignment, component: Component) -> Option<&'a Value> {
        self.domains.get(&component)?.values().get(*assignment.get(&component)?)
    }

    /// Returns the rules that `assignment` breaks. Only tests ask: what the solver returns breaks none.
    #[cfg(test)]
    pub(super) fn broken(&self, assignment: &Assignment) -> Vec<usize> {
        let broken = |rule: &Rule| {
            let place = rule.when.map_or(Some(0), |when| assignment.get(&when).copied());
            let Some(place) = place else { return false };
            match rule.then {
                None => true,
                Some(then) => assignment.get(&then).is_some_and(|value| !rule.allows(place).holds(*value)),
            }
        };
        (0..self.rules.len()).filter(|at| broken(&self.rules[*at])).collect()
    }
}
