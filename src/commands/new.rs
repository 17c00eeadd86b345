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
    let lock = path.with_extension("lock");
    // `exists` would follow a link; one that leads nowhere is somebody's file too.
    if let Some(here) = [&path, &lock].into_iter().find(|file| file.symlink_metadata().is_ok()) {
        let name = here.file_name().unwrap_or_default().display();
        return Err(Failure::said(Fault::Input, format!("{name} is already here"))
            .hint("move it away first; nothing was changed"));
    }
    if let Some(text) = recipe.lock {
        workshop::write(&lock, text)?;
    }
    workshop::write(&path, recipe.text).inspect_err(|_| {
        // A lock alone would be in the way of the next try. Where it cannot be removed the error that is told says why.
        let _left = std::fs::remove_file(&lock);
    })?;
    world.say(&format!("wrote {HERE} from {}; next: smp-image build --arch amd64", verb.from));
    Ok(())
}
