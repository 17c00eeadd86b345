//! A run on the cluster from its first object to the deletion of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Client, Question};
use super::made::Made;
use super::pod::{Pod, State};
use super::watch::Watch;
use super::{ClusterError, Event, PodEnd, Ran, Work, logs};

/// How long logs may take to come to their end when their pods have.
const LOGS_AFTER_END: Duration = Duration::from_secs(30);
/// How many lines of the logs an error quotes.
const TAIL: usize = 12;

/// Makes, watches, reads, deletes.
pub(super) async fn run(
    client: &Arc<Client>,
    work: &Work,
    tell: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Ran, ClusterError> {
    let mut made = Made::nothing(client);
    let result = Box::pin(ended(client, work, &mut made, tell)).await;
    let left = made.delete().await.err();
    if let (Err(_), Some(left)) = (&result, &left) {
        tell(Event::Left(left));
    }
    result.map(|pods| Ran { pods, left })
}

async fn ended(
    client: &Arc<Client>,
    work: &Work,
    made: &mut Made,
    tell: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Vec<PodEnd>, ClusterError> {
    for object in &work.objects {
        made.make(object).await?;
    }
    let mut following = Following::new(client, work);
    let started = Instant::now();
    let mut pods = watched(Watch::new(client, &following.namespace, &work.selector, &work.container));
    let mut running_since: Option<Instant> = None;
    loop {
        let limit = match running_since {
            Some(since) => since + work.run_limit,
            None => started + work.start_limit,
        };
        tokio::select! {
            Some(pod) = pods.changes.recv() => following.pod(pod?, tell)?,
            Some((pod, line)) = following.lines.recv() => following.line(&pod, &line, tell),
            () = tokio::time::sleep_until(limit) => {
                return Err(match running_since {
                    Some(_) => ClusterError::RanTooLong { limit: work.run_limit, tail: following.tail() },
                    None => following.never_started(made).await,
                });
            }
        }
        if running_since.is_none() && following.all_started() {
            running_since = Some(Instant::now());
        }
        if following.all_ended() {
            return following.finish(tell).await;
        }
    }
}

/// Changes of pods, as they come.
struct Pods {
    changes: mpsc::Receiver<Result<Pod, ClusterError>>,
    // Ends with the run.
    _watching: JoinSet<()>,
}

/// Watches in a task of its own: a log that never pauses must not keep a lost connection from being made anew.
fn watched(mut watch: Watch) -> Pods {
    let (sender, changes) = mpsc::channel(64);
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        loop {
            let change = watch.next().await;
            let last = change.is_err();
            if sender.send(change).await.is_err() || last {
                return;
            }
        }
    });
    Pods { changes, _watching: watching }
}

/// Pods and their logs.
struct Following<'a> {
    client: &'a Arc<Client>,
    work: &'a Work,
    namespace: String,
    pods: BTreeMap<String, State>,
    images: BTreeMap<String, String>,
    followed: BTreeSet<String>,
    logs: JoinSet<(String, Result<Vec<u8>, ClusterError>)>,
    lines: mpsc::Receiver<(String, String)>,
    sender: mpsc::Sender<(String, String)>,
    last: std::collections::VecDeque<String>,
}

impl<'a> Following<'a> {
    fn new(client: &'a Arc<Client>, work: &'a Work) -> Self {
        let (sender, lines) = mpsc::channel(1024);
        let named = work.objects.iter().find_map(|object| object["metadata"]["namespace"].as_str());
        Self {
            client,
            work,
            namespace: named.unwrap_or(&client.access().namespace).to_owned(),
            pods: BTreeMap::new(),
            images: BTreeMap::new(),
            followed: BTreeSet::new(),
            logs: JoinSet::new(),
            lines,
            sender,
            last: std::collections::VecDeque::new(),
        }
    }

