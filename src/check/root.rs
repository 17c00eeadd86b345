//! The root of the image as a container sees it: all layers applied in order, with whiteouts, links and overwrites resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::note::{Entry, FileNote, Node};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Waste below this is not named file by file.
const NAMED_WASTE: u64 = 1 << 20;

/// The merged root. Paths have no leading `/`.
#[derive(Debug, Default)]
pub(crate) struct Root {
    members: BTreeMap<Box<str>, Member>,
    /// Bytes in lower layers that upper layers delete or overwrite.
    pub(crate) wasted: u64,
    /// The larger ones of them by path.
    pub(crate) waste: Vec<(Box<str>, u64)>,
    /// Links that an upper layer replaced by a directory: path, old target, layer from 1.
    pub(crate) replaced_links: Vec<(Box<str>, Box<str>, usize)>,
    /// Second names of files: they take no space.
    pub(crate) hard_links: BTreeSet<Box<str>>,
}

#[derive(Debug)]
struct Member {
    node: Node,
    layer: usize,
}

impl Root {
    /// Applies one layer on top; `layer` counts from 1.
    pub(super) fn apply(&mut self, layer: usize, entries: Vec<Entry>) {
        // A whiteout hides what is below the layer, wherever in the layer it stands.
        for entry in &entries {
            let (parent, name) = split(&entry.path);
            if name == OPAQUE {
                self.remove_below(parent);
            } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
                let path = join(parent, hidden);
                self.remove_below(&path);
                self.remove(&path);
            }
        }
        let mut checked = String::new();
        for Entry { path, node } in entries {
            let (parent, name) = split(&path);
            if name.starts_with(WHITEOUT) {
                continue;
            }
            if parent != checked {
                self.make_parents(parent, layer);
                parent.clone_into(&mut checked);
            }
            self.insert(path, node, layer);
        }
    }

    fn insert(&mut self, path: Box<str>, node: Node, layer: usize) {
        let node = match node {
            Node::Hardlink(target) => match self.members.get(&target).map(|member| &member.node) {
                // The same bytes under a second name; they take no space twice.
                Some(Node::File(linked)) => {
                    self.hard_links.insert(path.clone());
                    Node::File(linked.clone())
                }
                _ => Node::Hardlink(target),
            },
            other => other,
        };
        let is_directory = matches!(node, Node::Directory);
        match self.members.get(&path).map(|old| (&old.node, old.layer)) {
            Some((Node::Directory, _)) if is_directory => return,
            Some((Node::Directory, _)) => self.remove_below(&path),
            Some((Node::Symlink(target), below)) if is_directory && below < layer => {
                self.replaced_links.push((path.clone(), target.clone(), layer));
            }
            Some((Node::File(hidden), below)) if below < layer => {
                let size = hidden.size;
                self.count_waste(&path, size);
            }
            _ => {}
        }
        self.members.insert(path, Member { node, layer });
    }

    /// Makes the folders above a member that the layer does not list, as an overlay does: they hide links below.
    fn make_parents(&mut self, parent: &str, layer: usize) {
        let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
        for end in ends.filter(|end| *end > 0) {
            let path = &parent[..end];
            if !matches!(self.members.get(path), Some(Member { node: Node::Directory, .. })) {
                self.insert(path.into(), Node::Directory, layer);
            }
        }
    }

    fn remove(&mut self, path: &str) {
        if let Some(Member { node: Node::File(note), .. }) = self.members.remove(path) {
            self.count_waste(path, note.size);
        }
    }

    fn remove_below(&mut self, directory: &str) {
        if directory.is_empty() {
            let all: Vec<Box<str>> = self.members.keys().cloned().collect();
            for path in &all {
                self.remove(path);
            }
            return;
        }
        // `/` is followed by `0` in ASCII: the folder's members are one run of keys.
        let (from, to) = (format!("{directory}/"), format!("{directory}0"));
        let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        let below: Vec<Box<str>> =
            self.members.range::<str, _>(range).map(|(path, _)| path.clone()).collect();
        for path in &below {
            self.remove(path);
        }
    }

    fn count_waste(&mut self, path: &str, size: u64) {
        self.wasted += size;
        if size >= NAMED_WASTE {
            self.waste.push((path.into(), size));
        }
    }

    /// Returns every file by path, with the layer (from 1) that brought it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &FileNote, usize)> {
        self.members.iter().filter_map(|(path, member)| match &member.node {
            Node::File(note) => Some((&**path, note, member.layer)),
            _ => None,
        })
    }

    /// Returns every file and link by path.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let named =
            |member: &Member| matches!(member.node, Node::File(_) | Node::Symlink(_) | Node::Hardlink(_));
        self.members.iter().filter(move |(_, member)| named(member)).map(|(path, _)| &**path)
    }

    /// Returns the text of the file at `path`, through symbolic links.
    pub(crate) fn text(&self, path: &str) -> Option<&super::note::Text> {
        self.file(path)?.text.as_deref()
    }

    /// Returns the file at `path`, through symbolic links at its end.
    pub(crate) fn file(&self, path: &str) -> Option<&FileNote> {
        let mut path = path.to_owned();
        // The kernel follows forty links.
        for _ in 0..40 {
            match &self.members.get(path.as_str())?.node {
                Node::File(note) => return Some(note),
                Node::Symlink(target) => path = resolve(split(&path).0, target),
                Node::Directory | Node::Hardlink(_) | Node::Other => return None,
            }
        }
        None
    }

    /// Returns the path of the file at `path` without any link in it; none where no file is there.
    pub(crate) fn real(&self, path: &str) -> Option<String> {
        let real = self.without_links(path)?;
        matches!(self.members.get(real.as_str()), Some(Member { node: Node::File(_), .. })).then_some(real)
    }

    /// Returns `path` without any link in it, whatever is there; none where the links are a loop.
    pub(crate) fn without_links(&self, path: &str) -> Option<String> {
        let mut waiting: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut real = String::new();
        // As many links as the kernel follows.
        let mut links = 40;
        while let Some(part) = waiting.pop() {
            match part.as_str() {
                "" | "." => {}
                ".." => real.truncate(real.rfind('/').unwrap_or(0)),
                part => {
                    let here = join(&real, part);
                    if let Some(Member { node: Node::Symlink(target), .. }) = self.members.get(here.as_str())
                    {
                        links -= 1;
                        if links == 0 {
                            return None;
                        }
                        if target.starts_with('/') {
                            real.clear();
                        }
                        waiting.extend(target.split('/').rev().map(str::to_owned));
                    } else {
                        real = here;
                    }
                }
            }
        }
        Some(real)
    }

    /// Returns whether something is at `path`.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.members.contains_key(path)
    }

    /// Returns every member below the folder at `path`: path and size.
    pub(crate) fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        let (from, to) = (format!("{path}/"), format!("{path}0"));
        let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        self.members.range::<str, _>(range).filter_map(|(path, member)| match &member.node {
            Node::File(note) => Some((&**path, note.size)),
            _ => None,
        })
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// Returns the path that the link target `target` means in the folder `parent`.
fn resolve(parent: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { parent.split('/').collect() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        Entry { path: path.into(), node: Node::File(FileNote { size, ..FileNote::default() }) }
    }

    fn other(path: &str, node: Node) -> Entry {
        Entry { path: path.into(), node }
    }

    fn merged(layers: Vec<Vec<Entry>>) -> Root {
        let mut root = Root::default();
        for (at, entries) in layers.into_iter().enumerate() {
            root.apply(at + 1, entries);
        }
        root
    }

    fn files(root: &Root) -> Vec<&str> {
        root.files().map(|(path, _, _)| path).collect()
    }

    #[test]
    fn a_whiteout_removes_a_file_and_a_whole_folder_of_lower_layers() {
        let root = merged(vec![
            vec![file("a", 3), file("d/x", 5), file("d/y/z", 7), file("d0", 1)],
            vec![file(".wh.a", 0), file(".wh.d", 0)],
        ]);
        assert_eq!((files(&root), root.wasted), (vec!["d0"], 15));
    }

    #[test]
    fn a_whiteout_leaves_what_its_own_layer_brings() {
        let root = merged(vec![
            vec![file("d/old", 2), file("e", 1)],
            vec![file("d/new", 4), file("d/.wh..wh..opq", 0), file("e", 9), file(".wh.e", 0)],
        ]);
        assert_eq!((files(&root), root.wasted), (vec!["d/new", "e"], 3));
    }

    #[test]
    fn a_file_over_a_folder_hides_the_folder() {
        let root = merged(vec![vec![file("d/x", 2)], vec![file("d", 1)]]);
        assert_eq!(files(&root), ["d"]);
    }

    #[test]
    fn a_hard_link_is_the_file_that_it_names_even_in_a_lower_layer() {
        let root = merged(vec![vec![file("a", 6)], vec![other("b", Node::Hardlink("a".into()))]]);
        assert_eq!(
            root.files().map(|(path, note, _)| (path, note.size)).collect::<Vec<_>>(),
            [("a", 6), ("b", 6)]
        );
    }

    #[test]
    fn a_folder_over_a_link_is_remembered_also_when_only_implied() {
        let link = other("lib", Node::Symlink("usr/lib".into()));
        let root = merged(vec![vec![link], vec![file("lib/x86_64-linux-gnu/libfabric.so.1", 8)]]);
        assert_eq!(root.replaced_links, [("lib".into(), "usr/lib".into(), 2)]);
    }

    #[test]
    fn links_in_the_middle_of_a_path_are_followed() {
        let root = merged(vec![vec![
            file("usr/local/cuda-12.4/lib64/libcudart.so.12", 1),
            other("usr/local/cuda", Node::Symlink("/usr/local/cuda-12.4".into())),
            other("usr/local/cuda-12.4/lib64/libcudart.so", Node::Symlink("./libcudart.so.12".into())),
            other("a", Node::Symlink("b".into())),
            other("b", Node::Symlink("a".into())),
        ]]);
        let real = "usr/local/cuda-12.4/lib64/libcudart.so.12";
        assert_eq!(root.real("/usr/local/cuda/lib64/../lib64/libcudart.so").as_deref(), Some(real));
        assert_eq!((root.real("a/x"), root.real("usr/local/cuda")), (None, None));
    }

    #[test]
    fn texts_are_found_through_links_and_loops_end() {
        let root = merged(vec![vec![
            file("usr/lib/os-release", 1),
            other("etc/os-release", Node::Symlink("../usr/lib/os-release".into())),
            other("loop", Node::Symlink("loop".into())),
        ]]);
        assert_eq!(root.file("etc/os-release").map(|note| note.size), Some(1));
        assert_eq!(root.file("loop"), None);
    }
}
