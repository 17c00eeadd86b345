//! Walking over every fact, whatever its table: for lists, filters, and the question how old they are.

use serde_json::{Map, Value};

use super::facts::Fact;
use super::overlay::{Override, Own, shown};
use super::tables::Catalog;
use crate::recipe::Component;

/// A fact with what it says.
#[derive(Debug, Clone)]
pub struct FactRef<'a> {
    /// Its table.
    pub table: &'static str,
    /// What it is about.
    pub subject: String,
    /// What it says, by the names that files use; absent and empty values are left out.
    pub fields: Map<String, Value>,
    /// The components of which it speaks.
    pub about: Vec<Component>,
    /// Where it comes from.
    pub fact: &'a Fact,
    /// What it overrides, where it is the user's.
    pub overrides: Option<&'a Override>,
}

impl FactRef<'_> {
    /// Returns what it says as one line of text.
    pub fn text(&self) -> String {
        let said = self.fields.iter().map(|(name, value)| format!("{name} {}", shown(value)));
        said.collect::<Vec<_>>().join(" · ")
    }

    /// Returns how many days before `today` its source was read; nothing where that day is still to come.
    pub fn age(&self, today: jiff::civil::Date) -> Option<i32> {
        let read: jiff::civil::Date = self.fact.date.parse().ok()?;
        let days = today.since((jiff::Unit::Day, read)).ok()?.get_days();
        (days >= 0).then_some(days)
    }
}

impl Catalog {
    /// Returns every fact, table by table.
    pub fn facts(&self) -> impl Iterator<Item = FactRef<'_>> {
        self.rows().into_iter().map(|(table, row)| {
            let subject = row.subject();
            let own = self.own.overrides.iter();
            let overrides = row
                .fact()
                .place
                .as_ref()
                .and_then(|place| own.into_iter().find(|own| own.table == table && own.place == *place));
            FactRef { table, fields: row.fields(), about: row.about(), fact: row.fact(), subject, overrides }
        })
    }

    /// Returns what files of the user's did to the catalogue.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Returns what was overridden.
    pub fn overrides(&self) -> &[Override] {
        &self.own.overrides
    }
}
