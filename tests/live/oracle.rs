//! Holds our list of GPU architectures against NVIDIA's cuobjdump on small real libraries; `make oracle` takes the large ones too.

use std::path::Path;
use std::process::Command;

use crate::command::leads_out;
use crate::workbench::variable;

#[test]
fn our_architectures_of_small_real_libraries_are_those_of_cuobjdump() {
    let program = Path::new(env!("CARGO_BIN_EXE_smp-image")).parent().unwrap().join("examples/architectures");
    assert!(program.exists(), "run `cargo build --example architectures`, as `make live` does");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workbench/oracle.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--small", "--wheels", &variable("SMP_WB_WHEELS")]).arg(program);
    let output = leads_out(&mut command).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let equal = told.lines().filter(|line| line.contains("  equal")).count();
    // The newest refuses the code of CUDA 11.8 for sm_35, which an older one reads; how many are equal must not shrink unseen.
    assert!(equal >= 8 && told.contains("  equal, by the older one"), "{told}");
    assert!(told.contains(" 0 different, 0 that cuobjdump refuses"), "{told}");
}
