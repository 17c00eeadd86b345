//! Following links: which entries a path of `COPY` needs when parts of it are symbolic links.

use std::collections::BTreeSet;
use std::io;

use super::pattern::name_matches;
use super::{Files, Kind};

/// Links that are followed for one build; a real tree has far fewer, a circle has no end.
const LINK_LIMIT: usize = 10_000;

/// Returns `paths`, where they go over links the links and their targets instead; nothing where one is the whole tree.
pub(super) fn follow(files: &Files, paths: &[String]) -> io::Result<Option<Vec<String>>> {
    let mut resolved = BTreeSet::new();
    let mut work: Vec<String> = paths.iter().map(|path| clean(path)).collect();
    let mut left = LINK_LIMIT;
    while let Some(path) = work.pop() {
        left = left.checked_sub(1).ok_or_else(|| io::Error::other("more than 10000 links to follow"))?;
        resolve(files, &path, &mut resolved, &mut work)?;
    }
    if resolved.contains("") {
        return Ok(None);
    }
    // What lies in a folder that is sent anyway needs no mention.
    let mut kept: Vec<String> = Vec::new();
    for path in resolved {
        let covered = kept
            .last()
            .is_some_and(|last| path.strip_prefix(last.as_str()).is_some_and(|r| r.starts_with('/')));
        if !covered {
            kept.push(path);
        }
    }
    Ok(Some(kept))
}

fn resolve(
    files: &Files,
    path: &str,
    resolved: &mut BTreeSet<String>,
    work: &mut Vec<String>,
) -> io::Result<()> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut current = String::new();
    for (index, part) in parts.iter().enumerate() {
        let parent = current.clone();
        current = join(&current, part);
        let Some(targets) = targets(files, &parent, part)? else { continue };
        if resolved.insert(current.clone()) {
            let rest = parts.get(index + 1..).unwrap_or_default().join("/");
            work.extend(targets.iter().map(|target| clean(&join(target, &rest))));
        }
        return Ok(());
    }
    resolved.insert(current);
    Ok(())
}

/// Returns where the entries called `name` (which may be a pattern) in `folder` point, if any of them is a link.
fn targets(files: &Files, folder: &str, name: &str) -> io::Result<Option<Vec<String>>> {
    if !name.contains(['*', '?', '[', '\\']) {
        return Ok(target(files, folder, name)?.map(|target| vec![target]));
    }
    let mut targets = Vec::new();
    for candidate in files.names(folder).unwrap_or_default() {
        if name_matches(name, &candidate) {
            targets.extend(target(files, folder, &candidate)?);
        }
    }
    Ok(if targets.is_empty() { None } else { Some(targets) })
}

fn target(files: &Files, folder: &str, name: &str) -> io::Result<Option<String>> {
    let Some(entry) = files.look(&join(folder, name))? else { return Ok(None) };
    let Kind::Link(target) = entry.kind else { return Ok(None) };
    // An absolute link starts at the context's root, and none leads out of it.
    Ok(Some(if target.starts_with('/') { clean(&target) } else { clean(&join(folder, &target)) }))
}

fn join(folder: &str, rest: &str) -> String {
    match (folder.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{rest}"),
    }
}

/// Returns the path without `.`, `..` and empty parts; `..` at the root stays there.
pub(super) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
