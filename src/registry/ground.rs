//! Preparing the ground in a registry: its address, a login, the repository.

use super::PushOptions;
use super::destination::{Destination, Place};
use super::ecr::{Account, Ecr, EcrError, EcrHost, EcrRepository, Mutability};
use crate::engine::Login;
use crate::oci::Reference;

/// Where the image goes and how one gets in.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    /// The image with registry and tag.
    pub(super) target: Reference,
    /// The login; absent: none is needed, or the engine knows one.
    pub(super) login: Option<Login>,
    /// Whether the tag, once there, cannot be moved.
    pub(super) keeps_tag: bool,
    /// Whether the repository was made now.
    pub(super) created: bool,
    /// The ARN of the repository, for the words of a missing permission; absent outside Amazon ECR.
    pub(super) arn: Option<String>,
}

/// Returns the ground for `destination`; in Amazon ECR with a fresh login and a repository that is there.
pub(super) async fn prepare(destination: &Destination, options: &PushOptions) -> Result<Ground, EcrError> {
    let host = match &destination.place {
        Place::Ecr(host) => host.as_ref(),
        Place::Registry(host) => {
            return Ok(Ground {
                target: target(host, destination),
                login: options.login.clone(),
                keeps_tag: false,
                created: false,
                arn: None,
            });
        }
    };
    let ecr = Ecr::open(&options.aws, host).await?;
    let granted = ecr.login().await?;
    let account = owner(&ecr, host, &granted.host).await?;
    let name = destination.repository();
    let (repository, created) = repository(&ecr, &account, name, options).await?;
    let own_host = match (host, repository.uri.split_once('/')) {
        (Some(host), _) => host.as_str(),
        (None, Some((host, _))) => host,
        (None, None) => &granted.host,
    };
    Ok(Ground {
        target: target(options.registry_override.as_deref().unwrap_or(own_host), destination),
        login: Some(granted.login),
        keeps_tag: repository.keeps(destination.tag()),
        created,
        arn: Some(format!("arn:aws:ecr:{}:{account}:repository/{name}", ecr.region())),
    })
}

/// Returns a new login for a registry that refused the one it gave; nothing outside Amazon ECR, where none can be had.
pub(super) async fn renewed(
    destination: &Destination,
    options: &PushOptions,
) -> Result<Option<Login>, EcrError> {
    let Place::Ecr(host) = &destination.place else { return Ok(None) };
    // Opened anew, not remembered: the credentials of the role may have ended before the registry's token.
    let granted = Ecr::open(&options.aws, host.as_ref()).await?.login().await?;
    Ok(Some(granted.login))
}

/// Returns whose registry it is: what the host says, the login, or AWS.
async fn owner(ecr: &Ecr, host: Option<&EcrHost>, own_host: &str) -> Result<Account, EcrError> {
    if let Some(host) = host {
        return Ok(host.account.clone());
    }
    match own_host.parse::<EcrHost>() {
        Ok(host) => Ok(host.account),
        Err(_) => Ok(ecr.caller().await?.account),
    }
}

/// Returns the repository, and whether it was made now.
async fn repository(
    ecr: &Ecr,
    account: &Account,
    name: &str,
    options: &PushOptions,
) -> Result<(EcrRepository, bool), EcrError> {
    let missing = match ecr.repository(Some(account), name).await {
        Ok(Some(repository)) => return Ok((repository, false)),
        Ok(None) => EcrError::NoRepository {
            repository: name.to_owned(),
            account: account.to_string(),
            region: ecr.region().to_owned(),
        },
        // AWS's own policy for pushing has no right to describe: the push itself will tell what is wrong.
        Err(EcrError::Denied { .. }) if options.create_repository.is_none() => {
            let unknown =
                EcrRepository { uri: String::new(), mutability: Mutability::Mutable, exceptions: Vec::new() };
            return Ok((unknown, false));
        }
        Err(error @ EcrError::Denied { .. }) => error,
        Err(error) => return Err(error),
    };
    match options.create_repository {
        Some(new) => ecr.create(Some(account), name, new).await,
        None => Err(missing),
    }
}

fn target(host: &str, destination: &Destination) -> Reference {
    Reference::with_tag(host.to_owned(), destination.repository().to_owned(), destination.tag().to_owned())
}
