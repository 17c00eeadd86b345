//! The door to Amazon ECR: who we are, a login for its registry, its repositories. The only file that names the AWS SDK.

mod error;
mod host;
mod repository;
mod settings;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::client::error::ImdsError;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig, imds};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::config::retry::RetryConfig;
use aws_sdk_ecr::config::timeout::TimeoutConfig;
use aws_sdk_ecr::config::{RuntimeComponents, SharedHttpClient};
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecr::operation::create_repository::CreateRepositoryError;
use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesError;
use aws_sdk_ecr::types::{ImageScanningConfiguration, ImageTagMutability, Repository};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};

pub use self::error::EcrError;
use self::error::Fault;
pub(super) use self::error::denied;
pub use self::host::{Account, BadHost, EcrHost};
pub use self::repository::{EcrRepository, Mutability, NewRepository};
pub use self::settings::{AwsLimits, AwsSettings, Keys};
use super::reason::{certificate_fault, check_bundle, root};
use crate::engine::{Login, Secret};

/// Amazon ECR in one region, for one identity.
///
/// The credentials are those found when it was opened; whoever works for hours opens it again.
#[derive(Debug, Clone)]
pub struct Ecr {
    api: aws_sdk_ecr::Client,
    sts: aws_sdk_sts::Client,
    region: String,
    limits: AwsLimits,
    expires: Option<SystemTime>,
}

/// Who we are for AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: Account,
    /// The user or role.
    pub arn: String,
}

/// A login for the registries of a region.
#[derive(Debug, Clone)]
pub struct EcrLogin {
    /// Name and token. It lasts twelve hours; what AWS says of its end is not read, a token that is refused is fetched anew.
    pub login: Login,
    /// The host of the caller's own registry.
    pub host: String,
}

impl Ecr {
    /// Opens the door: finds region and credentials. `host` is the registry's, where it is known.
    ///
    /// Opens no connection to ECR itself. Every wait is bounded by the settings' limits.
    pub async fn open(settings: &AwsSettings, host: Option<&EcrHost>) -> Result<Self, EcrError> {
        if let Some(pem) = &settings.ca_bundle {
            check_bundle(pem).map_err(EcrError::Trust)?;
        }
        let limits = settings.limits;
        let client = http_client(settings.ca_bundle.clone(), ProxyConfig::from_env());
        let provider = ProviderConfig::default().with_http_client(client.clone());
        let region = region(settings, host, &provider).await?;
        let credentials = credentials(settings, provider, region.clone()).await?;
        let expires = credentials.expiry();
        let config = sdk_config(settings, host, client, region.clone(), credentials).await;
        Ok(Self {
            api: aws_sdk_ecr::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            region: region.to_string(),
            limits,
            expires,
        })
    }

    /// Returns the region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns when the credentials end, if they do.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Returns who we are.
    pub async fn caller(&self) -> Result<Caller, EcrError> {
        let action = "sts:GetCallerIdentity";
        let output = self.sts.get_caller_identity().send().await;
        let output = output.map_err(|error| self.failure(&error, action, "*"))?;
        let account = output.account().unwrap_or_default().parse();
        Ok(Caller {
            account: account.map_err(|error: BadHost| nonsense(action, error.to_string()))?,
            arn: output.arn().unwrap_or_default().to_owned(),
        })
    }

    /// Returns a fresh login; the token is only ever held in memory.
    pub async fn login(&self) -> Result<EcrLogin, EcrError> {
        use base64::Engine as _;
        let action = "ecr:GetAuthorizationToken";
        let output = self.api.get_authorization_token().send().await;
        let output = output.map_err(|error| self.failure(&error, action, "*"))?;
        let data =
            output.authorization_data().first().ok_or_else(|| nonsense(action, "no token".to_owned()))?;
        let token = data.authorization_token().unwrap_or_default();
        // What went wrong with the token is told without showing any of it.
        let plain = base64::engine::general_purpose::STANDARD
            .decode(token)
            .map_err(|_| nonsense(action, "the token is not base64".to_owned()))?;
        let colon = plain.iter().position(|byte| *byte == b':');
        let (user, password) = colon.map(|at| (&plain[..at], &plain[at + 1..])).unwrap_or_default();
        if user.is_empty() || password.is_empty() {
            return Err(nonsense(action, "the token is not a user and a password".to_owned()));
        }
        let endpoint = data.proxy_endpoint().unwrap_or_default();
        Ok(EcrLogin {
            login: Login {
                user: String::from_utf8_lossy(user).into_owned(),
                password: Secret::new(password),
            },
            host: endpoint.strip_prefix("https://").unwrap_or(endpoint).trim_end_matches('/').to_owned(),
        })
    }

