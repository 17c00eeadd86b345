//! Prints the GPU architectures of libraries as JSON, one line for each file on the command line: our side of `make oracle`.

use std::fs::File;
use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
fn main() -> ExitCode {
    for path in std::env::args().skip(1) {
        match line(&path) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Returns what the library at `path` carries.
fn line(path: &str) -> Result<String, Box<dyn std::error::Error>> {
    let library = smp_image::check::library(path, File::open(path)?)?;
    Ok(serde_json::to_string(&library)?)
}
