//! The values that a recipe may hold: each type admits only what can stand in a Dockerfile, a shell line and a lock unharmed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

/// A version, ordered as PEP 440 orders them; written as it was given.
#[derive(Debug, Clone)]
pub struct Version {
    written: String,
    parsed: pep440_rs::Version,
}

impl Version {
    /// Returns the version as PEP 440 reads it.
    pub fn pep440(&self) -> &pep440_rs::Version {
        &self.parsed
    }

    /// Returns the first `count` release numbers joined by dots, such as `12.4` of `12.4.1`.
    pub fn release(&self, count: usize) -> String {
        self.parsed.release().iter().take(count).map(ToString::to_string).collect::<Vec<_>>().join(".")
    }
}

impl FromStr for Version {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || BadValue::new(text, "a version (such as `2.23.4`)");
        let plain =
            text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-_!".contains(c));
        let starts = text.starts_with(|c: char| c.is_ascii_digit());
        if !plain || !starts {
            return Err(bad());
        }
        let parsed = text.parse().map_err(|_| bad())?;
        Ok(Self { written: text.to_owned(), parsed })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.parsed == other.parsed
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.parsed.cmp(&other.parsed)
    }
}

text_serde!(Version);

/// Which versions a recipe admits: `*`, a release prefix such as `2.8` (any 2.8.x), or PEP 440 specifiers such as `>=2.21,<2.27`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    written: String,
    specifiers: pep440_rs::VersionSpecifiers,
}

impl VersionRange {
    /// Returns whether `version` is admitted.
    pub fn admits(&self, version: &Version) -> bool {
        self.specifiers.contains(version.pep440())
    }

    /// Returns the range that admits every version.
    pub fn any() -> Self {
        Self { written: "*".to_owned(), specifiers: pep440_rs::VersionSpecifiers::empty() }
    }

    /// Returns the range that admits `version` alone.
    pub fn exactly(version: &Version) -> Self {
        let written = version.to_string();
        let only = pep440_rs::VersionSpecifier::equals_version(version.pep440().clone());
        Self { written, specifiers: only.into() }
    }

    /// Returns the version that the range names, if it is written as one.
    pub fn named(&self) -> Option<Version> {
        let bare = self.written.strip_prefix("==").unwrap_or(&self.written).trim();
        bare.parse().ok()
    }

    /// Returns the range in words: `2.17.1 or newer`, `12 to below 13`.
    pub fn spoken(&self) -> String {
        let parts: Vec<&str> = self.written.split(',').map(str::trim).collect();
        if let [from, until] = parts.as_slice()
            && let (Some(from), Some(until)) = (from.strip_prefix(">="), until.strip_prefix('<'))
        {
            return match until.strip_prefix('=') {
                Some(until) => format!("{from} to {until}"),
                None => format!("{from} to below {until}"),
            };
        }
        let word = |part: &&str| {
            for (sign, before, after) in [
                (">=", "", " or newer"),
                ("<=", "", " or older"),
                ("==", "", ""),
                ("!=", "not ", ""),
                ("<", "older than ", ""),
                (">", "newer than ", ""),
            ] {
                if let Some(version) = part.strip_prefix(sign) {
                    return format!("{before}{}{after}", version.trim());
                }
            }
            if *part == "*" { "any version".to_owned() } else { (*part).to_owned() }
        };
        parts.iter().map(word).collect::<Vec<_>>().join(" and ")
    }

    /// Returns the range as PEP 440 specifiers, empty for every version.
    pub fn specifiers(&self) -> String {
        self.specifiers.to_string()
    }

    /// Returns whether every version is admitted.
    pub fn is_any(&self) -> bool {
        self.specifiers.is_empty()
    }
}

impl FromStr for VersionRange {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || BadValue::new(text, "a version, a range such as `>=2.21,<2.27`, or `*`");
        let plain = text.len() <= 128
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+-_!<>=~,* ".contains(c));
        if !plain {
            return Err(bad());
        }
        let specifiers = match text.trim() {
            "" => return Err(bad()),
            "*" => String::new(),
            bare if bare.starts_with(|c: char| c.is_ascii_digit()) => {
                let version: Version = bare.parse().map_err(|_| bad())?;
                if version.pep440().release().len() < 3 { format!("=={bare}.*") } else { format!("=={bare}") }
            }
            other => other.to_owned(),
        };
        let specifiers = specifiers.parse().map_err(|_| bad())?;
        Ok(Self { written: text.trim().to_owned(), specifiers })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

text_serde!(VersionRange);

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
    fn a_short_version_means_any_patch_release_of_it() {
        let range: VersionRange = "2.8".parse().unwrap();
        assert!(range.admits(&"2.8.0".parse().unwrap()));
        assert!(!range.admits(&"2.9.0".parse().unwrap()));
        let exact: VersionRange = "1.36.0".parse().unwrap();
        assert!(!exact.admits(&"1.36.1".parse().unwrap()));
    }

    #[test]
    fn a_range_can_be_said_in_words() {
        for (range, words) in [
            (">=2.17.1", "2.17.1 or newer"),
            (">=12,<13", "12 to below 13"),
            (">=1.0.6,<=2.3.3", "1.0.6 to 2.3.3"),
            (">=2.0.6,<=2.5.8,!=2.1.0", "2.0.6 or newer and 2.5.8 or older and not 2.1.0"),
            ("==2.21.5", "2.21.5"),
            ("<1.43", "older than 1.43"),
            ("2.8", "2.8"),
            ("*", "any version"),
        ] {
            assert_eq!(range.parse::<VersionRange>().unwrap().spoken(), words);
        }
    }

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
