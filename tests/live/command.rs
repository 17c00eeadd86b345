//! The whole program as a user starts it, against real engines, real registries and the ECR API.

mod builders;
mod building;
mod doctor;
mod emulated;
mod failing;
mod foreign;
mod full_disk;
mod interrupted;
mod looking;
mod pushing;
mod refused;
mod secrets;
mod studio;
mod wheelhouse;

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::program::{Ended, Place};
use crate::workbench::{Which, docker, unique, variable};

/// NCCL on Debian.
const SMALL: &str = include_str!("recipes/small.toml");

/// Python with one small wheel.
const WHEEL: &str = include_str!("recipes/wheel.toml");

/// A recipe that takes no time: the base and files of the user.
const TINY: &str = r#"name = "tiny"
instances = ["ml.g5.8xlarge"]

[base]
image = "debian:trixie-slim"

[[copy]]
from = "files"
to = "/workspace"
"#;

/// What a user's environment says of the way out of this machine; everything else of ours stays out.
const WAY_OUT: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

/// The registry that has the base image, as a mirror of Docker Hub.
fn mirror() -> String {
    format!("docker.io={}", variable("SMP_WB_REGISTRY"))
}

/// The lock of [`SMALL`], made once: it asks the package index.
fn small_lock() -> &'static str {
    static LOCK: OnceLock<String> = OnceLock::new();
    LOCK.get_or_init(|| lock_of(SMALL))
}

/// The lock of [`WHEEL`], made once.
fn wheel_lock() -> &'static str {
    static LOCK: OnceLock<String> = OnceLock::new();
    LOCK.get_or_init(|| lock_of(WHEEL))
}

fn lock_of(recipe: &str) -> String {
    let place = Place::new();
    place.write("recipe.toml", recipe);
    let mut command = place.program(&["lock", "recipe.toml", "--mirror", &mirror()]);
    let _told = Ended::of(leads_out(&mut command)).fine();
    place.read("recipe.lock")
}

/// Locks the recipe `name` of `place` for `arch`.
fn lock_for(place: &Place, name: &str, arch: &str) {
    let mut command = place.program(&["lock", name, "--arch", arch, "--mirror", &mirror()]);
    let _told = Ended::of(leads_out(&mut command)).fine();
}

/// Lets `command` reach the package index.
pub(crate) fn leads_out(command: &mut Command) -> &mut Command {
    let way_out = WAY_OUT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(way_out).env("SMP_IMAGE_UV", variable("SMP_WB_UV"))
}

/// A recipe in a place of its own, one engine, and a name for the image that nobody else uses.
struct Workshop {
    place: Place,
    which: Which,
    recipe: &'static str,
    tag: String,
}

impl Workshop {
    /// Returns a place with [`SMALL`] and its lock.
    fn small(which: Which) -> Self {
        let place = Place::new();
        place.write("small.toml", SMALL);
        place.write("small.lock", small_lock());
        Self { place, which, recipe: "small.toml", tag: unique("smp-image-test/small") }
    }

    /// Returns a place with [`WHEEL`] and its lock.
    fn wheel(which: Which) -> Self {
        let place = Place::new();
        place.write("wheel.toml", WHEEL);
        place.write("wheel.lock", wheel_lock());
        Self { place, which, recipe: "wheel.toml", tag: unique("smp-image-test/wheel") }
    }

    /// Returns a place with [`TINY`], a file to copy, and no lock.
    fn tiny(which: Which) -> Self {
        let place = Place::new();
        place.write("tiny.toml", TINY);
        place.write("files/text", &unique("text"));
        Self { place, which, recipe: "tiny.toml", tag: unique("smp-image-test/tiny") }
    }

    /// Returns the program with `arguments`, with this engine and the workbench's ECR API in its environment.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.program(arguments);
        leads_out(&mut command);
        command.env("DOCKER_HOST", self.which.address());
        command.env("AWS_ENDPOINT_URL", variable("SMP_WB_ECR")).env("AWS_REGION", "us-west-2");
        command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("SMP_IMAGE_ECR_HOST", variable("SMP_WB_REGISTRY_AUTH"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.program(arguments))
    }

    /// Returns the words of `verb` (`build` or `release`) for this recipe and name, and `more`.
    fn words<'a>(&'a self, verb: &'a str, mirror: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let words = [verb, self.recipe, "--tag", &self.tag, "--mirror", mirror, "--network", "host"];
        [&words[..], more].concat()
    }

    /// Builds the recipe under the name of this workshop.
    fn build(&self, more: &[&str]) -> Ended {
        self.run(&self.words("build", &mirror(), more))
    }

    /// Builds the recipe and returns the report, which must be as its schema says.
    fn built(&self, more: &[&str]) -> Value {
        report(&self.build(&[more, &["--format", "json"]].concat()).fine())
    }

    /// Releases the recipe to `destination`.
    fn release(&self, destination: &str, more: &[&str]) -> Ended {
        self.run(&self.words("release", &mirror(), &[&["--to", destination], more].concat()))
    }

    /// Returns whether the engine has an image of this workshop's name.
    fn has_image(&self) -> bool {
        !docker(self.which, &["images", "--quiet", &self.tag]).is_empty()
    }

    /// Returns what Docker's own client says of the image.
    fn inspected(&self) -> Value {
        let text = docker(self.which, &["image", "inspect", &self.tag]);
        serde_json::from_str::<Value>(&text).unwrap()[0].take()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.has_image() {
            docker(self.which, &["image", "rm", "--force", &self.tag]);
        }
    }
}

/// Reads a report, and holds it against the schema that we publish.
fn report(json: &str) -> Value {
    let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let schema = serde_json::to_value(smp_image::report::json::schema()).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("report.json", schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("report.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&report, index) {
        panic!("{error}\n{json}");
    }
    report
}
