//! The pods of a run, watched: listed, then followed change by change, and listed anew when the connection is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use super::ClusterError;
use super::client::{Again, Client, Fault, Question};
use super::pod::{Pod, State};

/// How long the server keeps one watch open; then it is asked anew, which also finds out whether it is still there.
const WATCH_SECONDS: u64 = 120;
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS + 30);
/// The longest change that is read, in bytes.
const CHANGE_LIMIT: usize = 4 << 20;

/// Watches pods.
pub(super) struct Watch {
    client: Arc<Client>,
    path: String,
    selector: String,
    container: String,
    namespace: String,
    found: VecDeque<Pod>,
    stream: Option<Response>,
    buffer: Vec<u8>,
    lost: u32,
}

impl Watch {
    pub(super) fn new(client: &Arc<Client>, namespace: &str, selector: &str, container: &str) -> Self {
        Self {
            client: Arc::clone(client),
            path: format!("api/v1/namespaces/{namespace}/pods"),
            selector: selector.to_owned(),
            container: container.to_owned(),
            namespace: namespace.to_owned(),
            found: VecDeque::new(),
            stream: None,
            buffer: Vec::new(),
            lost: 0,
        }
    }

    /// Returns the next pod that is there or has changed.
    pub(super) async fn next(&mut self) -> Result<Pod, ClusterError> {
        loop {
            if let Some(pod) = self.found.pop_front() {
                return Ok(pod);
            }
            if self.stream.is_none() {
                self.begin().await?;
                continue;
            }
            let piece = match &mut self.stream {
                // A connection that was lost in silence is one that is silent for longer than the server keeps it.
                Some(stream) => tokio::time::timeout(SILENCE, stream.chunk()).await.unwrap_or(Ok(None)),
                None => Ok(None),
            };
            if let Ok(Some(piece)) = piece {
                self.lost = 0;
                self.buffer.extend_from_slice(&piece);
                self.changes();
                continue;
            }
            // Its time is over, or the connection is lost: what has changed meanwhile is in the next list.
            self.stream = None;
            self.lost += 1;
            if self.lost > 1 {
                tokio::time::sleep(self.client.pause(self.lost)).await;
            }
        }
    }

    /// Lists the pods, and watches from there.
    async fn begin(&mut self) -> Result<(), ClusterError> {
        let doing = "looking at the pods";
        let permission = format!("list pods -n {}", self.namespace);
        let list = Question {
            method: &Method::GET,
            path: &self.path,
            query: &[("labelSelector", &self.selector)],
            body: None,
            doing,
            permission: &permission,
        };
        let pods = self.client.ask(list).await?;
        let version = pods["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let items = pods["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.found.extend(items.iter().filter_map(|item| Pod::read(item, &self.container)));
        let (seconds, permission) = (WATCH_SECONDS.to_string(), format!("watch pods -n {}", self.namespace));
        let query = [
            ("labelSelector", self.selector.as_str()),
            ("watch", "true"),
            ("resourceVersion", &version),
            ("timeoutSeconds", &seconds),
        ];
        let watch = Question { query: &query, permission: &permission, ..list };
        self.buffer.clear();
        let opened = tokio::time::timeout(self.client.patience.answer, self.client.open(watch)).await;
        let late = || Fault::later(self.client.unreachable(watch, "it takes too long"));
        match opened.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => self.stream = Some(stream),
            // The next turn lists again, patiently; what no patience helps against ends here.
            Err(fault) if fault.again == Again::Never && !is_too_old(&fault.error) => return Err(fault.error),
            Err(fault) => {
                self.lost += 1;
                if self.lost > self.client.patience.attempts {
                    return Err(fault.error);
                }
                tokio::time::sleep(self.client.pause(self.lost)).await;
            }
        }
        Ok(())
    }

    /// Reads the changes that have come whole.
    fn changes(&mut self) {
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let Ok(change) = serde_json::from_slice::<Value>(&line) else { continue };
            match change["type"].as_str() {
                Some("ADDED" | "MODIFIED") => {
                    self.found.extend(Pod::read(&change["object"], &self.container));
                }
                Some("DELETED") => {
                    self.found.extend(Pod::read(&change["object"], &self.container).map(deleted));
                }
                // Most often 410: what it knew is too old.
                Some("ERROR") => self.stream = None,
                _ => {}
            }
        }
        if self.buffer.len() > CHANGE_LIMIT {
            self.stream = None;
        }
    }
}

/// A pod that was deleted while we watched it did not end by itself.
fn deleted(pod: Pod) -> Pod {
    match pod.state {
        State::Ended { .. } => pod,
        _ => Pod {
            state: State::Ended { status: None, reason: "it was deleted by somebody else".to_owned() },
            ..pod
        },
    }
}

fn is_too_old(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Refused { status: 410, .. })
}
