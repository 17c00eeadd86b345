//! A fake API server of Kubernetes, at the door: real HTTP, a handful of objects, and pods that do what a test says.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// A piece of an answer that comes bit by bit.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    Pause(u64),
    /// The connection breaks here.
    Break,
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Json(u16, Value),
    /// With `Retry-After`, in seconds.
    Later(u16, u64),
    Pieces(Vec<Piece>),
}

/// What a pod writes: of the job, the files that it is given, and which of the job's pods it is.
pub(super) type Life = Box<dyn Fn(&Value, &Value, usize) -> String + Send>;

/// What a test may change, and what it finds.
#[derive(Default)]
pub(super) struct World {
    /// Objects by path.
    pub(super) objects: BTreeMap<String, Value>,
    /// What was asked: method and path.
    pub(super) asked: Vec<String>,
    /// Queries of watches and logs, in order.
    pub(super) queries: Vec<String>,
    pub(super) pods: Vec<Value>,
    /// What each watch says, in order; without any more they stay silent.
    pub(super) watches: VecDeque<Vec<Piece>>,
    /// What each request for a log says, in order.
    pub(super) logs: VecDeque<Vec<Piece>>,
    /// Answers that come in place of the usual ones, by `METHOD path` (a `*` at the end for any that begin so), each once.
    pub(super) instead: Vec<(String, Answer)>,
    /// The same from the job of this number on.
    pub(super) instead_later: Option<(usize, String, Answer)>,
    /// Who may ask; anybody where absent.
    pub(super) token: Option<String>,
    /// Kinds of jobs beside Kubernetes' own, by group and version.
    pub(super) kinds: BTreeMap<&'static str, &'static str>,
    /// Where it is there, jobs have the pods that they ask for, each of which starts, writes this and ends well.
    pub(super) life: Option<Life>,
    /// What jobs were made, with their files, in order; also those that were deleted since.
    pub(super) made: Vec<(Value, Value)>,
}

/// The server.
pub(super) struct FakeApi {
    pub(super) address: String,
    pub(super) world: Arc<Mutex<World>>,
}

impl FakeApi {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let world = Arc::new(Mutex::new(World::default()));
        let served = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let world = Arc::clone(&served);
                tokio::spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request| answer(Arc::clone(&world), request));
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service)
                        .await;
                });
            }
        });
        Self { address, world }
    }

    /// Lets a test look at the world or change it.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap())
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

async fn answer(world: Arc<Mutex<World>>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = {
        let mut world = world.lock().unwrap();
        let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let known = world.token.as_ref().is_none_or(|expected| token == Some(&format!("Bearer {expected}")));
        if known {
            decide(&mut world, &parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default(), sent)
        } else {
            Answer::Json(401, json!({ "kind": "Status", "message": "Unauthorized" }))
        }
    };
    Ok(match answer {
        Answer::Json(status, value) => response(status, vec![Piece::Text(value.to_string())], None),
        Answer::Later(status, seconds) => response(status, vec![Piece::Text("{}".to_owned())], Some(seconds)),
        Answer::Pieces(pieces) => response(200, pieces, None),
    })
}

fn response(status: u16, pieces: Vec<Piece>, retry: Option<u64>) -> Response<Body> {
    let frames = stream::unfold(VecDeque::from(pieces), |mut pieces| async move {
        loop {
            match pieces.pop_front()? {
                Piece::Text(text) => return Some((Ok(Frame::data(Bytes::from(text))), pieces)),
                Piece::Pause(milliseconds) => tokio::time::sleep(Duration::from_millis(milliseconds)).await,
                Piece::Break => {
                    return Some((Err(std::io::Error::other("broken on purpose")), VecDeque::new()));
                }
            }
        }
    });
    let mut building = Response::builder().status(status);
    if let Some(seconds) = retry {
        building = building.header("retry-after", seconds);
    }
    building.body(StreamBody::new(frames).boxed_unsync()).unwrap()
}

fn decide(world: &mut World, method: &Method, path: &str, query: &str, sent: Value) -> Answer {
    let asked = format!("{method} {path}");
    world.asked.push(asked.clone());
    let meant = |what: &str| match what.strip_suffix('*') {
        Some(start) => asked.starts_with(start),
        None => asked == what,
    };
    let instead = world.instead.iter().position(|(what, _)| meant(what));
    // An answer that is lost comes after the deed.
    let lost = instead.is_some_and(|at| matches!(world.instead[at].1, Answer::Pieces(_)));
    let instead = instead.map(|at| world.instead.remove(at).1);
    match instead {
        Some(answer) if !lost => answer,
        other => {
            let usual = usual(world, method, path, query, sent);
            other.unwrap_or(usual)
        }
    }
}

