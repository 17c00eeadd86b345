//! The emulator of this machine, taken away or given back while a test needs it so. It is the whole machine's: one test at a time.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

static MACHINE: Mutex<()> = Mutex::new(());

/// Whether this machine starts programs of arm64, for as long as this lives; afterwards it does not.
pub(crate) struct Emulation {
    _alone: MutexGuard<'static, ()>,
    on: bool,
}

impl Emulation {
    /// Takes the emulator away.
    pub(crate) fn none() -> Self {
        let alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        emulate("off");
        Self { _alone: alone, on: false }
    }

    /// Gives the emulator back.
    pub(crate) fn switch_on(&mut self) {
        emulate("on");
        self.on = true;
    }

    /// Takes it away again.
    pub(crate) fn switch_off(&mut self) {
        emulate("off");
        self.on = false;
    }
}

impl Drop for Emulation {
    fn drop(&mut self) {
        if self.on {
            emulate("off");
        }
    }
}

fn emulate(state: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workbench/workbench.sh");
    let status = Command::new(script).args(["emulate", state]).status().unwrap();
    assert!(status.success(), "emulate {state}");
}