    /// Returns the repository `name` of `account` (absent: ours), if it is there.
    pub async fn repository(
        &self,
        account: Option<&Account>,
        name: &str,
    ) -> Result<Option<EcrRepository>, EcrError> {
        let action = "ecr:DescribeRepositories";
        let call = self.api.describe_repositories().set_registry_id(account.map(ToString::to_string));
        match call.repository_names(name).send().await {
            Ok(output) => Ok(output.repositories().first().map(described)),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeRepositoriesError::is_repository_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failure(&error, action, &self.arn(account, name))),
        }
    }

    /// Makes the repository `name` in `account` (absent: ours) and returns it, and whether it was made by us: one that another made
    /// in the same moment is as good.
    pub async fn create(
        &self,
        account: Option<&Account>,
        name: &str,
        new: NewRepository,
    ) -> Result<(EcrRepository, bool), EcrError> {
        let action = "ecr:CreateRepository";
        let mutability = match new.mutability {
            Mutability::Immutable => ImageTagMutability::Immutable,
            Mutability::Mutable => ImageTagMutability::Mutable,
        };
        let scanning = ImageScanningConfiguration::builder().scan_on_push(new.scan_on_push).build();
        let call = self.api.create_repository().set_registry_id(account.map(ToString::to_string));
        let call = call
            .repository_name(name)
            .image_tag_mutability(mutability)
            .image_scanning_configuration(scanning);
        match call.send().await {
            Ok(output) => {
                let made = output.repository().map(described);
                Ok((made.ok_or_else(|| nonsense(action, "no repository".to_owned()))?, true))
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateRepositoryError::is_repository_already_exists_exception) =>
            {
                let found = self.repository(account, name).await?;
                Ok((found.ok_or_else(|| nonsense(action, "it exists and does not".to_owned()))?, false))
            }
            Err(error) => Err(self.failure(&error, action, &self.arn(account, name))),
        }
    }

    fn arn(&self, account: Option<&Account>, name: &str) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, account.map_or("*", Account::as_str))
    }

    /// Returns what a failed call is for us.
    fn failure<E>(&self, error: &SdkError<E, HttpResponse>, action: &'static str, resource: &str) -> EcrError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let region = self.region.clone();
        match error {
            SdkError::ServiceError(refusal) => {
                let status = refusal.raw().status().as_u16();
                let code = refusal.err().code().map_or_else(|| format!("status {status}"), str::to_owned);
                let message = refusal.err().message().unwrap_or("no reason given").to_owned();
                EcrError::from_fault(Fault { code, message, action, resource: resource.to_owned() })
            }
            SdkError::TimeoutError(_) => {
                EcrError::TimedOut { what: action.to_owned(), limit: self.limits.call }
            }
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                EcrError::TimedOut { what: action.to_owned(), limit: self.limits.connect }
            }
            SdkError::DispatchFailure(_) => match certificate_fault(error) {
                Some(reason) => EcrError::Certificate { region, reason },
                None => EcrError::Unreachable { region, action: action.to_owned(), reason: root(error) },
            },
            SdkError::ResponseError(answer) => {
                let status = answer.raw().status().as_u16();
                nonsense(action, format!("status {status}: {}", root(error)))
            }
            _ => nonsense(action, root(error)),
        }
    }
}

/// Returns the client for every call: ring for TLS, the machine's certificates and `ca_bundle`, and `proxy`.
fn http_client(ca_bundle: Option<Vec<u8>>, proxy: ProxyConfig) -> SharedHttpClient {
    // The client's own builder has no word for proxies; this is how the SDK makes its default client.
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut trust = TrustStore::default();
        if let Some(pem) = &ca_bundle {
            trust = trust.with_pem_certificate(pem.clone());
        }
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        let connector = connector.tls_provider(Provider::rustls(CryptoMode::Ring));
        // Only a trust store of certificates that cannot be read fails, and those were checked.
        match TlsContext::builder().with_trust_store(trust).build() {
            Ok(context) => connector.tls_context(context).build(),
            Err(_) => connector.build(),
        }
    })
}

