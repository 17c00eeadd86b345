//! The user's files: finding a recipe, reading it and its lock, writing a lock so that nothing is lost half-way.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::SourceArgs;
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::lock::{Lock, LockError};
use crate::oci::{Arch, Platform};
use crate::plan::Mirror;
use crate::recipe::{Recipe, Source, builtin};

/// The recipe of a folder.
pub(super) const HERE: &str = "smp-image.toml";
/// The recipe where there is none.
const DEFAULT: &str = "quickstart";

/// A recipe that was found and read.
pub(super) struct Workpiece {
    /// Its text and origin.
    pub(super) source: Source,
    /// The recipe.
    pub(super) recipe: Recipe,
    /// Where it was found.
    pub(super) home: Home,
}

/// Where a recipe was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In a file.
    File(PathBuf),
    /// In the program.
    Builtin,
}

/// Finds and reads the recipe `asked` for: a path, a built-in name, or what this folder holds.
pub(super) fn recipe(asked: Option<&str>, world: &World) -> Result<Workpiece, Failure> {
    let (source, home) = find(asked, world)?;
    let recipe = Recipe::parse(&source).map_err(|error| Failure::new(Fault::Input, error))?;
    Ok(Workpiece { source, recipe, home })
}

fn find(asked: Option<&str>, world: &World) -> Result<(Source, Home), Failure> {
    let Some(asked) = asked else {
        let here = world.path(HERE);
        if here.is_file() {
            return Ok((read(&here, HERE)?, Home::File(here)));
        }
        return built_in(DEFAULT)
            .ok_or_else(|| Failure::said(Fault::Defect, "the built-in quickstart is missing"));
    };
    let path = world.path(asked);
    if path.is_dir() && built_in(asked).is_none() {
        let within = Path::new(asked).join(HERE);
        let failure = Failure::said(Fault::Input, format!("`{asked}` is a folder, and a recipe is a file"));
        return Err(if world.path(&within).is_file() {
            failure.hint(format!("did you mean `{}`?", within.display()))
        } else {
            failure.hint(format!("`smp-image new` writes {HERE} into the folder in which it runs"))
        });
    }
    if !path.is_dir() && path.exists() {
        return Ok((read(&path, asked)?, Home::File(path)));
    }
    built_in(asked)
        .ok_or_else(|| unknown(asked, format!("there is no recipe `{asked}`: neither a file nor built in")))
}

/// Says that there is no recipe `asked`, and which built-in one is nearest.
pub(super) fn unknown(asked: &str, message: String) -> Failure {
    let names: Vec<&str> = builtin::all().iter().map(|recipe| recipe.name).collect();
    let failure = Failure::said(Fault::Input, message);
    match crate::recipe::nearest(asked, names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("built in: {}", names.join(", "))),
    }
}

fn built_in(name: &str) -> Option<(Source, Home)> {
    let recipe = builtin::find(name)?;
    Some((Source::new(format!("built-in:{name}"), recipe.text), Home::Builtin))
}

fn read(path: &Path, shown: &str) -> Result<Source, Failure> {
    Ok(Source::new(shown, text(path, shown)?))
}

/// Reads a file of text that a person wrote.
#[expect(clippy::disallowed_methods, reason = "commands read the user's files, here")]
pub(super) fn text(path: &Path, shown: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::said(Fault::Input, format!("cannot read {shown}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&error.as_bytes()[..good]).matches('\n').count() + 1;
        Failure::said(Fault::Input, format!("cannot read {shown}: line {line} is no text in UTF-8"))
            .hint("save it as UTF-8")
    })
}

impl Workpiece {
    /// Returns where the lock of this recipe for `platform` is: beside the file; inside the program for a built-in one.
    pub(super) fn lock_path(&self, platform: Platform) -> Option<PathBuf> {
        match &self.home {
            Home::File(path) => Some(path.with_extension(match platform.arch {
                Arch::Amd64 => "lock",
                Arch::Arm64 => "arm64.lock",
            })),
            Home::Builtin => None,
        }
    }

    /// Returns the folder that `[[copy]]` paths start from.
    pub(super) fn folder(&self, world: &World) -> PathBuf {
        match &self.home {
            Home::File(path) => path.parent().map_or_else(|| world.folder.clone(), Path::to_path_buf),
            Home::Builtin => world.folder.clone(),
        }
    }

    /// Reads the lock of this recipe for `platform`, if there is one that can be read.
    pub(super) fn lock(&self, platform: Platform) -> Result<Option<Lock>, Failure> {
        self.read_lock(platform)?.transpose().map_err(|error| self.unreadable_lock(platform, &error))
    }

