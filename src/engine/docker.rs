//! A real engine behind the Docker API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ImageInspect, SystemInfo};
use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};
use tokio::sync::OnceCell;

use super::buildkit::{Door, Output};
use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::http::{refused, within};
use super::transport::{Transport, chain};
use super::{
    BuildRequest, Builder, Built, Dialect, Engine, EngineError, EngineInfo, Events, GpuOffer, ImageInfo,
    Login, Pushed, RunRequest, RunResult, Store,
};
use crate::oci::{Platform, Reference};

mod export;
mod push;
mod run;

pub(super) use push::auth;

/// How long an engine may be silent before it counts as hanging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Before it answers a question about itself or its images.
    pub answer: Duration,
    /// Before a container is made. Where an image was not unpacked yet, the engine does it now: minutes for a large one.
    pub create: Duration,
    /// Between two signs of life of a push. A registry may think for minutes after the last byte of a large layer.
    pub push: Duration,
    /// Before the first byte of an export. Old engines write the whole image to their own disk first.
    pub export: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_mins(1),
            create: Duration::from_mins(30),
            push: Duration::from_mins(5),
            export: Duration::from_mins(30),
        }
    }
}

/// A Docker engine. Cheap to clone.
#[derive(Clone)]
pub struct DockerEngine {
    transport: Transport,
    docker: Docker,
    credentials: Credentials,
    limits: Limits,
    store: Arc<OnceCell<Store>>,
    builder: Option<Builder>,
}

impl DockerEngine {
    /// Prepares to talk to the engine at `endpoint`; whether it answers is found out by the first question.
    ///
    /// # Errors
    /// Where the TLS files of the endpoint cannot be used.
    pub fn connect(endpoint: &Endpoint, credentials: Credentials) -> Result<Self, EngineError> {
        let transport = Transport::new(endpoint.clone())?;
        let carrier = transport.clone();
        let carry = move |request: bollard::BollardRequest| {
            let carrier = carrier.clone();
            async move {
                let answer = carrier.send(request, "asking the engine").await;
                // Bollard has its own errors; ours travels inside and is taken out again below.
                answer.map_err(|error| bollard::errors::Error::IOError { err: std::io::Error::other(error) })
            }
        };
        // Limits are ours: bollard's one covers only the head of an answer.
        let forever = u64::from(u32::MAX);
        let docker = Docker::connect_with_custom_transport(
            carry,
            Some("http://docker"),
            forever,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| EngineError::Endpoint(error.to_string()))?;
        Ok(Self {
            transport,
            docker,
            credentials,
            limits: Limits::default(),
            store: Arc::default(),
            builder: None,
        })
    }

    /// Returns the engine with a builder beside it, which builds in its place.
    #[must_use]
    pub fn with_builder(mut self, builder: Builder) -> Self {
        self.builder = Some(builder);
        self
    }

    /// Returns the engine with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks the engine a question, and makes its error ours.
    async fn ask<T>(
        &self,
        doing: &str,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        self.ask_within(self.limits.answer, doing, question).await
    }

    async fn ask_within<T>(
        &self,
        limit: Duration,
        doing: &str,
        question: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        within(limit, doing, async { question.await.map_err(|error| self.fault(error, doing)) }).await
    }

