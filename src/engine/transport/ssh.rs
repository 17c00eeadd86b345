//! An engine on another machine: `ssh HOST docker system dial-stdio`, its standard streams as the connection.
#![expect(
    clippy::disallowed_methods,
    reason = "the engine's door starts `ssh`, which knows the user's keys and hosts"
)]

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::Duplex;

/// Starts `ssh`. What it says on standard error lands in `complaint`, the last 4 KiB of it.
pub(super) fn dial(
    destination: &str,
    port: Option<u16>,
    socket: Option<&str>,
    complaint: &Arc<Mutex<String>>,
) -> io::Result<Box<dyn Duplex>> {
    let mut command = Command::new("ssh");
    command.args(["-T", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15"]);
    // Nobody can be asked for a password in the middle of a build.
    command.args(["-o", "BatchMode=yes"]);
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", destination, "docker"]);
    if let Some(socket) = socket {
        command.args(["--host", &format!("unix://{}", quoted(socket))]);
    }
    command.args(["system", "dial-stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("the program `ssh` is not installed"),
        _ => error,
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("`ssh` has no standard streams"));
    };
    tokio::spawn(listen(stderr, Arc::clone(complaint)));
    Ok(Box::new(SshStream { stdin: Some(stdin), stdout, _child: child }))
}

/// Quotes for the shell on the other side, which `ssh` cannot avoid.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

async fn listen(mut stderr: ChildStderr, complaint: Arc<Mutex<String>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut text = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        if text.len() > 4096 {
            let cut = text.ceil_char_boundary(text.len() - 4096);
            text.drain(..cut);
        }
    }
}

/// The standard streams of `ssh`; the process ends with them.
struct SshStream {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    _child: Child,
}

impl SshStream {
    fn stdin(self: Pin<&mut Self>) -> io::Result<Pin<&mut ChildStdin>> {
        self.get_mut().stdin.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(context, buffer)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stdin()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A pipe is half-closed by letting go of it.
        drop(self.get_mut().stdin.take());
        Poll::Ready(Ok(()))
    }
}
