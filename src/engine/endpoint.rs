//! Which engine is meant: `DOCKER_HOST`, a Docker context, or the socket that this machine has.
#![expect(clippy::disallowed_methods, reason = "the engine's door reads Docker's own configuration")]

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::EngineError;
use crate::oci::Digest;

/// The environment variables that say which engine is meant and where Docker's configuration lies.
///
/// Commands read them (`std::env::vars().collect()`); a test writes its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns every variable.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the folder of Docker's configuration: `DOCKER_CONFIG`, else `~/.docker`.
    pub fn docker_config(&self) -> Option<PathBuf> {
        let home = || self.get("HOME").map(|home| Path::new(home).join(".docker"));
        self.get("DOCKER_CONFIG").map(PathBuf::from).or_else(home)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Where an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port, with TLS or in the clear.
    Tcp {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
        /// The TLS files; absent where the connection is in the clear.
        tls: Option<Tls>,
    },
    /// Another machine, through `ssh` and `docker system dial-stdio` there.
    Ssh {
        /// `host` or `user@host`, as `ssh` takes it.
        destination: String,
        /// The port, where it is not the usual one.
        port: Option<u16>,
        /// The engine's socket there, where it is not the usual one.
        socket: Option<String>,
    },
}

/// The TLS material of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The folder with `ca.pem`, `cert.pem` and `key.pem`; each is used if it is there.
    pub folder: Option<PathBuf>,
    /// Whether the engine's certificate is checked.
    pub verify: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh { destination, port, socket } => {
                write!(f, "ssh://{destination}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
                socket.as_ref().map_or(Ok(()), |socket| f.write_str(socket))
            }
        }
    }
}

impl Endpoint {
    /// Returns the engine that is meant, in the order of Docker's own command line: `context`, `host`, `DOCKER_HOST`,
    /// `DOCKER_CONTEXT`, the current context of Docker's configuration, then the first socket that exists.
    ///
    /// # Errors
    /// Where what was said makes no sense: an unknown scheme, a context that does not exist, both `host` and `context`.
    pub fn find(
        environment: &Environment,
        host: Option<&str>,
        context: Option<&str>,
    ) -> Result<Self, EngineError> {
        match (host, context) {
            (Some(_), Some(_)) => {
                Err(EngineError::Endpoint("both a host and a context were given; give one".into()))
            }
            (None, Some(context)) => Self::from_context(environment, context),
            (Some(host), None) => Self::from_host(environment, host),
            (None, None) => match (environment.get("DOCKER_HOST"), environment.get("DOCKER_CONTEXT")) {
                (Some(host), _) => Self::from_host(environment, host)
                    .map_err(|error| EngineError::Endpoint(format!("DOCKER_HOST: {}", inner(error)))),
                (None, Some(context)) => Self::from_context(environment, context),
                (None, None) => match current_context(environment)? {
                    Some(context) => Self::from_context(environment, &context),
                    None => Ok(local(environment)),
                },
            },
        }
    }

    /// Returns where the BuildKit daemon at `address` is.
    pub(super) fn of_daemon(address: &str) -> Result<Self, EngineError> {
        let known = address.starts_with("unix://") || address.starts_with("tcp://");
        let endpoint = parse(address, None, || Tls { folder: None, verify: true });
        match endpoint.map_err(|error| EngineError::Builder(inner(error)))? {
            Self::Unix(_) if address == "unix://" => Ok(Self::Unix("/run/buildkit/buildkitd.sock".into())),
            endpoint if known => Ok(endpoint),
            _ => Err(EngineError::Builder(format!(
                "`{address}` is no address of a BuildKit daemon; write tcp://HOST:PORT or unix://PATH, or make a builder of it for TLS: docker buildx create --driver remote"
            ))),
        }
    }

    fn from_host(environment: &Environment, host: &str) -> Result<Self, EngineError> {
        let wants_tls =
            environment.get("DOCKER_TLS_VERIFY").is_some() || environment.get("DOCKER_TLS").is_some();
        let tls = || Tls {
            folder: environment
                .get("DOCKER_CERT_PATH")
                .map(PathBuf::from)
                .or_else(|| environment.docker_config()),
            verify: environment.get("DOCKER_TLS_VERIFY").is_some() || environment.get("DOCKER_TLS").is_none(),
        };
        parse(host, wants_tls.then(tls), tls)
    }

