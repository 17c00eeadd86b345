//! Build caches that builders share: where one is read from or written to, as buildx spells it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::oci::Reference;

/// A build cache that builders share, written `type=registry,ref=NAME` as for buildx, or only `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    kind: String,
    attributes: BTreeMap<String, String>,
}

/// A text that names no cache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no cache: {reason}")]
pub struct BadCache {
    text: String,
    reason: String,
}

/// The kinds that a builder can be asked for, and what each must say.
const KINDS: &[(&str, &[&str])] = &[("registry", &["ref"]), ("inline", &[]), ("local", &["src", "dest"])];

impl Cache {
    /// Returns its kind: `registry`, `inline` or `local`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns what else is said of it.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns the image in a registry that it is, if it is one.
    pub fn image(&self) -> Option<&str> {
        self.attributes.get("ref").map(String::as_str)
    }

    /// Returns it as one that is written: all layers, in the form that every registry takes.
    ///
    /// BuildKit's own default is an image index around layers that are no image; Amazon ECR refuses that, and takes it as the
    /// layers of an image manifest (aws/containers-roadmap#876).
    #[must_use]
    pub fn written(mut self) -> Self {
        if self.kind == "registry" {
            for (key, value) in [("mode", "max"), ("image-manifest", "true"), ("oci-mediatypes", "true")] {
                self.attributes.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        self
    }
}

impl FromStr for Cache {
    type Err = BadCache;

    fn from_str(text: &str) -> Result<Self, BadCache> {
        let bad = |reason: String| BadCache { text: text.escape_debug().to_string(), reason };
        let mut attributes = BTreeMap::new();
        if text.contains('=') {
            for pair in text.split(',') {
                let (key, value) =
                    pair.split_once('=').ok_or_else(|| bad(format!("`{pair}` is not KEY=VALUE")))?;
                if value.is_empty() || value.chars().any(char::is_control) {
                    return Err(bad(format!("`{key}` has no value")));
                }
                if attributes.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(bad(format!("`{key}` is said twice")));
                }
            }
        } else {
            attributes.insert("type".to_owned(), "registry".to_owned());
            attributes.insert("ref".to_owned(), text.to_owned());
        }
        let kind = attributes.remove("type").ok_or_else(|| bad("it says no type".into()))?;
        let (_, needed) = KINDS.iter().find(|(known, _)| *known == kind).ok_or_else(|| {
            bad(format!("the type `{kind}` is not known; there are registry, inline and local"))
        })?;
        if !needed.is_empty() && !needed.iter().any(|key| attributes.contains_key(*key)) {
            return Err(bad(format!("a cache of type {kind} needs {}", needed.join(" or "))));
        }
        if let Some(name) = attributes.get("ref") {
            name.parse::<Reference>().map_err(|error| bad(error.to_string()))?;
        }
        Ok(Self { kind, attributes })
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type={}", self.kind)?;
        self.attributes.iter().try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<Cache>().map(|cache| cache.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_bare_name_is_a_cache_in_a_registry_and_is_written_as_ecr_takes_it() {
        assert_eq!(read("r.example/a:cache").unwrap(), "type=registry,ref=r.example/a:cache");
        let written = "r.example/a:cache".parse::<Cache>().unwrap().written().to_string();
        assert_eq!(
            written,
            "type=registry,image-manifest=true,mode=max,oci-mediatypes=true,ref=r.example/a:cache"
        );
    }

    #[test]
    fn what_is_said_is_kept_and_inline_needs_nothing_more() {
        assert_eq!(read("type=inline").unwrap(), "type=inline");
        let cache: Cache = "type=registry,ref=r.example/a,mode=min".parse().unwrap();
        assert!(cache.written().to_string().contains("mode=min"));
    }

    #[test]
    fn what_names_no_cache_says_why() {
        for (text, reason) in [
            ("type=registry", "needs ref"),
            ("type=gha,url=x", "is not known"),
            ("ref=a/b", "says no type"),
            ("type=local,src", "is not KEY=VALUE"),
            ("type=inline,type=inline", "said twice"),
            ("type=registry,ref=", "no value"),
            ("UPPER/Case", "UPPER/Case"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
    }
}
