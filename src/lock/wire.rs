//! The lock on disk: TOML with a format version, and a digest of each part by which an edit by hand is known.
//!
//! The digests are of the values, not of the bytes: other line ends or a comment are no edit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lock, LockError, LockedComponent, LockedImage, LockedPackage, PinnedRequirement, RecipeId};
use crate::oci::{Digest, Platform};
use crate::recipe::AptPackage;

/// The format that this tool writes and reads.
pub const VERSION: u32 = 2;
/// The revision within [`VERSION`]: a higher one adds what this tool does not know.
pub const REVISION: u32 = 0;

const HEADER: &str = "# Written by `smp-image lock`. Do not edit: change the recipe and lock again.\n";

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    revision: u32,
    catalog: String,
    platform: Platform,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    packages: Vec<AptPackage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<String>,
    recipe: RecipeId,
    base: LockedImage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    devel: Option<LockedImage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    apt: Vec<LockedPackage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    python: Vec<PinnedRequirement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    build: Vec<PinnedRequirement>,
    #[serde(default, rename = "component")]
    components: Vec<LockedComponent>,
    /// The digest of each part.
    contents: BTreeMap<String, Digest>,
}

impl Lock {
    /// Reads a lock from the `text` of `origin`.
    ///
    /// A lock of another format is named as that before anything else that is strange in it; then bad syntax and unknown keys, each
    /// with its place; then what was edited by hand.
    pub fn parse(origin: &str, text: &str) -> Result<Self, LockError> {
        of_this_format(origin, text)?;
        let malformed = |message: String| LockError::Malformed { origin: origin.to_owned(), message };
        let wire: Wire =
            toml::from_str(text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
        // The two numbers stand where the scan found them, or the text is no lock of ours.
        if (wire.version, wire.revision) != (VERSION, REVISION) {
            return Err(malformed("its version and revision do not stand at its beginning".to_owned()));
        }
        let contents = wire.contents.clone();
        let lock = Self {
            recipe: wire.recipe,
            catalog: wire.catalog,
            platform: wire.platform,
            base: wire.base,
            devel: wire.devel,
            packages: wire.packages,
            apt: wire.apt,
            python: wire.python,
            build: wire.build,
            components: wire.components,
            open: wire.open,
        };
        lock.holds_together().map_err(malformed)?;
        let edited = edited(&contents, &lock.contents());
        if edited.is_empty() {
            return Ok(lock);
        }
        Err(LockError::Edited { origin: origin.to_owned(), parts: edited.join(", ") })
    }

    /// Returns the lock as text: the same lock gives the same bytes.
    pub fn to_text(&self) -> String {
        let wire = Wire {
            version: VERSION,
            revision: REVISION,
            catalog: self.catalog.clone(),
            platform: self.platform,
            packages: self.packages.clone(),
            open: self.open.clone(),
            recipe: self.recipe.clone(),
            base: self.base.clone(),
            devel: self.devel.clone(),
            apt: self.apt.clone(),
            python: self.python.clone(),
            build: self.build.clone(),
            components: self.components.clone(),
            contents: self.contents(),
        };
        // Every type above has a TOML form; a failure would be a defect that the round-trip test finds.
        let body = toml::to_string_pretty(&wire).unwrap_or_default();
        format!("{HEADER}{body}")
    }

    /// Returns the digest of each part that is there, by the words with which an edit of it is told.
    fn contents(&self) -> BTreeMap<String, Digest> {
        let mut contents = BTreeMap::new();
        let mut part = |name: String, text: Result<String, serde_json::Error>| {
            // As with the text: every value has a form.
            contents.insert(name, Digest::of(text.unwrap_or_default()));
        };
        let head = (&self.recipe, &self.catalog, self.platform, &self.packages, &self.open);
        part("recipe".to_owned(), serde_json::to_string(&head));
        part("base".to_owned(), serde_json::to_string(&(&self.base, &self.devel)));
        part("apt".to_owned(), serde_json::to_string(&self.apt));
        part("python".to_owned(), serde_json::to_string(&self.python));
        part("build".to_owned(), serde_json::to_string(&self.build));
        for locked in &self.components {
            part(format!("component-{}", locked.name), serde_json::to_string(locked));
        }
        contents
    }

    /// Says what does not hold together: each component once, each requirement at one version.
    fn holds_together(&self) -> Result<(), String> {
        if let Some(pair) = self.components.windows(2).find(|pair| pair[0].name >= pair[1].name) {
            return Err(format!("component {} is out of order or written twice", pair[1].name));
        }
        let loose = self.requirements().find(|pinned| pinned.version().is_none());
        match loose {
            Some(pinned) => Err(format!("{} is not pinned to one version", pinned.requirement)),
            None => Ok(()),
        }
    }
}

/// Refuses a lock of another format by the numbers at its beginning, whatever the rest looks like to this tool.
fn of_this_format(origin: &str, text: &str) -> Result<(), LockError> {
    let (mut version, mut revision) = (None, None);
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let number = || value.split('#').next().unwrap_or_default().trim().parse::<u32>().ok();
        match key.trim() {
            "version" => version = number(),
            "revision" => revision = number(),
            _ => {}
        }
    }
    let origin = origin.to_owned();
    match (version, revision.unwrap_or_default()) {
        (None, _) => {
            Err(LockError::Malformed { origin, message: "it does not say its format (`version`)".to_owned() })
        }
        (Some(found), minor) if (found, minor) > (VERSION, REVISION) => {
            Err(LockError::Newer { origin, found: format!("{found}.{minor}") })
        }
        (Some(found), _) if found < VERSION => Err(LockError::Older { origin, found }),
        _ => Ok(()),
    }
}

/// Returns what is not as it was written, in words.
fn edited(written: &BTreeMap<String, Digest>, found: &BTreeMap<String, Digest>) -> Vec<String> {
    let mut edited = Vec::new();
    let told = |part: &str| match part.strip_prefix("component-") {
        Some(component) => format!("component {component}"),
        None => part.to_owned(),
    };
    for (part, digest) in found {
        match written.get(part) {
            Some(known) if known == digest => {}
            Some(_) => edited.push(told(part)),
            None => edited.push(format!("{} (added)", told(part))),
        }
    }
    let gone = written.keys().filter(|part| !found.contains_key(*part));
    edited.extend(gone.map(|part| format!("{} (removed)", told(part))));
    edited
}
