//! The door to `uv`, run as a process: which Python packages fit each other, for the target's platform whatever the host.
//!
//! `uv` writes a `pylock.toml` (PEP 751) with every file of each package. Of these only the files that the target can install are
//! kept, so that a lock names what will be downloaded and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::network::silent;
use super::{PythonQuestion, UpstreamError};
use crate::lock::PinnedRequirement;
use crate::oci::Digest;
use crate::recipe::{Requirement, package_name};

/// How long `uv` may take.
const LIMIT: Duration = Duration::from_mins(5);
/// The minor versions of glibc 2 for which `uv` knows a platform, newest first (`uv pip compile --help`).
const MANYLINUX: [u64; 12] = [40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 28, 17];

/// Returns one set of packages that satisfies `question`, sorted by name.
///
/// Wheels are preferred to the last: only where no set of wheels exists may a package come as source.
pub(super) async fn compile(
    uv: &OsStr,
    question: &PythonQuestion,
) -> Result<Vec<PinnedRequirement>, UpstreamError> {
    let text = match run(uv, question, true).await {
        Err(UpstreamError::NoWheels(_)) => run(uv, question, false).await?,
        other => other?,
    };
    read(&text, &Target::of(question))
}

#[expect(clippy::disallowed_methods, reason = "the door to uv")]
async fn run(uv: &OsStr, question: &PythonQuestion, only_wheels: bool) -> Result<String, UpstreamError> {
    let failed = |error: std::io::Error| UpstreamError::Unreachable {
        what: "uv".to_owned(),
        reason: error.to_string(),
    };
    let mut overrides = tempfile::NamedTempFile::new().map_err(failed)?;
    for package in &question.held_back {
        // A marker that is never true takes the package out of the resolution.
        writeln!(overrides, "{package} ; python_version < '3'").map_err(failed)?;
    }
    let target = Target::of(question);
    // uv keeps the versions of the file that it renews, where they still fit.
    let folder = tempfile::tempdir().map_err(failed)?;
    let renewed = folder.path().join("pylock.toml");
    if !question.preferred.is_empty() {
        std::fs::write(&renewed, preferences(&question.preferred)).map_err(failed)?;
    }
    let mut command = tokio::process::Command::new(uv);
    command.args(["pip", "compile", "--quiet", "--format", "pylock.toml", "--no-header", "--no-annotate"]);
    command.args(["--python-version", &question.python.to_string(), "--python-platform", &target.platform()]);
    if only_wheels {
        command.args(["--only-binary", ":all:"]);
    }
    command.arg("--output-file").arg(&renewed).arg("--overrides").arg(overrides.path()).arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => UpstreamError::NoUv,
        _ => failed(error),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        let lines: Vec<&str> = question.requirements.iter().map(Requirement::as_str).collect();
        stdin.write_all(lines.join("\n").as_bytes()).await.map_err(failed)?;
    }
    let waited = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = waited.map_err(|_| silent("uv"))?.map_err(failed)?;
    if !output.status.success() {
        return Err(refused(output.status.code(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    std::fs::read_to_string(&renewed).map_err(|error| nonsense(error.to_string()))
}

/// Returns what `uv` meant that ended with `code` and said `reason`: 1 is its word for no solution, everything else for what kept it
/// from looking. An index that asks for a login is to it one without the package, with a hint.
fn refused(code: Option<i32>, reason: &str) -> UpstreamError {
    let unasked =
        code != Some(1) || reason.contains("could not be queried due to a lack of valid authentication");
    if unasked && !reason.contains("Failed to build") {
        UpstreamError::Unreachable { what: "the Python package index".to_owned(), reason: reason.to_owned() }
    } else {
        UpstreamError::NoWheels(reason.to_owned())
    }
}

/// Returns a `pylock.toml` that names `pinned` and nothing more.
fn preferences(pinned: &[PinnedRequirement]) -> String {
    let mut text = "lock-version = \"1.0\"\ncreated-by = \"smp-image\"\n".to_owned();
    for pinned in pinned {
        let Some(version) = pinned.version() else { continue };
        let name = package_name(pinned.package());
        text.extend(["\n[[packages]]\nname = \"", &name, "\"\nversion = \"", &version.to_string(), "\"\n"]);
    }
    text
}

fn nonsense(reason: impl Into<String>) -> UpstreamError {
    UpstreamError::Nonsense { what: "uv".to_owned(), reason: reason.into() }
}

/// The part of a `pylock.toml` that is read.
#[derive(Deserialize)]
struct Pylock {
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    wheels: Vec<File>,
    sdist: Option<File>,
}

#[derive(Deserialize)]
struct File {
    url: String,
    size: Option<u64>,
    hashes: BTreeMap<String, String>,
}

impl File {
    fn digest(&self) -> Result<Digest, UpstreamError> {
        let hex =
            self.hashes.get("sha256").ok_or_else(|| nonsense(format!("no SHA-256 for {}", self.url)))?;
        format!("sha256:{hex}").parse().map_err(|error| nonsense(format!("{error}")))
    }
}

fn read(text: &str, target: &Target) -> Result<Vec<PinnedRequirement>, UpstreamError> {
    let lock: Pylock = toml::from_str(text).map_err(|error| nonsense(error.to_string()))?;
    let mut pinned = Vec::new();
    for package in lock.packages {
        let wheels: Vec<&File> = package.wheels.iter().filter(|wheel| target.installs(&wheel.url)).collect();
        let source = wheels.is_empty();
        let files = if source { package.sdist.iter().collect() } else { wheels };
        if files.is_empty() {
            return Err(UpstreamError::NoWheels(format!(
                "{} {} has no file that Python {} on {} can install",
                package.name,
                package.version,
                target.python,
                target.platform()
            )));
        }
        let size = files.iter().filter_map(|file| file.size).max();
        let mut hashes = files.into_iter().map(File::digest).collect::<Result<Vec<_>, _>>()?;
        hashes.sort_unstable();
        let requirement = format!("{}=={}", package.name, package.version);
        let requirement = requirement.parse().map_err(|error| nonsense(format!("{error}")))?;
        pinned.push(PinnedRequirement { requirement, hashes, size, source });
    }
    pinned.sort_by(|a, b| a.requirement.cmp(&b.requirement));
    Ok(pinned)
}

/// What the image's interpreter can install.
struct Target {
    python: u64,
    glibc: u64,
    machine: &'static str,
}

impl Target {
    fn of(question: &PythonQuestion) -> Self {
        let minor = |version: &crate::recipe::Version, default| {
            version.pep440().release().get(1).copied().unwrap_or(default)
        };
        Self {
            python: minor(&question.python, 0),
            glibc: minor(&question.glibc, 17),
            machine: question.platform.arch.machine(),
        }
    }

    /// Returns the platform as `uv` names it: the newest manylinux that the image's C library can run.
    fn platform(&self) -> String {
        let minor = MANYLINUX.into_iter().find(|known| *known <= self.glibc).unwrap_or(17);
        format!("{}-manylinux_2_{minor}", self.machine)
    }

    /// Returns whether the wheel at `url` fits, by the tags at the end of its name (PEP 425, 600).
    fn installs(&self, url: &str) -> bool {
        let stem = url.rsplit('/').next().and_then(|name| name.strip_suffix(".whl"));
        let Some(stem) = stem else { return false };
        let mut tags = stem.rsplitn(4, '-');
        let (Some(platforms), Some(abis), Some(pythons)) = (tags.next(), tags.next(), tags.next()) else {
            return false;
        };
        platforms.split('.').any(|platform| self.runs_on(platform))
            && pythons.split('.').any(|python| abis.split('.').any(|abi| self.speaks(python, abi)))
    }

    fn runs_on(&self, platform: &str) -> bool {
        let glibc = match platform.strip_suffix(self.machine).map(|prefix| prefix.trim_end_matches('_')) {
            _ if platform == "any" => return true,
            Some("manylinux1") => 5,
            Some("manylinux2010") => 12,
            Some("manylinux2014") => 17,
            Some(prefix) => match prefix.strip_prefix("manylinux_2_").and_then(|minor| minor.parse().ok()) {
                Some(minor) => minor,
                None => return false,
            },
            None => return false,
        };
        glibc <= self.glibc
    }

    fn speaks(&self, python: &str, abi: &str) -> bool {
        let own = format!("cp3{}", self.python);
        let older = |tag: &str, prefix: &str| {
            tag.strip_prefix(prefix)
                .and_then(|minor| minor.parse().ok())
                .is_some_and(|minor: u64| minor <= self.python)
        };
        match abi {
            "none" => python == "py3" || python == own || older(python, "py3"),
            "abi3" => older(python, "cp3"),
            _ => python == own && abi == own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { python: 13, glibc: 41, machine: "x86_64" };

    #[test]
    fn only_files_that_the_target_can_install_are_kept() {
        for wheel in [
            "a-1-py3-none-any.whl",
            "a-1-py2.py3-none-any.whl",
            "a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "a-1-cp39-abi3-manylinux_2_28_x86_64.whl",
            "a-1-py3-none-manylinux_2_28_x86_64.whl",
        ] {
            assert!(TARGET.installs(&format!("https://e.example/{wheel}")), "{wheel}");
        }
        for wheel in [
            "a-1-cp313-cp313t-manylinux_2_17_x86_64.whl",
            "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
            "a-1-cp314-abi3-manylinux_2_17_x86_64.whl",
            "a-1-cp313-cp313-manylinux_2_42_x86_64.whl",
            "a-1-cp313-cp313-musllinux_1_2_x86_64.whl",
            "a-1-cp313-cp313-manylinux_2_17_aarch64.whl",
            "a-1-py3-none-win_amd64.whl",
            "a-1.tar.gz",
        ] {
            assert!(!TARGET.installs(&format!("https://e.example/{wheel}")), "{wheel}");
        }
    }

    #[test]
    fn an_index_that_did_not_answer_is_no_lack_of_packages() {
        // What uv 0.13.9 said to a server that answers 503, to one that answers 401, and of a version that is not there.
        let busy = "error: Request failed after 3 retries in 13.0s\n  cause: Failed to fetch: http://127.0.0.1:8911/s/aaa/";
        let login = "error: No solution found when resolving dependencies\n  cause: Because a was not found\n\nhint: An index URL (http://127.0.0.1:8911/s) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)";
        let none = "error: No solution found when resolving dependencies\n  cause: Because there is no version of pyyaml==99";
        assert!(matches!(refused(Some(2), busy), UpstreamError::Unreachable { .. }));
        assert!(matches!(refused(Some(1), login), UpstreamError::Unreachable { .. }));
        assert!(matches!(refused(Some(1), none), UpstreamError::NoWheels(_)));
        assert!(matches!(refused(None, ""), UpstreamError::Unreachable { .. }));
    }

    #[test]
    fn a_package_without_a_wheel_is_pinned_as_source() {
        let hash = "a".repeat(64);
        let text = format!(
            "[[packages]]\nname = \"b\"\nversion = \"2\"\nsdist = {{ url = \"https://e.example/b-2.tar.gz\", hashes = {{ sha256 = \"{hash}\" }} }}\n"
        );
        let pinned = read(&text, &TARGET).unwrap();
        assert!(pinned[0].source);
        assert_eq!(pinned[0].requirement.as_str(), "b==2");
    }

    #[test]
    fn the_platform_is_the_newest_that_the_c_library_can_run() {
        assert_eq!(TARGET.platform(), "x86_64-manylinux_2_40");
        assert_eq!(Target { glibc: 30, ..TARGET }.platform(), "x86_64-manylinux_2_28");
    }
}
