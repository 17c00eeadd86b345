//! An engine whose disk is full: a real one, on a file system in memory that is too small.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::builders::left_nothing;
use super::{TINY, Workshop, mirror};
use crate::program::Ended;
use crate::workbench::{Which, variable};

/// An engine of its own, as the workbench makes it, with a small disk; it ends, and its disk with it, when this is dropped.
pub(super) struct SmallEngine {
    engine: &'static str,
    folder: tempfile::TempDir,
}

impl SmallEngine {
    /// Starts an engine that has the base image and about `spare` MiB more.
    pub(super) fn start(name: &'static str, spare: u32) -> Self {
        let engine = Self { engine: name, folder: tempfile::tempdir().unwrap() };
        let state = engine.state();
        std::fs::create_dir(&state).unwrap();
        let size = format!("size={}m", 90 + spare);
        done(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&state));
        // What the other engines were unpacked from; `cache/base/NAME.tar` says where.
        let base = PathBuf::from(variable("SMP_WB_BASE_TAR"));
        let cache = base.ancestors().nth(2).unwrap();
        std::os::unix::fs::symlink(cache, state.join("cache")).unwrap();
        engine.workbench(&["up", name]);
        engine
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn workbench(&self, words: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workbench/workbench.sh");
        done(Command::new("bash").arg(script).args(words).env("SMP_WORKBENCH", self.state()));
    }

    /// Asserts that a build under the name of `workshop` left no image, no container and no file.
    fn left_nothing(&self, workshop: &Workshop) {
        for words in [&["images", "--quiet", &workshop.tag][..], &["ps", "--all", "--quiet"]] {
            let mut docker = Command::new(variable("SMP_WB_DOCKER"));
            docker.env("DOCKER_CONFIG", variable("SMP_WB_DOCKER_CONFIG")).env("DOCKER_HOST", self.address());
            let output = docker.args(words).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{words:?}");
        }
        left_nothing(workshop);
    }

    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.state().join("run").join(self.engine).join("docker.sock").display())
    }
}

impl Drop for SmallEngine {
    fn drop(&mut self) {
        self.workbench(&["down"]);
        done(Command::new("umount").arg("--lazy").arg(self.state()));
    }
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || std::thread::panicking(), "{command:?}: {said}");
}

#[test]
fn an_engine_without_space_is_the_machines_fault_and_what_to_free_is_said() {
    let engine = SmallEngine::start("engine26", 60);
    let workshop = Workshop::tiny(Which::Graph);
    let build = |dialect: &str| {
        let mirror = mirror();
        let words = workshop.words("build", &mirror, &["--quiet", "--dialect", dialect]);
        Ended::of(workshop.program(&words).env("DOCKER_HOST", engine.address()))
    };
    for dialect in ["buildkit", "classic"] {
        // A step that finds no space where it writes.
        workshop.place.write("tiny.toml", &format!("{TINY}\n[apt]\npackages = [\"gcc\"]\n"));
        let _stale = std::fs::remove_file(workshop.place.path("tiny.lock"));
        build(dialect)
            .failed(9, &["o space left on device", "hint: free space where the engine keeps its data"]);
        engine.left_nothing(&workshop);
        // Files that do not fit where the engine puts them.
        workshop.place.write("tiny.toml", TINY);
        std::fs::remove_file(workshop.place.path("tiny.lock")).unwrap();
        std::fs::write(workshop.place.path("files/big"), vec![7; 100 << 20]).unwrap();
        build(dialect).failed(9, &["no space left", "hint: free space where the engine keeps its data"]);
        engine.left_nothing(&workshop);
        std::fs::remove_file(workshop.place.path("files/big")).unwrap();
    }
}
