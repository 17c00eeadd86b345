//! The doors to registries and to Amazon ECR, against stand-ins that answer as the real ones do when something is wrong.

mod blob;
mod distribution;
mod ecr;
mod fake_ecr;
mod hanging_engine;
mod push;
mod release;
mod tls;

/// Runs the ignored test `name` of this program in an environment that says nothing but `variables`.
fn in_an_environment(name: &str, variables: &[(&str, &str)]) {
    #[expect(
        clippy::disallowed_methods,
        reason = "AWS's tools read the environment, which only another process can have"
    )]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.env_clear().env("HOME", "/nonexistent").envs(variables.iter().copied());
    let output = child.args(["--ignored", "--exact", name]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
