//! Letting oneself in: from the challenge of a registry (`WWW-Authenticate`) to the header that answers it.

use http_auth::{ChallengeParser, ChallengeRef};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use crate::engine::Login;

/// How a registry wants to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With the user's name and password.
    Basic,
    /// With a token that another service gives out.
    Bearer {
        /// Where to ask for it.
        realm: Url,
        /// For whom, as the registry calls itself.
        service: Option<String>,
        /// For what, if the registry says.
        scope: Option<String>,
    },
}

/// What a token service answers. The two names are from two generations of the same specification.
#[derive(Deserialize)]
struct Grant {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge {
    /// Returns the challenge that we can answer best, a token before a password.
    ///
    /// `encrypted` says that the registry itself was asked over TLS: its token service then must be too, or a
    /// password could be read on the way.
    pub(super) fn find(headers: &HeaderMap, encrypted: bool) -> Result<Self, String> {
        let mut basic = false;
        let mut fault = None;
        for text in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
            for challenge in ChallengeParser::new(text).flatten() {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    match bearer(&challenge, encrypted) {
                        Ok(found) => return Ok(found),
                        Err(reason) => fault = Some(reason),
                    }
                }
                basic |= challenge.scheme.eq_ignore_ascii_case("basic");
            }
        }
        if basic {
            return Ok(Self::Basic);
        }
        Err(fault.unwrap_or_else(|| "it wants credentials but does not say how".to_owned()))
    }
}

/// Returns the address at which the token is asked for.
pub(super) fn token_url(realm: &Url, service: Option<&str>, scope: &str) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", scope);
    }
    url
}

/// Returns the header that carries the token of a token service's answer.
pub(super) fn token_header(body: &[u8]) -> Result<HeaderValue, String> {
    let grant: Grant =
        serde_json::from_slice(body).map_err(|error| format!("the token cannot be read: {error}"))?;
    let token = grant.token.or(grant.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or("the token service gave no token")?;
    hidden(&format!("Bearer {token}"))
        .ok_or_else(|| "the token has letters that no header can carry".to_owned())
}

/// Returns the form with which a token service exchanges an identity token (Docker's `identitytoken`, OAuth 2 refresh token) for
/// a token; nothing where the login is a name and a password.
pub(super) fn identity_form(login: &Login, service: Option<&str>, scope: &str) -> Option<String> {
    if login.user != IDENTITY_TOKEN_USER {
        return None;
    }
    // Only a URL has a writer of forms at hand.
    let mut form = Url::parse("form:").ok()?;
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", "smp-image")
        .append_pair("service", service.unwrap_or_default())
        .append_pair("scope", scope)
        .append_pair("refresh_token", &String::from_utf8_lossy(login.password.expose()));
    form.query().map(str::to_owned)
}

/// The user that stands for an identity token in the password's place, as Docker's credential helpers write it.
const IDENTITY_TOKEN_USER: &str = "<token>";

/// Returns the header that carries name and password.
pub(super) fn basic_header(login: &Login) -> Option<HeaderValue> {
    use base64::Engine as _;
    let mut plain = login.user.clone().into_bytes();
    plain.push(b':');
    plain.extend_from_slice(login.password.expose());
    hidden(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain)))
}

/// Returns a header value that no log shows.
fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bearer(challenge: &ChallengeRef<'_>, encrypted: bool) -> Result<Challenge, String> {
    let parameter = |name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = parameter("realm").ok_or("its challenge names no token service")?;
    let realm = Url::parse(&realm)
        .map_err(|_| "its challenge names a token service that is no address".to_owned())?;
    if realm.scheme() != "https" && encrypted {
        return Err(format!("it sends us to a token service without encryption ({realm})"));
    }
    Ok(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Secret;

    fn find(text: &str, encrypted: bool) -> Result<Challenge, String> {
        Challenge::find(&HeaderMap::from_iter([(WWW_AUTHENTICATE, text.parse().unwrap())]), encrypted)
    }

    #[test]
    fn docker_hubs_challenge_leads_to_its_token_service() {
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#;
        let Ok(Challenge::Bearer { realm, service, scope }) = find(text, true) else { panic!("no bearer") };
        let url = token_url(&realm, service.as_deref(), &scope.unwrap());
        assert_eq!(
            url.as_str(),
            "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Alibrary%2Fdebian%3Apull"
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let text = r#"Basic realm="x", Bearer realm="https://a.example/token""#;
        assert!(matches!(find(text, true), Ok(Challenge::Bearer { .. })));
        assert_eq!(
            find(
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
                true
            ),
            Ok(Challenge::Basic)
        );
    }

    #[test]
    fn a_token_service_without_encryption_gets_no_password() {
        let text = r#"Bearer realm="http://auth.example/token""#;
        assert!(find(text, true).unwrap_err().contains("without encryption"));
        assert!(find(text, false).is_ok());
        assert!(find("Negotiate", true).is_err());
        assert!(find(r#"Bearer realm="nowhere""#, false).is_err());
    }

    #[test]
    fn credentials_are_sent_and_not_shown() {
        let login = Login { user: "AWS".into(), password: Secret::new(*b"p:w") };
        let header = basic_header(&login).unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic QVdTOnA6dw==");
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert_eq!(token_header(br#"{"access_token":"t"}"#).unwrap(), "Bearer t");
        assert!(token_header(b"{}").is_err());
    }
}
