//! Builds that are made elsewhere than in a usual engine: what helps against the faults of builders, caches and SageMaker Studio.

use crate::engine::EngineError;
use crate::error::Fault;

/// What helps where SageMaker Studio is cut off from public registries.
const VPC_ONLY: &str = "this domain is VPC-only: FROM may name only images in the Amazon ECR of accounts that its DockerSettings list (VpcOnlyTrustedAccounts), never scratch; push the base there and name that registry with --mirror REGISTRY=ACCOUNT.dkr.ecr.REGION.amazonaws.com";

/// What helps where SageMaker Studio refuses anything else.
const STUDIO: &str =
    "SageMaker Studio allows the classic builder and the network `sagemaker` and little else: say --studio";

const LOST: &str = "look at the builder (docker buildx ls; docker buildx inspect --bootstrap NAME) and its log, then build again: what was built so far is in its cache";

const CACHE: &str = "log in to its registry and make sure that the repository is there (Amazon ECR: mutable tags), or build without --cache-to: the steps are in the builder's own cache";

/// Whose fault the error of a builder beside the engine was, and what helps.
pub(super) fn of_builder(error: &EngineError) -> (Fault, Vec<String>) {
    match error {
        EngineError::BuilderLost { .. } => (Fault::Machine, vec![LOST.to_owned()]),
        EngineError::Cache { .. } => (Fault::Build, vec![CACHE.to_owned()]),
        EngineError::NoBuilder { name, known } => (Fault::Usage, other_builders(name, known)),
        _ => (Fault::Usage, vec!["see --builder".to_owned()]),
    }
}

/// Returns what helps, where a refusal is SageMaker Studio's.
pub(super) fn in_studio(message: &str) -> Option<String> {
    if message.contains("ValidateVPCOnlyModeImage") {
        return Some(VPC_ONLY.to_owned());
    }
    let known = ["SageMaker Studio", "'sagemaker' is the only user allowed network"];
    known.iter().any(|words| message.contains(words)).then(|| STUDIO.to_owned())
}

/// Says which builder may have been meant.
fn other_builders(name: &str, known: &[String]) -> Vec<String> {
    let near = crate::recipe::nearest(name, known.iter().map(String::as_str));
    let mut hints: Vec<String> = near.map(|near| format!("did you mean `{near}`?")).into_iter().collect();
    hints.push(format!("buildx knows {}; `docker buildx create` makes one", known.join(", ")));
    hints
}