fn usual(world: &mut World, method: &Method, path: &str, query: &str, sent: Value) -> Answer {
    let status =
        |code: u16, message: &str| Answer::Json(code, json!({ "kind": "Status", "message": message }));
    let ends = |end: &str| path.ends_with(end);
    match *method {
        Method::POST => {
            let path = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap());
            if world.objects.contains_key(&path) {
                return status(409, "already exists");
            }
            let files = world.objects.values().find(|object| object["kind"] == "ConfigMap").cloned();
            if let Some(files) = files.filter(|_| sent["kind"] != "ConfigMap") {
                world.made.push((sent.clone(), files));
                let due = |later: &mut (usize, String, Answer)| later.0 == world.made.len();
                if let Some((_, what, answer)) = world.instead_later.take_if(due) {
                    world.instead.push((what, answer));
                }
            }
            world.objects.insert(path, sent.clone());
            Answer::Json(201, sent)
        }
        Method::DELETE => match world.objects.remove(path) {
            Some(_) => status(200, ""),
            None => status(404, "not found"),
        },
        Method::GET if ends("/log") => {
            world.queries.push(query.to_owned());
            let said = world.logs.pop_front();
            Answer::Pieces(said.unwrap_or_else(|| lived(world, path)))
        }
        Method::GET if ends("/pods") && query.contains("watch=true") => {
            world.queries.push(query.to_owned());
            let told = world.watches.pop_front();
            Answer::Pieces(told.unwrap_or_else(|| living(world)))
        }
        Method::GET if ends("/pods") && world.life.is_some() => {
            let pods: Vec<Value> =
                pods_of(world).iter().map(|name| pod(name, &json!({ "phase": "Pending" }))).collect();
            Answer::Json(200, json!({ "metadata": { "resourceVersion": "7" }, "items": pods }))
        }
        Method::GET if ends("/pods") => {
            Answer::Json(200, json!({ "metadata": { "resourceVersion": "7" }, "items": world.pods }))
        }
        Method::GET if ends("/events") => {
            Answer::Json(200, json!({ "items": [{ "message": "exceeded quota: gpus" }] }))
        }
        Method::GET if path.starts_with("/apis/") && !path.contains("/namespaces/") => {
            match world.kinds.get(&path["/apis/".len()..]) {
                Some(kind) => Answer::Json(200, json!({ "resources": [{ "name": "x", "kind": kind }] })),
                None => status(404, "the server could not find the requested resource"),
            }
        }
        _ => match world.objects.get(path) {
            Some(object) => Answer::Json(200, object.clone()),
            None => status(404, "not found"),
        },
    }
}

/// Returns the job that is there, and the container of its pods that a run looks at.
fn job(world: &World) -> Option<(&Value, &'static str)> {
    world.objects.values().find_map(|object| match object["kind"].as_str()? {
        "Job" => Some((object, "main")),
        "PyTorchJob" => Some((object, "pytorch")),
        "MPIJob" => Some((object, "worker")),
        _ => None,
    })
}

/// Returns the names of the pods that a run looks at.
fn pods_of(world: &World) -> Vec<String> {
    let Some((job, container)) = job(world) else { return Vec::new() };
    let replicas = |specs: &str, which: &str| job["spec"][specs][which]["replicas"].as_u64().unwrap_or(0);
    let count = match container {
        "pytorch" => replicas("pytorchReplicaSpecs", "Master") + replicas("pytorchReplicaSpecs", "Worker"),
        "worker" => replicas("mpiReplicaSpecs", "Worker"),
        _ => 1,
    };
    (0..count).map(|number| format!("pod-{number}")).collect()
}

fn living(world: &World) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if let (Some((_, container)), true) = (job(world), world.life.is_some()) {
        for status in [running_in(container), ended_in(container, 0)] {
            pieces.extend(pods_of(world).iter().map(|name| change("MODIFIED", &pod(name, &status))));
        }
    }
    pieces.push(Piece::Pause(60_000));
    pieces
}

fn lived(world: &World, path: &str) -> Vec<Piece> {
    let number = path.trim_end_matches("/log").rsplit('-').next().and_then(|number| number.parse().ok());
    let (Some(life), Some((job, _)), Some(number)) = (&world.life, job(world), number) else {
        return Vec::new();
    };
    let files = world.objects.values().find(|object| object["kind"] == "ConfigMap").unwrap();
    // Two lines of one moment are two lines.
    let lines = life(job, files, number);
    lines.lines().map(|text| Piece::Text(format!("2026-11-24T12:00:00.000000000Z {text}\n"))).collect()
}

/// A pod as the API shows it.
pub(super) fn pod(name: &str, status: &Value) -> Value {
    json!({ "metadata": { "name": name }, "status": status })
}

pub(super) fn running() -> Value {
    running_in("main")
}

pub(super) fn running_in(container: &str) -> Value {
    json!({ "phase": "Running", "containerStatuses": [{ "name": container, "state": { "running": {} },
            "imageID": format!("registry.example/x@sha256:{}", "a".repeat(64)) }] })
}

pub(super) fn ended(code: i64) -> Value {
    ended_in("main", code)
}

fn ended_in(container: &str, code: i64) -> Value {
    json!({ "phase": "Failed", "containerStatuses": [{ "name": container,
            "state": { "terminated": { "exitCode": code, "reason": "Error" } } }] })
}

/// A change as a watch tells it.
pub(super) fn change(kind: &str, pod: &Value) -> Piece {
    Piece::Text(json!({ "type": kind, "object": pod }).to_string() + "\n")
}

/// A line of a log with its time, `at` seconds after noon.
pub(super) fn line(at: u32, text: &str) -> Piece {
    Piece::Text(format!("2026-11-24T12:00:{at:02}.{:09}Z {text}\n", at * 1000))
}
