//! The program as a user starts it: in a folder of its own, with a home of its own and an environment that a test names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder with a recipe in it, beside a home and a folder for temporary files. Removed when it is dropped.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

/// What a command left: its exit code and what it wrote.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["here", "home", "tmp"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    /// Returns where `name` is, as seen from the folder in which the program starts.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("here").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Returns the program with `arguments`, to be started here; no engine is in its reach unless a test names one.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smp-image"));
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .env("TMPDIR", self.root.path().join("tmp"))
            .env("DOCKER_HOST", format!("unix://{}/no-engine.sock", self.root.path().display()));
        command
    }

    /// Returns every file below this place with its path, sorted: what a command left behind.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = walkdir::WalkDir::new(self.root.path())
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| !entry.file_type().is_dir())
            .map(|entry| self.shown(entry.path()))
            .collect();
        files.sort();
        files
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.root.path()).unwrap().display().to_string()
    }
}

impl Ended {
    /// Runs `command` to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts that it went well, and returns what it printed.
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// Asserts that it ended with `code` and said each of `words`, and returns what it said.
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in what was said:\n{}", self.err);
        }
        assert!(self.err.contains("error: "), "{}", self.err);
        self.err
    }
}