    fn from_context(environment: &Environment, name: &str) -> Result<Self, EngineError> {
        if name == "default" {
            return Ok(local(environment));
        }
        let fault = |what: String| EngineError::Endpoint(format!("context `{name}`: {what}"));
        let config = environment.docker_config().ok_or_else(|| {
            fault("neither DOCKER_CONFIG nor HOME is set, so there is no Docker configuration".into())
        })?;
        let id = Digest::of(name).hex();
        let path = config.join("contexts/meta").join(&id).join("meta.json");
        let text = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                fault("there is no such context; `docker context ls` lists them".into())
            }
            _ => fault(format!("cannot read {}: {error}", path.display())),
        })?;
        let meta: ContextMeta =
            serde_json::from_slice(&text).map_err(|error| fault(format!("{}: {error}", path.display())))?;
        let docker = meta
            .endpoints
            .docker
            .ok_or_else(|| fault("it names no Docker engine (no endpoint `docker`)".into()))?;
        let folder = config.join("contexts/tls").join(&id).join("docker");
        let folder = folder.is_dir().then_some(folder);
        let tls = || Tls { folder: folder.clone(), verify: !docker.skip_tls_verify };
        if docker.host.is_empty() {
            return Ok(local(environment));
        }
        let wants_tls = folder.is_some() || docker.skip_tls_verify;
        parse(&docker.host, wants_tls.then(tls), tls).map_err(|error| fault(inner(error)))
    }
}

/// `config.json` of Docker, as far as it says which engine is meant.
#[derive(Deserialize)]
struct CurrentContext {
    #[serde(rename = "currentContext", default)]
    current: String,
}

/// `contexts/meta/<sha256 of the name>/meta.json` of Docker.
#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints", default)]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize, Default)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn inner(error: EngineError) -> String {
    match error {
        EngineError::Endpoint(message) => message,
        other => other.to_string(),
    }
}

fn current_context(environment: &Environment) -> Result<Option<String>, EngineError> {
    let Some(path) = environment.docker_config().map(|folder| folder.join("config.json")) else {
        return Ok(None);
    };
    let fault = |what: String| EngineError::Endpoint(format!("{}: {what}", path.display()));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error.to_string())),
    };
    let config: CurrentContext = serde_json::from_slice(&text).map_err(|error| fault(error.to_string()))?;
    Ok(Some(config.current).filter(|name| !name.is_empty() && name != "default"))
}

/// Returns the first socket that exists, or Docker's default one, so that the failure names what everybody knows.
fn local(environment: &Environment) -> Endpoint {
    let default = PathBuf::from("/var/run/docker.sock");
    let home = environment.get("HOME").map(Path::new);
    let runtime = environment.get("XDG_RUNTIME_DIR").map(Path::new);
    // Docker Desktop (macOS, then Linux), Colima (old and new place), OrbStack, Rancher Desktop; then rootless Docker.
    let of_home = [
        ".docker/run/docker.sock",
        ".docker/desktop/docker.sock",
        ".colima/default/docker.sock",
        ".config/colima/default/docker.sock",
        ".orbstack/run/docker.sock",
        ".rd/docker.sock",
    ];
    let others = of_home
        .iter()
        .filter_map(|socket| home.map(|home| home.join(socket)))
        .chain(runtime.map(|folder| folder.join("docker.sock")));
    let first = std::iter::once(default.clone()).chain(others).find(|path| path.exists());
    Endpoint::Unix(first.unwrap_or(default))
}

fn parse(
    host: &str,
    wanted: Option<Tls>,
    tls_of_https: impl FnOnce() -> Tls,
) -> Result<Endpoint, EngineError> {
    let fault = |what: &str| EngineError::Endpoint(format!("`{host}` {what}"));
    let Some((scheme, rest)) = host.split_once("://") else {
        return Err(fault("has no scheme; write unix://PATH, tcp://HOST:PORT or ssh://USER@HOST"));
    };
    match scheme {
        "unix" if rest.is_empty() => Ok(Endpoint::Unix("/var/run/docker.sock".into())),
        "unix" => Ok(Endpoint::Unix(rest.into())),
        "tcp" | "http" | "https" => {
            let tls = if scheme == "https" { Some(wanted.unwrap_or_else(tls_of_https)) } else { wanted };
            let default = if tls.is_some() { 2376 } else { 2375 };
            let (host, port) =
                host_and_port(rest.trim_end_matches('/')).ok_or_else(|| fault("has no valid port"))?;
            if host.is_empty() || host.contains('/') {
                return Err(fault("names no host"));
            }
            Ok(Endpoint::Tcp { host, port: port.unwrap_or(default), tls })
        }
        "ssh" => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
            if user.is_some_and(|user| user.contains(':')) {
                return Err(fault("carries a password; `ssh` takes keys only"));
            }
            let (host, port) = host_and_port(host).ok_or_else(|| fault("has no valid port"))?;
            // A leading dash would be an option of `ssh`.
            if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
                return Err(fault("names no host"));
            }
            let destination = user.map_or_else(|| host.clone(), |user| format!("{user}@{host}"));
            Ok(Endpoint::Ssh { destination, port, socket: (path.len() > 1).then(|| path.to_owned()) })
        }
        "npipe" => Err(fault("is a Windows pipe; use the engine from within WSL, or over tcp://")),
        _ => Err(fault("has an unknown scheme; use unix://, tcp://, http://, https:// or ssh://")),
    }
}

