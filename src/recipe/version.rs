//! Versions and ranges of them, as PEP 440 reads them and as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::values::{BadValue, text_serde};

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
}
