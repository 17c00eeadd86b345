//! Hosts of Amazon ECR: whose account, which region, which kind of endpoint.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of an AWS account: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

/// A host of a private Amazon ECR registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrHost {
    /// Whose registry it is.
    pub account: Account,
    /// Where it is.
    pub region: String,
    /// Whether it is an endpoint with FIPS 140 validated cryptography.
    pub fips: bool,
    /// Whether it answers over IPv6 too.
    pub dual_stack: bool,
    /// The host itself.
    text: String,
}

/// A text that is no host of a private Amazon ECR registry, or no account number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {1}")]
pub struct BadHost(String, &'static str);

/// The domains of ECR by partition, and whether they are the ones of the dual-stack endpoints (awslabs/amazon-ecr-credential-helper,
/// `ecr-login/api/client.go`).
const DOMAINS: [(&str, bool); 9] = [
    ("amazonaws.com", false),
    ("amazonaws.com.cn", false),
    ("amazonaws.eu", false),
    ("sc2s.sgov.gov", false),
    ("c2s.ic.gov", false),
    ("cloud.adc-e.uk", false),
    ("csp.hci.ic.gov", false),
    ("on.aws", true),
    ("on.amazonwebservices.com.cn", true),
];

impl EcrHost {
    /// Returns the host.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether `host` looks like one of ECR's, if perhaps misspelt: worth an error of its own.
    pub fn is_meant_by(host: &str) -> bool {
        host.contains(".dkr.ecr") || host.contains(".dkr-ecr")
    }
}

impl FromStr for EcrHost {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bad = || {
            let shown = text.chars().take(100).flat_map(char::escape_debug).collect();
            BadHost(shown, "a host of Amazon ECR (such as 123456789012.dkr.ecr.us-west-2.amazonaws.com)")
        };
        let (account, rest) = text.split_once('.').ok_or_else(bad)?;
        let account = account.parse().map_err(|_| bad())?;
        // dkr.ecr[-fips].REGION.DOMAIN, or dkr-ecr[-fips].REGION.DOMAIN on dual-stack endpoints.
        let (dashed, rest) = match (rest.strip_prefix("dkr.ecr"), rest.strip_prefix("dkr-ecr")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(bad()),
        };
        let (fips, rest) = rest.strip_prefix("-fips").map_or((false, rest), |rest| (true, rest));
        let (region, domain) =
            rest.strip_prefix('.').and_then(|rest| rest.split_once('.')).ok_or_else(bad)?;
        let dual_stack = DOMAINS.iter().find(|(name, _)| *name == domain).ok_or_else(bad)?.1;
        if dashed != dual_stack || !is_region(region) {
            return Err(bad());
        }
        Ok(Self { account, region: region.to_owned(), fips, dual_stack, text: text.to_owned() })
    }
}

impl fmt::Display for EcrHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Account {
    /// Returns the twelve digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Account {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            let shown = text.chars().take(100).flat_map(char::escape_debug).collect();
            Err(BadHost(shown, "an AWS account number (twelve digits)"))
        }
    }
}

impl TryFrom<String> for Account {
    type Error = BadHost;

    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether `text` has the form of a region's name, such as `us-gov-west-1`.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.len() >= 3
        && text.len() <= 32
        && parts.iter().all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
        && parts.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_region_are_read_from_every_documented_host() {
        for (text, region, fips, dual_stack) in [
            ("123456789012.dkr.ecr.us-west-2.amazonaws.com", "us-west-2", false, false),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", false, false),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", true, false),
            ("123456789012.dkr-ecr.eu-central-1.on.aws", "eu-central-1", false, true),
            ("123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", true, true),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", false, true),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false, false),
        ] {
            let host: EcrHost = text.parse().unwrap();
            assert_eq!((host.account.as_str(), host.region.as_str()), ("123456789012", region), "{text}");
            assert_eq!((host.fips, host.dual_stack), (fips, dual_stack), "{text}");
            assert_eq!(host.to_string(), text);
        }
    }

    #[test]
    fn what_only_resembles_a_host_of_ecr_is_none() {
        for text in [
            "12345678901.dkr.ecr.us-west-2.amazonaws.com",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com.example.com",
            "123456789012.dkr.ecr.us-west-2.amazonaws.org",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.amazonaws.com",
            "123456789012.dkr-ecr.us-west-2.amazonaws.com",
            "123456789012.dkr.ecr.us-west-2.on.aws",
            "public.ecr.aws",
            "docker.io",
            "",
        ] {
            assert!(text.parse::<EcrHost>().is_err(), "{text}");
        }
        assert!(EcrHost::is_meant_by("12345678901.dkr.ecr.us-west-2.amazonaws.com"));
        assert!(!EcrHost::is_meant_by("public.ecr.aws"));
    }
}
