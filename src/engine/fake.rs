//! An engine that answers from a script and remembers what it was asked, for tests of the rooms that use one.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    BuildRequest, Built, Engine, EngineError, EngineInfo, Event, Events, ImageInfo, Login, Pushed,
    RunRequest, RunResult,
};
use crate::oci::Reference;

/// An engine that does what it was told beforehand.
///
/// Images are found by name, and by `tag` get more names. Builds, runs, pushes and exports are answered in the order in which
/// they were scripted; one too many is a [`EngineError::Protocol`] error, so that a test cannot pass by accident.
#[derive(Debug)]
pub struct FakeEngine {
    info: EngineInfo,
    script: Mutex<Script>,
}

/// What a [`FakeEngine`] was asked, without what it said.
#[derive(Debug, Clone)]
pub enum Asked {
    /// [`Engine::info`].
    Info,
    /// [`Engine::image`].
    Image(String),
    /// [`Engine::build`].
    Build(Box<BuildRequest>),
    /// [`Engine::tag`].
    Tag {
        /// The image.
        id: String,
        /// Its new name.
        name: Reference,
    },
    /// [`Engine::export`].
    Export(String),
    /// [`Engine::run`].
    Run(Box<RunRequest>),
    /// [`Engine::push`].
    Push {
        /// The image.
        name: Reference,
        /// The login that came with it.
        login: Option<Login>,
    },
    /// [`Engine::remove`].
    Remove(String),
}

type BuildResult = Result<(Built, ImageInfo), EngineError>;

#[derive(Debug, Default)]
struct Script {
    images: BTreeMap<String, ImageInfo>,
    builds: VecDeque<(Vec<Event>, BuildResult)>,
    runs: VecDeque<Result<RunResult, EngineError>>,
    pushes: VecDeque<(Vec<Event>, Result<Pushed, EngineError>)>,
    exports: VecDeque<Result<Vec<u8>, EngineError>>,
    asked: Vec<Asked>,
}

impl FakeEngine {
    /// Returns an engine that has no images.
    pub fn new(info: EngineInfo) -> Self {
        Self { info, script: Mutex::default() }
    }

    /// Puts an image called `name` into its store.
    #[must_use]
    pub fn with_image(self, name: impl Into<String>, image: ImageInfo) -> Self {
        self.script().images.insert(name.into(), image);
        self
    }

    /// Lets the next build say `events` and end in `result`; the image is then in the store, under its ID and its tags.
    #[must_use]
    pub fn will_build(self, events: Vec<Event>, result: Result<(Built, ImageInfo), EngineError>) -> Self {
        self.script().builds.push_back((events, result));
        self
    }

    /// Lets the next run end in `result`.
    #[must_use]
    pub fn will_run(self, result: Result<RunResult, EngineError>) -> Self {
        self.script().runs.push_back(result);
        self
    }

    /// Lets the next push say `events` and end in `result`.
    #[must_use]
    pub fn will_push(self, events: Vec<Event>, result: Result<Pushed, EngineError>) -> Self {
        self.script().pushes.push_back((events, result));
        self
    }

    /// Lets the next export write `result`.
    #[must_use]
    pub fn will_export(self, result: Result<Vec<u8>, EngineError>) -> Self {
        self.script().exports.push_back(result);
        self
    }

    /// Returns everything that it was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.script().asked.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unscripted(what: &str) -> EngineError {
    EngineError::Protocol {
        doing: what.to_owned(),
        reason: "the script of this fake engine has no answer left".into(),
    }
}

fn say(listener: &Events, events: Vec<Event>) {
    for event in events {
        let _unheard = listener.send(event);
    }
}

#[async_trait]
impl Engine for FakeEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.script().asked.push(Asked::Info);
        Ok(self.info.clone())
    }

    async fn image(&self, name: &str) -> Result<Option<ImageInfo>, EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Image(name.to_owned()));
        Ok(script.images.get(name).cloned())
    }

    async fn build(&self, request: &BuildRequest, events: &Events) -> Result<Built, EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Build(Box::new(request.clone())));
        let (said, result) = script.builds.pop_front().ok_or_else(|| unscripted("building"))?;
        say(events, said);
        let (built, image) = result?;
        let names = request.tags.iter().map(Reference::whole);
        for name in names.chain(std::iter::once(built.id.to_string())) {
            script.images.insert(name, image.clone());
        }
        Ok(built)
    }

    async fn tag(&self, id: &str, name: &Reference) -> Result<(), EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Tag { id: id.to_owned(), name: name.clone() });
        let image = script.images.get(id).cloned().ok_or_else(|| EngineError::NotFound(id.to_owned()))?;
        script.images.insert(name.whole(), image);
        Ok(())
    }

    async fn export(&self, name: &str, sink: &mut (dyn Write + Send)) -> Result<(), EngineError> {
        let bytes = {
            let mut script = self.script();
            script.asked.push(Asked::Export(name.to_owned()));
            script.exports.pop_front().ok_or_else(|| unscripted("exporting"))??
        };
        sink.write_all(&bytes).map_err(EngineError::Sink)
    }

    async fn run(&self, request: &RunRequest) -> Result<RunResult, EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Run(Box::new(request.clone())));
        script.runs.pop_front().ok_or_else(|| unscripted("running a container"))?
    }

    async fn push(
        &self,
        name: &Reference,
        login: Option<&Login>,
        events: &Events,
    ) -> Result<Pushed, EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Push { name: name.clone(), login: login.cloned() });
        let (said, result) = script.pushes.pop_front().ok_or_else(|| unscripted("pushing"))?;
        say(events, said);
        result
    }

    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let mut script = self.script();
        script.asked.push(Asked::Remove(name.to_owned()));
        script.images.remove(name).map(drop).ok_or_else(|| EngineError::NotFound(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{GpuOffer, Store};
    use crate::oci::{Arch, Digest, Platform};

    fn fake() -> FakeEngine {
        FakeEngine::new(EngineInfo {
            endpoint: "fake://".into(),
            version: "1".into(),
            api: "1.45".into(),
            platform: Platform { arch: Arch::Amd64 },
            platforms: Vec::new(),
            store: Store::Graph,
            buildkit: true,
            data_root: String::new(),
            memory: 0,
            processors: 1,
            studio: false,
            builder: None,
            gpus: GpuOffer::default(),
        })
    }

    #[tokio::test]
    async fn it_remembers_what_it_was_asked_and_gives_tags_to_images() {
        let image = ImageInfo {
            id: Digest::of("x"),
            platform: Platform { arch: Arch::Amd64 },
            size: 1,
            labels: BTreeMap::new(),
            repo_digests: Vec::new(),
        };
        let engine = fake().with_image("a", image.clone()).will_export(Ok(b"tar".to_vec()));
        let name: Reference = "r.example/b:1".parse().unwrap();
        engine.tag("a", &name).await.unwrap();
        assert_eq!(engine.image("r.example/b:1").await.unwrap(), Some(image));
        let mut bytes = Vec::new();
        engine.export("a", &mut bytes).await.unwrap();
        assert_eq!(bytes, b"tar");
        assert!(matches!(engine.asked().as_slice(), [Asked::Tag { .. }, Asked::Image(_), Asked::Export(_)]));
    }

    #[tokio::test]
    async fn a_question_too_many_is_an_error() {
        let mut bytes = Vec::new();
        assert!(matches!(fake().export("a", &mut bytes).await, Err(EngineError::Protocol { .. })));
    }
}
