//! The schema check: what a catalogue must be beyond its form. It runs while the program is built, and again over files of the user's.

use std::collections::{BTreeMap, BTreeSet};

use super::CatalogError;
use super::facts::{Constraint, Fact};
use super::merge::{Place, Places};
use super::row::Row;
use super::tables::Catalog;
use crate::recipe::{Component, Source, Version, VersionRange, nearest};

/// Refuses a catalogue in which a fact has no source or no real date, a range admits nothing, two rows speak of the same version, or needs
/// go round in a circle that nothing can meet.
pub(super) fn check(
    catalog: &Catalog,
    places: &Places,
    files: &[Source],
    built_in: usize,
) -> Result<(), CatalogError> {
    let rows = catalog.rows();
    let mut check = Check { catalog, places, files, built_in, known: BTreeMap::new() };
    for (table, row) in &rows {
        check.facts(table, *row)?;
        check.days(table, *row)?;
        check.ranges(table, *row)?;
    }
    check.releases()?;
    check.one_row_for_each_version(&rows)?;
    check.instances()?;
    check.gpus()?;
    check.precisions()?;
    check.bundled_plugins()?;
    check.no_circle()
}

/// A row with the range for which it speaks.
type Speaking<'a> = (&'a VersionRange, &'a dyn Row);

struct Check<'a> {
    catalog: &'a Catalog,
    places: &'a Places,
    files: &'a [Source],
    built_in: usize,
    known: BTreeMap<Component, Vec<Version>>,
}

