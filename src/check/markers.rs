//! Strings that a library carries without any table that says so: its version, and what it loads by name when it runs.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

/// A string is looked for again across the border of two chunks; longer ones are none of ours.
const LONGEST: usize = 128;
/// More names than any library asks for.
const MENTIONS: usize = 64;

/// Looks for the strings of one file.
pub(super) struct Markers {
    version: Option<Finder<'static>>,
    mentions: Vec<Finder<'static>>,
    found: Option<Box<str>>,
    mentioned: BTreeSet<Box<str>>,
    /// The end of the last chunk, and room for the beginning of the next.
    border: Vec<u8>,
}

impl Markers {
    /// Returns what is looked for in the library at `path`; none where no rule asks.
    pub(super) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        // All computed: `strings` on nvidia-nccl-cu12 2.32.3, PACKAGE_STRING in the plugin's start-up line, and the names that
        // both try with dlopen and dlsym.
        let (version, mentions): (Option<&'static str>, &[&'static str]) = if name.starts_with("libnccl.so") {
            (Some("NCCL version "), &["Plugin_v", "libcudart.so"])
        } else if name.starts_with("libnccl-net") {
            (Some("aws-ofi-nccl "), &["Plugin_v", "libcudart.so"])
        } else if name.starts_with("libnccl-") {
            (None, &["Plugin_v", "libcudart.so"])
        } else {
            return None;
        };
        Some(Self {
            version: version.map(Finder::new),
            mentions: mentions.iter().map(Finder::new).collect(),
            found: None,
            mentioned: BTreeSet::new(),
            border: Vec::new(),
        })
    }

    /// Takes the next bytes of the file.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        // What lies across the border is looked at together with its surroundings; what lies inside a chunk, there.
        let mut border = std::mem::take(&mut self.border);
        border.extend_from_slice(&chunk[..chunk.len().min(LONGEST)]);
        self.look(&border);
        self.look(chunk);
        border.clear();
        border.extend_from_slice(&chunk[chunk.len().saturating_sub(LONGEST)..]);
        self.border = border;
    }

    /// Returns the version and the names that were found.
    pub(super) fn finish(mut self) -> (Option<Box<str>>, Vec<Box<str>>) {
        // A version at the very end of the file has nothing behind it.
        let mut border = std::mem::take(&mut self.border);
        border.push(0);
        self.look(&border);
        (self.found, self.mentioned.into_iter().collect())
    }

    fn look(&mut self, window: &[u8]) {
        if let (None, Some(finder)) = (&self.found, &self.version) {
            let after = finder.needle().len();
            self.found = finder.find_iter(window).find_map(|at| version(&window[at + after..]));
        }
        for finder in &self.mentions {
            for at in finder.find_iter(window) {
                if let Some(name) = whole(window, at, finder.needle().len())
                    && self.mentioned.len() < MENTIONS
                {
                    self.mentioned.insert(name.into());
                }
            }
        }
    }
}

/// Returns the version at the beginning of `bytes`; one that reaches their end may go on, and is found with what follows.
fn version(bytes: &[u8]) -> Option<Box<str>> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let version = std::str::from_utf8(&bytes[..length]).ok()?.trim_end_matches('.');
    (length < bytes.len() && version.contains('.') && version.starts_with(|c: char| c.is_ascii_digit()))
        .then(|| version.into())
}

/// Returns the name around `window[at..at + length]` that stands between two zero bytes.
fn whole(window: &[u8], at: usize, length: usize) -> Option<&str> {
    let start = memchr::memrchr(0, &window[..at])? + 1;
    let end = at + length + memchr::memchr(0, &window[at + length..])?;
    let name = std::str::from_utf8(window.get(start..end).filter(|name| name.len() <= LONGEST / 2)?).ok()?;
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, bytes: &[u8], chunk: usize) -> (Option<Box<str>>, Vec<Box<str>>) {
        let mut markers = Markers::of(path).unwrap();
        bytes.chunks(chunk).for_each(|chunk| markers.feed(chunk));
        markers.finish()
    }

    #[test]
    fn versions_and_names_are_found_wherever_the_chunks_fall() {
        let mut bytes = vec![b'N'; 300];
        bytes.extend(b"NCCL version mismatch\0NCCL version %d\0NCCL version 2.32.3+cuda12.9\0");
        bytes.extend(b"ncclNetPlugin_v10\0%sPlugin_v9\0libcudart.so\0libcudart.so.12\0");
        bytes.resize(1000, 0);
        for chunk in 200..700 {
            let (version, names) = found("usr/lib/libnccl.so.2", &bytes, chunk);
            assert_eq!(version.as_deref(), Some("2.32.3"), "in chunks of {chunk}");
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            assert_eq!(
                names,
                ["libcudart.so", "libcudart.so.12", "ncclNetPlugin_v10"],
                "in chunks of {chunk}"
            );
        }
    }

    #[test]
    fn a_marker_at_the_very_end_of_the_file_counts() {
        let (version, _) = found("opt/lib/libnccl-net.so", b"aws-ofi-nccl 1.13.2-aws", 1000);
        assert_eq!(version.as_deref(), Some("1.13.2"));
        assert!(Markers::of("usr/lib/libc.so.6").is_none());
    }
}
