//! `smp-image lock`: chooses versions, pins them with checksums, writes the lock beside the recipe; says what moved.

use std::collections::BTreeSet;

use super::outside::Outside;
use super::workshop::{self, Home, Workpiece};
use crate::catalog::Catalog;
use crate::cli::{Cli, EVERYTHING, Format, LockVerb};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::lock::{Difference, Freshness, Lock};
use crate::oci::Platform;
use crate::plan::Mirror;
use crate::recipe::Component;
use crate::resolve::{self, Locked, Moves, Renewal, upstream::offline::Offline};

pub(super) async fn run(verb: &LockVerb, cli: &Cli, world: &World) -> Result<(), Failure> {
    let workpiece = workshop::recipe(verb.recipe.recipe.as_deref(), world)?;
    let platform = Platform { arch: verb.recipe.arch };
    if verb.check {
        return check(&workpiece, platform, cli, world);
    }
    let moves = moves(&verb.upgrade)?;
    let catalog = super::catalog::load(world)?;
    let mirrors = workshop::mirrors(&verb.source)?;
    // Two that renew one lock at once would each keep what the other moved.
    let _held = workpiece.hold(world).await?;
    let old = at_hand(&workpiece, platform, &moves, world)?;
    named(&moves, &workpiece, old.as_ref())?;
    let renewal = Renewal { old: old.as_ref(), moves: moves.clone(), allow_unknown: verb.allow_unknown };
    let locked = if verb.offline {
        resolve::lock(&workpiece.source, &workpiece.recipe, platform, &catalog, &renewal, &Offline).await?
    } else {
        made(&workpiece, platform, &catalog, &renewal, &Outside::new(world, &catalog, &mirrors)).await?
    };
    let text = locked.lock.to_text();
    match workpiece.lock_path(platform) {
        Some(path) => {
            workshop::write(&path, &text)?;
            world.say(&format!("wrote {}", path.display()));
        }
        None if cli.format == Format::Text => {
            world.print(&text).map_err(|error| super::failure::stdout(&error))?;
        }
        None => {}
    }
    tell(&locked, old.as_ref(), &moves, cli, world)
}

/// Says what is worth knowing of the new lock, and what moved; as JSON on standard output where that is asked for.
fn tell(locked: &Locked, old: Option<&Lock>, moves: &Moves, cli: &Cli, world: &World) -> Result<(), Failure> {
    let asked = match moves {
        Moves::Nothing => BTreeSet::new(),
        Moves::These(components) => components.clone(),
        Moves::Everything => Component::ALL.iter().copied().collect(),
    };
    let difference = old.map(|old| locked.lock.difference(old, &asked));
    let unresolved = locked.lock.unresolved();
    if cli.format == Format::Json {
        let changes = difference.map_or_else(Vec::new, |difference| difference.changes);
        let document = serde_json::json!({
            "lock": "written", "digest": locked.lock.digest(), "changes": changes,
            "unresolved": unresolved, "notes": locked.notes, "components": locked.lock.versions(),
        });
        return world.print(&format!("{document}\n")).map_err(|error| super::failure::stdout(&error));
    }
    if let Some(difference) = &difference {
        say_difference(difference, locked, moves, world);
    }
    for note in &locked.notes {
        world.say(&format!("note: {note}"));
    }
    for sentence in unresolved {
        world.say(&format!("unresolved: {sentence}"));
    }
    Ok(())
}

fn say_difference(difference: &Difference, locked: &Locked, moves: &Moves, world: &World) {
    for change in &difference.changes {
        world.say(&change.to_string());
    }
    if difference.changes.is_empty() {
        world.say("nothing moved");
    }
    let Moves::These(asked) = moves else { return };
    for component in asked {
        let changed = difference.changes.iter().any(|change| change.name == component.name());
        if let (false, Some(locked)) = (changed, locked.lock.component(*component)) {
            world.say(&format!(
                "{component} stays {}: nothing newer fits (smp-image why {component})",
                locked.version
            ));
        }
    }
}

/// Reads what `--upgrade` was given.
fn moves(upgrade: &[String]) -> Result<Moves, Failure> {
    if upgrade.iter().any(|name| name == EVERYTHING) {
        return Ok(Moves::Everything);
    }
    let component = |name: &String| {
        name.parse::<Component>().map_err(|error| {
            Failure::said(Fault::Usage, format!("--upgrade: {error}"))
                .hint("the recipe stands before it: smp-image lock RECIPE --upgrade")
        })
    };
    let components = upgrade.iter().map(component).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(if components.is_empty() { Moves::Nothing } else { Moves::These(components) })
}

