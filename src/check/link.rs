//! The link closure of the libraries that a training needs: what they load, whether it is there, and whether it defines what they
//! ask for. Data for `check/rules/link.rs`.
//!
//! Narrow on purpose: an image holds hundreds of plugins whose libraries are rightly absent. Judged are torch and its extensions, NCCL
//! and its plugins, libfabric, and what these load; of other modules of Python only whether they find the runtime of their compiler.
//! Inside Python a library that is loaded already answers for its soname, whatever
//! the search path says, and `import torch` loads NVIDIA's wheels first: a sibling in the same `site-packages` counts as there.

use std::collections::{BTreeMap, BTreeSet};

use super::elf::{Dynamic, Symbols};
use super::loader::{Asker, Loader};
use super::rules::Image;

/// What is wrong with the closure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Closure {
    /// Libraries that are nowhere: soname, and who asks for it.
    pub(super) missing: BTreeMap<String, BTreeSet<String>>,
    /// The same where only modules of Python ask that a training may never import.
    pub(super) lacking: BTreeMap<String, BTreeSet<String>>,
    /// Versions that the library found does not define: its path and the version, and who asks for it.
    pub(super) versions: BTreeMap<(String, String), BTreeSet<String>>,
    /// Symbols of torch that an extension wants and this torch does not define: the extension and the symbols.
    pub(super) symbols: BTreeMap<String, Vec<String>>,
    /// Files that the image's loader refuses because they want an executable stack.
    pub(super) stacks: BTreeSet<String>,
    /// Files of the closure that could not be read, and why.
    pub(super) unread: BTreeMap<String, String>,
    /// Files without which a training does not start. Without a plugin of NCCL and libfabric it runs, over TCP sockets.
    pub(super) vital: BTreeSet<String>,
}

/// Comes from the driver of the node, not from the image.
const INJECTED: [&str; 6] =
    ["libcuda.so", "libnvidia-", "libnvcuvid.so", "libcudadebugger.so", "libnvoptix.so", "libGLX_nvidia.so"];
/// The runtime of compilers, without which nothing that asks for it loads: never left out on purpose, as codecs and drivers are.
const RUNTIME: [&str; 6] =
    ["libgomp.so.", "libstdc++.so.", "libgcc_s.so.", "libgfortran.so.", "libquadmath.so.", "libatomic.so."];
/// More files than any closure has.
const MOST: usize = 4096;

/// How much of what a file asks for is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Everything: a training does not start without it.
    Everything,
    /// Everything too: the network between nodes is not used without it.
    Network,
    /// Torch, and the compiler's runtime with less weight: of its other extensions some are rightly left without what they ask for, as
    /// torchaudio has one for each version of `FFmpeg`, and nobody may import them.
    Torch,
    /// The compiler's runtime, of any module of Python.
    Runtime,
}

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
        refuses_stacks: refuses_stacks(image),
        judged: Judged::Everything,
        closure: &mut closure,
    };
    // What must load goes first: what it shares with an extension is then judged as strictly as itself.
    for judged in [Judged::Everything, Judged::Network, Judged::Torch, Judged::Runtime] {
        walk.judged = judged;
        for (path, note, _) in image.root.files() {
            let Some(elf) = &note.elf else { continue };
            let begins = match judged {
                Judged::Everything => must_load(path),
                Judged::Network => is_network(path),
                Judged::Torch => path.contains(".so") && elf.dynamic.as_deref().is_some_and(extends_torch),
                Judged::Runtime => is_module(path),
            };
            if begins {
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
    let extension = name.contains(".so") && starts(&["transformer_engine_torch", "flash_attn"]);
    of_torch || extension || starts(&["libnccl.so", "libtransformer_engine.so"])
}

/// Returns whether the file at `path` is a plugin of NCCL, or what it speaks to the network with.
fn is_network(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["libnccl-net", "libnccl-tuner", "libfabric.so"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns whether the file at `path` is a module of Python, by the name that its builders give it.
fn is_module(path: &str) -> bool {
    site(path).is_some() && (path.contains(".cpython-") || path.ends_with(".abi3.so"))
}

fn is_runtime(name: &str) -> bool {
    RUNTIME.iter().any(|prefix| name.starts_with(prefix))
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
    /// Whether the loader refuses what wants an executable stack.
    refuses_stacks: bool,
    judged: Judged,
    closure: &'c mut Closure,
}

impl Walk<'_, '_> {
    /// Visits the file at `path`, which those in `chain` load.
    fn visit(&mut self, path: &str, chain: &mut Vec<String>) {
        if self.seen.len() >= MOST || !self.seen.insert(path.to_owned()) {
            return;
        }
        let Some(elf) = self.image.root.file(path).and_then(|note| note.elf.as_ref()) else { return };
        if self.judged == Judged::Everything {
            self.closure.vital.insert(path.to_owned());
        }
        if let Some(unread) = elf.unread.as_ref().filter(|_| self.judged != Judged::Runtime) {
            self.closure.unread.insert(path.to_owned(), unread.to_string());
        }
        if elf.executable_stack && self.refuses_stacks && self.judged != Judged::Runtime {
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
                None => self.miss(name, path),
            }
        }
        chain.pop();
        if self.judged != Judged::Runtime {
            self.compare(path, dynamic, &found);
        }
    }

    /// Takes down that `name`, for which the file at `path` asks, is nowhere, if that counts.
    fn miss(&mut self, name: &str, path: &str) {
        let missing = match self.judged {
            Judged::Everything | Judged::Network => &mut self.closure.missing,
            Judged::Torch if is_torch(name) => &mut self.closure.missing,
            Judged::Torch | Judged::Runtime if is_runtime(name) => &mut self.closure.lacking,
            Judged::Torch | Judged::Runtime => return,
        };
        missing.entry(name.to_owned()).or_default().insert(path.to_owned());
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
    let mut defined: BTreeMap<&str, Vec<&Symbols>> = BTreeMap::new();
    let mut incomplete = BTreeSet::new();
    for (path, note, _) in image.root.files() {
        let Some((site, elf)) = site(path).zip(note.elf.as_ref()) else { continue };
        if !path.starts_with(&format!("{site}torch/lib/")) {
            continue;
        }
        if elf.unread.is_some() {
            incomplete.insert(site);
        }
        let symbols = elf.dynamic.as_ref().and_then(|dynamic| dynamic.symbols.as_deref());
        if let Some(symbols) = symbols.filter(|symbols| !symbols.defined.is_empty()) {
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
