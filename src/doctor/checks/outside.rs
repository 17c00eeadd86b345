//! What lies outside of the machine: AWS, the way there, the time.

use std::collections::BTreeMap;

use super::super::facts::{Aws, Clock, Way};
use super::super::{Checkup, Severity};

/// Credentials that end sooner do not outlive a large build and its push.
const SHORT: i64 = 3600;

/// From here AWS calls a signature too old or too new; its limit is five minutes.
const SKEW: i64 = 240;

/// A clock that is this far off is wrong, though nothing fails yet.
const SLIGHT: i64 = 30;

pub(super) fn aws(aws: Option<&Result<Aws, String>>) -> Vec<Checkup> {
    let aws = match aws {
        None => return vec![Checkup::of("aws", Severity::Unknown, "not asked (--offline)")],
        Some(Err(reason)) => {
            return vec![
                Checkup::of("aws", Severity::Note, reason.clone())
                    .remedy("only Amazon ECR needs them: aws sso login, AWS_PROFILE, or a role"),
            ];
        }
        Some(Ok(aws)) => aws,
    };
    let who = format!("{} in {}", aws.arn, aws.region);
    let credentials = match aws.expires_in {
        None => Checkup::of("aws", Severity::Fine, format!("{who}; the credentials do not end")),
        Some(left) if left <= 0 => {
            Checkup::of("aws", Severity::Warning, format!("{who}; the credentials have ended"))
                .remedy("renew them: aws sso login, or assume the role again")
        }
        Some(left) if left < SHORT => {
            Checkup::of("aws", Severity::Warning, format!("{who}; the credentials end in {} min", left / 60))
                .remedy("a large build and its push take longer: renew them first")
        }
        Some(left) => Checkup::of(
            "aws",
            Severity::Fine,
            format!("{who}; the credentials end in {} h {} min", left / 3600, left % 3600 / 60),
        ),
    };
    let ecr = &aws.ecr;
    let found = match (&ecr.login, &ecr.repository) {
        (Err(reason), _) => Checkup::of("ecr", Severity::Warning, format!("no login: {reason}"))
            .remedy("the identity needs ecr:GetAuthorizationToken on *"),
        (Ok(()), Err(reason)) => {
            Checkup::of("ecr", Severity::Warning, format!("a login, and no look at repositories: {reason}"))
                .remedy("the identity needs ecr:DescribeRepositories")
        }
        (Ok(()), Ok(false)) => {
            Checkup::of("ecr", Severity::Note, format!("a login; there is no repository {} yet", ecr.name))
                .remedy("release and push make it with --create-repository")
        }
        (Ok(()), Ok(true)) => Checkup::of(
            "ecr",
            Severity::Fine,
            format!("a login, and the repository {}; whether it takes a push shows only a push", ecr.name),
        ),
    };
    vec![credentials, found]
}

pub(super) fn way(way: &Way) -> Vec<Checkup> {
    let mut found = Vec::new();
    if !way.proxies.is_empty() {
        let shown: Vec<String> = way.proxies.iter().map(|(name, proxy)| format!("{name}={proxy}")).collect();
        found.push(
            Checkup::of("proxy", Severity::Note, shown.join(", "))
                .remedy("the engine and its builds have settings of their own: proxies in ~/.docker/config.json and daemon.json"),
        );
    }
    let mut files: BTreeMap<&str, (Vec<&str>, bool)> = BTreeMap::new();
    for (name, file, readable) in &way.certificates {
        files.entry(file).or_insert_with(|| (Vec::new(), *readable)).0.push(name);
    }
    for (file, (names, readable)) in files {
        let named = format!("{file} ({})", names.join(", "));
        found.push(if readable {
            let message =
                format!("{named}: builds with BuildKit get these certificates as a secret, images never");
            Checkup::of("certificates", Severity::Note, message)
        } else {
            Checkup::of("certificates", Severity::Warning, format!("{named} cannot be read"))
                .remedy("unset it, or let it name a PEM file")
        });
    }
    if found.is_empty() {
        found.push(Checkup::of("proxy", Severity::Fine, "no proxy and no certificates of its own"));
    }
    found
}

pub(super) fn clock(clock: Option<&Result<Clock, String>>) -> Vec<Checkup> {
    let found = match clock {
        None => Checkup::of("clock", Severity::Unknown, "not asked (--offline)"),
        Some(Err(reason)) => {
            Checkup::of("clock", Severity::Unknown, format!("no server tells the time: {reason}"))
        }
        Some(Ok(Clock { server, ahead })) => {
            let side = if *ahead < 0 { "behind" } else { "ahead of" };
            let message = format!("{} s {side} {server}", ahead.abs());
            match ahead.abs() {
                off if off >= SKEW => Checkup::of("clock", Severity::Warning, message)
                    .remedy("AWS refuses signatures that are five minutes off, and TLS may too: set the clock (timedatectl set-ntp true)"),
                off if off >= SLIGHT => Checkup::of("clock", Severity::Note, message).remedy("set the clock (timedatectl set-ntp true)"),
                _ => Checkup::of("clock", Severity::Fine, message),
            }
        }
    };
    vec![found]
}