    /// Takes in a change of a pod.
    fn pod(&mut self, pod: Pod, tell: &mut (dyn FnMut(Event<'_>) + Send)) -> Result<(), ClusterError> {
        if self.pods.get(&pod.name) != Some(&pod.state) {
            tell(Event::Pod { pod: &pod.name, state: &pod.state.to_string() });
        }
        match &pod.state {
            State::NoImage(reason) => {
                return Err(ClusterError::Image { pod: pod.name.clone(), reason: reason.clone() });
            }
            State::Broken(reason) => {
                return Err(ClusterError::Unstartable { pod: pod.name.clone(), reason: reason.clone() });
            }
            State::Running | State::Ended { status: Some(_), .. }
                if self.followed.insert(pod.name.clone()) =>
            {
                let follow = logs::follow(
                    Arc::clone(self.client),
                    self.namespace.clone(),
                    pod.name.clone(),
                    self.work.container.clone(),
                    self.sender.clone(),
                );
                let name = pod.name.clone();
                self.logs.spawn(async move { (name, follow.await) });
            }
            _ => {}
        }
        if let Some(image) = pod.image {
            self.images.insert(pod.name.clone(), image);
        }
        self.pods.insert(pod.name, pod.state);
        Ok(())
    }

    fn line(&mut self, pod: &str, line: &str, tell: &mut (dyn FnMut(Event<'_>) + Send)) {
        tell(Event::Line { pod, line });
        if self.last.len() == TAIL {
            self.last.pop_front();
        }
        self.last.push_back(format!("{pod}: {line}"));
    }

    fn tail(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn all_started(&self) -> bool {
        let started = |state: &&State| matches!(state, State::Running | State::Ended { .. });
        self.pods.values().filter(started).count() >= self.work.pods
    }

    fn all_ended(&self) -> bool {
        let ended = self.pods.values().filter(|state| matches!(state, State::Ended { .. })).count();
        ended >= self.work.pods && ended == self.pods.len()
    }

    /// Waits for the rest of the logs.
    async fn finish(mut self, tell: &mut (dyn FnMut(Event<'_>) + Send)) -> Result<Vec<PodEnd>, ClusterError> {
        let limit = Instant::now() + LOGS_AFTER_END;
        let mut read = BTreeMap::new();
        while !self.logs.is_empty() {
            tokio::select! {
                biased;
                Some((pod, line)) = self.lines.recv() => self.line(&pod, &line, tell),
                Some(log) = self.logs.join_next() => {
                    let (pod, log) = log.map_err(|error| ClusterError::Nonsense {
                        doing: "reading the log of a pod".to_owned(),
                        reason: error.to_string(),
                    })?;
                    read.insert(pod, log?);
                }
                () = tokio::time::sleep_until(limit) => break,
            }
        }
        while let Ok((pod, line)) = self.lines.try_recv() {
            self.line(&pod, &line, tell);
        }
        let end = |(pod, state): (String, State)| {
            let (status, reason) = match state {
                State::Ended { status, reason } => (status, reason),
                other => (None, other.to_string()),
            };
            let log = read.remove(&pod).unwrap_or_default();
            PodEnd { image: self.images.remove(&pod), pod, status, reason, log }
        };
        Ok(self.pods.into_iter().map(end).collect())
    }

    /// Says why the pods do not run, with what the scheduler or the controller says.
    async fn never_started(&self, made: &Made) -> ClusterError {
        let limit = self.work.start_limit;
        let waiting = self.pods.iter().find_map(|(pod, state)| match state {
            State::Pending(reason) => Some((pod, reason)),
            _ => None,
        });
        if let Some((pod, reason)) = waiting {
            return ClusterError::NeverStarted { who: format!("pod {pod}"), limit, reason: reason.clone() };
        }
        let (here, wanted) = (self.pods.len(), self.work.pods);
        let said = self.said_of(made).await;
        let reason = said.unwrap_or_else(|| {
            "the cluster says nothing; for Kubeflow's jobs: does the training operator run?".to_owned()
        });
        ClusterError::NeverStarted {
            who: format!("{} of {wanted} pods", wanted.saturating_sub(here)),
            limit,
            reason,
        }
    }

    /// Returns the last warning that the cluster has about our objects. What cannot be read says nothing.
    async fn said_of(&self, made: &Made) -> Option<String> {
        let last = made.last()?;
        let selector = format!("involvedObject.name={last},type=Warning");
        let path = format!("api/v1/namespaces/{}/events", self.namespace);
        let question = Question {
            method: &Method::GET,
            path: &path,
            query: &[("fieldSelector", &selector)],
            body: None,
            doing: "asking for events",
            permission: "list events",
        };
        let events = self.client.ask(question).await.ok()?;
        let message = events["items"].as_array()?.last()?["message"].as_str()?;
        Some(message.to_owned())
    }
}
