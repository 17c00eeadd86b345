//! The recipes that are part of the program, with their locks.

/// A recipe that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The text of its lock, where one is kept.
    pub lock: Option<&'static str>,
}

macro_rules! builtin {
    ($name:literal) => {
        Builtin { name: $name, text: include_str!(concat!("../../recipes/", $name, ".toml")), lock: None }
    };
    ($name:literal, locked) => {
        Builtin {
            name: $name,
            text: include_str!(concat!("../../recipes/", $name, ".toml")),
            lock: Some(include_str!(concat!("../../recipes/", $name, ".lock"))),
        }
    };
}

/// `tests/suite/golden.rs` holds this list against the folder.
const ALL: &[Builtin] = &[
    builtin!("quickstart"),
    builtin!("smp-2.8"),
    builtin!("smp-2.8-from-parts"),
    builtin!("pytorch-te"),
    builtin!("nccl-tests"),
];

/// Returns all of them, the simplest first.
pub fn all() -> &'static [Builtin] {
    ALL
}

/// Returns the one called `name`.
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}