/// Reads the lock at hand. One that cannot be read is in the way, unless everything may move; a newer tool's always is.
fn at_hand(
    workpiece: &Workpiece,
    platform: Platform,
    moves: &Moves,
    world: &World,
) -> Result<Option<Lock>, Failure> {
    match workpiece.read_lock(platform)? {
        Some(Ok(lock)) => Ok(Some(lock)),
        None => Ok(None),
        Some(Err(error)) if *moves == Moves::Everything && !workshop::is_newer(&error) => {
            world.say(&format!("made anew: {error}"));
            Ok(None)
        }
        Some(Err(error)) => Err(workpiece.unreadable_lock(platform, &error)),
    }
}

/// Refuses to move what is not there.
fn named(moves: &Moves, workpiece: &Workpiece, old: Option<&Lock>) -> Result<(), Failure> {
    let Moves::These(components) = moves else { return Ok(()) };
    let there = |component: &Component| {
        workpiece.recipe.components.contains_key(component)
            || old.is_some_and(|old| old.component(*component).is_some())
    };
    match components.iter().find(|component| !there(component)) {
        Some(component) => Err(Failure::said(
            Fault::Usage,
            format!("--upgrade {component}: {} has no {component}", workpiece.source.origin),
        )
        .hint(format!("add it to [components]: {component} = \"*\""))),
        None => Ok(()),
    }
}

fn check(workpiece: &Workpiece, platform: Platform, cli: &Cli, world: &World) -> Result<(), Failure> {
    let lock = fresh(workpiece, platform)?.ok_or_else(|| missing(workpiece, platform))?;
    let unresolved = lock.unresolved();
    if cli.format == Format::Json {
        let document =
            serde_json::json!({ "lock": "fresh", "digest": lock.digest(), "unresolved": unresolved });
        return world.print(&format!("{document}\n")).map_err(|error| super::failure::stdout(&error));
    }
    world.say("the lock answers for its recipe");
    for sentence in unresolved {
        world.say(&format!("unresolved: {sentence}"));
    }
    Ok(())
}

/// Reads the lock of `workpiece` and refuses a stale one.
pub(super) fn fresh(workpiece: &Workpiece, platform: Platform) -> Result<Option<Lock>, Failure> {
    let Some(lock) = workpiece.lock(platform)? else { return Ok(None) };
    match lock.freshness(&workpiece.source, platform) {
        Freshness::Fresh => Ok(Some(lock)),
        Freshness::Stale(reasons) => {
            Err(Failure::said(Fault::Input, format!("the lock is stale: {}", reasons.join("; ")))
                .hint(format!("lock again: {}", workpiece.locking(platform))))
        }
    }
}

/// Returns the lock to build from: `at_hand` with open pins asked for, made and written first where there is none.
pub(super) async fn for_build(
    at_hand: Option<Lock>,
    workpiece: &Workpiece,
    platform: Platform,
    catalog: &Catalog,
    world: &World,
    mirrors: &[Mirror],
) -> Result<Lock, Failure> {
    let outside = Outside::new(world, catalog, mirrors);
    let lock = match at_hand {
        Some(lock) if lock.open.is_empty() => lock,
        // What was locked offline leaves out packages; what it chose is kept.
        old => {
            let renewal = Renewal { old: old.as_ref(), ..Renewal::default() };
            let lock = made(workpiece, platform, catalog, &renewal, &outside).await?.lock;
            if let Some(path) = workpiece.lock_path(platform) {
                workshop::write(&path, &lock.to_text())?;
                world.say(&format!("wrote {}", path.display()));
            }
            return Ok(lock);
        }
    };
    outside
        .ask(async |network| {
            let lock = match workpiece.home {
                Home::File(_) => lock,
                // Nobody can renew the lock inside the program, so what its distribution no longer has is taken anew.
                Home::Builtin => {
                    let (lock, gone) = resolve::without_gone(&lock, network).await;
                    for package in gone {
                        world.say(&format!(
                            "{package} is no longer in its archive; what is there now is taken"
                        ));
                    }
                    lock
                }
            };
            Ok(if lock.unresolved().is_empty() { lock } else { resolve::pin(&lock, catalog, network).await })
        })
        .await
}

/// Says that there is no lock.
pub(super) fn missing(workpiece: &Workpiece, platform: Platform) -> Failure {
    let failure =
        Failure::said(Fault::Input, format!("{} has no lock for {platform}", workpiece.source.origin));
    match workpiece.home {
        Home::File(_) => failure.hint(format!("write it: {}", workpiece.locking(platform))),
        // Nobody can write a lock into the program.
        Home::Builtin => failure.hint(format!(
            "take a copy of the recipe and lock that: smp-image new --from {}, then smp-image lock --arch {}",
            workpiece.recipe.name.get_ref(),
            platform.arch.name()
        )),
    }
}

async fn made(
    workpiece: &Workpiece,
    platform: Platform,
    catalog: &Catalog,
    renewal: &Renewal<'_>,
    outside: &Outside<'_>,
) -> Result<Locked, Failure> {
    let (source, recipe) = (&workpiece.source, &workpiece.recipe);
    outside
        .ask(async |network| Ok(resolve::lock(source, recipe, platform, catalog, renewal, network).await?))
        .await
}
