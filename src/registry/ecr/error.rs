//! What can go wrong between us and AWS, each with what helps.

use std::time::Duration;

/// Why Amazon ECR could not be asked, or did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EcrError {
    /// Nothing says in which region the registry is.
    #[error("no AWS region: looked in the destination, AWS_REGION, AWS_DEFAULT_REGION, {} of ~/.aws/config and the instance's metadata", profile_name(profile.as_ref()))]
    NoRegion {
        /// The profile that was asked for.
        profile: Option<String>,
    },
    /// There are no credentials anywhere.
    #[error(
        "no AWS credentials: looked in AWS_ACCESS_KEY_ID, the profile of AWS_PROFILE or `default` in ~/.aws, \
         AWS_WEB_IDENTITY_TOKEN_FILE, the container's role and the instance's role ({instance})"
    )]
    NoCredentials {
        /// Why the instance, which is asked last, gives none.
        instance: String,
    },
    /// The profile that was asked for is not there or has no credentials.
    #[error("profile `{profile}` of ~/.aws gives no AWS credentials: {reason}")]
    NoProfile {
        /// The profile.
        profile: String,
        /// Why not.
        reason: String,
    },
    /// A source of credentials is there and does not work.
    #[error("the AWS credentials cannot be loaded: {reason}")]
    BadCredentials {
        /// What the source said.
        reason: String,
    },
    /// The credentials were good once.
    #[error("the AWS credentials have expired: {message}")]
    Expired {
        /// What AWS said.
        message: String,
    },
    /// AWS does not know the credentials.
    #[error("AWS does not accept the credentials: {message}")]
    Unrecognised {
        /// What AWS said.
        message: String,
    },
    /// The credentials are good, for other things.
    #[error("{who} may not {action} on {resource}{}", if *explicit { " (an explicit deny)" } else { "" })]
    Denied {
        /// Who asked, as AWS knows them.
        who: String,
        /// The IAM action, such as `ecr:CreateRepository`.
        action: String,
        /// What it was asked for: an ARN or `*`.
        resource: String,
        /// Whether a policy forbids it, and not only none allows it.
        explicit: bool,
    },
    /// The clock of this machine is wrong, so that signatures are refused.
    #[error("AWS refuses the signature because of the time: {message}")]
    Clock {
        /// What AWS said.
        message: String,
    },
    /// The repository does not exist.
    #[error("there is no repository {repository} in {account}, region {region}")]
    NoRepository {
        /// The repository.
        repository: String,
        /// The account, or "your account".
        account: String,
        /// The region.
        region: String,
    },
    /// Nothing answers there.
    #[error("AWS in {region} cannot be reached for {action}: {reason}")]
    Unreachable {
        /// The region.
        region: String,
        /// What was asked.
        action: String,
        /// What the connection said.
        reason: String,
    },
    /// The certificate is not one that this machine trusts.
    #[error("the certificate of AWS in {region} is not trusted: {reason}")]
    Certificate {
        /// The region.
        region: String,
        /// What was wrong with it.
        reason: String,
    },
    /// No answer came in time.
    #[error("{what} did not answer within {} s", limit.as_secs_f64())]
    TimedOut {
        /// What was asked.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// AWS wants fewer requests.
    #[error("AWS limits our requests for {action}: {message}")]
    Throttled {
        /// What was asked.
        action: String,
        /// What AWS said.
        message: String,
    },
    /// AWS refused or failed for another reason.
    #[error("{action} failed: {code}, {message}")]
    Service {
        /// What was asked.
        action: String,
        /// AWS's name of the fault.
        code: String,
        /// What AWS said.
        message: String,
    },
    /// AWS answered something that its API does not allow.
    #[error("{action} answered nonsense: {reason}")]
    Protocol {
        /// What was asked.
        action: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// Certificates that we were given cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Trust(String),
}

/// A refusal of AWS as it came: what every service of it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// AWS's name of the fault.
    pub(super) code: String,
    /// What AWS said.
    pub(super) message: String,
    /// The IAM action that was asked, such as `ecr:CreateRepository`.
    pub(super) action: &'static str,
    /// What it was asked for: an ARN or `*`.
    pub(super) resource: String,
}

