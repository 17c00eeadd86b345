//! Programs that the kubeconfig names for credentials, such as `aws eks get-token` (client.authentication.k8s.io).
#![expect(
    clippy::disallowed_methods,
    reason = "the cluster's door starts the program that the kubeconfig names for credentials"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::ClusterError;

/// How long such a program may take: some open a browser.
const LIMIT: Duration = Duration::from_mins(2);
/// A credential is renewed this long before it ends.
const EARLY: i64 = 60;

/// Such a program.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plugin {
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    api_version: Option<String>,
    install_hint: Option<String>,
    #[serde(skip)]
    environment: BTreeMap<String, String>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Deserialize, Clone)]
struct Variable {
    name: String,
    value: String,
}

/// What it gave.
#[derive(Clone, Default)]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    pub(super) identity: Option<Vec<u8>>,
    expires: Option<jiff::Timestamp>,
}

impl Credential {
    /// Returns whether it is still good at `now`.
    pub(super) fn is_good(&self, now: jiff::Timestamp) -> bool {
        self.expires.is_none_or(|expires| expires.as_second() - now.as_second() > EARLY)
    }
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

impl Plugin {
    /// Returns the plugin as it is started: with our environment, its path as seen from the kubeconfig.
    pub(super) fn at(self, folder: &Path, environment: &BTreeMap<String, String>) -> Self {
        Self { folder: folder.to_owned(), environment: environment.clone(), ..self }
    }

    /// Runs it.
    pub(super) async fn ask(&self) -> Result<Credential, ClusterError> {
        let version = self.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
        let info =
            json!({ "apiVersion": version, "kind": "ExecCredential", "spec": { "interactive": false } });
        let path = Path::new(&self.command);
        let program = if path.components().count() > 1 { self.folder.join(path) } else { path.to_owned() };
        let mut command = Command::new(program);
        command
            .args(self.args.iter().flatten())
            .env_clear()
            .envs(&self.environment)
            .envs(self.env.iter().flatten().map(|variable| (&variable.name, &variable.value)))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = match tokio::time::timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(self.fault(format!("cannot be started: {error}"))),
            Err(_) => return Err(self.fault(format!("did not end within {} s", LIMIT.as_secs()))),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
            return Err(self.fault(format!("ended with {} and said: {}", output.status, last.trim())));
        }
        // What it wrote is a secret: an error does not quote it.
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| self.fault("wrote no ExecCredential to standard output".to_owned()))?;
        let status =
            answer.status.ok_or_else(|| self.fault("wrote an ExecCredential without status".to_owned()))?;
        let identity = match (status.client_certificate_data, status.client_key_data) {
            (Some(certificate), Some(key)) => {
                Some(super::config::pair(certificate.into_bytes(), key.as_bytes()))
            }
            _ => None,
        };
        if status.token.is_none() && identity.is_none() {
            return Err(self.fault("gave neither a token nor a certificate".to_owned()));
        }
        let expires = status.expiration_timestamp.and_then(|text| text.parse().ok());
        Ok(Credential { token: status.token, identity, expires })
    }

    fn fault(&self, reason: String) -> ClusterError {
        let hint = self.install_hint.clone().unwrap_or_default();
        ClusterError::Credentials { command: self.command.clone(), reason, hint }
    }
}
