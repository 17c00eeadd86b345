//! What package managers and file names say is installed in a merged root.

use std::collections::BTreeMap;

use super::root::Root;
use crate::recipe::package_name;

/// What is installed.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Python distributions by normalised name: version and the path that says so.
    pub(crate) python: BTreeMap<String, Vec<Installed>>,
    /// Packages of dpkg by name.
    pub(crate) dpkg: BTreeMap<String, Vec<Installed>>,
    /// Packages of conda by name.
    pub(crate) conda: BTreeMap<String, Vec<Installed>>,
    /// Paths by file name, of everything that looks like a shared library.
    pub(crate) libraries: BTreeMap<String, Vec<String>>,
    /// Version of the EFA installer that ran.
    pub(crate) efa: Option<Installed>,
    /// Name and version of the distribution.
    pub(crate) os: Option<(String, Installed)>,
    /// Python interpreters.
    pub(crate) interpreters: Vec<Installed>,
    /// Databases that are there and that we cannot read, and so what is not found may still be there.
    pub(crate) unread: Vec<String>,
}

/// A version and where it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) version: String,
    pub(crate) path: String,
}

const EFA: &str = "opt/amazon/efa_installed_packages";

impl Inventory {
    /// Reads what is installed in `root`.
    pub(crate) fn of(root: &Root) -> Self {
        let mut inventory = Self::default();
        for (path, note, _) in root.files() {
            if let Some(text) = &note.text {
                inventory.take_text(path, &text.lines);
                if text.cut {
                    inventory.unread.push(format!("/{path} is longer than what is read"));
                }
            }
        }
        for path in root.names() {
            inventory.take_name(path);
        }
        for directory in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
            if root.below(directory).next().is_some() {
                inventory.unread.push(format!("/{directory} (a database of rpm)"));
            }
        }
        inventory.os = os_release(root);
        inventory
    }

    fn take_text(&mut self, path: &str, text: &str) {
        let at = |version: &str| Installed { version: version.to_owned(), path: format!("/{path}") };
        if path.ends_with("/METADATA") || path.ends_with("/PKG-INFO") {
            if let (Some(name), Some(version)) = (field(text, "Name"), field(text, "Version")) {
                self.python.entry(package_name(name)).or_default().push(at(version));
            }
        } else if path.starts_with("var/lib/dpkg/") {
            for record in text.split("\n\n") {
                let installed = field(record, "Status").is_none_or(|status| status.ends_with(" installed"));
                if let (true, Some(name), Some(version)) =
                    (installed, field(record, "Package"), field(record, "Version"))
                {
                    self.dpkg.entry(name.to_owned()).or_default().push(at(version));
                }
            }
        } else if path == EFA {
            // `# EFA installer version: 1.36.0`
            let version = text.lines().find_map(|line| line.split_once("installer version:"));
            self.efa = version.map(|(_, version)| at(version.trim()));
        }
    }

    fn take_name(&mut self, path: &str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if folder.ends_with("conda-meta")
            && let Some(stem) = name.strip_suffix(".json")
        {
            // `<name>-<version>-<build>`; names may hold `-`, versions and builds do not.
            let mut parts = stem.rsplitn(3, '-');
            if let (Some(_), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next()) {
                let installed = Installed { version: version.to_owned(), path: format!("/{path}") };
                self.conda.entry(name.to_owned()).or_default().push(installed);
            }
        }
        let shared =
            name.rsplit_once(".so").is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('.'));
        if shared && name.starts_with("lib") {
            self.libraries.entry(name.to_owned()).or_default().push(format!("/{path}"));
        }
        let minor =
            name.strip_prefix("python3.").filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(minor) = minor
            && folder.ends_with("bin")
        {
            self.interpreters.push(Installed { version: format!("3.{minor}"), path: format!("/{path}") });
        }
    }

    /// Returns the paths of the library `soname` and of its real files, such as `libcudart.so.12.4.127` for `libcudart.so.12`.
    pub(crate) fn library(&self, soname: &str) -> impl Iterator<Item = (&str, &str)> {
        let longer = format!("{soname}.");
        self.libraries
            .iter()
            .filter(move |(name, _)| name.as_str() == soname || name.starts_with(&longer))
            .flat_map(|(name, paths)| paths.iter().map(move |path| (name.as_str(), path.as_str())))
    }
}

fn os_release(root: &Root) -> Option<(String, Installed)> {
    let path = ["etc/os-release", "usr/lib/os-release"].into_iter().find(|path| root.text(path).is_some())?;
    let text = &root.text(path)?.lines;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    let version = value("VERSION_ID").unwrap_or_default();
    Some((value("ID")?, Installed { version, path: format!("/{path}") }))
}

/// Returns the value of `key` in a block of `Key: value` lines.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_of_dpkg_count() {
        let mut inventory = Inventory::default();
        let text = "Package: libfabric1\nStatus: install ok installed\nVersion: 2.1.0-1\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: distroless\nVersion: 2\n";
        inventory.take_text("var/lib/dpkg/status", text);
        let names: Vec<&str> = inventory.dpkg.keys().map(String::as_str).collect();
        assert_eq!(names, ["distroless", "libfabric1"]);
    }

    #[test]
    fn conda_packages_are_read_from_the_names_of_their_records() {
        let mut inventory = Inventory::default();
        inventory.take_name("opt/conda/conda-meta/pytorch-cuda-12.4-h3fd98bf_7.json");
        assert_eq!(inventory.conda["pytorch-cuda"][0].version, "12.4");
    }

    #[test]
    fn a_library_is_found_under_its_soname_and_its_full_name() {
        let mut inventory = Inventory::default();
        for path in
            ["usr/lib/libnccl.so.2.23.4", "opt/libnccl.so.2", "opt/libnccl.so.20", "usr/lib/libnccl.so"]
        {
            inventory.take_name(path);
        }
        let found: Vec<&str> = inventory.library("libnccl.so.2").map(|(_, path)| path).collect();
        assert_eq!(found, ["/opt/libnccl.so.2", "/usr/lib/libnccl.so.2.23.4"]);
    }
}
