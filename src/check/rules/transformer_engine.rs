//! Transformer Engine's Python module finds the CUDA libraries that it opens by name while it is imported.

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::loader::Loader;
use super::{Image, Rule, Subject};
use crate::recipe::Version;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::TransformerEngineImport],
    promise: "`import transformer_engine` finds cuDNN, NVRTC and cuRAND, and libcudart where it looks for it.",
    story: "Transformer Engine's module opens CUDA libraries by name before its own, and none of its packages requires them. Since 2.8.0 \
            it wants cuRAND too. Since 2.11.0, where neither NVRTC nor cuRAND comes from a CUDA toolkit, it looks for libcudart in \
            `nvidia/cudart`, a folder that no wheel for CUDA 12 has: `RuntimeError: cudart shared object not found.`, in every image \
            that has CUDA 12 from pip alone (NVIDIA/TransformerEngine, transformer_engine/common/__init__.py of 2.4.0, 2.8.0, 2.11.0 and \
            2.20.2; 2.20.2 was run).",
    run,
};

/// What the module opens, and since which version.
const OPENS: [(&str, &str); 3] = [("2.4.0", "cudnn"), ("2.4.0", "nvrtc"), ("2.8.0", "curand")];
/// Since when the module itself looks through the folders of wheels, and insists on what it then needs.
const INSISTS: &str = "2.11.0";
/// What it then needs.
const THEN: [&str; 3] = ["cublas", "cudart", "cudnn"];

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let image = subject.image;
    let modules = image.inventory.python.get("transformer-engine").into_iter().flatten();
    let judged = modules.filter_map(|installed| {
        let site = installed.path.trim_start_matches('/').rsplit_once("/transformer_engine-")?.0;
        let module = format!("{site}/transformer_engine/common/__init__.py");
        let version: Version = installed.version.parse().ok()?;
        let search = Search { image, loader: Loader::of(image), site };
        let missing = if image.root.contains(&module) { search.missing(&version) } else { Vec::new() };
        (!missing.is_empty()).then(|| finding(&module, &version, &missing))
    });
    judged.collect()
}

fn finding(module: &str, version: &Version, missing: &[&str]) -> Finding {
    let remedy = if missing == ["cudart"] {
        "add a link `nvidia/cudart` to `cuda_runtime` in its site-packages, or take a base image with the CUDA toolkit".to_owned()
    } else {
        let packages: Vec<String> = missing.iter().map(|library| package(library)).collect();
        format!("install {}, or take a base image with the CUDA toolkit", packages.join(" and "))
    };
    Finding::new(
        Severity::Error,
        RuleCode::TransformerEngineImport,
        format!("/{module}"),
        format!(
            "`import transformer_engine` ({version}) finds no {}: neither in a CUDA toolkit (CUDA_HOME, CUDA_PATH, /usr/local/cuda), \
             nor on the loader's path by its plain name, nor in the folders of wheels that it searches",
            missing.iter().map(|library| format!("lib{library}")).collect::<Vec<_>>().join(", ")
        ),
        remedy,
    )
}

/// Returns the wheel that brings a library; those for CUDA 13 have no suffix, or `-cu13`.
fn package(library: &str) -> String {
    match library {
        "nvrtc" => "nvidia-cuda-nvrtc (-cu12)".to_owned(),
        "cudart" => "nvidia-cuda-runtime (-cu12)".to_owned(),
        other => format!("nvidia-{other} (-cu12)"),
    }
}

/// The search of the module, for the packages in one folder.
struct Search<'a> {
    image: &'a Image,
    loader: Loader<'a>,
    site: &'a str,
}

impl Search<'_> {
    /// Returns the libraries without which the import of `version` fails.
    fn missing(&self, version: &Version) -> Vec<&'static str> {
        let since = |first: &str| first.parse::<Version>().is_ok_and(|first| *version >= first);
        let opened = OPENS.into_iter().filter(|(first, _)| since(first)).map(|(_, library)| library);
        if !since(INSISTS) {
            // It asked `ldconfig` too, and took what it found: only what is nowhere is missing.
            return opened.filter(|library| !self.anywhere(library)).collect();
        }
        let missing: Vec<_> =
            opened.filter(|library| !self.in_toolkit(library) && !self.in_wheels(library)).collect();
        if !missing.is_empty() || self.in_toolkit("nvrtc") || self.in_toolkit("curand") {
            return missing;
        }
        THEN.into_iter().filter(|library| !self.in_wheels(library)).collect()
    }

    fn anywhere(&self, library: &str) -> bool {
        let start = format!("lib{library}.so");
        self.image.inventory.libraries.keys().any(|name| name.starts_with(&start))
    }

    /// Returns whether a toolkit has the library, or the loader under its plain name.
    fn in_toolkit(&self, library: &str) -> bool {
        let upper = library.to_uppercase();
        let names = [
            format!("{upper}_HOME"),
            format!("{upper}_PATH"),
            "CUDA_HOME".to_owned(),
            "CUDA_PATH".to_owned(),
        ];
        let said = self.image.config.run.env.iter().filter_map(|line| line.split_once('='));
        let said = said.filter(|(name, _)| names.iter().any(|known| known == name)).map(|(_, value)| value);
        // The Python of a conda environment has its libraries on the path.
        let prefix = self.site.rsplit_once("/lib/").map_or("", |(prefix, _)| prefix);
        let conda =
            self.image.root.below(&format!("{prefix}/conda-meta")).next().map(|_| format!("{prefix}/lib"));
        let roots = said.map(str::to_owned).chain(["/usr/local/cuda".to_owned()]).chain(conda);
        let start = format!("lib{library}.so");
        let mut below =
            roots.filter(|root| !root.is_empty()).filter_map(|root| self.image.root.without_links(&root));
        let plain = || self.loader.find(None, &start).is_some();
        below.any(|root| self.holds(&root, &start)) || plain()
    }

    /// Returns whether a wheel beside the module has the library, in one of the folders in which it looks.
    fn in_wheels(&self, library: &str) -> bool {
        let nvidia = format!("{}/nvidia", self.site);
        let folders = [
            (format!("{nvidia}/cu13/{library}/lib"), "lib".to_owned()),
            (format!("{nvidia}/cu13/lib"), format!("lib{library}")),
            (format!("{nvidia}/{library}/lib"), "lib".to_owned()),
            (format!("{nvidia}/cuda_{library}/lib"), "lib".to_owned()),
        ];
        let mut real = folders
            .into_iter()
            .filter_map(|(folder, start)| Some((self.image.root.without_links(&folder)?, start)));
        real.any(|(folder, start)| self.holds(&folder, &start))
    }

    /// Returns whether below `folder` a shared library has a name that begins with `start`, other than a stub.
    fn holds(&self, folder: &str, start: &str) -> bool {
        let mut files = self.image.root.below(folder).map(|(path, _)| path);
        files.any(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.starts_with(start) && name.contains(".so") && !path.contains("stub")
        })
    }
}
