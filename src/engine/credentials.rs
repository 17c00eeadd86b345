//! Registry logins: those given to us, those of Docker's configuration, those that its credential helpers know.
#![expect(
    clippy::disallowed_methods,
    reason = "the engine's door reads Docker's configuration and starts its helpers"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::endpoint::Environment;
use super::{EngineError, Login, Secret};

/// How long a credential helper may take: some ask a person to unlock a keychain.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// Under what name Docker keeps the login of Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The user that stands for an identity token in the password's place, as credential helpers write it.
pub(super) const IDENTITY_TOKEN_USER: &str = "<token>";

/// Knows who one is at which registry. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    given: BTreeMap<String, Login>,
    config: Option<Arc<Config>>,
    search_path: Option<String>,
    limit: Option<Duration>,
}

/// `config.json` of Docker, as far as it is about logins.
#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credHelpers", default)]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", default)]
    store: String,
    #[serde(skip)]
    path: PathBuf,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its logins are secrets.
        write!(f, "Config({})", self.path.display())
    }
}

#[derive(Deserialize, Default)]
struct Auth {
    #[serde(rename = "auth", default)]
    basic: String,
    #[serde(rename = "identitytoken", default)]
    identity_token: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credentials {
    /// Returns credentials that know no registry.
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns the logins of the user's Docker configuration; there need not be one.
    ///
    /// # Errors
    /// Where the configuration is there but cannot be read.
    pub fn from_docker(environment: &Environment) -> Result<Self, EngineError> {
        let search_path = environment.get("PATH").map(str::to_owned);
        let Some(path) = environment.docker_config().map(|folder| folder.join("config.json")) else {
            return Ok(Self { search_path, ..Self::default() });
        };
        let config = read(&path).map_err(|message| EngineError::Credentials {
            registry: "any registry".into(),
            message: format!("{}: {message}", path.display()),
        })?;
        Ok(Self { config: config.map(Arc::new), search_path, ..Self::default() })
    }

    /// Returns credentials that use `login` at the registry `host`, whatever Docker's configuration says.
    #[must_use]
    pub fn with(mut self, host: impl Into<String>, login: Login) -> Self {
        self.given.insert(normal(&host.into()), login);
        self
    }

    /// Returns credentials that wait for a helper at most this long instead of 30 seconds.
    #[must_use]
    pub fn with_helper_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns the login at the registry `host`, if there is one.
    ///
    /// # Errors
    /// Where a helper is configured and missing, fails or takes too long.
    pub async fn login(&self, host: &str) -> Result<Option<Login>, EngineError> {
        let host = normal(host);
        if let Some(login) = self.given.get(&host) {
            return Ok(Some(login.clone()));
        }
        let Some(config) = &self.config else { return Ok(None) };
        let helper = config
            .helpers
            .iter()
            .find(|(name, _)| normal(name) == host)
            .map(|(name, helper)| (name.as_str(), helper));
        if let Some((name, helper)) = helper {
            return self.ask(helper, name, &host).await;
        }
        if !config.store.is_empty() {
            let name = if host == "docker.io" { DOCKER_HUB } else { &host };
            if let Some(login) = self.ask(&config.store, name, &host).await? {
                return Ok(Some(login));
            }
        }
        config
            .auths
            .iter()
            .find(|(name, _)| normal(name) == host)
            .map_or(Ok(None), |(_, auth)| auth.login())
            .map_err(|message| fault(&host, format!("{}: {message}", config.path.display())))
    }

    /// Asks one helper; nothing where it knows no login.
    async fn ask(&self, helper: &str, server: &str, host: &str) -> Result<Option<Login>, EngineError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "Username")]
            user: String,
            #[serde(rename = "Secret")]
            secret: String,
        }
        let program = format!("docker-credential-{helper}");
        let limit = self.limit.unwrap_or(HELPER_LIMIT);
        let output = tokio::time::timeout(limit, run(&program, server, self.search_path.as_deref()))
            .await
            .map_err(|_| fault(host, format!("the helper `{program}` did not answer within {} s", limit.as_secs_f32())))?
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => fault(
                    host,
                    format!("the helper `{program}`, which Docker's configuration names, is not on the PATH; install it, or log in with `docker login {host}`"),
                ),
                _ => fault(host, format!("the helper `{program}` cannot be started: {error}")),
            })?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            // The words of the helper protocol for "I know none".
            if said.contains("credentials not found") {
                return Ok(None);
            }
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = if said.is_empty() { complaint } else { said };
            return Err(fault(host, format!("the helper `{program}` failed ({}): {message}", output.status)));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| {
            fault(host, format!("the helper `{program}` answered something that is no login"))
        })?;
        Ok(Some(Login { user: answer.user, password: Secret::new(answer.secret.into_bytes()) }))
    }
}

impl Auth {
    fn login(&self) -> Result<Option<Login>, String> {
        if !self.identity_token.is_empty() {
            // What Docker sends for an identity token: a user that is no name, and the token as password.
            return Ok(Some(Login {
                user: IDENTITY_TOKEN_USER.into(),
                password: Secret::new(self.identity_token.clone().into_bytes()),
            }));
        }
        if self.basic.is_empty() {
            let password = Secret::new(self.password.clone().into_bytes());
            return Ok((!self.username.is_empty()).then(|| Login { user: self.username.clone(), password }));
        }
        let bytes = STANDARD.decode(self.basic.trim()).map_err(|_| "an `auth` is no base64".to_owned())?;
        let text = String::from_utf8(bytes).map_err(|_| "an `auth` is no text".to_owned())?;
        let (user, password) =
            text.split_once(':').ok_or("an `auth` has no `:` between user and password")?;
        let password = password.trim_end_matches('\0').as_bytes().to_vec();
        Ok(Some(Login { user: user.to_owned(), password: Secret::new(password) }))
    }
}

