//! What BuildKit may ask us for during a build: files, secrets, logins, and whether we are still there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::{FileSync, FileSyncServer};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::archive::{Pieces, Receiver};
use super::solve::DOCKERFILE;
use super::{Output, sync};
use crate::engine::credentials::{Credentials, IDENTITY_TOKEN_USER};
use crate::engine::files::{Files, IGNORE};
use crate::engine::{BuildRequest, EngineError, Secret};
use crate::oci::Digest;

/// The methods that we announce. Of `Auth` only the one: BuildKit then fetches registry tokens itself.
const METHODS: &[&str] = &[
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
];

/// How large one piece of an archive may be.
const ARCHIVE_PIECE: usize = 16 * 1024 * 1024;

/// Announced besides by a session that takes an archive.
const ARCHIVE_METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";

/// What one build may ask for.
pub(super) struct Session {
    dockerfile: Files,
    context: Files,
    secrets: BTreeMap<String, Secret>,
    credentials: Credentials,
    /// One question for a login at a time: where a helper hangs, BuildKit asks again and again, and each would be waited for.
    asking: tokio::sync::Mutex<()>,
    sent: AtomicU64,
    /// Why we could not answer: BuildKit would report it in its own, vaguer words.
    fault: Mutex<Option<EngineError>>,
    /// Where an archive goes, until it is asked for.
    pieces: Mutex<Option<Pieces>>,
}

impl Session {
    pub(super) fn new(
        request: &BuildRequest,
        credentials: Credentials,
        output: Output,
    ) -> Result<Self, EngineError> {
        // BuildKit takes a file of the same size, mode and time for the same file: other text must have another time.
        let digest =
            u64::from_str_radix(Digest::of(&request.dockerfile).hex().get(..15).unwrap_or_default(), 16);
        let modified = digest.ok().and_then(|digest| i64::try_from(digest).ok()).unwrap_or_default();
        let text = request.dockerfile.clone().into_bytes();
        Ok(Self {
            dockerfile: Files::memory(BTreeMap::from([(DOCKERFILE.to_owned(), text)]), modified)?,
            context: Files::of(&request.context, request.source_date_epoch.unwrap_or_default())?,
            secrets: request.secrets.clone(),
            credentials,
            asking: tokio::sync::Mutex::new(()),
            sent: AtomicU64::new(0),
            fault: Mutex::new(None),
            pieces: Mutex::new(match output {
                Output::Archive(pieces) => Some(pieces),
                Output::Store(_) => None,
            }),
        })
    }

    /// Returns the name under which BuildKit finds what it already has of these files.
    pub(super) fn key(&self) -> String {
        format!("smp-image-{}", self.context.identity())
    }

    /// Returns how many bytes of the context were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns the methods that are announced.
    pub(super) fn methods(&self) -> impl Iterator<Item = &'static str> {
        let archive = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        METHODS.iter().copied().chain(archive.then_some(ARCHIVE_METHOD))
    }

    /// Returns where the archive goes, once.
    pub(super) fn take_pieces(&self) -> Option<Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_fault(&self) -> Option<EngineError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells BuildKit once more why we could not answer, if we could not.
    fn check_fault(&self) -> Result<(), Status> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.as_ref().map_or(Ok(()), |error| Err(Status::aborted(error.to_string())))
    }

    /// Remembers why we could not answer, and returns what BuildKit is told.
    pub(super) fn fail(&self, error: EngineError) -> Status {
        let status = Status::aborted(error.to_string());
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        status
    }

    pub(super) fn count(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Returns the services of a session.
pub(super) fn routes(session: &Arc<Session>) -> Routes {
    let service = || Service(Arc::clone(session));
    Routes::new(HealthServer::new(service()))
        .add_service(FileSyncServer::new(service()))
        .add_service(SecretsServer::new(service()))
        .add_service(AuthServer::new(service()))
        .add_service(
            FileSendServer::new(Receiver(Arc::clone(session))).max_decoding_message_size(ARCHIVE_PIECE),
        )
}

struct Service(Arc<Session>);

#[async_trait]
impl Health for Service {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not announced"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not announced"))
    }
}

#[async_trait]
impl FileSync for Service {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;
    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let asked = sync::Asked::of(request.metadata());
        let (files, counted) = match asked.folder.as_str() {
            // The ignore file comes first and each time anew; what it leaves of the context is what counts.
            "context" => (&self.0.context, !asked.choice.is_only(IGNORE)),
            "dockerfile" => (&self.0.dockerfile, false),
            other => return Err(Status::not_found(format!("no access to a folder `{other}`"))),
        };
        let stream =
            sync::send(Arc::clone(&self.0), files.clone(), asked.choice, request.into_inner(), counted);
        Ok(Response::new(stream))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("not announced"))
    }
}

#[async_trait]
impl Secrets for Service {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let secret = self.0.secrets.get(&id);
        let secret = secret
            .ok_or_else(|| Status::not_found(format!("the secret `{id}` was not given to this build")))?;
        Ok(Response::new(GetSecretResponse { data: secret.expose().to_vec() }))
    }
}

#[async_trait]
impl Auth for Service {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let _turn = self.0.asking.lock().await;
        self.0.check_fault()?;
        let login = self.0.credentials.login(&request.into_inner().host).await;
        let login = login.map_err(|error| self.0.fail(error))?;
        let Some(login) = login else { return Ok(Response::new(CredentialsResponse::default())) };
        let secret = String::from_utf8_lossy(login.password.expose()).into_owned();
        let username = if login.user == IDENTITY_TOKEN_USER { String::new() } else { login.user };
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("not announced"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("not announced"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("not announced"))
    }
}
