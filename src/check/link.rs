//! The link closure of the libraries that a training needs: what they load, whether it is there, and whether it defines what they
//! ask for. Data for `check/rules/link.rs`.
//!
//! Narrow on purpose: an image holds hundreds of plugins whose libraries are rightly absent. Judged are torch and its extensions, NCCL
//! and its plugins, libfabric, and what these load. Inside Python a library that is loaded already answers for its soname, whatever
//! the search path says, and `import torch` loads NVIDIA's wheels first: a sibling in the same `site-packages` counts as there.

use std::collections::{BTreeMap, BTreeSet};

use super::elf::Dynamic;
use super::loader::{Asker, Loader};
use super::rules::Image;

/// What is wrong with the closure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closure {
    /// Libraries that are nowhere: soname, and who asks for it.
    pub(super) missing: BTreeMap<String, BTreeSet<String>>,
    /// Versions that the library found does not define: its path and the version, and who asks for it.
    pub(super) versions: BTreeMap<(String, String), BTreeSet<String>>,
    /// Symbols of torch that an extension wants and this torch does not define: the extension and the symbols.
    pub(super) symbols: BTreeMap<String, Vec<String>>,
    /// Files that the image's loader refuses because they want an executable stack.
    pub(super) stacks: BTreeSet<String>,
    /// Files of the closure that could not be read, and why.
    pub(super) unread: BTreeMap<String, String>,
}

/// Comes from the driver of the node, not from the image.
const INJECTED: [&str; 6] =
    ["libcuda.so", "libnvidia-", "libnvcuvid.so", "libcudadebugger.so", "libnvoptix.so", "libGLX_nvidia.so"];
/// More files than any closure has.
const MOST: usize = 4096;

/// Returns the closure of the libraries that matter in `image`.
pub(super) fn closure(image: &Image) -> Closure {
    let mut closure = Closure::default();
    // Another loader with other rules: musl's images hold no GPU stack that we know.
    if image.root.names().any(|path| path.starts_with("lib/ld-musl-")) {
        return closure;
    }
    let loader = Loader::of(image);
    let mut walk = Walk {
        image,
        loader,
        siblings: siblings(image),
        seen: BTreeSet::new(),
        strict: true,
        refuses_stacks: refuses_stacks(image),
        closure: &mut closure,
    };
    // What must load goes first: what it shares with an extension is then judged as strictly as itself.
    for strict in [true, false] {
        walk.strict = strict;
        for (path, note, _) in image.root.files() {
            let Some(elf) = &note.elf else { continue };
            let extension = || path.contains(".so") && elf.dynamic.as_deref().is_some_and(extends_torch);
            let judged = if strict { must_load(path) } else { extension() };
            if judged {
                walk.visit(path, &mut Vec::new());
            }
        }
    }
    torch_symbols(image, &mut closure);
    closure
}

/// Returns whether the file at `path` must load for a training to start.
fn must_load(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let of_torch = path.contains("/torch/lib/") && starts(&["libtorch", "libc10", "libshm"]);
    let libraries =
        ["libnccl.so", "libnccl-net", "libnccl-tuner", "libfabric.so", "libtransformer_engine.so"];
    let extension = name.contains(".so") && starts(&["transformer_engine_torch", "flash_attn"]);
    of_torch || extension || starts(&libraries)
}

fn extends_torch(dynamic: &Dynamic) -> bool {
    dynamic.needed.iter().any(|name| is_torch(name))
}

fn is_torch(name: &str) -> bool {
    name.starts_with("libtorch") || name.starts_with("libc10")
}

/// Returns the names of libraries by the `site-packages` that holds them.
fn siblings(image: &Image) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for path in image.root.names() {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(site) = site(path)
            && name.contains(".so")
        {
            found.entry(site).or_default().entry(name).or_insert(path);
        }
    }
    found
}

/// Returns the folder of Python's packages in which `path` lies.
fn site(path: &str) -> Option<&str> {
    ["/site-packages/", "/dist-packages/"]
        .into_iter()
        .find_map(|mark| path.rfind(mark).map(|at| &path[..at + mark.len()]))
}

struct Walk<'a, 'c> {
    image: &'a Image,
    loader: Loader<'a>,
    siblings: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    seen: BTreeSet<String>,
    /// Whether everything that is missing counts. Of other extensions some are rightly left without: torchaudio has one for each
    /// version of `FFmpeg`. There only torch itself counts.
    strict: bool,
    /// Whether the loader refuses what wants an executable stack.
    refuses_stacks: bool,
    closure: &'c mut Closure,
}

impl Walk<'_, '_> {
    /// Visits the file at `path`, which those in `chain` load.
    fn visit(&mut self, path: &str, chain: &mut Vec<String>) {
        if self.seen.len() >= MOST || !self.seen.insert(path.to_owned()) {
            return;
        }
        let Some(elf) = self.image.root.file(path).and_then(|note| note.elf.as_ref()) else { return };
        if let Some(unread) = &elf.unread {
            self.closure.unread.insert(path.to_owned(), unread.to_string());
        }
        if elf.executable_stack && self.refuses_stacks {
            self.closure.stacks.insert(path.to_owned());
        }
        let Some(dynamic) = elf.dynamic.as_deref() else { return };
        chain.push(path.to_owned());
        let mut found = BTreeMap::new();
        for name in dynamic.needed.iter().filter(|name| !injected(name)) {
            match self.find(name, chain) {
                Some(library) => {
                    found.insert(&**name, library.clone());
                    // Chains are as long as the closure is deep; a deeper one is a loop that an enemy made.
                    if chain.len() < 64 {
                        self.visit(&library, chain);
                    }
                }
                None if self.strict || is_torch(name) => {
                    self.closure.missing.entry(name.to_string()).or_default().insert(path.to_owned());
                }
                None => {}
            }
        }
        chain.pop();
        self.compare(path, dynamic, &found);
    }