    fn fault(&self, error: bollard::errors::Error, doing: &str) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => refused(status_code, message, doing),
            Error::IOError { err } => match err.downcast::<EngineError>() {
                Ok(EngineError::Died { endpoint, reason, .. }) => {
                    EngineError::Died { endpoint, doing: doing.to_owned(), reason }
                }
                Ok(error) => error,
                Err(error) => self.transport.lost(doing, &error),
            },
            error @ Error::HyperResponseError { .. } => self.transport.lost(doing, &error),
            other => EngineError::Protocol { doing: doing.to_owned(), reason: chain(&other) },
        }
    }

    /// Returns whether this is the engine of SageMaker Studio or Code Editor: it refuses to show its one network, and says who it is.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn is_studio(&self) -> Result<bool, EngineError> {
        let asked = self.docker.inspect_network("sagemaker", None);
        match self.ask("looking for the network of SageMaker Studio", asked).await {
            Err(EngineError::Api { message, .. }) => Ok(message.contains("SageMaker Studio")),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Starts the smallest program of `platform` where this builds, through `BuildKit`; whether that went well. What an engine lists in
    /// [`EngineInfo::platforms`] may be long gone.
    ///
    /// # Errors
    /// Where it could not be tried.
    pub async fn runs(&self, platform: Platform) -> Result<bool, EngineError> {
        match self.builder.as_ref().filter(|builder| !builder.is_engine()) {
            Some(builder) => builder.runs(platform).await,
            None => super::buildkit::runs(&Door::Engine(self.transport.clone()), platform).await,
        }
    }

    async fn store(&self) -> Result<Store, EngineError> {
        let ask = || async {
            let info = self.ask("asking the engine what it is", self.docker.info()).await?;
            Ok(store_of(&info))
        };
        self.store.get_or_try_init(ask).await.copied()
    }

    /// Explains why the classic builder has no base image: it may have pulled one that is made for another platform, which it
    /// then does not find.
    async fn explained(&self, error: EngineError, request: &BuildRequest) -> EngineError {
        let missing = matches!(error, EngineError::NotFound(_) | EngineError::Registry { .. });
        let base = super::dockerfile::final_base(&request.dockerfile).filter(|_| missing);
        let Some(image) = base else { return error };
        match self.image(&image).await {
            Ok(Some(local)) if local.platform != request.platform => {
                EngineError::Platform { image, found: local.platform.to_string(), wanted: request.platform }
            }
            _ => error,
        }
    }

    /// Returns what was built elsewhere as the engine calls it now that it is loaded.
    async fn loaded(&self, request: &BuildRequest, built: Built) -> Result<Built, EngineError> {
        let name = request.tags.first().map_or_else(|| built.id.to_string(), Reference::whole);
        match self.image(&name).await? {
            Some(image) => Ok(Built { id: image.id, ..built }),
            None => Err(EngineError::Protocol {
                doing: "loading what was built".into(),
                reason: format!("the builder ended well, and the engine has no {name}"),
            }),
        }
    }

    /// Makes sure that what was built is for the platform that was asked for; removes it otherwise.
    async fn checked(&self, request: &BuildRequest, built: Built) -> Result<Built, EngineError> {
        let base = super::dockerfile::final_base(&request.dockerfile);
        let id = built.id.to_string();
        // The classic builder writes the wanted platform into an image of another one, but it leaves the base to look at.
        let classic_base =
            base.clone().filter(|base| request.dialect == Dialect::Classic && base != "scratch");
        for name in std::iter::once(id.clone()).chain(classic_base) {
            let found = match self.image(&name).await {
                Ok(Some(image)) if image.platform == request.platform => continue,
                Ok(Some(image)) => image.platform.to_string(),
                Ok(None) if name == id => {
                    let reason = format!("it built {id} and does not know it");
                    return Err(EngineError::Protocol { doing: "looking at what was built".into(), reason });
                }
                Ok(None) => continue,
                Err(EngineError::Unsupported { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            self.discard(request, &built).await?;
            let image = base.unwrap_or_else(|| "the base image".into());
            return Err(EngineError::Platform { image, found, wanted: request.platform });
        }
        Ok(built)
    }

    /// Removes what was built under all of its names.
    async fn discard(&self, request: &BuildRequest, built: &Built) -> Result<(), EngineError> {
        let names = request.tags.iter().map(Reference::whole);
        for name in names.chain(std::iter::once(built.id.to_string())) {
            match self.remove(&name).await {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let doing = "asking the engine what it is";
        let door = Door::Engine(self.transport.clone());
        let (info, version, platforms) = tokio::try_join!(
            self.ask(doing, self.docker.info()),
            self.ask(doing, self.docker.version()),
            super::buildkit::platforms(&door),
        )?;
        let store = store_of(&info);
        let nonsense = |reason: String| EngineError::Protocol { doing: doing.into(), reason };
        let machine = info.architecture.unwrap_or_default();
        let platform = format!("{}/{machine}", info.os_type.as_deref().unwrap_or("linux"));
        let number =
            |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        let studio = platforms.is_none() && self.is_studio().await?;
        let beside = self.builder.as_ref().filter(|builder| !builder.is_engine());
        let own = platform.parse().map_err(|error: crate::oci::BadPlatform| nonsense(error.to_string()))?;
        Ok(EngineInfo {
            endpoint: self.transport.endpoint(),
            version: info.server_version.or(version.version).unwrap_or_else(|| "unknown".into()),
            api: version.api_version.ok_or_else(|| nonsense("it names no API version".into()))?,
            platform: beside.and_then(|builder| builder.platforms().first().copied()).unwrap_or(own),
            store: *self.store.get_or_init(|| async { store }).await,
            buildkit: beside.is_some() || platforms.is_some(),
            platforms: beside
                .map_or_else(|| platforms.unwrap_or_default(), |builder| builder.platforms().to_vec()),
            data_root: info.docker_root_dir.unwrap_or_default(),
            memory: number(info.mem_total),
            processors: number(info.ncpu),
            studio,
            builder: beside.map(Builder::shown),
            gpus: GpuOffer {
                nvidia_runtime: info.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia")),
                cdi_spec_dirs: info.cdi_spec_dirs.unwrap_or_default(),
                cdi_devices: info
                    .discovered_devices
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|device| device.id)
                    .collect(),
            },
        })
    }

    async fn image(&self, name: &str) -> Result<Option<ImageInfo>, EngineError> {
        let doing = format!("looking at the image {name}");
        match self.ask(&doing, self.docker.inspect_image(name)).await {
            Ok(image) => image_info(image, &doing).map(Some),
            Err(EngineError::Api { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn build(&self, request: &BuildRequest, events: &Events) -> Result<Built, EngineError> {
        let store = self.store().await?;
        super::builder::refuse_caches(request, store, self.builder.as_ref())?;
        if let Some(builder) = &self.builder {
            let work = builder.build(&self.transport, &self.credentials, request, events);
            let built = Box::pin(work).await?;
            return self.checked(request, self.loaded(request, built).await?).await;
        }
        let built = match request.dialect {
            Dialect::Buildkit => {
                let door = Door::Engine(self.transport.clone());
                let output = Output::Store(store);
                super::buildkit::build(&door, &self.credentials, output, request, events).await?
            }
            Dialect::Classic => {
                match super::classic::build(&self.transport, &self.credentials, request, events).await {
                    Ok(built) => built,
                    Err(error) => return Err(self.explained(error, request).await),
                }
            }
        };
        self.checked(request, built).await
    }

    async fn tag(&self, id: &str, name: &Reference) -> Result<(), EngineError> {
        let doing = format!("calling {id} also {name}");
        let repository = format!("{}/{}", name.registry(), name.repository());
        let options =
            TagImageOptionsBuilder::new().repo(&repository).tag(name.tag().unwrap_or("latest")).build();
        let tagged = self.ask(&doing, self.docker.tag_image(id, Some(options))).await;
        tagged.map_err(|error| not_found(error, id))
    }

    async fn export(&self, name: &str, sink: &mut (dyn std::io::Write + Send)) -> Result<(), EngineError> {
        export::export(self, name, sink).await
    }

    async fn run(&self, request: &RunRequest) -> Result<RunResult, EngineError> {
        run::run(self, request).await
    }

    async fn push(
        &self,
        name: &Reference,
        login: Option<&Login>,
        events: &Events,
    ) -> Result<Pushed, EngineError> {
        push::push(self, name, login, events).await
    }

    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let doing = format!("removing the image {name}");
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(false).build();
        let removed = self.ask(&doing, self.docker.remove_image(name, Some(options), None)).await;
        removed.map(drop).map_err(|error| not_found(error, name))
    }
}

/// Makes "no such image" what it is.
fn not_found(error: EngineError, name: &str) -> EngineError {
    match error {
        EngineError::Api { status: 404, .. } => EngineError::NotFound(name.to_owned()),
        other => other,
    }
}

fn store_of(info: &SystemInfo) -> Store {
    let words = info.driver_status.iter().flatten().flatten();
    if words.into_iter().any(|word| word == "io.containerd.snapshotter.v1") {
        Store::Containerd
    } else {
        Store::Graph
    }
}

fn image_info(image: ImageInspect, doing: &str) -> Result<ImageInfo, EngineError> {
    let nonsense = |reason: String| EngineError::Protocol { doing: doing.to_owned(), reason };
    let id = image.id.unwrap_or_default();
    let platform = format!("{}/{}", image.os.unwrap_or_default(), image.architecture.unwrap_or_default());
    Ok(ImageInfo {
        id: id.parse().map_err(|error: crate::oci::BadDigest| nonsense(error.to_string()))?,
        platform: platform.parse::<Platform>().map_err(|error| EngineError::Unsupported {
            what: doing.trim_start_matches("looking at ").to_owned(),
            reason: error.to_string(),
        })?,
        size: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        labels: image.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
        repo_digests: image.repo_digests.unwrap_or_default(),
    })
}
