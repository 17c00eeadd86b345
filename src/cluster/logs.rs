//! The log of one container, followed to its end, also over lost connections: each line once.

use std::sync::Arc;

use reqwest::Method;
use tokio::sync::mpsc::Sender;

use super::ClusterError;
use super::client::{Again, Client, Question};
use super::pod::{Pod, State};

/// How much of a log is kept: its end.
const KEPT: usize = 16 << 20;
/// The longest line that is kept in one piece.
const LINE_LIMIT: usize = 1 << 20;
/// How often a log is asked for anew without a new line.
const TRIES: u32 = 5;

/// Follows the log of a pod's container and returns its end; each line goes to `lines` as it comes.
pub(super) async fn follow(
    client: Arc<Client>,
    namespace: String,
    pod: String,
    container: String,
    lines: Sender<(String, String)>,
) -> Result<Vec<u8>, ClusterError> {
    let mut log = Log { pod, kept: Vec::new(), seen: String::new(), lines };
    let path = format!("api/v1/namespaces/{namespace}/pods/{}/log", log.pod);
    let permission = format!("get pods --subresource=log -n {namespace}");
    let doing = format!("reading the log of pod {}", log.pod);
    let mut tries = 0;
    loop {
        let since = log.since();
        let mut query = vec![("container", container.as_str()), ("follow", "true"), ("timestamps", "true")];
        query.extend(since.as_deref().map(|since| ("sinceTime", since)));
        let question = Question {
            method: &Method::GET,
            path: &path,
            query: &query,
            body: None,
            doing: &doing,
            permission: &permission,
        };
        let before = log.seen.clone();
        match client.open(question).await {
            Ok(response) => {
                // An API server that is stopped ends logs as if their container had ended.
                if log.take(response).await && !still_runs(&client, &namespace, &log.pod, &container).await {
                    return Ok(log.kept);
                }
            }
            // 400: the container is only about to start.
            Err(fault)
                if fault.again == Again::Never
                    && !matches!(fault.error, ClusterError::Refused { status: 400, .. }) =>
            {
                return Err(fault.error);
            }
            Err(fault) if tries >= TRIES => return Err(fault.error),
            Err(_) => {}
        }
        tries = if log.seen == before { tries + 1 } else { 0 };
        if tries > TRIES {
            let reason = "its log breaks off again and again".to_owned();
            return Err(ClusterError::Nonsense { doing, reason });
        }
        tokio::time::sleep(client.pause(tries.max(1))).await;
    }
}

/// Returns whether a pod's container runs; what cannot be asked has ended.
async fn still_runs(client: &Client, namespace: &str, pod: &str, container: &str) -> bool {
    let path = format!("api/v1/namespaces/{namespace}/pods/{pod}");
    let question = Question {
        method: &Method::GET,
        path: &path,
        query: &[],
        body: None,
        doing: "looking whether a pod still runs",
        permission: "get pods",
    };
    let pod = client.ask(question).await.ok().and_then(|object| Pod::read(&object, container));
    pod.is_some_and(|pod| pod.state == State::Running)
}

struct Log {
    pod: String,
    kept: Vec<u8>,
    /// The time of the last line, as the cluster wrote it. Times of one container sort as text.
    seen: String,
    lines: Sender<(String, String)>,
}

impl Log {
    /// Returns from when on to ask: the second of the last line, of which what was seen already is skipped.
    fn since(&self) -> Option<String> {
        let second = self.seen.split('.').next().filter(|second| !second.is_empty())?;
        Some(if second.ends_with('Z') { second.to_owned() } else { format!("{second}Z") })
    }

    /// Takes in lines; returns whether the log came to its end.
    async fn take(&mut self, mut response: reqwest::Response) -> bool {
        let mut buffer: Vec<u8> = Vec::new();
        // What stands before this in the answer was seen before the connection was lost.
        let before = std::mem::take(&mut self.seen);
        self.seen.clone_from(&before);
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    buffer.extend_from_slice(&piece);
                    while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
                        let line: Vec<u8> = buffer.drain(..=end).collect();
                        self.line(&line[..end], &before).await;
                    }
                    if buffer.len() > LINE_LIMIT {
                        let line = std::mem::take(&mut buffer);
                        self.line(&line, &before).await;
                    }
                }
                Ok(None) => {
                    self.line(&buffer, &before).await;
                    return true;
                }
                Err(_) => return false,
            }
        }
    }

    async fn line(&mut self, line: &[u8], before: &str) {
        let text = String::from_utf8_lossy(line);
        if text.is_empty() {
            return;
        }
        let (time, text) = match text.split_once(' ') {
            Some((time, text)) if is_time(time) => (time, text),
            _ if is_time(&text) => (text.as_ref(), ""),
            _ => ("", text.as_ref()),
        };
        if !time.is_empty() {
            if !before.is_empty() && time <= before {
                return;
            }
            time.clone_into(&mut self.seen);
        }
        self.kept.extend_from_slice(text.as_bytes());
        self.kept.push(b'\n');
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
        // Where nobody listens any more the log is kept all the same.
        let _nobody_listens = self.lines.send((self.pod.clone(), text.to_owned())).await;
    }
}

/// Returns whether a word is a time as RFC 3339 writes it.
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && word.ends_with('Z')
}
