//! Reads rpm's database where it is an `SQLite` file (rpm 4.16 and later: Amazon Linux 2023, Fedora, RHEL 9): names and versions.
//!
//! Only what that needs of `SQLite`'s file format: the schema, one table's tree, overflow pages (sqlite.org/fileformat2). A page is
//! visited once, so a file of an enemy costs no more than its size. Databases in Berkeley DB or ndb form are not read; the
//! inventory says so.

/// A package that rpm says is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpmPackage {
    /// Its name.
    pub(crate) name: String,
    /// `epoch:version-release`, without the epoch where there is none.
    pub(crate) version: String,
}

/// No header of an honest package is larger: kernels with their file lists keep about 4 MiB.
const HEADER: usize = 16 << 20;
const MAGIC: &[u8] = b"SQLite format 3\0";
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// Returns the packages in the database `bytes`, or why they cannot be read.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<RpmPackage>, &'static str> {
    let file = File::new(bytes)?;
    let mut root = None;
    file.rows(1, &mut |record| {
        let columns = columns(record)?;
        let text = |at: usize| columns.get(at).copied().and_then(Column::text);
        if text(0) == Some("table") && text(1) == Some("Packages") {
            root = columns.get(3).copied().and_then(Column::number);
        }
        Some(())
    })?;
    let root = root.and_then(|root| u32::try_from(root).ok()).ok_or("it has no table of packages")?;
    let mut packages = Vec::new();
    file.rows(root, &mut |record| {
        let columns = columns(record)?;
        packages.push(package(columns.get(1).copied()?.bytes())?);
        Some(())
    })?;
    Ok(packages)
}

/// Returns name and version out of a header as rpm stores it: two counts, an index of tags, the data.
fn package(header: &[u8]) -> Option<RpmPackage> {
    const NAME: u32 = 1000;
    const VERSION: u32 = 1001;
    const RELEASE: u32 = 1002;
    const EPOCH: u32 = 1003;
    const STRING: u32 = 6;
    const INT32: u32 = 4;
    let word = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    let entries = usize::try_from(word(0)?).ok()?;
    let data = header.get(entries.checked_mul(16)?.checked_add(8)?..)?;
    let find = |wanted: u32, kind: u32| {
        let entry = |at: usize| {
            let at = 8 + at * 16;
            (word(at)? == wanted && word(at + 4)? == kind).then(|| word(at + 8)).flatten()
        };
        (0..entries).find_map(entry).and_then(|offset| data.get(usize::try_from(offset).ok()?..))
    };
    let text = |tag: u32| {
        let text = find(tag, STRING)?;
        let end = text.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&text[..end]).ok().filter(|text| text.len() <= 256)
    };
    let epoch =
        find(EPOCH, INT32).and_then(|value| value.first_chunk()).map(|value| u32::from_be_bytes(*value));
    let version = format!("{}-{}", text(VERSION)?, text(RELEASE)?);
    let version = epoch.map_or(version.clone(), |epoch| format!("{epoch}:{version}"));
    Some(RpmPackage { name: text(NAME)?.to_owned(), version })
}

