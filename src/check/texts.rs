//! Which small texts of an image are kept for rules, and how much of them.

use std::io::{self, BufRead, BufReader, Read};

/// How a text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `METADATA` of a Python distribution: name and version.
    PythonMetadata,
    /// The database of dpkg: name, status and version of each package.
    Dpkg,
    /// A short text as it is.
    Whole,
}

/// A line above this is not one that we read.
const LINE: u64 = 64 << 10;
/// dpkg's database of an image with 8,000 packages keeps less than a megabyte of these lines.
const CAP: usize = 4 << 20;

/// Returns how the text at `path` (without leading `/`) is kept; none where no rule reads it.
pub(super) fn wanted(path: &str) -> Option<Wanted> {
    if let Some(dir) = path.strip_suffix("/METADATA") {
        return dir.ends_with(".dist-info").then_some(Wanted::PythonMetadata);
    }
    if let Some(dir) = path.strip_suffix("/PKG-INFO") {
        return dir.ends_with(".egg-info").then_some(Wanted::PythonMetadata);
    }
    if path == "var/lib/dpkg/status" || is_distroless(path) {
        return Some(Wanted::Dpkg);
    }
    let whole = matches!(path, "opt/amazon/efa_installed_packages" | "etc/os-release" | "usr/lib/os-release");
    whole.then_some(Wanted::Whole)
}

/// Returns whether `path` is one of dpkg's records in a distroless image, which has one file for each package.
fn is_distroless(path: &str) -> bool {
    path.strip_prefix("var/lib/dpkg/status.d/")
        .is_some_and(|name| !name.contains('/') && !name.ends_with(".md5sums"))
}

impl Wanted {
    /// Reads the text from `data` and returns the lines kept, and whether some were lost.
    pub(super) fn read(self, data: &mut impl Read) -> io::Result<(String, bool)> {
        let mut data = BufReader::new(data);
        let mut kept = String::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = data.by_ref().take(LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok((kept, false));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if self == Self::PythonMetadata && text.is_empty() {
                // The description follows the headers.
                return Ok((kept, false));
            }
            if self.keeps(text) {
                if kept.len() + text.len() > CAP {
                    return Ok((kept, true));
                }
                kept.push_str(text);
                kept.push('\n');
            }
        }
    }

    fn keeps(self, line: &str) -> bool {
        let starts = |keys: &[&str]| keys.iter().any(|key| line.starts_with(key));
        match self {
            Self::PythonMetadata => starts(&["Name:", "Version:"]),
            Self::Dpkg => line.is_empty() || starts(&["Package:", "Status:", "Version:", "Architecture:"]),
            Self::Whole => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_headers_of_python_metadata_are_kept() {
        let text =
            "Metadata-Version: 2.4\nName: torch\nVersion: 2.5.1\nRequires-Dist: x\n\nName: not a header\n";
        let kept = Wanted::PythonMetadata.read(&mut text.as_bytes()).unwrap();
        assert_eq!(kept, ("Name: torch\nVersion: 2.5.1\n".to_owned(), false));
    }

    #[test]
    fn a_text_without_line_ends_is_cut_and_says_so() {
        let (kept, cut) = Wanted::Whole.read(&mut io::repeat(b'a').take(64 << 20)).unwrap();
        assert!(cut && kept.len() <= CAP + CAP / 1024);
    }

    #[test]
    fn texts_are_wanted_by_their_place() {
        assert_eq!(
            wanted("opt/venv/lib/python3.13/site-packages/torch-2.5.1.dist-info/METADATA"),
            Some(Wanted::PythonMetadata)
        );
        assert_eq!(wanted("var/lib/dpkg/status.d/base"), Some(Wanted::Dpkg));
        assert_eq!(wanted("var/lib/dpkg/status.d/base.md5sums"), None);
        assert_eq!(wanted("home/METADATA"), None);
    }
}