impl Check<'_> {
    /// Returns an error at `row`.
    fn error(&self, table: &'static str, row: &dyn Row, message: impl Into<String>) -> CatalogError {
        let here = self.places.get(&(table, row.key())).cloned();
        let Place { file, span } = here.unwrap_or(Place { file: 0, span: 0..0 });
        let own: Vec<&str> = self.files.iter().skip(self.built_in).map(|own| own.origin.as_str()).collect();
        // Our own rows pass by themselves: what is wrong with one of them is what the user's files made of the rest.
        let mut message = message.into();
        if file < self.built_in && !own.is_empty() {
            message = format!("{message}, together with {}", own.join(" and "));
        }
        match self.files.get(file) {
            Some(source) => CatalogError::at(source, file >= self.built_in, span, message),
            None => CatalogError::missing(None, &row.subject()),
        }
    }

    fn facts(&self, table: &'static str, row: &dyn Row) -> Result<(), CatalogError> {
        for fact in std::iter::once(row.fact()).chain(row.further_facts()) {
            self.fact(table, row, fact)?;
        }
        Ok(())
    }

    fn fact(&self, table: &'static str, row: &dyn Row, fact: &Fact) -> Result<(), CatalogError> {
        if fact.source.trim().len() < 4 || fact.source.chars().any(char::is_control) {
            let message = format!("{} has no source", row.subject());
            return Err(self.error(table, row, message).with_help(
                "name a public reference in one line: a page, or a repository with its revision and file",
            ));
        }
        if !is_day(&fact.date) {
            let message = format!("`{}` is not a day", fact.date);
            return Err(self
                .error(table, row, message)
                .with_help("write the day on which the source was read as YYYY-MM-DD, such as 2026-11-23"));
        }
        Ok(())
    }

    fn days(&self, table: &'static str, row: &dyn Row) -> Result<(), CatalogError> {
        match row.days().into_iter().find(|day| !is_day(day) && !is_day(&format!("{day}-01"))) {
            Some(day) => Err(self
                .error(table, row, format!("`{day}` is neither a day nor a month"))
                .with_help("write YYYY-MM-DD, or YYYY-MM where only the month is known")),
            None => Ok(()),
        }
    }

    /// Returns every known version of `component`.
    fn known(&mut self, component: Component) -> &[Version] {
        self.known.entry(component).or_insert_with(|| self.catalog.versions(component))
    }

    fn ranges(&mut self, table: &'static str, row: &dyn Row) -> Result<(), CatalogError> {
        // Drivers are known only as far as node images name them; a node may have any other.
        for (component, range) in
            row.ranges().into_iter().filter(|(component, _)| *component != Component::Driver)
        {
            let known = self.known(component);
            if known.iter().any(|version| range.admits(version)) {
                continue;
            }
            let span = match known {
                [newest, .., oldest] => format!("known versions go from {oldest} to {newest}"),
                [only] => format!("the only known version is {only}"),
                [] => "no version of it is known".to_owned(),
            };
            return Err(self
                .error(table, row, format!("no known version of {component} is in `{range}`"))
                .with_help(format!("{span}; correct the range, or add the version in a [[release]] row")));
        }
        Ok(())
    }

    fn releases(&self) -> Result<(), CatalogError> {
        for row in &self.catalog.releases {
            let mut seen = BTreeSet::new();
            if let Some(twice) = row.versions.iter().find(|version| !seen.insert((*version).clone())) {
                let message = format!("{} {twice} is listed twice", row.component);
                return Err(self.error("release", row, message).with_help("take one of them out"));
            }
            if row.versions.is_empty() {
                let message = format!("the row lists no version of {}", row.component);
                return Err(self
                    .error("release", row, message)
                    .with_help("list versions, or take the row out"));
            }
        }
        Ok(())
    }

    /// Refuses two rows of one table that both say the one thing that the table says of a version.
    fn one_row_for_each_version(&mut self, rows: &[(&'static str, &dyn Row)]) -> Result<(), CatalogError> {
        let mut said: BTreeMap<_, Vec<Speaking<'_>>> = BTreeMap::new();
        for (table, row) in rows {
            let Some((apart, component, range)) = row.alone_for() else { continue };
            let others = said.entry((table, apart, component)).or_default();
            let versions = self.known(component);
            for (other, first) in others.iter() {
                let both = versions.iter().find(|version| range.admits(version) && other.admits(version));
                if let Some(version) = both {
                    let message = format!("two rows of `{table}` speak of {component} {version}");
                    let help = format!(
                        "the other is `{}`; make the ranges meet nowhere, or repeat its range exactly to override it",
                        first.subject()
                    );
                    return Err(self.error(table, *row, message).with_help(help));
                }
            }
            others.push((range, *row));
        }
        Ok(())
    }

    fn instances(&self) -> Result<(), CatalogError> {
        for row in &self.catalog.instance_needs {
            if self.catalog.instances.keys().any(|name| row.concerns(name)) {
                continue;
            }
            let error = self.error(
                "instance-needs",
                row,
                format!("`{}` is no instance type that is known", row.instances),
            );
            let names = self.catalog.instances.keys().map(String::as_str);
            return Err(match nearest(&row.instances, names) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => {
                    error.with_help("write a name, or the beginning of names before a `*`, such as `ml.p5.*`")
                }
            });
        }
        Ok(())
    }

    /// Refuses a GPU whose compute capability is not that of the instances which have it.
    fn gpus(&self) -> Result<(), CatalogError> {
        for gpu in &self.catalog.gpus {
            let others = self.catalog.instances.values().filter(|instance| instance.gpu == gpu.name);
            if let Some(other) = others.into_iter().find(|instance| instance.sm != gpu.sm) {
                let message = format!(
                    "{} is of compute capability {} here and {} in {}",
                    gpu.name, gpu.sm, other.sm, other.name
                );
                return Err(self
                    .error("gpu", gpu, message)
                    .with_help("write the same for both, without the dot: 90 for 9.0"));
            }
        }
        Ok(())
    }

    fn precisions(&self) -> Result<(), CatalogError> {
        match self.catalog.precisions.iter().find(|row| row.to_sm.is_some_and(|to| to < row.from_sm)) {
            Some(row) => Err(self
                .error("precision", row, "`to-sm` is below `from-sm`")
                .with_help("`from-sm` is the oldest compute capability, `to-sm` the newest")),
            None => Ok(()),
        }
    }

    fn bundled_plugins(&self) -> Result<(), CatalogError> {
        let is_version = |text: &String| text.parse::<Version>().is_ok();
        match self.catalog.efa.iter().find(|row| row.plugin.as_ref().is_some_and(|text| !is_version(text))) {
            Some(row) => {
                let plugin = row.plugin.as_deref().unwrap_or_default();
                let message = format!("`{plugin}` is not a version of aws-ofi-nccl");
                Err(self.error("efa", row, message).with_help("write it as `1.19.0`"))
            }
            None => Ok(()),
        }
    }

    /// Refuses a component that needs itself, and needs that lead in a circle to where they began and forbid it.
    fn no_circle(&mut self) -> Result<(), CatalogError> {
        for row in &self.catalog.constraints {
            if row.when.len() != 1 {
                let message = format!("`when` names {} components", row.when.len());
                return Err(self.error("constraint", row, message).with_help(
                    "name one: a need that counts only where several come together is written for the one that has it",
                ));
            }
            if let Some(itself) = row.when.keys().find(|component| row.needs.contains_key(component)) {
                let message = format!("{itself} needs itself");
                return Err(self.error("constraint", row, message).with_help(
                    "`when` and `needs` name different components; a range alone belongs into the row that states the version",
                ));
            }
            let circle = self.circle(row);
            if circle.len() > 1 {
                let message =
                    format!("needs go round in a circle that nothing can meet: {}", circle.join("; "));
                return Err(self.error("constraint", row, message).with_help(
                    "correct one of these rows; if the versions cannot be together, say it in one row",
                ));
            }
        }
        Ok(())
    }

    /// Follows what surely counts where `start` does; returns the rows on the way if they leave a component no version, else nothing.
    fn circle(&mut self, start: &Constraint) -> Vec<String> {
        let mut left: BTreeMap<Component, Vec<Version>> = BTreeMap::new();
        for (component, range) in &start.when {
            let versions = self.known(*component).iter().filter(|version| range.admits(version));
            left.insert(*component, versions.cloned().collect());
        }
        let mut followed: Vec<usize> = Vec::new();
        loop {
            let counts = |row: &Constraint| {
                row.when.iter().all(|(component, range)| {
                    left.get(component)
                        .is_some_and(|versions| versions.iter().all(|version| range.admits(version)))
                })
            };
            let rows = self.catalog.constraints.iter().enumerate();
            let next = rows.into_iter().find(|(at, row)| !followed.contains(at) && counts(row));
            let Some((at, row)) = next else { return Vec::new() };
            followed.push(at);
            for (component, range) in &row.needs {
                let known = self.known(*component).to_vec();
                let versions = left.entry(*component).or_insert(known);
                versions.retain(|version| range.admits(version));
                if versions.is_empty() {
                    let rows = followed.iter().filter_map(|at| self.catalog.constraints.get(*at));
                    return rows.map(Row::subject).collect();
                }
            }
        }
    }
}

/// Returns whether `text` is a day that the calendar has, as `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}
