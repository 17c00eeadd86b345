//! Which cluster, and who we are there: the kubeconfig as `kubectl` reads it, or the service account of the pod we run in.
#![expect(
    clippy::disallowed_methods,
    reason = "the cluster's door reads the kubeconfig and the files that it names"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::ClusterError;
use super::exec::Plugin;

/// Where a pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A cluster's address and what opens it.
#[derive(Clone)]
pub struct Access {
    pub(super) server: reqwest::Url,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) verify: bool,
    pub(super) proxy: Option<String>,
    /// Certificate and key, both in PEM.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) login: Login,
    /// The namespace of the context; `default` where it names none.
    pub namespace: String,
}

/// How we say who we are, beside a certificate.
#[derive(Clone)]
pub(super) enum Login {
    Nobody,
    Token(String),
    /// A file whose content may change: service accounts' tokens are renewed.
    File(PathBuf),
    Plugin(Plugin),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Everything else opens the cluster.
        write!(f, "Access({})", self.server)
    }
}

#[derive(Deserialize, Default)]
struct File {
    #[serde(rename = "current-context", default)]
    current: Option<String>,
    contexts: Option<Vec<NamedContext>>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize, Clone)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<Plugin>,
    username: Option<String>,
    auth_provider: Option<serde_json::Value>,
}

impl Access {
    /// Finds the cluster: in the file that was named, in those of `KUBECONFIG`, in `~/.kube/config`, or around this pod.
    ///
    /// # Errors
    /// Where nothing names a cluster, or what names it does not read.
    pub fn find(
        environment: &BTreeMap<String, String>,
        file: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let named = environment.get("KUBECONFIG").filter(|paths| !paths.is_empty());
        let home = environment.get("HOME").map(|home| Path::new(home).join(".kube/config"));
        let paths: Vec<PathBuf> = match (file, named) {
            (Some(file), _) => vec![file.to_owned()],
            (None, Some(paths)) => std::env::split_paths(paths).filter(|path| path.exists()).collect(),
            (None, None) => home.into_iter().filter(|path| path.exists()).collect(),
        };
        if paths.is_empty() && context.is_none() && environment.contains_key("KUBERNETES_SERVICE_HOST") {
            return Self::of_this_pod(environment, Path::new(SERVICE_ACCOUNT));
        }
        if paths.is_empty() {
            let message = "no kubeconfig: neither --kubeconfig nor KUBECONFIG names one, and ~/.kube/config is not there";
            return Err(ClusterError::Config(message.to_owned()));
        }
        let files: Vec<File> = paths.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        Self::of_files(&files, context, environment)
    }

    fn of_this_pod(environment: &BTreeMap<String, String>, folder: &Path) -> Result<Self, ClusterError> {
        let host = environment.get("KUBERNETES_SERVICE_HOST").map(String::as_str).unwrap_or_default();
        let port = environment.get("KUBERNETES_SERVICE_PORT").map_or("443", String::as_str);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let namespace = std::fs::read_to_string(folder.join("namespace")).unwrap_or_default();
        Ok(Self {
            server: address(&format!("https://{host}:{port}"))?,
            authority: Some(content(&folder.join("ca.crt"))?),
            verify: true,
            proxy: None,
            identity: None,
            login: Login::File(folder.join("token")),
            namespace: Some(namespace.trim()).filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
        })
    }

    fn of_files(
        files: &[File],
        context: Option<&str>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ClusterError> {
        let (name, context) = context_of(files, context)?;
        let lacks = |what: &str, which: &str| {
            bad(format!("context `{name}` names a {what} `{which}` that the kubeconfig lacks"))
        };
        let (folder, cluster) = files
            .iter()
            .find_map(|file| file.cluster(&context.cluster))
            .ok_or_else(|| lacks("cluster", &context.cluster))?;
        if cluster.tls_server_name.is_some() {
            return Err(bad(format!(
                "cluster `{}` sets tls-server-name, which is not supported",
                context.cluster
            )));
        }
        let (data, path) =
            (cluster.certificate_authority_data.as_deref(), cluster.certificate_authority.as_deref());
        let authority = either(folder, data, path)?;
        let (login, identity) = match files.iter().find_map(|file| file.user(&context.user)) {
            Some((folder, Some(user))) => login(user, folder, environment)?,
            Some((_, None)) => (Login::Nobody, None),
            None if context.user.is_empty() => (Login::Nobody, None),
            None => return Err(lacks("user", &context.user)),
        };
        let namespace = context.namespace.clone().filter(|name| !name.is_empty());
        Ok(Self {
            server: address(&cluster.server)?,
            authority,
            verify: !cluster.insecure_skip_tls_verify,
            proxy: cluster.proxy_url.clone(),
            identity,
            login,
            namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        })
    }
}

impl File {
    /// Returns the cluster `name` with the folder from which its paths are seen.
    fn cluster(&self, name: &str) -> Option<(&Path, &ClusterEntry)> {
        let mut entries = self.clusters.iter().flatten();
        entries.find(|entry| entry.name == name).map(|entry| (self.folder.as_path(), &entry.cluster))
    }