/// Returns the region: what was said, what the registry's host says, what the machine says.
async fn region(
    settings: &AwsSettings,
    host: Option<&EcrHost>,
    provider: &ProviderConfig,
) -> Result<Region, EcrError> {
    if let Some(region) = host.map(|host| &host.region).or(settings.region.as_ref()) {
        return Ok(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(provider);
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    let instance = imds::region::ImdsRegionProvider::builder()
        .configure(provider)
        .imds_client(metadata_client(settings.limits.metadata));
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(instance.build());
    let found = tokio::time::timeout(settings.limits.credentials, chain.region()).await.ok().flatten();
    found
        .filter(|region| !region.as_ref().is_empty())
        .ok_or_else(|| EcrError::NoRegion { profile: settings.profile.clone() })
}

/// Returns credentials, loaded once.
async fn credentials(
    settings: &AwsSettings,
    provider: ProviderConfig,
    region: Region,
) -> Result<Credentials, EcrError> {
    if let Keys::Given { id, secret, session } = &settings.keys {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        return Ok(Credentials::new(id, text(secret), session.as_ref().map(text), None, "smp-image"));
    }
    let limit = settings.limits.credentials;
    let provider = provider.with_region(Some(region.clone()));
    let load = async {
        // As with AWS's own tools: who names a profile wants that one, not whatever else the machine has.
        if let Some(profile) = &settings.profile {
            let builder = ProfileFileCredentialsProvider::builder().configure(&provider);
            return builder.profile_name(profile).build().provide_credentials().await;
        }
        let chain = DefaultCredentialsChain::builder().configure(provider).region(region);
        let chain = chain.imds_client(metadata_client(settings.limits.metadata));
        chain.build().await.provide_credentials().await
    };
    match tokio::time::timeout(limit, load).await {
        Ok(Ok(credentials)) => Ok(credentials),
        Ok(Err(error)) => Err(without_credentials(&error, settings.profile.as_ref())),
        Err(_) => Err(EcrError::TimedOut { what: "the source of the AWS credentials".to_owned(), limit }),
    }
}

/// Returns whether there are no credentials, or some that do not work.
fn without_credentials(error: &CredentialsError, profile: Option<&String>) -> EcrError {
    let absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
    if let (Some(profile), true) = (profile, absent) {
        return EcrError::NoProfile { profile: profile.clone(), reason: root(error) };
    }
    // The instance's metadata is asked last: whatever goes wrong there, nothing before it had any.
    let mut sources = std::iter::successors(error.source(), |inner| (*inner).source());
    if absent || sources.any(<dyn std::error::Error>::is::<ImdsError>) {
        return EcrError::NoCredentials { instance: root(error) };
    }
    EcrError::BadCredentials { reason: root(error) }
}

async fn sdk_config(
    settings: &AwsSettings,
    host: Option<&EcrHost>,
    client: SharedHttpClient,
    region: Region,
    credentials: Credentials,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.limits.connect)
        .operation_attempt_timeout(settings.limits.attempt)
        .operation_timeout(settings.limits.call);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(client)
        .region(region)
        .credentials_provider(credentials)
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(3));
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    // Said only where the host says it: otherwise the environment and the profile decide.
    if host.is_some_and(|host| host.fips) {
        loader = loader.use_fips(true);
    }
    if host.is_some_and(|host| host.dual_stack) {
        loader = loader.use_dual_stack(true);
    }
    loader.load().await
}

/// Returns a client for the instance's metadata that gives up soon: on most machines nobody answers there.
fn metadata_client(limit: Duration) -> imds::Client {
    // Link-local: never through a proxy.
    let direct = ProviderConfig::default().with_http_client(http_client(None, ProxyConfig::disabled()));
    imds::Client::builder()
        .configure(&direct)
        .max_attempts(2)
        .connect_timeout(limit / 3)
        .read_timeout(limit / 3)
        .operation_timeout(limit)
        .build()
}

fn described(repository: &Repository) -> EcrRepository {
    let filters = repository.image_tag_mutability_exclusion_filters();
    EcrRepository {
        uri: repository.repository_uri().unwrap_or_default().to_owned(),
        mutability: match repository.image_tag_mutability() {
            Some(ImageTagMutability::Immutable | ImageTagMutability::ImmutableWithExclusion) => {
                Mutability::Immutable
            }
            _ => Mutability::Mutable,
        },
        exceptions: filters.iter().map(|filter| filter.filter().to_owned()).collect(),
    }
}

fn nonsense(action: &str, reason: String) -> EcrError {
    EcrError::Protocol { action: action.to_owned(), reason }
}
