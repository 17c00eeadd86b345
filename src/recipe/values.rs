//! The values that a recipe may hold: each type admits only what can stand in a Dockerfile, a shell line and a lock unharmed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::version::VersionRange;
use crate::oci::Reference;

/// A value whose form is refused, with the form that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not {expected}")]
pub struct BadValue {
    shown: String,
    expected: &'static str,
}

impl BadValue {
    /// Returns the error for `text`, shown with control characters escaped and at most 80 characters long.
    #[must_use]
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self { shown: text.escape_debug().to_string().chars().take(80).collect(), expected }
    }
}

/// A text value with one check on its form.
macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadValue;

            fn from_str(text: &str) -> Result<Self, BadValue> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(BadValue::new(text, $expected)) }
            }
        }

        text_serde!($name);
    };
}

/// Serialises through `Display` and `FromStr`.
macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

pub(super) use text_serde;

text_value!(
    /// The name of a recipe: `[a-z0-9]` with `.`, `_`, `-` between, at most 64 characters.
    Name,
    "a name (lower-case letters and digits, with `.`, `_` or `-` between, at most 64 characters)",
    |text| text.len() <= 64 && is_name(text)
);
text_value!(
    /// A repository without registry and tag: names with `/` between.
    Repository,
    "a repository (lower-case names with `/` between, no tag)",
    |text| text.len() <= 256 && text.split('/').all(is_name)
);
text_value!(
    /// An absolute, normalised path in the image, of letters that need no quoting anywhere.
    ImagePath,
    "an absolute path in the image (letters, digits, `.`, `_`, `-`, `+`, `@` between slashes, no `..`)",
    |text| text == "/" || text.strip_prefix('/').is_some_and(is_plain_path)
);
text_value!(
    /// A path below the recipe's folder, of letters that need no quoting anywhere.
    LocalPath,
    "a path below the recipe's folder (letters, digits, `.`, `_`, `-`, `+`, `@` between slashes, no `..`)",
    |text| text == "." || is_plain_path(text)
);
text_value!(
    /// A package name of Debian or Ubuntu (Debian policy 5.6.1).
    AptPackage,
    "a Debian package name (lower-case letters, digits, `+`, `-`, `.`)",
    |text| text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
);
text_value!(
    /// The name of an environment variable (POSIX).
    EnvName,
    "a name of an environment variable (letters, digits, `_`, no digit first)",
    |text| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
);
text_value!(
    /// The value of an environment variable: one line of printable text; templates quote it.
    EnvValue,
    "one line of printable text of at most 4096 bytes",
    |text| text.len() <= 4096 && !text.chars().any(is_unprintable)
);
text_value!(
    /// A Python requirement as pip writes it: name, extras, versions. No URL, no option, no marker.
    Requirement,
    "a Python requirement (a name, extras in brackets, versions such as `==2.19.0`)",
    is_requirement
);

text_value!(
    /// An `https://` URL of letters that need no quoting anywhere.
    ArtefactUrl,
    "an https:// URL without query or quoting",
    |text| text.len() <= 1024
        && text.strip_prefix("https://").is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || "./:_-+%~".contains(c))
        })
);
text_value!(
    /// A conda package as `name=version=build`, of letters that need no quoting but `*`.
    CondaPackage,
    "a conda package (name=version=build)",
    |text| text.len() <= 256
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+=*".contains(c))
);

impl Requirement {
    /// Returns the name of the package, without extras, as it is written.
    pub fn package(&self) -> &str {
        let end = self.0.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        end.map_or(self.0.as_str(), |end| &self.0[..end])
    }

    /// Returns the versions that it admits; none where it admits all.
    pub fn range(&self) -> Option<VersionRange> {
        let start = self.0.find(['=', '<', '>', '!', '~'])?;
        self.0.get(start..)?.parse().ok()
    }
}

/// Returns the name of a Python package as PEP 503 compares names: lower case, runs of `-`, `_` and `.` as one `-`.
pub fn package_name(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.extend(c.to_lowercase()),
        }
    }
    normal
}

impl ArtefactUrl {
    /// Returns the last part of the path, the name under which the file is kept.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// Reads an image reference, refusing what could not stand after `FROM`.
pub(super) fn reference(text: &str) -> Result<Reference, BadValue> {
    let bad = || BadValue::new(text, "an image reference (such as `debian:trixie-slim`)");
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !text.chars().all(|c| c.is_ascii_alphanumeric() || "./:@_-[]".contains(c))
    {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(inner) && text.ends_with(inner) && text.chars().all(|c| inner(c) || "._-".contains(c))
}

fn is_plain_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 1024
        && text.split('/').all(|part| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && !part.starts_with('-')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c))
        })
}

/// Returns whether `c` could start a new line or hide what follows: controls, and Unicode's line and direction marks.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_requirement(text: &str) -> bool {
    let name_end =
        text.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let one_line = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if !one_line || !name.starts_with(alphanumeric) || !name.ends_with(alphanumeric) || text.len() > 256 {
        return false;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => match extras.split_once(']') {
            Some((inside, after))
                if inside
                    .split(',')
                    .all(|extra| extra.trim().chars().all(|c| alphanumeric(c) || "._-".contains(c))) =>
            {
                after
            }
            _ => return false,
        },
        None => rest,
    };
    !rest.contains('\n') && rest.trim().parse::<pep440_rs::VersionSpecifiers>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_leave_its_place_is_a_value() {
        for text in ["a b", "a\nRUN x", "$(id)", "--flag", "a\"b", "a\\b", "a'b", "a;b", "..", "a/../b", ""] {
            assert!(text.parse::<LocalPath>().is_err(), "{text:?}");
            assert!(format!("/{text}").parse::<ImagePath>().is_err() || text.is_empty(), "{text:?}");
            assert!(text.parse::<AptPackage>().is_err(), "{text:?}");
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
            assert!(text.parse::<VersionRange>().is_err(), "{text:?}");
            assert!(reference(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn python_names_are_compared_as_pep_503_does() {
        assert_eq!(package_name("Transformer__Engine.cu12"), "transformer-engine-cu12");
    }

    #[test]
    fn requirements_are_names_extras_and_versions() {
        for text in ["datasets", "datasets==2.19.0", "transformer-engine[pytorch]>=1.10,<2", "a.b_c ~= 1.2"] {
            assert!(text.parse::<Requirement>().is_ok(), "{text:?}");
        }
        for text in [
            "x==1\t",
            "x==1\u{2028}",
            "x==1\r",
            "-r other.txt",
            "x @ https://e.example/x.whl",
            "x; os_name == 'nt'",
            "x --hash=sha256:0",
        ] {
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
        }
    }
}
