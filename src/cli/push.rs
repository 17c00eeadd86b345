//! What can be said about a push.

use clap::Args;

use super::EngineArgs;
use crate::oci::Profile;

/// Where to push.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Registry, repository and tag; a bare repository is one in the Amazon ECR of your account and region.
    #[arg(long, value_name = "REFERENCE")]
    pub to: Option<String>,
    /// Create the ECR repository if it is absent.
    #[arg(long)]
    pub create_repository: bool,
    /// With --create-repository: scan images for vulnerabilities when they are pushed.
    #[arg(long, requires = "create_repository")]
    pub scan_on_push: bool,
    /// With --create-repository: a tag, once pushed, cannot be moved.
    #[arg(long, requires = "create_repository")]
    pub immutable_tags: bool,
    /// The AWS region, where neither --to nor the AWS configuration names one.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Push to this host in place of the ECR host (a proxy in front of ECR; the tests' stand-in for it).
    #[arg(long, value_name = "HOST", env = "SMP_IMAGE_ECR_HOST", hide = true)]
    pub ecr_host: Option<String>,
}

/// `smp-image push`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  smp-image push smp-image/quickstart --to smpv2 --create-repository\n  \
                        smp-image push smp-image/quickstart --to registry.example/team/smpv2:1")]
pub struct Push {
    /// A name or ID of an image in the engine.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// For whom.
    #[arg(long = "for", value_name = "PROFILE", value_enum, default_value_t = Profile::Oci)]
    pub profile: Profile,
    /// Where.
    #[command(flatten)]
    pub push: PushArgs,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
}
