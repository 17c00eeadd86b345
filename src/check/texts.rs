//! Which small texts of an image are kept for rules, and how much of them.

use std::io::{self, BufRead, BufReader, Read};

use super::rpm::{self, RpmPackage};

/// How a text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `METADATA` of a Python distribution: name, version, what it requires of NVIDIA's packages and of PyTorch.
    PythonMetadata,
    /// rpm's database in `SQLite` form: name and version of each package.
    Rpm,
    /// A header or module that defines a version: the lines that do.
    Defines(&'static [&'static str]),
    /// A file whose name says that it is a private key: its first line, where that says so too.
    PrivateKey,
    /// AWS credentials: the names of the keys in it, no value.
    AwsCredentials,
    /// The database of dpkg: name, status and version of each package.
    Dpkg,
    /// A short text as it is.
    Whole,
}

/// A line above this is not one that we read.
const LINE: u64 = 64 << 10;
/// dpkg's database of an image with 8,000 packages keeps less than a megabyte of these lines.
const CAP: usize = 4 << 20;
/// rpm's database of an image with 1,500 packages takes about 40 MiB.
const RPM: u64 = 64 << 20;

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
    if matches!(path, "var/lib/rpm/rpmdb.sqlite" | "usr/lib/sysimage/rpm/rpmdb.sqlite") {
        return Some(Wanted::Rpm);
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "nccl.h" => return Some(Wanted::Defines(&["#define NCCL_M", "#define NCCL_PATCH"])),
        "cudnn_version.h" => return Some(Wanted::Defines(&["#define CUDNN_M", "#define CUDNN_PATCHLEVEL"])),
        "version.py" if folder.ends_with("-packages/torch") => {
            return Some(Wanted::Defines(&["__version__", "cuda"]));
        }
        "version.json" if folder.starts_with("usr/local/cuda") => return Some(Wanted::Whole),
        "credentials" if folder.ends_with("/.aws") => return Some(Wanted::AwsCredentials),
        _ => {}
    }
    if is_private_key(folder, name) {
        return Some(Wanted::PrivateKey);
    }
    let listed = matches!(
        path,
        "opt/amazon/efa_installed_packages"
            | "etc/os-release"
            | "usr/lib/os-release"
            | "etc/ld.so.conf"
            | "etc/nccl.conf"
    );
    let whole = listed || folder == "etc/ld.so.conf.d" && has_ending(name, "conf");
    whole.then_some(Wanted::Whole)
}

/// Returns whether a file is called as private keys are. Test data of packages does not count.
fn is_private_key(folder: &str, name: &str) -> bool {
    let ssh = ["id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"].contains(&name)
        || name.starts_with("ssh_host_") && has_ending(name, "_key");
    let tls = (has_ending(name, "pem") || has_ending(name, "key"))
        && !folder
            .split('/')
            .any(|part| part.contains("test") || part.ends_with("-packages") || part == "doc");
    ssh || tls
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|stem| ending.starts_with('_') || stem.ends_with('.'))
}

/// Returns whether `path` is one of dpkg's records in a distroless image, which has one file for each package.
fn is_distroless(path: &str) -> bool {
    path.strip_prefix("var/lib/dpkg/status.d/")
        .is_some_and(|name| !name.contains('/') && !name.ends_with(".md5sums"))
}

impl Wanted {
    /// Reads the text from `data` and returns the lines kept, and whether some were lost.
    pub(super) fn read(self, data: &mut impl Read) -> io::Result<(String, bool)> {
        if self == Self::Rpm {
            return read_rpm(data);
        }
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
            if self == Self::PrivateKey {
                let key = text.starts_with("-----BEGIN ") && text.ends_with("PRIVATE KEY-----");
                return Ok((if key { text.to_owned() } else { String::new() }, false));
            }
            let text = match text.split_once('=') {
                Some((key, _)) if self == Self::AwsCredentials => key.trim(),
                _ => text,
            };
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
            Self::PythonMetadata => {
                let required = line.strip_prefix("Requires-Dist: ").unwrap_or_default().to_ascii_lowercase();
                // PyTorch's, and what Transformer Engine's PyTorch package asks for beside it.
                let of_interest = [
                    "nvidia",
                    "torch",
                    "triton",
                    "transformer",
                    "cuda",
                    "einops",
                    "nvdlfw",
                    "onnx",
                    "packaging",
                    "pydantic",
                ];
                starts(&["Name:", "Version:"]) || of_interest.iter().any(|name| required.starts_with(name))
            }
            Self::Defines(lines) => starts(lines),
            Self::AwsCredentials => line == "aws_secret_access_key",
            Self::Rpm | Self::PrivateKey => false,
            Self::Dpkg => line.is_empty() || starts(&["Package:", "Status:", "Version:", "Architecture:"]),
            Self::Whole => true,
        }
    }
}

/// Returns rpm's packages as dpkg's database writes them.
fn read_rpm(data: &mut impl Read) -> io::Result<(String, bool)> {
    let mut bytes = Vec::new();
    data.take(RPM + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RPM {
        return Ok((String::new(), true));
    }
    let Ok(packages) = rpm::parse(&bytes) else { return Ok((String::new(), true)) };
    let record =
        |package: &RpmPackage| format!("Package: {}\nVersion: {}\n\n", package.name, package.version);
    let kept: String = packages.iter().map(record).collect();
    let cut = kept.len() > CAP;
    Ok((if cut { String::new() } else { kept }, cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_keys_and_credentials_nothing_secret_is_kept() {
        let wanted_of = |path: &str| wanted(path).unwrap_or_else(|| panic!("{path}"));
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
        let kept = wanted_of("etc/ssh/ssh_host_rsa_key").read(&mut key.as_bytes()).unwrap().0;
        assert_eq!(kept, "-----BEGIN OPENSSH PRIVATE KEY-----");
        let certificate =
            wanted_of("opt/ca.pem").read(&mut "-----BEGIN CERTIFICATE-----\n".as_bytes()).unwrap();
        assert_eq!(certificate.0, "");
        let credentials = "[default]\naws_access_key_id = AKIAX\naws_secret_access_key = hunter2\n";
        let kept = wanted_of("root/.aws/credentials").read(&mut credentials.as_bytes()).unwrap().0;
        assert_eq!(kept, "aws_secret_access_key\n");
        for path in [
            "usr/lib/python3/dist-packages/x/test.key",
            "opt/x/tests/server.pem",
            "etc/ssh/ssh_host_rsa_key.pub",
        ] {
            assert_eq!(wanted(path), None, "{path}");
        }
    }

    #[test]
    fn an_unreadable_database_of_rpm_is_said_to_be_cut() {
        assert_eq!(Wanted::Rpm.read(&mut &b"SQLite format 3"[..]).unwrap(), (String::new(), true));
    }

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
