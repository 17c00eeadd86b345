//! Questions over HTTP: asked patiently, let in where the registry wants that, over TLS unless it is this machine.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RANGE};
use reqwest::{Client, Method, Response, Url};

use super::RegistryError;
use super::access::{self, Challenge};
use super::answer::{self, Answer, Failure, Question};
use super::patience::{self, Limits};
use crate::engine::Login;
use crate::oci::Reference;
use crate::registry::reason::check_bundle;

/// The connections to registries, made when they are first needed.
#[derive(Debug)]
pub(super) struct Transport {
    limits: Limits,
    ca_bundle: Option<Vec<u8>>,
    direct: OnceLock<Client>,
    outside: OnceLock<Client>,
    // What opened a repository once opens it again; by address and user.
    granted: Mutex<HashMap<String, HeaderValue>>,
}

/// What is asked of a registry.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    /// GET or HEAD.
    pub(super) method: Method,
    /// What of the repository: `manifests/…`, `blobs/…`.
    pub(super) path: String,
    /// Media types that we can read.
    pub(super) accept: &'a str,
    /// The longest answer that is read, in bytes.
    pub(super) at_most: usize,
    /// In words, for errors.
    pub(super) doing: &'a str,
}

/// The largest answer of a token service that is read.
const TOKEN_LIMIT: usize = 1 << 20;

impl Transport {
    /// Returns a transport without any connection yet.
    pub(super) fn new(limits: Limits, ca_bundle: Option<Vec<u8>>) -> Self {
        Self {
            limits,
            ca_bundle,
            direct: OnceLock::new(),
            outside: OnceLock::new(),
            granted: Mutex::new(HashMap::new()),
        }
    }

