//! What is known of a machine. What could not be found out is an `Err` with the reason, and stays one.

use crate::engine::{BuildxBuilder, EngineInfo};

/// What is known of a machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The engine, or why there is none.
    pub engine: Result<EngineInfo, String>,
    /// Where the engine keeps its data; absent where that is on another machine, or in a virtual one.
    pub disk: Option<Disk>,
    /// Whether a program of the image's platform could be started where it is built, or why that could not be tried; absent where nothing
    /// says that it could, or the platform is the builder's own.
    pub runs: Option<Result<bool, String>>,
    /// Emulators that the kernel of this machine knows; absent where the kernel does not say (macOS).
    pub emulation: Option<Emulation>,
    /// buildx and its builders, or why there are none.
    pub builders: Result<Builders, String>,
    /// NVIDIA's driver and toolkit.
    pub gpu: Gpu,
    /// EFA devices.
    pub efa: Efa,
    /// Who we are for AWS, or why nobody; absent where nobody was asked (`--offline`).
    pub aws: Option<Result<Aws, String>>,
    /// The way out of this machine.
    pub way: Way,
    /// The clock against a server's; absent where nobody was asked.
    pub clock: Option<Result<Clock, String>>,
}

/// Space on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The folder that was looked at.
    pub folder: String,
    /// Free bytes.
    pub free: u64,
}

/// Emulators by the name under which the kernel knows them, such as `qemu-aarch64` or `rosetta`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Emulation {
    /// Their names.
    pub names: Vec<String>,
}

/// buildx and its builders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builders {
    /// The version of buildx.
    pub version: String,
    /// The builders.
    pub all: Vec<BuildxBuilder>,
}

/// NVIDIA's driver and toolkit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// The version of the kernel driver; absent where none is loaded.
    pub driver: Option<String>,
    /// Whether the toolkit is installed.
    pub toolkit: bool,
    /// Whether there is a specification for the Container Device Interface.
    pub cdi: bool,
}

/// EFA devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Efa {
    /// Names of the devices whose driver is `efa`, such as `rdmap0s6`.
    pub devices: Vec<String>,
}

/// Who we are for AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The user or role.
    pub arn: String,
    /// The region.
    pub region: String,
    /// Seconds until the credentials end; absent where they do not.
    pub expires_in: Option<i64>,
    /// What ECR lets us do.
    pub ecr: Ecr,
}

/// What ECR answered to questions that change nothing; an `Err` is its refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecr {
    /// `ecr:GetAuthorizationToken`.
    pub login: Result<(), String>,
    /// `ecr:DescribeRepositories`: whether the recipe's repository is there.
    pub repository: Result<bool, String>,
    /// The repository that was asked for.
    pub name: String,
}

/// The way out of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// Variables that name a proxy, with it; passwords are left out.
    pub proxies: Vec<(String, String)>,
    /// Variables that name a file of certificates, with the file and whether it can be read.
    pub certificates: Vec<(String, String, bool)>,
}

/// This clock against a server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The server.
    pub server: String,
    /// Seconds that ours is ahead.
    pub ahead: i64,
}
