//! Stages and steps: what the Dockerfile will say, as typed values. A template adds the words, never a decision.

use serde::{Deserialize, Serialize};

use super::{ImageRef, PinnedPackage, WheelKey, Work};
use crate::lock::{Artefact, Pin};
use crate::oci::Dialect;
use crate::recipe::{AptPackage, ArtefactUrl, EnvName, EnvValue, ImagePath, LocalPath, Name, Version};

/// The name of a stage: lower-case letters, digits and `-`.
pub type StageName = Name;

/// One stage of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stage {
    /// Its name; also its place in the build's progress.
    #[schemars(with = "String")]
    pub name: StageName,
    /// What it starts from.
    pub from: StartsFrom,
    /// Whether it runs on the builder's own platform, whatever the image is made for: nothing of it but files reaches the image.
    pub native: bool,
    /// The only dialect that needs it; absent where both do.
    pub only: Option<Dialect>,
    /// Its instructions after `FROM`, in order.
    pub steps: Vec<Step>,
    /// What it does, with the values that its template prints.
    pub work: Work,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StartsFrom {
    /// An image of a registry.
    Image(ImageRef),
    /// An earlier stage.
    Stage(#[schemars(with = "String")] StageName),
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    /// The instruction.
    pub instruction: Instruction,
    /// What it does, for people.
    pub does: String,
    /// Where it can run.
    pub runs: Runs,
}

/// The instructions that templates use after `FROM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Instruction {
    /// A value given at build time.
    Arg,
    /// Files from a stage or from the user.
    Copy,
    /// An environment variable.
    Env,
    /// A command.
    Run,
    /// The working directory.
    Workdir,
}

/// Where a step can run when the builder's architecture is not the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runs {
    /// Anywhere: it only fetches, unpacks or copies.
    Native,
    /// Only where the target's programs run, natively or emulated.
    Target,
}

/// What every compiling stage has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Compile {
    /// The version.
    #[schemars(with = "String")]
    pub version: Version,
    /// The stage that holds the sources in `/src`.
    #[schemars(with = "String")]
    pub source: StageName,
    /// What is copied in before.
    pub parts: Vec<Part>,
    /// How many compilers may run at once.
    pub max_jobs: u64,
}

/// What a stage that compiles a Python package has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PythonCompile {
    /// The packages.
    pub packages: Vec<PinnedPackage>,
    /// The Python environment to which they belong.
    #[schemars(with = "String")]
    pub prefix: ImagePath,
    /// Packages of the distribution that they are built with.
    #[schemars(with = "Vec<String>")]
    pub tools: Vec<AptPackage>,
    /// Whether the environment is made here (a conda environment is copied in).
    pub venv: bool,
    /// What is copied in before.
    pub parts: Vec<Part>,
    /// Environment variables of the compilation.
    pub settings: Vec<Variable>,
    /// By what the wheel is known that comes of it.
    pub key: WheelKey,
    /// Folders of headers and libraries that wheels brought, below the environment's site-packages.
    #[schemars(with = "Vec<String>")]
    pub wheels: Vec<ImagePath>,
    /// How many compilers may run at once.
    pub max_jobs: u64,
}

/// A symbolic link in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Link {
    /// Where it is.
    #[schemars(with = "String")]
    pub at: ImagePath,
    /// Where it leads, seen from its folder.
    #[schemars(with = "String")]
    pub to: LocalPath,
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Download {
    /// Where it is.
    #[schemars(with = "String")]
    pub url: ArtefactUrl,
    /// Its checksum.
    pub checksum: Checksum,
}

/// How a download is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// Against the lock, in 64 hexadecimal digits.
    Sha256(String),
    /// Against a build argument without default: the lock does not know it, and the build stops unless the user gives it.
    Argument(#[schemars(with = "String")] EnvName),
}

/// A folder that is copied from another stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Part {
    /// The stage.
    #[schemars(with = "String")]
    pub stage: StageName,
    /// The folder there.
    #[schemars(with = "String")]
    pub from: ImagePath,
    /// The folder here.
    #[schemars(with = "String")]
    pub to: ImagePath,
}

/// Files of the user that go into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UserCopy {
    /// A path in the build context.
    #[schemars(with = "String")]
    pub from: LocalPath,
    /// A path in the image.
    #[schemars(with = "String")]
    pub to: ImagePath,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Variable {
    /// The name.
    #[schemars(with = "String")]
    pub name: EnvName,
    /// The value.
    #[schemars(with = "String")]
    pub value: EnvValue,
}

impl Stage {
    /// Returns the stages that this one needs, in the order in which it names them.
    pub fn needs(&self) -> Vec<&StageName> {
        let from = match &self.from {
            StartsFrom::Stage(name) => Some(name),
            StartsFrom::Image(_) => None,
        };
        let parts = self.work.parts().iter().map(|part| &part.stage);
        from.into_iter().chain(self.work.mounts()).chain(parts).collect()
    }

    /// Returns whether `dialect` has this stage.
    pub fn is_in(&self, dialect: Dialect) -> bool {
        self.only.is_none_or(|only| only == dialect)
    }
}

impl Checksum {
    /// Returns how `artefact` is verified; `argument` is asked for where the lock does not know.
    pub(super) fn of(artefact: &Artefact, argument: EnvName) -> Self {
        match &artefact.sha256 {
            Pin::Known(digest) => Self::Sha256(digest.hex()),
            Pin::Unresolved(_) => Self::Argument(argument),
        }
    }

    /// Returns whether a build argument is needed.
    pub fn is_argument(&self) -> bool {
        matches!(self, Self::Argument(_))
    }
}
