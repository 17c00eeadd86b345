//! What package managers and file names say is installed in a merged root.

use std::collections::BTreeMap;

use super::root::Root;
use crate::recipe::{Component, package_name};

/// What is installed.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Python distributions by normalised name: version and the path that says so.
    pub(crate) python: BTreeMap<String, Vec<Installed>>,
    /// Packages of the distribution by name, as dpkg or rpm says.
    pub(crate) system: BTreeMap<String, Vec<Installed>>,
    /// Packages of dpkg that are neither installed nor gone, with their state.
    pub(crate) half: Vec<(String, String)>,
    /// What PyTorch and Transformer Engine require of other Python distributions.
    pub(crate) requires: Vec<Requirement>,
    /// Versions that headers define, by what they are of: NCCL, cuDNN.
    pub(crate) headers: Vec<(Component, Installed)>,
    /// The CUDA that PyTorch says it was built for.
    pub(crate) torch_cuda: Option<Installed>,
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

/// A `Requires-Dist` line that counts on Linux without extras, on some or all machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The distribution that requires, and where that is written.
    pub(crate) of: String,
    pub(crate) path: String,
    /// The normalised name of the distribution that is required.
    pub(crate) name: String,
    /// The versions, such as `==2.21.5`; empty means any.
    pub(crate) versions: String,
    /// Its condition behind the `;`: torch asks for NVIDIA's packages on `platform_machine == "x86_64"` only.
    marker: String,
}

impl Requirement {
    /// Returns whether it counts on `machine`, as Python calls it (`x86_64`).
    pub(crate) fn counts_on(&self, machine: &str) -> bool {
        let Some((_, rest)) = self.marker.split_once("platform_machine") else { return true };
        let rest = rest.trim_start();
        let (equal, rest) = match (rest.strip_prefix("=="), rest.strip_prefix("!=")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return true,
        };
        let value =
            rest.trim_start().strip_prefix(['"', '\'']).and_then(|rest| rest.split(['"', '\'']).next());
        value.is_none_or(|value| (value == machine) == equal)
    }
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
                    inventory.unread.push(format!("/{path} cannot be read to its end"));
                }
            }
        }
        for path in root.names() {
            inventory.take_name(path);
        }
        for directory in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
            for (path, size) in root.below(directory) {
                let name = path.rsplit('/').next().unwrap_or_default();
                // Berkeley DB, ndb, and what SQLite has not yet written back.
                if size > 0 && matches!(name, "Packages" | "Packages.db" | "rpmdb.sqlite-wal") {
                    inventory
                        .unread
                        .push(format!("/{path} (a database of rpm in another form than SQLite's)"));
                }
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
                let required = text.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
                self.requires.extend(required.filter_map(|line| requirement(name, path, line)));
            }
        } else if path.starts_with("var/lib/dpkg/") || path.ends_with("/rpmdb.sqlite") {
            self.take_packages(path, text);
        } else if path.ends_with("/nccl.h") {
            let version = defined(text, ["NCCL_MAJOR", "NCCL_MINOR", "NCCL_PATCH"]);
            self.headers.extend(version.map(|version| (Component::Nccl, at(&version))));
        } else if path.ends_with("/cudnn_version.h") {
            let version = defined(text, ["CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL"]);
            self.headers.extend(version.map(|version| (Component::Cudnn, at(&version))));
        } else if path.ends_with("/torch/version.py") {
            // `cuda: Optional[str] = '12.4'`
            let line = text.lines().find_map(|line| line.strip_prefix("cuda")?.split_once('='));
            let version = line.map(|(_, value)| value.trim().trim_matches(['\'', '"']));
            self.torch_cuda = version.filter(|version| *version != "None").map(at).or(self.torch_cuda.take());
        } else if path == EFA {
            // `# EFA installer version: 1.36.0`
            let version = text.lines().find_map(|line| line.split_once("installer version:"));
            self.efa = version.map(|(_, version)| at(version.trim()));
        }
    }

    /// Takes the records of dpkg, or of rpm in dpkg's form.
    fn take_packages(&mut self, path: &str, text: &str) {
        for record in text.split("\n\n") {
            let (Some(name), Some(version)) = (field(record, "Package"), field(record, "Version")) else {
                continue;
            };
            // `want flag state`: the last word is what is there.
            match field(record, "Status").and_then(|status| status.rsplit(' ').next()) {
                None | Some("installed") => self
                    .system
                    .entry(name.to_owned())
                    .or_default()
                    .push(Installed { version: version.to_owned(), path: format!("/{path}") }),
                Some("config-files" | "not-installed") => {}
                Some(state) => self.half.push((name.to_owned(), state.to_owned())),
            }
        }
    }

    /// Returns the Python distribution of this normalised name.
    pub(crate) fn distribution(&self, name: &str) -> Option<&Installed> {
        self.python.get(name)?.first()
    }

    /// Returns the version of everything that package managers say is installed, by manager and name.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        let managers = [("python", &self.python), ("system", &self.system), ("conda", &self.conda)];
        let all = managers.into_iter().flat_map(|(manager, packages)| {
            packages.iter().map(move |(name, installed)| {
                let versions: Vec<&str> = installed.iter().map(|one| one.version.as_str()).collect();
                (format!("{manager} {name}"), versions.join(", "))
            })
        });
        all.collect()
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