/// Starts the helper, gives it the server's name, and waits. The process ends with this future.
async fn run(
    program: &str,
    server: &str,
    search_path: Option<&str>,
) -> std::io::Result<std::process::Output> {
    let mut command = Command::new(find(program, search_path)?);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input fails by its own words.
        let _unread = stdin.write_all(server.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// Looks for a program in the search path that the environment names, else in our own.
fn find(program: &str, search_path: Option<&str>) -> std::io::Result<PathBuf> {
    let Some(search_path) = search_path else { return Ok(PathBuf::from(program)) };
    std::env::split_paths(search_path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

fn read(path: &Path) -> Result<Option<Config>, String> {
    match std::fs::read(path) {
        Ok(text) => {
            let mut config: Config = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            path.clone_into(&mut config.path);
            Ok(Some(config))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the bare host of a registry; all names of Docker Hub are one.
fn normal(name: &str) -> String {
    let bare = name.split_once("://").map_or(name, |(_, rest)| rest);
    let host = bare.split('/').next().unwrap_or_default().to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".into(),
        _ => host,
    }
}

fn fault(registry: &str, message: String) -> EngineError {
    EngineError::Credentials { registry: registry.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn configured(config: &str, helpers: &[(&str, &str)]) -> (tempfile::TempDir, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        for (name, script) in helpers {
            let path = folder.path().join(format!("docker-credential-{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = folder.path().to_str().unwrap().to_owned();
        let environment: Environment =
            [("DOCKER_CONFIG", path.clone()), ("PATH", path)].into_iter().collect();
        let credentials = Credentials::from_docker(&environment).unwrap();
        (folder, credentials)
    }

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: Secret::new(password.as_bytes()) }
    }

    #[tokio::test]
    async fn a_login_of_the_configuration_is_found_under_every_spelling_of_its_host() {
        let auth = STANDARD.encode("me:pass:word");
        let (_folder, credentials) =
            configured(&format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#), &[]);
        for host in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
            assert_eq!(credentials.login(host).await.unwrap(), Some(login("me", "pass:word")), "{host}");
        }
        assert_eq!(credentials.login("ghcr.io").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_helper_is_asked_with_the_name_of_the_registry() {
        let script =
            r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"u\",\"Secret\":\"of $server\"}""#;
        let (_folder, credentials) = configured(r#"{"credHelpers":{"r.example":"h"}}"#, &[("h", script)]);
        assert_eq!(credentials.login("r.example").await.unwrap(), Some(login("u", "of r.example")));
    }

    #[tokio::test]
    async fn a_login_that_was_given_wins_over_the_configuration() {
        let (_folder, credentials) = configured(r#"{"credsStore":"missing"}"#, &[]);
        let credentials = credentials.with("https://r.example", login("AWS", "token"));
        assert_eq!(credentials.login("r.example").await.unwrap(), Some(login("AWS", "token")));
    }

    #[tokio::test]
    async fn a_missing_helper_names_itself() {
        let (_folder, credentials) = configured(r#"{"credsStore":"ecr-login"}"#, &[]);
        let message = credentials.login("r.example").await.unwrap_err().to_string();
        assert!(
            message.contains("`docker-credential-ecr-login`") && message.contains("not on the PATH"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_hanging_helper_ends_in_an_error_and_not_in_a_hanging_build() {
        let (folder, credentials) =
            configured(r#"{"credsStore":"slow"}"#, &[("slow", "echo $$ > \"$0.pid\"; exec /bin/sleep 60")]);
        let credentials = credentials.with_helper_limit(Duration::from_millis(500));
        let message = credentials.login("r.example").await.unwrap_err().to_string();
        assert!(message.contains("did not answer within 0.5 s"), "{message}");
        let pid = std::fs::read_to_string(folder.path().join("docker-credential-slow.pid")).unwrap();
        let gone = || {
            std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
                .is_ok_and(|stat| !stat.contains(" Z "))
        };
        for _ in 0..50 {
            if !gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the helper {pid} still runs");
    }

    #[tokio::test]
    async fn a_helper_that_knows_no_login_is_no_error_and_one_that_fails_is_quoted() {
        let helpers = [
            ("no", "echo credentials not found in native keychain; exit 1"),
            ("bad", "echo locked >&2; exit 2"),
        ];
        let (_folder, credentials) =
            configured(r#"{"credHelpers":{"a.example":"no","b.example":"bad"}}"#, &helpers);
        assert_eq!(credentials.login("a.example").await.unwrap(), None);
        let message = credentials.login("b.example").await.unwrap_err().to_string();
        assert!(message.contains("locked"), "{message}");
    }

    #[test]
    fn a_configuration_that_is_no_json_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        let environment: Environment =
            [("DOCKER_CONFIG", folder.path().to_str().unwrap())].into_iter().collect();
        let message = Credentials::from_docker(&environment).unwrap_err().to_string();
        assert!(message.contains("config.json"), "{message}");
    }
}
