//! An engine whose pushes never end, to be interrupted.

use smp_image::engine::{
    BuildRequest, Built, Engine, EngineError, EngineInfo, Events, FakeEngine, ImageInfo, Login, Pushed,
    RunRequest, RunResult,
};
use smp_image::oci::Reference;

/// An engine whose pushes never end.
pub(crate) struct HangingEngine(pub(crate) FakeEngine);

#[async_trait::async_trait]
impl Engine for HangingEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.0.info().await
    }
    async fn image(&self, name: &str) -> Result<Option<ImageInfo>, EngineError> {
        self.0.image(name).await
    }
    async fn build(&self, request: &BuildRequest, events: &Events) -> Result<Built, EngineError> {
        self.0.build(request, events).await
    }
    async fn tag(&self, id: &str, name: &Reference) -> Result<(), EngineError> {
        self.0.tag(id, name).await
    }
    async fn export(&self, name: &str, sink: &mut (dyn std::io::Write + Send)) -> Result<(), EngineError> {
        self.0.export(name, sink).await
    }
    async fn run(&self, request: &RunRequest) -> Result<RunResult, EngineError> {
        self.0.run(request).await
    }
    async fn push(&self, _: &Reference, _: Option<&Login>, _: &Events) -> Result<Pushed, EngineError> {
        std::future::pending().await
    }
    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        self.0.remove(name).await
    }
}
