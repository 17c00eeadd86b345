//! Which kinds of objects a cluster has.

use reqwest::Method;

use super::ClusterError;
use super::client::{Client, Question};

/// Returns whether the cluster serves `kind` of `api_version`, such as `PyTorchJob` of `kubeflow.org/v1`.
pub(super) async fn offers(client: &Client, api_version: &str, kind: &str) -> Result<bool, ClusterError> {
    let (path, permission) = (format!("apis/{api_version}"), format!("get /apis/{api_version}"));
    let question = Question {
        method: &Method::GET,
        path: &path,
        query: &[],
        body: None,
        doing: "looking which kinds of jobs there are",
        permission: &permission,
    };
    match client.ask(question).await {
        Ok(list) => {
            Ok(list["resources"].as_array().is_some_and(|kinds| kinds.iter().any(|one| one["kind"] == kind)))
        }
        // No such group or version at all.
        Err(ClusterError::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