/// Splits `host:port`, `[v6]:port`, `host`; nothing where the port is no port.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').map(str::parse).transpose().ok()?;
        return Some((host.to_owned(), port));
    }
    match text.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), Some(port.parse().ok()?))),
        None => Some((text.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn found(variables: &[(&str, &str)]) -> String {
        match Endpoint::find(&environment(variables), None, None) {
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn write_context(folder: &Path, name: &str, meta: &str) -> PathBuf {
        let place = folder.join("contexts/meta").join(Digest::of(name).hex());
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("meta.json"), meta).unwrap();
        folder.join("contexts/tls").join(Digest::of(name).hex()).join("docker")
    }

    #[test]
    fn docker_host_is_read_in_every_scheme() {
        for (host, expected) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:2375"),
            ("http://[::1]:99/", "tcp://[::1]:99"),
            ("https://builder", "tcp://builder:2376"),
            ("ssh://me@builder:22/run/d.sock", "ssh://me@builder:22/run/d.sock"),
            ("ssh://builder", "ssh://builder"),
        ] {
            assert_eq!(found(&[("DOCKER_HOST", host)]), expected);
        }
    }

    #[test]
    fn a_docker_host_that_makes_no_sense_says_where_it_was_written() {
        for (host, part) in [
            ("10.0.0.1:2375", "has no scheme"),
            ("tcp://a:b", "has no valid port"),
            ("npipe:////./pipe/docker_engine", "Windows pipe"),
            ("fd://", "unknown scheme"),
            ("ssh://me:secret@host", "password"),
            ("ssh://-oProxyCommand=x", "names no host"),
        ] {
            let message = found(&[("DOCKER_HOST", host)]);
            assert!(message.contains("DOCKER_HOST: ") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn tls_verify_turns_tls_on_with_the_folder_of_the_certificates() {
        let environment = environment(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]);
        let endpoint = Endpoint::find(&environment, Some("tcp://h:1"), None).unwrap();
        let tls = Tls { folder: Some("/certs".into()), verify: true };
        assert_eq!(endpoint, Endpoint::Tcp { host: "h".into(), port: 1, tls: Some(tls) });
    }

    #[test]
    fn docker_host_wins_over_the_current_context_and_an_explicit_context_over_both() {
        let folder = tempfile::tempdir().unwrap();
        let tls = write_context(folder.path(), "far", r#"{"Endpoints":{"docker":{"Host":"tcp://far:7"}}}"#);
        std::fs::create_dir_all(&tls).unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"currentContext":"far"}"#).unwrap();
        let config = folder.path().to_str().unwrap();
        assert_eq!(found(&[("DOCKER_CONFIG", config)]), "tcp://far:7");
        assert_eq!(found(&[("DOCKER_CONFIG", config), ("DOCKER_HOST", "tcp://near:1")]), "tcp://near:1");
        let both = environment(&[("DOCKER_CONFIG", config), ("DOCKER_HOST", "tcp://near:1")]);
        let endpoint = Endpoint::find(&both, None, Some("far")).unwrap();
        let tls = Some(Tls { folder: Some(tls), verify: true });
        assert_eq!(endpoint, Endpoint::Tcp { host: "far".into(), port: 7, tls });
    }

    #[test]
    fn a_context_that_does_not_exist_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message =
            found(&[("DOCKER_CONFIG", folder.path().to_str().unwrap()), ("DOCKER_CONTEXT", "gone")]);
        assert!(message.contains("context `gone`: there is no such context"), "{message}");
    }

    #[test]
    fn where_the_default_socket_is_absent_the_one_of_rootless_docker_is_found() {
        if Path::new("/var/run/docker.sock").exists() {
            return; // Docker's own socket rightly wins on such a machine.
        }
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        std::fs::write(&socket, "").unwrap();
        let runtime = folder.path().to_str().unwrap();
        assert_eq!(found(&[("XDG_RUNTIME_DIR", runtime)]), format!("unix://{}", socket.display()));
        assert_eq!(found(&[]), "unix:///var/run/docker.sock");
    }
}
