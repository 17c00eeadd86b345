//! `smp-image catalog`: lists what is known, with sources and age; and for every verb the one place where facts are loaded.

use std::path::Path;

use super::workshop;
use crate::catalog::{Catalog, Confidence, FactRef, TABLES};
use crate::cli::{CatalogVerb, Cli, ConfidenceArg, Format};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::recipe::{Component, Source, nearest};
use crate::report::facts::{self, Listing};
use crate::report::text::Style;

/// After this many days what the catalogue says may well have changed.
const OLD: i32 = 180;

/// Loads the facts: the embedded ones, with the user's files over them.
pub(super) fn load(world: &World) -> Result<Catalog, Failure> {
    let own = world.catalog.iter().map(|path| read(path, world)).collect::<Result<Vec<_>, _>>()?;
    let catalog = Catalog::with_own(own)?;
    for sentence in catalog.own().sentences() {
        world.say(&format!("note: {sentence}"));
    }
    Ok(catalog)
}

fn read(path: &Path, world: &World) -> Result<Source, Failure> {
    let shown = path.display().to_string();
    let text = workshop::text(&world.path(path), &shown).map_err(|failure| {
        failure.hint("--catalog names a file of facts: docs/catalog.md says how to write one")
    })?;
    Ok(Source::new(shown, text))
}

pub(super) async fn run(verb: &CatalogVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let catalog = load(world)?;
    let today = today(world)?;
    if verb.drift {
        return super::drift::run(&catalog, today, cli, world).await;
    }
    let chosen = chosen(verb, &catalog, today)?;
    if let Some(age) = age_of(&catalog, today).filter(|age| *age > OLD) {
        world.say(&format!(
            "warning: the catalogue is {age} days old; a newer smp-image may know more, `--drift` asks the package index"
        ));
    }
    let listing = Listing { catalog: &catalog, today, sources: verb.sources };
    let width = world.width.unwrap_or(Style::default().width);
    let text = match cli.format {
        Format::Json => facts::json(&listing, &chosen)?,
        _ if everything(verb) => facts::overview(&listing, &chosen),
        _ => facts::list(&listing, &chosen, width),
    };
    if chosen.is_empty() {
        world.say("no fact fits");
    }
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))
}

fn everything(verb: &CatalogVerb) -> bool {
    let narrowed = verb.older_than.is_some() || !verb.filter.is_empty() || !verb.confidence.is_empty();
    verb.what.is_none() && !narrowed && !verb.sources
}

/// Returns the facts that were asked for.
fn chosen<'a>(
    verb: &CatalogVerb,
    catalog: &'a Catalog,
    today: jiff::civil::Date,
) -> Result<Vec<FactRef<'a>>, Failure> {
    let what = verb.what.as_deref().map(What::named).transpose()?;
    let words: Vec<String> = verb.filter.iter().map(|word| word.to_lowercase()).collect();
    let fits = |fact: &FactRef<'_>| {
        let text =
            format!("{} {} {} {}", fact.table, fact.subject, fact.text(), fact.fact.source).to_lowercase();
        what.as_ref().is_none_or(|what| what.means(fact))
            && words.iter().all(|word| text.contains(word))
            && verb.older_than.is_none_or(|days| fact.age(today).is_some_and(|age| age.unsigned_abs() > days))
            && (verb.confidence.is_empty()
                || verb.confidence.iter().any(|asked| confidence(*asked) == fact.fact.confidence))
    };
    Ok(catalog.facts().filter(fits).collect())
}

/// What was named on the command line.
struct What {
    table: Option<&'static str>,
    component: Option<Component>,
}

impl What {
    /// A name may mean a table and a component at once, as `efa` does; then it means the facts of both.
    fn named(name: &str) -> Result<Self, Failure> {
        let same = |table: &str| table == name || name.strip_suffix('s') == Some(table);
        let table = TABLES.iter().map(|(table, _)| *table).find(|table| same(table));
        let component = name.parse::<Component>().ok();
        if table.is_none() && component.is_none() {
            let known = TABLES.iter().map(|(table, _)| *table);
            let names = known.chain(Component::ALL.iter().map(|component| component.name()));
            let failure = Failure::said(
                Fault::Usage,
                format!("`{name}` is neither a table of the catalogue nor a component"),
            );
            return Err(match nearest(name, names) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("`smp-image catalog` names the tables"),
            });
        }
        Ok(Self { table, component })
    }

    fn means(&self, fact: &FactRef<'_>) -> bool {
        self.table == Some(fact.table)
            || self.component.is_some_and(|component| fact.about.contains(&component))
    }
}

fn confidence(asked: ConfidenceArg) -> Confidence {
    match asked {
        ConfidenceArg::Documented => Confidence::Documented,
        ConfidenceArg::Computed => Confidence::Computed,
        ConfidenceArg::SecondHand => Confidence::SecondHand,
        ConfidenceArg::Community => Confidence::Community,
        ConfidenceArg::Inferred => Confidence::Inferred,
    }
}

/// Returns the day that it is, in UTC; `SOURCE_DATE_EPOCH` says another one.
fn today(world: &World) -> Result<jiff::civil::Date, Failure> {
    let now = match world.var("SOURCE_DATE_EPOCH") {
        None => jiff::Timestamp::now(),
        Some(text) => text
            .parse()
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .ok_or_else(|| {
                Failure::said(Fault::Usage, format!("SOURCE_DATE_EPOCH is not a number of seconds: `{text}`"))
                    .hint("leave it unset, or set it to seconds since 1970")
            })?,
    };
    Ok(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// Returns how many days before `today` the catalogue was brought up to date.
pub(super) fn age_of(catalog: &Catalog, today: jiff::civil::Date) -> Option<i32> {
    let day = catalog.revision.split('.').next()?.parse::<jiff::civil::Date>().ok()?;
    Some(today.since((jiff::Unit::Day, day)).ok()?.get_days())
}
