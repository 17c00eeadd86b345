//! Probes on this machine, without an engine: on a GPU host, inside a running pod, in a terminal of Code Editor.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::order::{RUNNER, order};
use super::{Options, Outcome, outcomes, whole_limit};
use crate::engine::RunResult;
use crate::plan::Probe;

/// Why no probe could be run on this machine.
#[derive(Debug, thiserror::Error)]
pub enum HereError {
    /// There is no such Python, or it does not start.
    #[error("cannot start {}: {reason}", python.display())]
    Python {
        /// What was to be started.
        python: PathBuf,
        /// Why it did not.
        reason: std::io::Error,
    },
    /// The runner could not be heard.
    #[error("cannot read what the probes say: {0}")]
    Lost(std::io::Error),
    /// The runner did not end, although it kills each probe at its limit.
    #[error("the probes did not end within {} s", .0.as_secs())]
    TooLong(std::time::Duration),
}

/// Runs `probes` with `python` on this machine and returns an outcome for each, in their order.
///
/// When this is dropped, the runner's standard input ends, at which it kills the probe that runs and ends itself.
pub async fn run_here(python: &Path, probes: &[Probe], options: &Options) -> Result<Vec<Outcome>, HereError> {
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    let limit = whole_limit(probes, options);
    match tokio::time::timeout(limit, told(python, probes, options)).await {
        Ok(result) => Ok(outcomes(probes, &result?)),
        Err(_) => Err(HereError::TooLong(limit)),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door to this machine's Python")]
async fn told(python: &Path, probes: &[Probe], options: &Options) -> Result<RunResult, HereError> {
    let began = Instant::now();
    let unstarted = |reason| HereError::Python { python: python.to_owned(), reason };
    let mut child = tokio::process::Command::new(python)
        .args(["-c", RUNNER])
        .envs(&options.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(unstarted)?;
    let (mut input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let order = order(probes, options, true);
    let feed = async {
        // A Python that ends at once reads nothing; what it wrote says why.
        if let Some(input) = &mut input {
            let _unread = input.write_all(&order).await;
            let _unread = input.flush().await;
        }
    };
    let listen = async {
        let hear = async |stream: Option<tokio::process::ChildStdout>, into: &mut Vec<u8>| match stream {
            Some(mut stream) => stream.read_to_end(into).await.map(drop),
            None => Ok(()),
        };
        let complain = async {
            match errors {
                Some(mut errors) => errors.read_to_end(&mut stderr).await.map(drop),
                None => Ok(()),
            }
        };
        tokio::try_join!(hear(output, &mut stdout), complain)
    };
    let ((), heard) = tokio::join!(feed, listen);
    heard.map_err(HereError::Lost)?;
    let status = child.wait().await.map_err(HereError::Lost)?;
    // Kept open until now: its end would have ended the runner.
    drop(input);
    let code = status.code().map_or(137, i64::from);
    Ok(RunResult { status: code, stdout, stderr, took: began.elapsed() })
}
