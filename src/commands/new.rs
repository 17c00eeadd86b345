//! `smp-image new`: writes smp-image.toml here, from a built-in recipe.

use super::workshop::{self, HERE};
use crate::cli::New;
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::recipe::builtin;

pub(super) fn run(verb: &New, world: &World) -> Result<(), Failure> {
    let recipe = builtin::find(&verb.from).ok_or_else(|| {
        workshop::unknown(&verb.from, format!("there is no built-in recipe `{}`", verb.from))
    })?;
    let path = world.path(HERE);
    if path.exists() {
        return Err(Failure::said(Fault::Input, format!("{HERE} is already here"))
            .hint("move it away first; nothing was changed"));
    }
    workshop::write(&path, recipe.text)?;
    if let Some(lock) = recipe.lock {
        workshop::write(&path.with_extension("lock"), lock)?;
    }
    world.say(&format!("wrote {HERE} from {}; next: smp-image build --arch amd64", verb.from));
    Ok(())
}
