//! No false alarm: an image of unmodified wheels that fit each other has no error; `make stacks` takes the large ones.

use std::process::Command;

use crate::command::leads_out;
use crate::workbench::variable;

#[test]
fn a_small_stack_of_unmodified_wheels_has_no_error_and_nothing_unknown() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new("python3");
    command.arg(format!("{root}/workbench/stacks.py"));
    command.args(["--program", env!("CARGO_BIN_EXE_smp-image"), "--keep", "--wheels"]);
    command.arg(format!("{}/stacks", variable("SMP_WB_WHEELS"))).arg("small");
    command.env("SMP_WB_BASE_ARM64", variable("SMP_WB_BASE_ARM64"));
    let output = leads_out(&mut command).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("0 false alarms in 1 stack"), "{told}");
    // It was read: torch's libraries and what they load. torchaudio's wheel for Arm forgot its libgomp, which the base has not either.
    let warned: Vec<&str> = told.lines().filter(|line| line.trim_start().starts_with("warning")).collect();
    assert!(
        warned.len() == 1 && warned[0].contains("libgomp.so.1") && warned[0].contains("libtorchaudio.so"),
        "{told}"
    );
}
