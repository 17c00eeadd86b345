//! What a run made on the cluster: known before it is there, and deleted whatever happens.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::ClusterError;
use super::client::{Client, Question};

/// How long the deletion may take when the program is about to end.
const LAST_MOMENT: Duration = Duration::from_secs(20);

/// An object that was made, or may have been.
#[derive(Debug, Clone)]
struct Object {
    path: String,
    name: String,
    shown: String,
}

/// What was made; deleted when this is dropped.
pub(super) struct Made {
    client: Arc<Client>,
    objects: Vec<Object>,
}

impl Made {
    /// Returns that nothing was made yet.
    pub(super) fn nothing(client: &Arc<Client>) -> Self {
        Self { client: Arc::clone(client), objects: Vec::new() }
    }

    /// Returns the name of the object that was made last.
    pub(super) fn last(&self) -> Option<&str> {
        self.objects.last().map(|object| object.name.as_str())
    }

    /// Makes an object.
    pub(super) async fn make(&mut self, object: &Value) -> Result<(), ClusterError> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let namespace = metadata["namespace"].as_str().unwrap_or(&self.client.access().namespace).to_owned();
        let plural = format!("{}s", kind.to_lowercase());
        let (root, resource) = match api_version.split_once('/') {
            Some((group, _)) => (format!("apis/{api_version}"), format!("{plural}.{group}")),
            None => (format!("api/{api_version}"), plural.clone()),
        };
        let path = format!("{root}/namespaces/{namespace}/{plural}");
        let shown = format!("{} {name}", kind.to_lowercase());
        let (doing, permission) = (format!("making {shown}"), format!("create {resource} -n {namespace}"));
        // Before it is asked for: an answer that is lost leaves an object all the same.
        self.objects.push(Object { path: format!("{path}/{name}"), name, shown: shown.clone() });
        let question = Question {
            method: &Method::POST,
            path: &path,
            query: &[],
            body: Some(object),
            doing: &doing,
            permission: &permission,
        };
        match self.client.ask(question).await {
            Ok(_) => Ok(()),
            Err(ClusterError::Refused { status: 409, .. }) => self.ours(object, &shown).await,
            Err(error) => {
                // Refused: there is nothing to delete. Everything else leaves that open.
                if matches!(
                    error,
                    ClusterError::Refused { .. }
                        | ClusterError::Forbidden { .. }
                        | ClusterError::Unauthorised { .. }
                ) {
                    self.objects.pop();
                }
                match error {
                    ClusterError::Refused { status: 404, .. } => Err(ClusterError::UnknownKind {
                        kind: kind.to_owned(),
                        api_version: api_version.to_owned(),
                    }),
                    other => Err(other),
                }
            }
        }
    }

    /// An object of this name is there. It is ours if the first answer was lost; else it is somebody's, and stays.
    async fn ours(&mut self, object: &Value, shown: &str) -> Result<(), ClusterError> {
        let conflict = ClusterError::Conflict { what: shown.to_owned() };
        let Some(last) = self.objects.last() else { return Err(conflict) };
        let question = Question {
            method: &Method::GET,
            path: &last.path.clone(),
            query: &[],
            body: None,
            doing: "looking at what is there already",
            permission: "get",
        };
        let there = self.client.ask(question).await;
        let same = there.is_ok_and(|there| {
            let labels = &object["metadata"]["labels"];
            labels.is_object() && there["metadata"]["labels"] == *labels
        });
        if same {
            return Ok(());
        }
        self.objects.pop();
        Err(conflict)
    }

    /// Deletes everything, the last first. What an interrupt leaves undone is done by the drop.
    pub(super) async fn delete(mut self) -> Result<(), ClusterError> {
        let (mut left, mut reason) = (Vec::new(), String::new());
        while let Some(object) = self.objects.last() {
            if let Err(error) = delete(&self.client, object).await {
                left.push(object.shown.clone());
                reason = error.to_string();
            }
            self.objects.pop();
        }
        if left.is_empty() { Ok(()) } else { Err(ClusterError::LeftBehind { left, reason }) }
    }
}

impl Drop for Made {
    /// Deletes what was made when a run is cancelled.
    ///
    /// Waits for it: the program may be about to end. A thread of its own, because a runtime cannot be waited for from within
    /// itself, with connections of its own.
    fn drop(&mut self) {
        if self.objects.is_empty() {
            return;
        }
        let objects = std::mem::take(&mut self.objects);
        let Ok(client) = self.client.again() else { return };
        let work = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let all = async {
                    for object in objects.iter().rev() {
                        // Nobody is left to be told: what stays behind the cluster ends by its deadline.
                        let _left = delete(&client, object).await;
                    }
                };
                let _too_late = tokio::time::timeout(LAST_MOMENT, all).await;
            });
        });
        let _panicked = work.join();
    }
}

async fn delete(client: &Client, object: &Object) -> Result<(), ClusterError> {
    let body = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
    let doing = format!("deleting {}", object.shown);
    let question = Question {
        method: &Method::DELETE,
        path: &object.path,
        query: &[],
        body: Some(&body),
        doing: &doing,
        permission: "delete",
    };
    match client.ask(question).await {
        // Gone already: that is what was wanted.
        Ok(_) | Err(ClusterError::Refused { status: 404, .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