    /// Reads the lock of this recipe for `platform`, if there is one, or says why it is none.
    #[expect(clippy::disallowed_methods, reason = "commands read the user's files, here")]
    pub(super) fn read_lock(&self, platform: Platform) -> Result<Option<Result<Lock, LockError>>, Failure> {
        let (origin, text) = match self.lock_path(platform) {
            None => {
                let name = self.recipe.name.get_ref().as_str();
                let locks = builtin::find(name).map(|recipe| match platform.arch {
                    Arch::Amd64 => ("lock", recipe.lock),
                    Arch::Arm64 => ("arm64.lock", recipe.arm64),
                });
                // Where a built-in recipe is not locked for a platform, it is locked when it is asked for.
                let Some((ending, Some(text))) = locks else { return Ok(None) };
                (format!("built-in:{name}.{ending}"), text.to_owned())
            }
            Some(path) => match std::fs::read(&path) {
                Ok(bytes) => (path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    return Err(Failure::said(
                        Fault::Input,
                        format!("cannot read {}: {error}", path.display()),
                    ));
                }
            },
        };
        Ok(Some(Lock::parse(&origin, &text)))
    }

    /// Says why the lock cannot be used, and what to do next.
    pub(super) fn unreadable_lock(&self, platform: Platform, error: &LockError) -> Failure {
        let failure = Failure::said(Fault::Input, error.to_string());
        let anew = format!("write it anew: {} --upgrade", self.locking(platform));
        match error {
            LockError::Newer { .. } => {
                failure.hint("use that smp-image; or remove the lock, and lock with this one")
            }
            LockError::Edited { .. } => failure.hint("undo the edit (change the recipe instead)").hint(anew),
            LockError::Older { .. } | LockError::Malformed { .. } => failure.hint(anew),
        }
    }

    /// Returns the command that locks this recipe for `platform`, as a shell takes it.
    pub(super) fn locking(&self, platform: Platform) -> String {
        let name = match &self.home {
            Home::File(_) => &self.source.origin,
            Home::Builtin => self.recipe.name.get_ref().as_str(),
        };
        let name = crate::render::quoted(name);
        match platform.arch {
            // The default of every verb.
            Arch::Amd64 => format!("smp-image lock {name}"),
            Arch::Arm64 => format!("smp-image lock {name} --arch arm64"),
        }
    }

    /// Waits until no other smp-image renews the lock of this recipe; until what is returned is dropped, none does.
    ///
    /// The recipe itself is what is held. Where its file system knows no such thing it is not held: what is written is whole anyway.
    pub(super) async fn hold(&self, world: &World) -> Result<Option<std::fs::File>, Failure> {
        let Home::File(path) = &self.home else { return Ok(None) };
        let file = std::fs::File::open(path).map_err(|error| {
            Failure::said(Fault::Input, format!("cannot read {}: {error}", path.display()))
        })?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(std::fs::TryLockError::Error(_)) => return Ok(None),
                Err(std::fs::TryLockError::WouldBlock) if !told => {
                    world.say("waiting: another smp-image locks this recipe");
                    told = true;
                }
                Err(std::fs::TryLockError::WouldBlock) => {}
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Returns whether a lock cannot be read because a newer tool wrote it.
pub(super) fn is_newer(error: &LockError) -> bool {
    matches!(error, LockError::Newer { .. })
}

/// Reads the mirrors that were given on the command line.
pub(super) fn mirrors(source: &SourceArgs) -> Result<Vec<Mirror>, Failure> {
    source
        .mirror
        .iter()
        .map(|text| text.parse().map_err(|error| Failure::said(Fault::Usage, format!("--mirror: {error}"))))
        .collect()
}

/// Writes `text` to `path` so that a reader sees the old file or the new one, never half of either.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        // The crate wraps what the system says to name the file beside, which is gone when anybody looks for it.
        let reason = if error.get_ref().is_some() { error.kind().to_string() } else { error.to_string() };
        let failure = Failure::said(Fault::Machine, format!("cannot write {}: {reason}", path.display()))
            .hint("the old file, if there was one, is unharmed");
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                failure.hint("make room there (df), then run the same command again")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                failure.hint("work in a folder that you may write to, on a copy of the recipe")
            }
            _ => failure,
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    beside.write_all(text.as_bytes()).map_err(failed)?;
    readable_by_all(beside.as_file()).map_err(failed)?;
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Temporary files are private; what the user keeps and commits is not.
#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
