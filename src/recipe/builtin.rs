//! The recipes that are embedded in the program, each with its lock.

/// A recipe that is embedded in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Its lock for amd64.
    pub lock: Option<&'static str>,
    /// Its lock for arm64, where it has been locked for that.
    pub arm64: Option<&'static str>,
}

macro_rules! builtin {
    ($($name:literal $(and $arm64:literal)?),* $(,)?) => {
        &[$(Builtin {
            name: $name,
            text: include_str!(concat!("../../recipes/", $name, ".toml")),
            lock: Some(include_str!(concat!("../../recipes/", $name, ".lock"))),
            arm64: builtin!(@arm64 $($arm64)?),
        }),*]
    };
    (@arm64) => { None };
    (@arm64 $file:literal) => { Some(include_str!(concat!("../../recipes/", $file))) };
}

const ALL: &[Builtin] = builtin![
    "quickstart" and "quickstart.arm64.lock",
    "smp-2.8",
    "smp-2.8-from-parts",
    "pytorch-te",
    "nccl-tests",
];

/// Returns every built-in recipe, the one to start with first.
pub fn all() -> &'static [Builtin] {
    ALL
}

/// Returns the built-in recipe called `name`.
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|recipe| recipe.name == name)
}
