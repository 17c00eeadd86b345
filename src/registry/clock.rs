//! What time a server thinks it is: the `Date` of any answer. Signatures of AWS end after five minutes.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::DATE;

/// How long a server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Returns how many seconds this clock is ahead of that of the registry `host`.
///
/// # Errors
/// Where it does not answer, or tells no time; in words.
pub async fn ahead_of(host: &str) -> Result<i64, String> {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let mut client = reqwest::Client::builder().timeout(LIMIT).connect_timeout(LIMIT);
    if local {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| super::reason::root(&error))?;
    let scheme = if local { "http" } else { "https" };
    let answer = client.get(format!("{scheme}://{host}/v2/")).send().await;
    let answer = answer.map_err(|error| super::reason::root(&error))?;
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.ok_or_else(|| format!("{host} tells no time"))?;
    let theirs = jiff::fmt::rfc2822::parse(date).map_err(|error| format!("{host}: {error}"))?;
    Ok(jiff::Timestamp::now().as_second() - theirs.timestamp().as_second())
}
