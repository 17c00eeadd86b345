//! Nothing of the build is left behind: caches, package lists, the builder's CA bundle.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject, human};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::CacheLeftBehind, RuleCode::CaBundle],
    promise: "Caches of package managers and the builder's certificates do not stay in the image.",
    story: "A forgotten pip cache doubles the size of a PyTorch layer. A company's CA bundle, copied in so that the build could \
            reach its packages, makes every container trust that proxy for ever.",
    run,
};

/// Folders that only a package manager needs.
const CACHES: [(&str, &str); 9] = [
    ("root/.cache/pip", "use a cache mount, or PIP_NO_CACHE_DIR=1"),
    ("root/.cache/uv", "use a cache mount, or `uv --no-cache`"),
    ("var/lib/apt/lists", "delete it in the step that runs apt-get update, or use a cache mount"),
    ("var/cache/apt/archives", "use a cache mount, or run `apt-get clean` in the same step"),
    ("opt/conda/pkgs", "run `conda clean --all` in the same step"),
    ("root/miniconda3/pkgs", "run `conda clean --all` in the same step"),
    ("root/.conda/pkgs", "run `conda clean --all` in the same step"),
    ("var/cache/dnf", "run `dnf clean all` in the same step"),
    ("var/cache/yum", "run `yum clean all` in the same step"),
];
/// Below this a leftover is a lock file, not a cache.
const FLOOR: u64 = 1 << 20;
/// Where `ca-certificates` of distributions and Python's `certifi` keep their bundles.
const OWN_BUNDLES: [&str; 7] = [
    "etc/ssl/",
    "etc/pki/",
    "usr/share/",
    "usr/lib/ssl/",
    "var/lib/ca-certificates/",
    "usr/lib/python3/dist-packages/",
    "etc/ca-certificates/",
];

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let root = &subject.image.root;
    let caches = CACHES.iter().filter_map(|(folder, remedy)| {
        let (count, size) =
            root.below(folder).fold((0_u64, 0), |(count, sum), (_, size)| (count + 1, sum + size));
        (size >= FLOOR).then(|| {
            Finding::new(
                Severity::Warning,
                RuleCode::CacheLeftBehind,
                format!("/{folder}"),
                format!("{} in {count} files", human(size)),
                (*remedy).to_owned(),
            )
        })
    });
    let bundles = root.files().filter(|(path, _, _)| is_foreign_bundle(path)).map(|(path, _, layer)| {
        Finding::new(
            Severity::Warning,
            RuleCode::CaBundle,
            format!("/{path}"),
            format!("layer {layer} brings certificates outside the distribution's own places"),
            "give the build its certificates as a secret (--ca-bundle), which no layer keeps",
        )
    });
    caches.chain(bundles).collect()
}

/// Returns whether the file at `path` is called as a CA bundle is and lies where no package puts one.
fn is_foreign_bundle(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let named = matches!(
        name,
        "ca-bundle.crt"
            | "ca-bundle.pem"
            | "ca-certificates.crt"
            | "ca-certificates.pem"
            | "ca.pem"
            | "ca.crt"
    );
    // A certificate that was added to the distribution's own store, by hand.
    let added = path.starts_with("usr/local/share/ca-certificates/") && name.strip_suffix(".crt").is_some();
    added
        || (named && !path.contains("site-packages/") && !OWN_BUNDLES.iter().any(|own| path.starts_with(own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_counts_where_no_package_puts_one() {
        assert!(is_foreign_bundle("tmp/ca-certificates.crt"));
        assert!(is_foreign_bundle("usr/local/share/ca-certificates/company.crt"));
        assert!(!is_foreign_bundle("etc/ssl/certs/ca-certificates.crt"));
        assert!(!is_foreign_bundle("opt/venv/lib/python3.13/site-packages/certifi/ca.pem"));
    }
}
