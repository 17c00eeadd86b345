//! Reads and checks the catalogue before anything is compiled: a fact without a source does not compile.
//!
//! The rooms are the program's own source files, so the check that runs here is the one that runs over files of the user's.

#[path = "src"]
#[expect(dead_code, unused_imports, unreachable_pub, reason = "the build only reads and checks")]
mod rooms {
    pub mod catalog;
    pub mod oci;
    pub mod recipe;
}

use rooms::{catalog, oci, recipe};

#[expect(clippy::print_stderr, reason = "Cargo shows what a failed build script says")]
fn main() -> std::process::ExitCode {
    println!("cargo::rerun-if-changed=catalog");
    match catalog::Catalog::embedded() {
        Ok(_) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            std::process::ExitCode::FAILURE
        }
    }
}
