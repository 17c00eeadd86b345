//! What a command sees of the machine, taken once: environment, folder, terminal. A test can say what it is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::Format;
use crate::engine::Environment;
use crate::report::plain;

/// What a command sees of the machine.
#[derive(Debug, Clone)]
pub struct World {
    /// The environment variables.
    pub env: BTreeMap<String, OsString>,
    /// The folder in which it was started.
    pub folder: PathBuf,
    /// Whether progress goes to a terminal.
    pub terminal: bool,
    /// The width of the terminal that results go to, in characters; absent where they go elsewhere.
    pub width: Option<usize>,
    /// The width of the terminal that remarks and errors go to, in characters; absent where they go elsewhere.
    pub margin: Option<usize>,
    /// Whether colours are wanted.
    pub color: bool,
    /// Whether only what went wrong is said.
    pub quiet: bool,
    /// Files of facts that the user adds to the catalogue.
    pub catalog: Vec<PathBuf>,
    /// Whether data went to standard output; every copy of this world knows.
    pub printed: Arc<AtomicBool>,
}

impl World {
    /// Looks at this process.
    pub fn of_this_process() -> io::Result<Self> {
        let env: BTreeMap<String, OsString> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        let terminal = io::stderr().is_terminal();
        let color = terminal && !env.contains_key("NO_COLOR");
        let width = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let margin = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
        Ok(Self {
            env,
            folder: std::env::current_dir()?,
            terminal,
            width,
            margin,
            color,
            quiet: false,
            catalog: Vec::new(),
            printed: Arc::default(),
        })
    }

    /// Returns the environment as the engine's room takes it.
    pub fn environment(&self) -> Environment {
        let text = |value: &OsString| value.to_str().map(str::to_owned);
        self.env.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
    }

    /// Returns the text of an environment variable, if it is set, not empty and text.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }

    /// Returns `path` as seen from the folder of the command.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// Returns where `program` is, searched on `PATH`.
    pub fn program(&self, program: &str) -> Option<PathBuf> {
        let path = self.env.get("PATH")?;
        std::env::split_paths(path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
    }

    /// Writes data to standard output. A reader that has gone away is no failure.
    pub fn print(&self, text: &str) -> io::Result<()> {
        self.printed.store(true, Ordering::Relaxed);
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a result to standard output; one for people is broken to the width of the terminal where it goes to one.
    pub fn present(&self, text: &str, format: Format) -> io::Result<()> {
        match (format, self.width) {
            (Format::Text, Some(width)) => self.print(&plain::folded(text, width)),
            _ => self.print(text),
        }
    }

    /// Writes a remark to standard error, unless only what went wrong is to be said.
    pub fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        let folded = self.margin.map(|margin| plain::folded(text, margin));
        // Where even standard error is closed there is nobody to tell.
        let _nobody_listens = writeln!(io::stderr(), "{}", folded.as_deref().unwrap_or(text));
    }
}
