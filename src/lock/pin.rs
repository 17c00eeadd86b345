//! A value that is known, or the reason why it could not be asked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that is known, or the reason why it could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin<T> {
    /// The value.
    Known(T),
    /// Why it could not be asked.
    Unresolved(String),
}

impl<T> Pin<T> {
    /// Returns the value where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unresolved(_) => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Pin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Unresolved(reason) => write!(f, "unresolved ({reason})"),
        }
    }
}

/// The wire form of a pin: the value, or `{ unresolved = "why" }`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnresolvedWire {
    unresolved: String,
}

impl<T: Serialize> Serialize for Pin<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unresolved(reason) => UnresolvedWire { unresolved: reason.clone() }.serialize(serializer),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Pin<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.is_table() {
            let wire: UnresolvedWire = value.try_into().map_err(serde::de::Error::custom)?;
            return Ok(Self::Unresolved(wire.unresolved));
        }
        value.try_into().map(Self::Known).map_err(serde::de::Error::custom)
    }
}
