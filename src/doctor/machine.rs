//! The door to a machine: gathers facts, and mends what may be mended. [`FakeMachine`] is one that a test describes.
#![expect(
    clippy::disallowed_methods,
    reason = "the doctor's door reads what the kernel says and starts NVIDIA's toolkit"
)]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::process::Command;

use super::Fix;
use super::facts::{Aws, Builders, Clock, Disk, Ecr, Efa, Emulation, Facts, Gpu, Way};
use crate::engine::{Buildx, DockerEngine, Endpoint, Engine as _, EngineInfo, Environment};
use crate::oci::Platform;
use crate::registry::clock;
use crate::registry::ecr::{self, AwsSettings};

/// How long a fix may take.
const FIX_LIMIT: Duration = Duration::from_mins(1);

/// What can be asked of a machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Gathers what is known. Never fails: what cannot be found out is said in the facts.
    async fn facts(&self) -> Facts;

    /// Does what `fix` says.
    ///
    /// # Errors
    /// What went wrong, in words.
    async fn mend(&self, fix: Fix) -> Result<(), String>;
}

/// Where things are on this machine, and whom to ask.
pub struct Where {
    /// The engine and its address, or why there is none.
    pub engine: Result<(DockerEngine, Endpoint), String>,
    /// The environment variables.
    pub environment: Environment,
    /// The platform of the image.
    pub platform: Platform,
    /// The root of the file system; a test has its own.
    pub root: PathBuf,
    /// The registry whose clock is looked at.
    pub registry: String,
    /// The repository of the recipe in Amazon ECR.
    pub repository: String,
    /// How AWS is reached.
    pub aws: AwsSettings,
    /// Whether nobody outside of this machine is asked.
    pub offline: bool,
}

/// This machine.
pub struct ThisMachine(pub Where);

#[async_trait]
impl Machine for ThisMachine {
    async fn facts(&self) -> Facts {
        let (engine, builders, aws, clock) =
            tokio::join!(self.engine(), self.builders(), self.aws(), self.clock());
        let disk = engine.as_ref().ok().and_then(space);
        Facts {
            disk,
            runs: self.runs(engine.as_ref().ok()).await,
            engine,
            emulation: self.emulation(),
            builders,
            gpu: self.gpu(),
            efa: self.efa(),
            aws,
            way: self.way(),
            clock,
        }
    }

    async fn mend(&self, fix: Fix) -> Result<(), String> {
        let (program, arguments) = fix.command().split_first().ok_or("it has no command")?;
        let path = self.0.environment.get("PATH").unwrap_or_default();
        let run = Command::new(program).args(arguments).env("PATH", path).kill_on_drop(true).output();
        let output = tokio::time::timeout(FIX_LIMIT, run).await.map_err(|_| format!("{program} hangs"))?;
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program}: {}", said.lines().last().unwrap_or("it gave no reason")))
    }
}

impl ThisMachine {
    async fn engine(&self) -> Result<EngineInfo, String> {
        let (engine, _) = self.0.engine.as_ref().map_err(Clone::clone)?;
        engine.info().await.map_err(|error| error.to_string())
    }

    /// Starts a program of the image's platform, where the engine says that it can.
    async fn runs(&self, info: Option<&EngineInfo>) -> Option<Result<bool, String>> {
        let (target, info) = (self.0.platform, info?);
        if info.platform == target || !info.platforms.contains(&target) {
            return None;
        }
        let (engine, _) = self.0.engine.as_ref().ok()?;
        Some(engine.runs(target).await.map_err(|error| error.to_string()))
    }

    async fn builders(&self) -> Result<Builders, String> {
        let (_, endpoint) = self.0.engine.as_ref().map_err(Clone::clone)?;
        let asked = async {
            let buildx = Buildx::find(&self.0.environment, endpoint)?;
            let version = buildx.version().await?;
            Ok(Builders { version, all: buildx.builders().await? })
        };
        asked.await.map_err(|error: crate::engine::EngineError| error.to_string())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn emulation(&self) -> Option<Emulation> {
        const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
        if !self.path("/proc/sys/fs").is_dir() {
            return None;
        }
        let enabled = |name: &String| {
            self.read(&format!("{FOLDER}/{name}")).is_some_and(|text| text.starts_with("enabled"))
        };
        let emulators = |name: &String| name.starts_with("qemu-") || name == "rosetta";
        let names = self.names(FOLDER).into_iter().filter(emulators).filter(enabled);
        Some(Emulation { names: names.collect() })
    }

    fn gpu(&self) -> Gpu {
        // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul …"
        let driver = self.read("/proc/driver/nvidia/version").and_then(|text| {
            let word = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
            text.lines().next()?.split_whitespace().find(word).map(str::to_owned)
        });
        let path = self.0.environment.get("PATH").unwrap_or_default();
        let toolkit = std::env::split_paths(path).any(|folder| folder.join("nvidia-ctk").is_file());
        let cdi = ["/etc/cdi", "/var/run/cdi"].iter().flat_map(|folder| self.names(folder));
        Gpu { driver, toolkit, cdi: cdi.into_iter().any(|name| name.starts_with("nvidia")) }
    }

    fn efa(&self) -> Efa {
        const FOLDER: &str = "/sys/class/infiniband";
        let of_efa = |name: &String| {
            let driver = std::fs::read_link(self.path(&format!("{FOLDER}/{name}/device/driver")));
            driver.is_ok_and(|driver| driver.file_name().is_some_and(|name| name == "efa"))
        };
        Efa { devices: self.names(FOLDER).into_iter().filter(of_efa).collect() }
    }

    async fn aws(&self) -> Option<Result<Aws, String>> {
        if self.0.offline {
            return None;
        }
        let asked = async {
            let ecr = ecr::Ecr::open(&self.0.aws, None).await?;
            let caller = ecr.caller().await?;
            let login = ecr.login().await.map(drop).map_err(|error| error.to_string());
            let repository = ecr.repository(None, &self.0.repository).await;
            let expires_in = ecr.expires().map(seconds_until);
            Ok(Aws {
                arn: caller.arn,
                region: ecr.region().to_owned(),
                expires_in,
                ecr: Ecr {
                    login,
                    repository: repository.map(|found| found.is_some()).map_err(|error| error.to_string()),
                    name: self.0.repository.clone(),
                },
            })
        };
        Some(asked.await.map_err(|error: ecr::EcrError| error.to_string()))
    }

    async fn clock(&self) -> Option<Result<Clock, String>> {
        if self.0.offline {
            return None;
        }
        let server = &self.0.registry;
        let ahead = clock::ahead_of(server).await;
        Some(ahead.map(|ahead| Clock { server: server.clone(), ahead }))
    }

    fn way(&self) -> Way {
        let named = |name: &str| {
            let value = self.0.environment.get(name)?;
            Some((name.to_owned(), value.to_owned()))
        };
        let proxies = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];
        let files =
            ["SMP_IMAGE_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"];
        Way {
            proxies: proxies
                .into_iter()
                .filter_map(named)
                .map(|(name, value)| (name, without_login(&value)))
                .collect(),
            certificates: files
                .into_iter()
                .filter_map(named)
                .filter(|(_, file)| file != "none")
                .map(|(name, file)| {
                    let readable = std::fs::File::open(&file).is_ok();
                    (name, file, readable)
                })
                .collect(),
        }
    }
}

