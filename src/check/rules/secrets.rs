//! No secret lies in the configuration, the history or a well-known file.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::Secret, RuleCode::PrivateKey],
    promise: "Nothing that looks like a password, token or key is in environment, labels, history or a credentials file; no private key lies in a layer.",
    story: "`ARG TOKEN` and `ENV TOKEN` stay readable in the history of every copy of the image, also after a later line unsets \
            them. Values are never shown here, so that the report does not leak what the image does. SSH host keys that are made while \
            an image is built are the same in every container of it: whoever has the image can pretend to be any of them \
            (AWS's own training images generated a shared root key at build, aws/deep-learning-containers, Dockerfile.cuda).",
    run,
};

const WORDS: [&str; 8] =
    ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"];
/// Prefixes of real tokens: AWS access keys, GitHub, Hugging Face, Slack; private keys.
const FORMS: [&str; 7] = ["AKIA", "ASIA", "ghp_", "github_pat_", "hf_", "xoxb-", "-----BEGIN"];
const FILES: [&str; 5] = [
    "root/.docker/config.json",
    "root/.netrc",
    "root/.pypirc",
    "root/.git-credentials",
    "root/.cache/huggingface/token",
];

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let config = &subject.image.config;
    let mut findings = Vec::new();
    let pairs = config.run.env.iter().filter_map(|line| line.split_once('='));
    for (name, value) in pairs {
        if looks_secret(name, value) {
            findings.push(finding(name, "the environment sets it, and it looks like a secret"));
        }
    }
    for (name, value) in &config.run.labels {
        if looks_secret(name, value) {
            findings.push(finding(name, "a label of this name looks like a secret"));
        }
    }
    for (at, step) in config.history.iter().enumerate() {
        if step_holds_secret(&step.created_by) {
            findings.push(finding(
                &format!("history step {}", at + 1),
                "its command holds what looks like a secret",
            ));
        }
    }
    findings.extend(subject.image.root.files().filter_map(|(path, note, layer)| {
        let text = note.text.as_ref()?.lines.lines().next()?;
        if path.ends_with("/.aws/credentials") {
            return Some(key(
                Severity::Error,
                path,
                format!("it holds an {text} (layer {layer}): everybody who pulls the image has it"),
            ));
        }
        let shared = path.rsplit('/').next().is_some_and(|name| name.starts_with("ssh_host_"));
        let whose = if shared {
            "every container shares this host key"
        } else {
            "everybody who pulls the image has it"
        };
        text.ends_with("PRIVATE KEY-----")
            .then(|| key(Severity::Warning, path, format!("a private key (layer {layer}): {whose}")))
    }));
    for path in FILES.iter().filter(|path| subject.image.root.contains(path)) {
        findings.push(finding(&format!("/{path}"), "files of this name hold credentials"));
    }
    findings
}

fn key(severity: Severity, path: &str, evidence: String) -> Finding {
    let remedy = "delete it in the step that makes it, make keys when a container starts, and revoke what was in a layer";
    Finding::new(severity, RuleCode::PrivateKey, format!("/{path}"), evidence, remedy)
}

fn finding(subject: &str, evidence: &str) -> Finding {
    Finding::new(
        Severity::Warning,
        RuleCode::Secret,
        subject,
        evidence,
        "revoke it if it is one, and give it to the build as a secret mount",
    )
}

pub(super) fn looks_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    // A path or a reference (`TOKEN_FILE=/run/secrets/x`) is not the secret itself.
    let names_secret =
        WORDS.iter().any(|word| upper.ends_with(word)) && !value.is_empty() && !value.starts_with(['/', '$']);
    names_secret || has_form(value)
}

fn has_form(text: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || "\"'=,;:@/".contains(c)).any(|word| {
        FORMS
            .iter()
            .any(|form| word.strip_prefix(form).is_some_and(|rest| *form == "-----BEGIN" || is_token(rest)))
    })
}

fn is_token(rest: &str) -> bool {
    rest.len() >= 16 && rest.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Returns whether a step sets a variable that looks secret, or holds a text of a token's form.
pub(super) fn step_holds_secret(step: &str) -> bool {
    let assigns = |word: &str| {
        let word = word.trim_start_matches(['|', '-']);
        word.split_once('=').is_some_and(|(name, value)| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && looks_secret(name, value.trim_matches('"'))
        })
    };
    step.split_whitespace().any(assigns) || has_form(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_and_by_form() {
        assert!(looks_secret("HF_TOKEN", "abc"));
        assert!(looks_secret("whatever", "AKIAIOSFODNN7EXAMPLE0"));
        assert!(!looks_secret("TOKENIZERS_PARALLELISM", "false"));
        assert!(!looks_secret("TOKEN", "$BUILD_TOKEN"));
        assert!(!looks_secret("AWS_WEB_IDENTITY_TOKEN", "/var/run/token"));
    }

    #[test]
    fn a_token_in_a_command_is_seen() {
        assert!(step_holds_secret("|1 PIP_PASSWORD=hunter2 /bin/sh -c pip install x"));
        assert!(step_holds_secret("RUN git clone https://x:ghp_0123456789abcdef0123@github.com/a/b"));
        assert!(!step_holds_secret("RUN apt-get install -y ca-certificates"));
        assert!(!step_holds_secret("ENV PYTHONUNBUFFERED=1"));
    }
}