/// An `SQLite` file.
struct File<'a> {
    bytes: &'a [u8],
    page: usize,
    /// The size of a page without its reserved end.
    usable: usize,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let header = bytes.first_chunk::<100>().ok_or("it is shorter than a header")?;
        if !header.starts_with(MAGIC) {
            return Err("it is not an `SQLite` file");
        }
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(usize::from(header[20]));
        if page < 512 || !page.is_power_of_two() || usable < 480 {
            return Err("its page size is no page size");
        }
        Ok(Self { bytes, page, usable })
    }

    fn page(&self, number: u32) -> Option<&'a [u8]> {
        let from = usize::try_from(number).ok()?.checked_sub(1)?.checked_mul(self.page)?;
        self.bytes.get(from..from.checked_add(self.page)?)
    }

    /// Gives the record of each row of the table whose tree begins at page `root`.
    fn rows(&self, root: u32, each: &mut impl FnMut(&[u8]) -> Option<()>) -> Result<(), &'static str> {
        let mut visited = vec![false; self.bytes.len() / self.page + 2];
        let mut waiting = vec![root];
        // Cells of an enemy may all be the same bytes; honest rows lie beside each other.
        let mut budget = self.bytes.len();
        while let Some(number) = waiting.pop() {
            let seen =
                usize::try_from(number).ok().and_then(|at| visited.get_mut(at)).ok_or("a page is missing")?;
            if std::mem::replace(seen, true) {
                return Err("its pages run in a circle");
            }
            let page = self.page(number).ok_or("a page is missing")?;
            // The first page begins with the header of the file.
            let start = if number == 1 { 100 } else { 0 };
            let kind = page[start];
            let cells = usize::from(u16::from_be_bytes([page[start + 3], page[start + 4]]));
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            for cell in 0..cells {
                let at =
                    page.get(pointers + cell * 2..).and_then(<[u8]>::first_chunk).ok_or("a page is cut")?;
                let cell =
                    page.get(usize::from(u16::from_be_bytes(*at))..).ok_or("a cell is outside its page")?;
                match kind {
                    LEAF => {
                        let record = self.record(cell).ok_or("a row is cut")?;
                        budget =
                            budget.checked_sub(record.len()).ok_or("its rows are longer than the file")?;
                        each(&record).ok_or("a row is malformed")?;
                    }
                    INTERIOR => waiting.push(be32(cell).ok_or("a page is cut")?),
                    _ => return Err("a page is of no kind that a table has"),
                }
            }
            if kind == INTERIOR {
                waiting.push(be32(&page[start + 8..]).ok_or("a page is cut")?);
            }
        }
        Ok(())
    }

    /// Returns the payload of a leaf's cell, gathered from its overflow pages.
    fn record(&self, cell: &[u8]) -> Option<Vec<u8>> {
        let (size, after) = varint(cell)?;
        let (_rowid, payload) = varint(after)?;
        let size = usize::try_from(size).ok().filter(|size| *size <= HEADER && *size <= self.bytes.len())?;
        let most = self.usable - 35;
        let local = if size <= most {
            size
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let fits = least + (size - least) % (self.usable - 4);
            if fits <= most { fits } else { least }
        };
        let mut record = Vec::with_capacity(size);
        record.extend(payload.get(..local)?);
        let mut next = payload.get(local..).and_then(be32);
        while record.len() < size {
            let page = self.page(next?)?;
            next = be32(page);
            // Each page adds something, so a circle of them ends with the size.
            record.extend(&page[4..self.usable.min(4 + size - record.len())]);
        }
        Some(record)
    }
}

/// A value of a row.
#[derive(Clone, Copy)]
enum Column<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Other,
}

impl<'a> Column<'a> {
    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()).ok()
    }

    fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }

    fn number(self) -> Option<i64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

/// Returns the columns of a record; five at most, which is what the schema has.
fn columns(record: &[u8]) -> Option<Vec<Column<'_>>> {
    let (size, mut types) = varint(record)?;
    let size = usize::try_from(size).ok()?;
    let mut body = record.get(size..)?;
    types = types.get(..types.len().checked_sub(record.len() - size)?)?;
    let mut columns = Vec::new();
    while columns.len() < 5 && !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let (value, rest) = body.split_at_checked(length)?;
        body = rest;
        columns.push(match kind {
            8 => Column::Number(0),
            9 => Column::Number(1),
            1..=6 => Column::Number(value.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte))),
            12.. => Column::Bytes(value),
            _ => Column::Other,
        });
    }
    Some(columns)
}

fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Reads `SQLite`'s variable-length number and returns it with what follows.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// What rpm 4.18 wrote for three packages, each sixteen times, so that the table's tree has more than one level.
    fn database() -> Vec<u8> {
        let packed: &[u8] = include_bytes!("tests/fixtures/rpmdb.sqlite.gz");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_database_of_a_real_rpm_tells_its_packages() {
        let packages = parse(&database()).unwrap();
        assert_eq!(packages.len(), 48);
        let mut said: Vec<String> =
            packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        said.sort();
        said.dedup();
        assert_eq!(
            said,
            ["efa-profile 1.7-1.amzn2023", "libfabric1-aws 1.22.0amzn3.0-1", "libnccl 1:2.23.4-1+cuda12.4"]
        );
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(parse(b"").is_err());
        assert!(parse(&[0; 8192]).is_err());
        assert!(parse(&database()[..5000]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_database_with_changed_bytes_never_panics_or_hangs(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..32),
            head in any::<bool>(),
        ) {
            let mut bytes = database();
            for (at, value) in changes {
                let at = at.index(if head { 8192 } else { bytes.len() });
                bytes[at] = value;
            }
            let _any_answer = parse(&bytes);
        }
    }
}
