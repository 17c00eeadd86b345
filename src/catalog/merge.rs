//! Joining files into one catalogue: a row of the user's takes the place of the built-in one about the same thing, and is remembered.

use std::collections::BTreeMap;
use std::ops::Range;

use super::CatalogError;
use super::overlay::{Addition, Change, Override, Own, changes};
use super::row::Row;
use super::tables::{Joined, Wire};
use crate::recipe::{ArtefactUrl, Source};

/// Where a row was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, counted from the first.
    pub(super) file: usize,
    /// The place in its text.
    pub(super) span: Range<usize>,
}

/// Every row's place, by table and key.
pub(super) type Places = BTreeMap<(&'static str, String), Place>;

/// The values of a catalogue that are no rows.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) revision: String,
    pub(super) smp_channels: Vec<ArtefactUrl>,
    pub(super) python_index: ArtefactUrl,
}

/// Files being joined: the first `built_in` of them came with the program.
pub(super) struct Merge<'a> {
    /// The files.
    pub(super) files: &'a [Source],
    built_in: usize,
    file: usize,
    places: Places,
    /// Where in its table each row stands.
    index: BTreeMap<(&'static str, String), usize>,
    own: Own,
}

impl<'a> Merge<'a> {
    /// Joins `files`; those from `built_in` on are the user's.
    pub(super) fn join(
        files: &'a [Source],
        built_in: usize,
    ) -> Result<(Joined, Named, Own, Places), CatalogError> {
        let own = Own::of(files.get(built_in..).unwrap_or_default());
        let mut merge = Self { files, built_in, file: 0, places: Places::new(), index: BTreeMap::new(), own };
        let mut joined = Joined::default();
        let (mut revision, mut channels, mut python_index) = (None, None, None);
        for (number, source) in files.iter().enumerate() {
            merge.file = number;
            let wire: Wire = toml::from_str(&source.text)
                .map_err(|error| CatalogError::malformed(source, merge.is_own(), &error))?;
            if let Some(stated) = &wire.revision
                && merge.is_own()
            {
                return Err(merge
                    .error(stated.span(), "`revision` is that of the built-in catalogue")
                    .with_help(
                        "leave it out: the digest of this file is added to the revision, so a lock knows it",
                    ));
            }
            revision = revision.or(wire.revision.as_ref().map(|stated| stated.get_ref().clone()));
            merge.replace("smp-channels", &mut channels, wire.smp_channels.as_ref(), |urls| {
                urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            });
            merge.replace("python-index", &mut python_index, wire.python_index.as_ref(), ToString::to_string);
            joined.add(wire, &mut merge)?;
        }
        let missing = |key: &str| CatalogError::missing(files.first(), key);
        let named = Named {
            revision: revision.ok_or_else(|| missing("revision"))?,
            smp_channels: channels.unwrap_or_default(),
            python_index: python_index.ok_or_else(|| missing("python-index"))?,
        };
        Ok((joined, named, merge.own, merge.places))
    }

    /// Returns whether the file being read is the user's.
    fn is_own(&self) -> bool {
        self.file >= self.built_in
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> CatalogError {
        CatalogError::at(&self.files[self.file], self.is_own(), span, message)
    }

    /// Returns `FILE:LINE` of a row of the user's, nothing for a built-in one.
    pub(super) fn place(&self, span: &Range<usize>) -> Option<String> {
        self.is_own().then(|| place(&self.files[self.file], span))
    }

    /// Puts `row` into its table: at the end, or in place of the built-in row about the same thing.
    pub(super) fn put<T: Row>(
        &mut self,
        table: &'static str,
        rows: &mut Vec<T>,
        row: T,
        span: Range<usize>,
    ) -> Result<(), CatalogError> {
        let key = (table, row.key());
        let here = Place { file: self.file, span: span.clone() };
        let Some(&at) = self.index.get(&key) else {
            if let Some(place) = self.place(&span) {
                self.own.additions.push(Addition { table, subject: row.subject(), place });
            }
            self.index.insert(key.clone(), rows.len());
            self.places.insert(key, here);
            rows.push(row);
            return Ok(());
        };
        let first = self.places.get(&key).cloned();
        let known = first.as_ref().is_none_or(|place| place.file < self.built_in);
        if !self.is_own() || !known {
            let first = first.map(|first| place(&self.files[first.file], &first.span)).unwrap_or_default();
            return Err(self
                .error(span, format!("`{table}` says twice what it knows of {}", row.subject()))
                .with_help(format!("the first is at {first}; keep one of them")));
        }
        if let Some(place) = self.place(&span) {
            let changes = changes(&rows[at].fields(), &row.fields());
            self.own.overrides.push(Override { table, subject: row.subject(), place, changes });
        }
        self.places.insert(key, here);
        rows[at] = row;
        Ok(())
    }

    /// Takes a value that is no row; one of the user's takes the place of the built-in one.
    fn replace<T: Clone>(
        &mut self,
        key: &'static str,
        value: &mut Option<T>,
        stated: Option<&toml::Spanned<T>>,
        shown: impl Fn(&T) -> String,
    ) {
        let Some(stated) = stated else { return };
        if let Some(place) = self.place(&stated.span()) {
            let old = value.as_ref().map(&shown);
            let new = Some(shown(stated.get_ref()));
            let changes = vec![Change { field: key.to_owned(), old, new }];
            self.own.overrides.push(Override { table: "catalog", subject: key.to_owned(), place, changes });
        }
        *value = Some(stated.get_ref().clone());
    }
}

/// Returns `FILE:LINE` of `span`.
fn place(source: &Source, span: &Range<usize>) -> String {
    let before = source.text.get(..span.start).unwrap_or(&source.text);
    format!("{}:{}", source.origin, before.matches('\n').count() + 1)
}