/// Returns the version that three `#define` lines make.
fn defined(text: &str, names: [&str; 3]) -> Option<String> {
    let value = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name))?;
        let value = rest.split_whitespace().next()?;
        value.bytes().all(|byte| byte.is_ascii_digit()).then_some(value)
    };
    let [major, minor, patch] = names.map(value);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

/// Reads the value of a `Requires-Dist` line; none where it counts only with an extra, or elsewhere than on Linux.
fn requirement(of: &str, path: &str, line: &str) -> Option<Requirement> {
    let (required, marker) = line.split_once(';').unwrap_or((line, ""));
    if marker.contains("extra")
        || marker.contains("win32")
        || marker.contains("Darwin")
        || marker.contains("Windows")
    {
        return None;
    }
    let end =
        required.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(required.len());
    let (name, rest) = required.split_at(end);
    // `name[extra] (>=1)` and `name[extra]>=1` are both written.
    let rest = rest.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let versions = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    Some(Requirement {
        of: of.to_owned(),
        path: format!("/{path}"),
        name: package_name(name),
        versions: versions.to_owned(),
        marker: marker.trim().to_owned(),
    })
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
                    Package: broken\nStatus: install reinstreq half-installed\nVersion: 3\n\n\
                    Package: distroless\nVersion: 2\n";
        inventory.take_text("var/lib/dpkg/status", text);
        let names: Vec<&str> = inventory.system.keys().map(String::as_str).collect();
        assert_eq!(names, ["distroless", "libfabric1"]);
        assert_eq!(inventory.half, [("broken".to_owned(), "half-installed".to_owned())]);
    }

    #[test]
    fn headers_and_pytorch_s_own_module_tell_versions() {
        let mut inventory = Inventory::default();
        let header = "#define NCCL_MAJOR 2\n#define NCCL_MINOR 28\n#define NCCL_PATCH 9\n";
        inventory.take_text("usr/include/nccl.h", header);
        assert_eq!(inventory.headers[0].1.version, "2.28.9");
        inventory
            .take_text("opt/lib/python3.11/site-packages/torch/version.py", "cuda: Optional[str] = '12.4'\n");
        assert_eq!(inventory.torch_cuda.unwrap().version, "12.4");
    }

    #[test]
    fn requirements_are_read_in_every_form_and_those_of_extras_are_left_out() {
        let read = |line: &str| requirement("torch", "x", line).map(|found| (found.name, found.versions));
        let pair = |name: &str, versions: &str| Some((name.to_owned(), versions.to_owned()));
        assert_eq!(
            read("nvidia-nccl-cu12==2.21.5; platform_system == \"Linux\" and platform_machine == \"x86_64\""),
            pair("nvidia-nccl-cu12", "==2.21.5")
        );
        assert_eq!(read("nvidia_cudnn_cu12 (>=9.1,<10)"), pair("nvidia-cudnn-cu12", ">=9.1,<10"));
        assert_eq!(read("cuda-toolkit[cublas,cudart]==13.0.2"), pair("cuda-toolkit", "==13.0.2"));
        assert_eq!(read("torch"), pair("torch", ""));
        assert_eq!(read("transformer_engine_torch==2.1; extra == \"pytorch\""), None);
    }

    #[test]
    fn what_is_required_on_another_machine_is_not_required_here() {
        let counts = |marker: &str, machine: &str| {
            let line = format!("nvidia-nccl-cu12==2.21.5; {marker}");
            requirement("torch", "x", &line).unwrap().counts_on(machine)
        };
        let written = "platform_system == \"Linux\" and platform_machine == \"x86_64\"";
        assert_eq!((counts(written, "x86_64"), counts(written, "aarch64")), (true, false));
        assert!(
            counts("platform_machine!='x86_64'", "aarch64")
                && !counts("platform_machine != 'x86_64'", "x86_64")
        );
        assert!(counts("python_version >= \"3.8\"", "aarch64"));
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
