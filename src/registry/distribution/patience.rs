//! How long and how often a registry is asked.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use super::RegistryError;
use super::answer::Again;

/// How long and how often a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to stand.
    pub connect: Duration,
    /// Between two signs of life of an answer.
    pub stall: Duration,
    /// For one question with its answer.
    pub answer: Duration,
    /// How often a question is asked where the registry limits us or fails; at least once.
    pub attempts: u32,
    /// The longest pause between two attempts; a registry that asks for a longer one is not asked again.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            answer: Duration::from_mins(1),
            attempts: 4,
            pause: Duration::from_secs(20),
        }
    }
}

/// Returns how long to wait before the next attempt; none where there is no next one.
pub(super) fn pause(again: Again, attempts: u32, limits: Limits) -> Option<Duration> {
    if attempts >= limits.attempts {
        return None;
    }
    match again {
        // Never earlier than asked, and not all clients of a registry in the same moment.
        Again::After(wait) if wait <= limits.pause => Some(wait + jitter(Duration::from_millis(500))),
        Again::Never | Again::After(_) => None,
        Again::Later => {
            let step = Duration::from_millis(500).saturating_mul(1 << attempts.min(10)).min(limits.pause);
            Some(step / 2 + jitter(step / 2))
        }
    }
}

/// Returns a random duration below `most`.
fn jitter(most: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    // 16 bits of randomness are plenty to spread clients.
    most.mul_f64(f64::from(u16::try_from(random >> 48).unwrap_or_default()) / f64::from(u16::MAX))
}

/// Returns the error with how often the registry was asked.
pub(super) fn counted(error: RegistryError, count: u32) -> RegistryError {
    match error {
        RegistryError::RateLimited { registry, retry_after, .. } => {
            RegistryError::RateLimited { registry, retry_after, attempts: count }
        }
        RegistryError::ServerError { registry, status, message, .. } => {
            RegistryError::ServerError { registry, status, message, attempts: count }
        }
        other => other,
    }
}