    fn asker<'p>(&'p self, path: &'p str) -> Option<Asker<'p>> {
        let elf = self.image.root.file(path)?.elf.as_ref()?;
        Some(Asker { path, dynamic: elf.dynamic.as_deref() })
    }

    /// Finds `name` for the last of `chain`: by its own paths, by the `RPATH` of those above it, or as a sibling in Python.
    fn find(&self, name: &str, chain: &[String]) -> Option<String> {
        let last = chain.last()?;
        if let Some(found) = self.loader.find(self.asker(last), name) {
            return Some(found);
        }
        let inherits = |path: &&String| {
            self.asker(path).and_then(|asker| asker.dynamic).is_some_and(|dynamic| dynamic.runpath.is_none())
        };
        let mut above = chain.iter().rev().skip(1).filter(inherits);
        let inherited = above.find_map(|path| self.loader.find(self.asker(path), name));
        let first = chain.first()?;
        // A plugin of NCCL is loaded into a process of Python too.
        let sites = [site(last), site(first)];
        let host = || sites.into_iter().flatten().find_map(|site| self.siblings.get(site)?.get(name));
        let plugin =
            || self.siblings.values().find_map(|names| names.get(name)).filter(|_| site(first).is_none());
        inherited.or_else(|| host().or_else(plugin).map(|path| (*path).to_owned()))
    }

    /// Compares the versions that the file at `path` asks for with those that its libraries define.
    fn compare(&mut self, path: &str, dynamic: &Dynamic, found: &BTreeMap<&str, String>) {
        for need in dynamic.needs.iter().filter(|need| !need.weak) {
            let Some(library) = found.get(&*need.file) else { continue };
            let elf = self.image.root.file(library).and_then(|note| note.elf.as_ref());
            let Some(elf) = elf.filter(|elf| elf.unread.is_none()) else { continue };
            // The loader only warns of a library without any versions.
            let defines = elf.dynamic.as_ref().map_or(&[][..], |dynamic| &dynamic.defines);
            if !defines.is_empty() && !defines.contains(&need.version) {
                let missing = (library.clone(), need.version.to_string());
                self.closure.versions.entry(missing).or_default().insert(path.to_owned());
            }
        }
    }
}

/// Returns whether the C library is 2.41 or newer: it makes no stack executable any more for what comes after the program's start.
fn refuses_stacks(image: &Image) -> bool {
    let libraries = image.root.files().filter(|(path, ..)| path.ends_with("/libc.so.6"));
    let mut dynamic = libraries.filter_map(|(_, note, _)| note.elf.as_ref()?.dynamic.as_deref());
    dynamic.any(|dynamic| dynamic.defines.iter().any(|version| &**version == "GLIBC_2.41"))
}

fn injected(name: &str) -> bool {
    INJECTED.iter().any(|prefix| name.starts_with(prefix))
}

/// Compares what extensions want of torch's C++ interface with what the torch beside them defines.
fn torch_symbols(image: &Image, closure: &mut Closure) {
    let symbols = |elf: &super::elf::ElfNote| elf.dynamic.as_ref()?.symbols.clone();
    let mut defined: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let mut incomplete = BTreeSet::new();
    for (path, note, _) in image.root.files() {
        let Some((site, elf)) = site(path).zip(note.elf.as_ref()) else { continue };
        if !path.starts_with(&format!("{site}torch/lib/")) {
            continue;
        }
        if elf.unread.is_some() {
            incomplete.insert(site);
        }
        if let Some(symbols) = symbols(elf).filter(|symbols| !symbols.defined.is_empty()) {
            defined.entry(site).or_default().push(symbols);
        }
    }
    for (path, note, _) in image.root.files() {
        let Some((site, dynamic)) = site(path).zip(note.elf.as_ref().and_then(|elf| elf.dynamic.as_deref()))
        else {
            continue;
        };
        let (Some(providers), Some(wanted)) = (defined.get(site), &dynamic.symbols) else { continue };
        // What an extension gets from a library of its own package is not compared: of that one no symbols are kept.
        let own = |name: &str| !is_torch(name) && beside(image, path, name);
        if incomplete.contains(site) || dynamic.needed.iter().any(|name| own(name)) {
            continue;
        }
        let absent =
            wanted.undefined.iter().filter(|name| !providers.iter().any(|symbols| symbols.defines(name)));
        let absent: Vec<String> = absent.map(ToString::to_string).collect();
        if !absent.is_empty() {
            closure.symbols.insert(path.to_owned(), absent);
        }
    }
}

/// Returns whether the package that holds the extension at `path` has a library `name` too.
fn beside(image: &Image, path: &str, name: &str) -> bool {
    let Some(site) = site(path) else { return false };
    let package = path[site.len()..].split('/').next().unwrap_or_default();
    let suffix = format!("/{name}");
    image.root.below(&format!("{site}{package}")).any(|(path, _)| path.ends_with(&suffix))
}