    /// Returns the user `name`, which may be empty, with the folder from which its paths are seen.
    fn user(&self, name: &str) -> Option<(&Path, Option<&User>)> {
        let mut entries = self.users.iter().flatten();
        entries.find(|entry| entry.name == name).map(|entry| (self.folder.as_path(), entry.user.as_ref()))
    }
}

fn bad(message: impl Into<String>) -> ClusterError {
    ClusterError::Config(message.into())
}

/// Finds the context that was named, else the current one; of several files the first that says something counts.
fn context_of<'a>(files: &'a [File], asked: Option<&'a str>) -> Result<(&'a str, &'a Context), ClusterError> {
    let mut currents = files.iter().filter_map(|file| file.current.as_deref());
    let name = asked.or_else(|| currents.find(|name| !name.is_empty())).ok_or_else(|| {
        bad(format!(
            "the kubeconfig has no current context; --kube-context takes one of: {}",
            contexts(files)
        ))
    })?;
    let mut entries = files.iter().flat_map(|file| file.contexts.iter().flatten());
    let context = entries.find(|entry| entry.name == name).map(|entry| &entry.context).ok_or_else(|| {
        let shown = name.escape_debug();
        bad(format!("the kubeconfig has no context `{shown}`; it has: {}", contexts(files)))
    })?;
    Ok((name, context))
}

fn contexts(files: &[File]) -> String {
    let names: Vec<&str> = files
        .iter()
        .flat_map(|file| file.contexts.iter().flatten())
        .map(|entry| entry.name.as_str())
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn read(path: &Path) -> Result<File, ClusterError> {
    let bad = |reason: String| bad(format!("the kubeconfig {} does not read: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    // What does not read is not quoted: it may be a secret.
    let mut file: Option<File> = serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |place| format!(" at line {}", place.line()));
        bad(format!("it is not a kubeconfig in YAML{place}"))
    })?;
    let mut file = file.take().unwrap_or_default();
    file.folder = path.parent().map(Path::to_owned).unwrap_or_default();
    Ok(file)
}

fn login(
    user: &User,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<(Login, Option<Vec<u8>>), ClusterError> {
    let refuse = |message: &str| Err(bad(message));
    if user.auth_provider.is_some() {
        return refuse("the kubeconfig uses auth-provider, which Kubernetes has removed; use an exec plugin");
    }
    let certificate =
        either(folder, user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key = either(folder, user.client_key_data.as_deref(), user.client_key.as_deref())?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(pair(certificate, &key)),
        (None, None) => None,
        (Some(_), None) => return refuse("the kubeconfig has a client certificate without its key"),
        (None, Some(_)) => return refuse("the kubeconfig has a client key without its certificate"),
    };
    let login = if let Some(token) = user.token.clone().filter(|token| !token.is_empty()) {
        Login::Token(token)
    } else if let Some(path) = &user.token_file {
        Login::File(folder.join(path))
    } else if let Some(plugin) = &user.exec {
        Login::Plugin(plugin.clone().at(folder, environment))
    } else if user.username.is_some() {
        return refuse("the kubeconfig has a user name and a password, which Kubernetes no longer takes");
    } else {
        Login::Nobody
    };
    Ok((login, identity))
}

/// Certificate and key one after the other, as TLS takes them.
pub(super) fn pair(mut certificate: Vec<u8>, key: &[u8]) -> Vec<u8> {
    certificate.push(b'\n');
    certificate.extend_from_slice(key);
    certificate
}

/// Returns what stands in the kubeconfig itself, or in the file that it names.
fn either(folder: &Path, data: Option<&str>, file: Option<&Path>) -> Result<Option<Vec<u8>>, ClusterError> {
    match (data.filter(|data| !data.is_empty()), file.filter(|file| !file.as_os_str().is_empty())) {
        (Some(data), _) => STANDARD.decode(data.trim()).map(Some).map_err(|_| {
            ClusterError::Config("a certificate or key in the kubeconfig is not base64".to_owned())
        }),
        (None, Some(file)) => content(&folder.join(file)).map(Some),
        (None, None) => Ok(None),
    }
}

fn content(path: &Path) -> Result<Vec<u8>, ClusterError> {
    std::fs::read(path)
        .map_err(|error| ClusterError::Config(format!("cannot read {}: {error}", path.display())))
}

/// Reads a token from its file.
pub(super) fn token(path: &Path) -> Result<String, ClusterError> {
    String::from_utf8(content(path)?)
        .map(|token| token.trim().to_owned())
        .map_err(|_| ClusterError::Config(format!("{} holds no token", path.display())))
}

fn address(text: &str) -> Result<reqwest::Url, ClusterError> {
    let bad = || ClusterError::Config(format!("`{}` is no address of a cluster", text.escape_debug()));
    let mut url = reqwest::Url::parse(text).map_err(|_| bad())?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(bad());
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}
