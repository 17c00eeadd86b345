//! The values of a job that come from a person.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::catalog::{Instance, Rdma};
use crate::recipe::BadValue;

/// The name of an object: a DNS label, short enough for the names that are made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectName(String);

impl ObjectName {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let label = (1..=50).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(plain)
            && text.chars().all(|c| plain(c) || c == '-');
        // The operator appends `-worker-999` and a pod's name may have 63 letters.
        let expected = "a name (lower-case letters, digits and `-`, beginning with a letter, at most 50)";
        if label { Ok(Self(text.to_owned())) } else { Err(BadValue::new(text, expected)) }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvName(String);

impl EnvName {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let good = text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let expected = "the name of an environment variable (letters, digits and `_`)";
        if good { Ok(Self(text.to_owned())) } else { Err(BadValue::new(text, expected)) }
    }
}

/// Returns what is wrong with setting `name` on `instance` (awsome-distributed-ai, efa-cheatsheet.md; `fi_efa(7)`).
pub(super) fn harm(name: &EnvName, instance: &Instance) -> Option<String> {
    let name = name.as_str();
    if name == "FI_EFA_USE_DEVICE_RDMA" && !matches!(instance.rdma, Rdma::Read | Rdma::ReadWrite) {
        return Some(format!("{name} aborts the process on a device without RDMA, as {} has", instance.name));
    }
    if name.starts_with("RDMAV_")
        || matches!(name, "FI_PROVIDER" | "FI_EFA_USE_DEVICE_RDMA" | "FI_EFA_FORK_SAFE")
    {
        return Some(format!(
            "{name} is not needed with aws-ofi-nccl 1.7 and newer, which sets what it needs"
        ));
    }
    if matches!(name, "NCCL_PROTO" | "NCCL_ALGO") {
        return Some(format!("{name} costs speed with aws-ofi-nccl newer than 1.5.0"));
    }
    None
}