impl EcrError {
    /// Returns the error that a refusal is.
    pub(super) fn from_fault(fault: Fault) -> Self {
        let Fault { code, message, action, resource } = fault;
        let name = code.strip_suffix("Exception").unwrap_or(&code);
        match name {
            "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" => denied(&message, action, resource),
            "ExpiredToken" => Self::Expired { message },
            _ if is_about_time(name, &message) => Self::Clock { message },
            "UnrecognizedClient"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidSignature"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "IncompleteSignature" => Self::Unrecognised { message },
            "Throttling" | "ThrottledRequest" | "TooManyRequests" | "RequestLimitExceeded" => {
                Self::Throttled { action: action.to_owned(), message }
            }
            _ => Self::Service { action: action.to_owned(), code, message },
        }
    }

    /// Returns whether AWS does not let us, or does not know who we are.
    pub fn is_authorisation(&self) -> bool {
        matches!(
            self,
            Self::NoCredentials { .. }
                | Self::NoProfile { .. }
                | Self::BadCredentials { .. }
                | Self::Expired { .. }
                | Self::Unrecognised { .. }
                | Self::Denied { .. }
                | Self::Clock { .. }
        )
    }

    /// Returns what helps, in sentences for a person; empty where nothing is known to.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Denied { action, resource, explicit, .. } => denied_hints(action, resource, *explicit),
            Self::NoCredentials { .. } => vec![
                "log in with `aws sso login` or `aws configure`, choose a profile with AWS_PROFILE, or give the machine or the job a role".to_owned(),
                "in GitHub Actions use aws-actions/configure-aws-credentials before this step".to_owned(),
            ],
            _ => self.hint().map(str::to_owned).into_iter().collect(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoRegion { .. } => {
                "set AWS_REGION, or name the registry with its region: 123456789012.dkr.ecr.us-west-2.amazonaws.com/NAME"
            }
            Self::NoProfile { .. } => {
                "`aws configure list-profiles` shows which there are; `aws configure --profile NAME` makes one"
            }
            Self::BadCredentials { .. } => {
                "`aws sts get-caller-identity` with the same profile shows whether they work; `aws sso login` renews a session"
            }
            Self::Expired { .. } => {
                "renew them: `aws sso login`, or fetch new ones for the role, and try again"
            }
            Self::Unrecognised { .. } => {
                "check the access key and that the region is enabled for the account: `aws sts get-caller-identity` shows who you are"
            }
            Self::Clock { .. } => {
                "set the clock of this machine (for example with `timedatectl set-ntp true`), then try again"
            }
            Self::NoRepository { .. } => {
                "check name, account and region, or let it be made: `--create-repository`"
            }
            Self::Unreachable { .. } => {
                "check the network, HTTPS_PROXY and NO_PROXY; without internet access the VPC needs interface endpoints for ecr.api, ecr.dkr and sts, and one for S3"
            }
            Self::Certificate { .. } => {
                "name your organisation's certificates with `--ca-bundle FILE` or in SSL_CERT_FILE"
            }
            Self::TimedOut { .. } => {
                "check the network and the proxy; a credential process may be waiting for an answer from you"
            }
            Self::Throttled { .. } => {
                "try again later; Amazon ECR counts requests for each account and region"
            }
            Self::Trust(_) => "give a PEM file with at least one certificate",
            Self::NoCredentials { .. }
            | Self::Denied { .. }
            | Self::Service { .. }
            | Self::Protocol { .. } => return None,
        })
    }
}