/// Returns the space where the engine keeps its data, where that is a folder of this machine.
pub fn space(engine: &EngineInfo) -> Option<Disk> {
    let local = engine.endpoint.starts_with("unix://");
    let folder = Path::new(&engine.data_root);
    if !local || !folder.is_dir() {
        return None;
    }
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(Disk { folder: engine.data_root.clone(), free: space.f_bavail.saturating_mul(space.f_frsize) })
}

fn seconds_until(end: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match end.duration_since(SystemTime::now()) {
        Ok(left) => seconds(left),
        Err(past) => -seconds(past.duration()),
    }
}

/// Returns a proxy's address without the user and password that may be in it.
fn without_login(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").map_or(("", proxy), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

/// A machine that a test describes; remembers what was mended.
pub struct FakeMachine {
    facts: Facts,
    mended: Mutex<Vec<Fix>>,
}

impl FakeMachine {
    /// Returns a machine of which this is known.
    pub fn new(facts: Facts) -> Self {
        Self { facts, mended: Mutex::default() }
    }

    /// Returns what was mended so far.
    pub fn mended(&self) -> Vec<Fix> {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Machine for FakeMachine {
    async fn facts(&self) -> Facts {
        let mut facts = self.facts.clone();
        facts.gpu.cdi |= self.mended().contains(&Fix::WriteCdi);
        facts
    }

    async fn mend(&self, fix: Fix) -> Result<(), String> {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).push(fix);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(root: &Path) -> ThisMachine {
        ThisMachine(Where {
            engine: Err("none".into()),
            environment: [("HTTPS_PROXY", "http://me:secret@proxy:3128"), ("SSL_CERT_FILE", "/nowhere.pem")]
                .into_iter()
                .collect(),
            platform: Platform { arch: crate::oci::Arch::Amd64 },
            root: root.to_owned(),
            registry: String::new(),
            repository: String::new(),
            aws: AwsSettings::default(),
            offline: true,
        })
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn what_the_kernel_says_of_emulators_gpus_and_efa_is_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "proc/sys/fs/binfmt_misc/qemu-aarch64", "enabled\ninterpreter /usr/bin/qemu-aarch64\n");
        write(root, "proc/sys/fs/binfmt_misc/qemu-riscv64", "disabled\n");
        write(root, "proc/sys/fs/binfmt_misc/python3.11", "enabled\n");
        write(
            root,
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\nGCC version:  gcc 12\n",
        );
        write(root, "etc/cdi/nvidia.yaml", "");
        for (device, driver) in [("rdmap0s6", "efa"), ("mlx5_0", "mlx5_core")] {
            let folder = root.join("sys/class/infiniband").join(device).join("device");
            std::fs::create_dir_all(&folder).unwrap();
            std::os::unix::fs::symlink(format!("/sys/bus/pci/drivers/{driver}"), folder.join("driver"))
                .unwrap();
        }
        let facts = machine(root).facts().await;
        assert_eq!(facts.emulation.unwrap().names, ["qemu-aarch64"]);
        assert_eq!(facts.gpu, Gpu { driver: Some("580.65.06".into()), toolkit: false, cdi: true });
        assert_eq!(facts.efa.devices, ["rdmap0s6"]);
    }

    #[tokio::test]
    async fn a_proxys_password_is_not_told_and_a_missing_bundle_is() {
        let root = tempfile::tempdir().unwrap();
        let facts = machine(root.path()).facts().await;
        assert_eq!(facts.way.proxies, [("HTTPS_PROXY".to_owned(), "http://proxy:3128".to_owned())]);
        assert_eq!(facts.way.certificates, [("SSL_CERT_FILE".to_owned(), "/nowhere.pem".to_owned(), false)]);
        assert!(facts.emulation.is_none() && facts.aws.is_none() && facts.clock.is_none());
        assert!(facts.engine.is_err());
    }
}