    /// Asks until there is an answer, or no hope for one.
    pub(super) async fn ask(
        &self,
        request: &Request<'_>,
        reference: &Reference,
        login: Option<&Login>,
    ) -> Result<Answer, RegistryError> {
        let url = url(reference, &request.path)?;
        let (registry, whole) = (reference.resolve_registry(), reference.whole());
        let question = Question {
            registry,
            repository: reference.repository(),
            reference: &whole,
            doing: request.doing,
            logged_in: login.is_some(),
            at_most: request.at_most,
            limit: self.limits.answer,
        };
        let mut attempts = 1;
        loop {
            let asked = self.ask_once(request, &url, question, login);
            let failure = match tokio::time::timeout(self.limits.answer, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::fatal(RegistryError::TimedOut {
                    registry: registry.to_owned(),
                    doing: question.doing.to_owned(),
                    limit: self.limits.answer,
                }),
            };
            match patience::pause(failure.again, attempts, self.limits) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(patience::counted(failure.error, attempts)),
            }
            attempts += 1;
        }
    }

    /// Asks once, letting ourselves in if the registry wants that.
    async fn ask_once(
        &self,
        request: &Request<'_>,
        url: &Url,
        question: Question<'_>,
        login: Option<&Login>,
    ) -> Result<Answer, Failure> {
        let (response, opening) = self.send(request, url, question, login, 0).await?;
        let answer = Answer::read(response, question).await?;
        self.remember(question, login, opening);
        Ok(answer)
    }

    /// Asks for what `request` names from byte `from` on, and returns the answer before its body; refusals are errors.
    pub(super) async fn open(
        &self,
        request: &Request<'_>,
        reference: &Reference,
        login: Option<&Login>,
        from: u64,
    ) -> Result<Response, RegistryError> {
        let url = url(reference, &request.path)?;
        let whole = reference.whole();
        let question = Question {
            registry: reference.resolve_registry(),
            repository: reference.repository(),
            reference: &whole,
            doing: request.doing,
            logged_in: login.is_some(),
            at_most: request.at_most,
            limit: self.limits.answer,
        };
        let mut attempts = 1;
        loop {
            let sent = self.send(request, &url, question, login, from).await;
            let failure = match sent {
                Ok((response, opening)) if response.status().is_success() => {
                    self.remember(question, login, opening);
                    return Ok(response);
                }
                Ok((response, _)) => match Answer::read(response, question).await {
                    Ok(_) => continue,
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            match patience::pause(failure.again, attempts, self.limits) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(patience::counted(failure.error, attempts)),
            }
            attempts += 1;
        }
    }

    /// Keeps what opened a repository.
    fn remember(&self, question: Question<'_>, login: Option<&Login>, opening: Option<HeaderValue>) {
        if let Some(header) = opening {
            let key = key(question, login);
            self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(key, header);
        }
    }

    /// Sends the question, again with credentials if the registry wants them; returns what opened it.
    async fn send(
        &self,
        request: &Request<'_>,
        url: &Url,
        question: Question<'_>,
        login: Option<&Login>,
        from: u64,
    ) -> Result<(Response, Option<HeaderValue>), Failure> {
        let key = key(question, login);
        let known = self.granted.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let send = async |authorization: Option<HeaderValue>| {
            let mut building =
                self.client(url).map_err(Failure::fatal)?.request(request.method.clone(), url.clone());
            building = building.header(ACCEPT, request.accept);
            if from > 0 {
                building = building.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(value) = authorization {
                building = building.header(AUTHORIZATION, value);
            }
            building.send().await.map_err(|error| answer::broken(&error, question))
        };
        let mut opening = known.clone();
        let mut response = send(known).await?;
        if response.status().as_u16() == 401
            && let Some(header) = self.let_in(&response, url, question, login).await?
        {
            opening = Some(header.clone());
            response = send(Some(header)).await?;
        }
        Ok((response, opening))
    }

    /// Returns the header that answers a challenge; none where there is nothing to answer with.
    async fn let_in(
        &self,
        response: &reqwest::Response,
        url: &Url,
        question: Question<'_>,
        login: Option<&Login>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let refuse = |message: String| {
            Failure::fatal(RegistryError::Unauthorised {
                registry: question.registry.to_owned(),
                repository: question.repository.to_owned(),
                status: 401,
                message,
                logged_in: question.logged_in,
            })
        };
        let basic = login.and_then(access::basic_header);
        match Challenge::find(response.headers(), url.scheme() == "https").map_err(refuse)? {
            Challenge::Basic => Ok(basic),
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", question.repository));
                let form = login.and_then(|login| access::identity_form(login, service.as_deref(), &scope));
                let building = if let Some(form) = form {
                    let post = self.client(&realm).map_err(Failure::fatal)?.post(realm);
                    post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
                } else {
                    let address = access::token_url(&realm, service.as_deref(), &scope);
                    let get = self.client(&address).map_err(Failure::fatal)?.get(address);
                    basic.into_iter().fold(get, |get, value| get.header(AUTHORIZATION, value))
                };
                let response = building.send().await.map_err(|error| answer::broken(&error, question))?;
                let answer = Answer::read(response, Question { at_most: TOKEN_LIMIT, ..question }).await?;
                access::token_header(&answer.body).map(Some).map_err(refuse)
            }
        }
    }

    /// Returns the client for `url`, made when it is first needed.
    fn client(&self, url: &Url) -> Result<&Client, RegistryError> {
        let loopback = url.host_str().is_some_and(is_loopback);
        let made = if loopback { &self.direct } else { &self.outside };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = self.new_client(loopback)?;
        Ok(made.get_or_init(|| client))
    }

    fn new_client(&self, loopback: bool) -> Result<Client, RegistryError> {
        crate::registry::use_ring();
        let trust = |error: reqwest::Error| RegistryError::Trust(error.to_string());
        let mut builder = Client::builder()
            .user_agent(concat!("smp-image/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.limits.connect)
            .read_timeout(self.limits.stall)
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let downgraded = attempt.previous().last().is_some_and(|from| from.scheme() == "https")
                    && attempt.url().scheme() != "https";
                if downgraded {
                    attempt.error("it redirects to an address without encryption")
                } else if attempt.previous().len() > 5 {
                    attempt.error("it redirects without end")
                } else {
                    attempt.follow()
                }
            }));
        if loopback {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &self.ca_bundle {
            check_bundle(pem).map_err(RegistryError::Trust)?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem).map_err(trust)?);
        }
        builder.build().map_err(trust)
    }
}

/// Returns under which name an opening is kept: by repository and user.
fn key(question: Question<'_>, login: Option<&Login>) -> String {
    let user = login.map_or("", |login| &login.user);
    format!("{}/{} {user}", question.registry, question.repository)
}

/// Returns whether `host` is this machine itself, whatever name service says: `localhost`, 127.0.0.0/8, `[::1]`.
fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().map_or(bare.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

fn url(reference: &Reference, path: &str) -> Result<Url, RegistryError> {
    let host = reference.resolve_registry();
    let parse = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/v2/{}/{path}", reference.repository())).map_err(|error| {
            RegistryError::Unreachable {
                registry: host.to_owned(),
                reason: format!("it is no address: {error}"),
            }
        })
    };
    let mut url = parse("https")?;
    if url.host_str().is_some_and(is_loopback) {
        url = parse("http")?;
    }
    Ok(url)
}
