//! `smp-image catalog --drift`: the rows that can change on the package index, compared with what the index says today.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::outside::Outside;
use crate::catalog::{Catalog, Drift, IndexToday, TorchWheel};
use crate::cli::{Cli, Format};
use crate::commands::World;
use crate::error::{Failure, Fault};
use crate::lock::PinnedRequirement;
use crate::oci::{Arch, Platform};
use crate::recipe::{Component, Version};
use crate::resolve::upstream::network::Network;
use crate::resolve::upstream::{PythonQuestion, Upstream as _};

/// How many questions are with the index at once.
const AT_ONCE: usize = 4;

pub(super) async fn run(
    catalog: &Catalog,
    today: jiff::civil::Date,
    cli: &Cli,
    world: &World,
) -> Result<(), Failure> {
    let outside = Outside::new(world, catalog, &[]);
    let index = outside.ask(async |network| asked(catalog, network, world).await).await?;
    let drift = catalog.drift(&index);
    let age = super::catalog::age_of(catalog, today);
    let text = if cli.format == Format::Json {
        let document = serde_json::json!({ "revision": catalog.revision, "age_days": age, "drift": drift });
        format!("{document}\n")
    } else {
        told(catalog, &drift, age, index.wheels.len())
    };
    world.present(&text, cli.format).map_err(|error| super::failure::stdout(&error))?;
    match drift.len() {
        0 => Ok(()),
        many => Err(Failure::said(
            Fault::Input,
            format!("the catalogue and the package index differ in {many} points"),
        )
        .hint(
            "correct the rows in catalog/, or override them with --catalog FILE until a newer smp-image does",
        )),
    }
}

fn told(catalog: &Catalog, drift: &[Drift], age: Option<i32>, wheels: usize) -> String {
    let age = age.map_or_else(String::new, |days| format!(", {days} days old"));
    let heading = format!(
        "catalogue {}{age}; {wheels} versions of PyTorch compared with the index\n",
        catalog.revision
    );
    let differences = drift.iter().map(|difference| {
        let kind = if difference.wrong { "wrong" } else { "new  " };
        format!("  {kind}  {}\n", difference.sentence)
    });
    let nothing = drift.is_empty().then(|| "  no drift\n".to_owned());
    std::iter::once(heading).chain(differences).chain(nothing).collect()
}

/// Asks the index for everything that the catalogue states of it.
async fn asked(catalog: &Catalog, network: &Network<'_>, world: &World) -> Result<IndexToday, Failure> {
    let mut published: BTreeMap<Component, Vec<Version>> = BTreeMap::new();
    let mut pythons: BTreeMap<Version, Vec<u64>> = BTreeMap::new();
    for packages in &catalog.packages {
        world.say(&format!("asking for versions of {}", packages.leader));
        let files = network.files(&packages.leader).await?;
        let versions = files.iter().filter_map(|file| version_of(file));
        published.entry(packages.component).or_default().extend(versions);
        if packages.component == Component::Pytorch {
            for (version, minor) in files.iter().filter_map(|file| Some((version_of(file)?, cpython(file)?)))
            {
                pythons.entry(version).or_default().push(minor);
            }
        }
    }
    world.say(&format!("asking what {} versions of PyTorch need", catalog.pytorch.len()));
    let rows = catalog.pytorch.iter().map(|row| wheel(network, row.version.clone(), &pythons));
    let wheels = futures_util::stream::iter(rows).buffered(AT_ONCE).try_collect().await?;
    Ok(IndexToday { wheels, published })
}

/// Asks what the wheel of one version of PyTorch needs.
async fn wheel(
    network: &Network<'_>,
    version: Version,
    pythons: &BTreeMap<Version, Vec<u64>>,
) -> Result<TorchWheel, Failure> {
    let defect = |error: crate::recipe::BadValue| Failure::said(Fault::Defect, error.to_string());
    let question = PythonQuestion {
        requirements: vec![format!("torch=={version}").parse().map_err(defect)?],
        // Every version in the catalogue has a wheel for it.
        python: "3.11".parse().map_err(defect)?,
        glibc: "2.28".parse().map_err(defect)?,
        platform: Platform { arch: Arch::Amd64 },
        held_back: Vec::new(),
        preferred: Vec::new(),
    };
    let pinned = network.python(&question).await?;
    let of = |beginning: &str| {
        let found = pinned.iter().find(|pinned| pinned.package().starts_with(beginning));
        found.and_then(PinnedRequirement::version)
    };
    Ok(TorchWheel {
        nccl: of("nvidia-nccl"),
        cudnn: of("nvidia-cudnn-cu"),
        cuda: of("cuda-toolkit").or_else(|| of("nvidia-cuda-runtime")),
        python: pythons.get(&version).cloned().unwrap_or_default(),
        version,
    })
}

/// Returns the version in the name of a wheel or of a source distribution.
fn version_of(file: &str) -> Option<Version> {
    match file.strip_suffix(".whl") {
        Some(stem) => stem.split('-').nth(1)?.parse().ok(),
        None => file.strip_suffix(".tar.gz")?.rsplit_once('-')?.1.parse().ok(),
    }
}

/// Returns the minor version of `CPython` 3 for which a wheel for x86-64 Linux is made.
fn cpython(file: &str) -> Option<u64> {
    let tags: Vec<&str> = file.strip_suffix(".whl")?.rsplit('-').take(3).collect();
    let [platform, abi, _] = tags.as_slice() else { return None };
    let linux = platform.contains("linux") && platform.ends_with("x86_64");
    let minor = abi.strip_prefix("cp3")?;
    (linux && minor.chars().all(|c| c.is_ascii_digit())).then(|| minor.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_version_and_interpreter() {
        let wheel = "torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl";
        assert_eq!(version_of(wheel), "2.15.0".parse().ok());
        assert_eq!(cpython(wheel), Some(11));
        assert_eq!(cpython("torch-2.15.0-cp313-cp313t-manylinux_2_28_x86_64.whl"), None);
        assert_eq!(cpython("torch-2.15.0-cp311-cp311-manylinux_2_28_aarch64.whl"), None);
        assert_eq!(cpython("torch-2.15.0-cp311-none-macosx_11_0_arm64.whl"), None);
        assert_eq!(version_of("flash_attn-2.8.3.post2.tar.gz"), "2.8.3.post2".parse().ok());
    }
}
