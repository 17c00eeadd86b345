//! Prints the GPU architectures of libraries as JSON, one line for each file on the command line: our side of `make oracle`.

use std::fs::File;
use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]
fn main() -> ExitCode {
    for path in std::env::args().skip(1) {
        let library = File::open(&path).and_then(|file| smp_image::check::library(&path, file));
        match library.map(|library| serde_json::to_string(&library)) {
            Ok(Ok(line)) => println!("{line}"),
            Ok(Err(error)) => return fail(&path, &error),
            Err(error) => return fail(&path, &error),
        }
    }
    return ExitCode::SUCCESS;

    fn fail(path: &str, error: &dyn std::error::Error) -> ExitCode {
        eprintln!("{path}: {error}");
        ExitCode::FAILURE
    }
}