/// Returns the error that a missing permission is, with what AWS says of it rather than what we asked.
pub(crate) fn denied(message: &str, action: &str, resource: String) -> EcrError {
    let word_after = |mark: &str| {
        let rest = message.split_once(mark)?.1;
        rest.split_whitespace().next().map(|word| word.trim_end_matches(['.', ',', ';', '"']).to_owned())
    };
    EcrError::Denied {
        who: word_after("User: ").unwrap_or_else(|| "this AWS identity".to_owned()),
        action: word_after("not authorized to perform: ").unwrap_or_else(|| action.to_owned()),
        resource: word_after("on resource: ").unwrap_or(resource),
        explicit: message.contains("explicit deny"),
    }
}

/// What a push asks of a repository.
const PUSH_ACTIONS: [&str; 7] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeRepositories",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];

fn denied_hints(action: &str, resource: &str, explicit: bool) -> Vec<String> {
    if explicit {
        return vec![format!(
            "a policy forbids {action} (an identity, repository, boundary or organisation policy): an administrator must lift it"
        )];
    }
    let statement = |actions: &[&str], resource: &str| {
        serde_json::json!({ "Effect": "Allow", "Action": actions, "Resource": resource }).to_string()
    };
    let mut hints = vec![format!(
        "an administrator can allow it with the IAM statement {}",
        statement(&[action], resource)
    )];
    if PUSH_ACTIONS.contains(&action) {
        hints.push(format!("a whole push needs {}", statement(&PUSH_ACTIONS, resource)));
    }
    hints
}

/// Returns whether a refused signature is refused for the time in it.
fn is_about_time(name: &str, message: &str) -> bool {
    matches!(name, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture")
        || (matches!(name, "InvalidSignature" | "SignatureDoesNotMatch")
            && ["Signature expired", "Signature not yet current"].iter().any(|text| message.contains(text)))
}

fn profile_name(profile: Option<&String>) -> String {
    profile.map_or_else(
        || "the profile of AWS_PROFILE or `default`".to_owned(),
        |name| format!("profile `{name}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, message: &str) -> EcrError {
        EcrError::from_fault(Fault {
            code: code.to_owned(),
            message: message.to_owned(),
            action: "ecr:CreateRepository",
            resource: "*".to_owned(),
        })
    }

    #[test]
    fn a_missing_permission_names_who_what_and_where_and_the_statement_that_helps() {
        let error = fault(
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/ci/run is not authorized to perform: ecr:PutImage on resource: \
             arn:aws:ecr:us-west-2:123456789012:repository/smpv2 because no identity-based policy allows the ecr:PutImage action",
        );
        assert_eq!(
            error.to_string(),
            "arn:aws:sts::123456789012:assumed-role/ci/run may not ecr:PutImage on arn:aws:ecr:us-west-2:123456789012:repository/smpv2"
        );
        let hints = error.hints();
        assert!(hints[0].contains(r#""Action":["ecr:PutImage"]"#), "{hints:#?}");
        assert!(hints[1].contains("ecr:UploadLayerPart"), "{hints:#?}");
        assert!(error.is_authorisation());
    }

    #[test]
    fn an_explicit_deny_is_not_answered_with_a_statement_that_cannot_help() {
        let error = fault("AccessDeniedException", "… with an explicit deny in a service control policy");
        let EcrError::Denied { action, explicit: true, .. } = &error else { panic!("{error:?}") };
        assert_eq!(action, "ecr:CreateRepository");
        assert!(!error.hints()[0].contains("Effect"));
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_key() {
        let skewed = "Signature expired: 20150101T000000Z is now earlier than 20261123T000000Z";
        assert!(matches!(fault("InvalidSignatureException", skewed), EcrError::Clock { .. }));
        let wrong = "The request signature we calculated does not match the signature you provided.";
        assert!(matches!(fault("InvalidSignatureException", wrong), EcrError::Unrecognised { .. }));
        assert!(matches!(fault("ExpiredTokenException", "expired"), EcrError::Expired { .. }));
        assert!(matches!(fault("ThrottlingException", "slow"), EcrError::Throttled { .. }));
        assert!(matches!(fault("LimitExceededException", "many"), EcrError::Service { .. }));
    }
}
