//! No layer replaces a link of a lower layer by a folder.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::ReplacedLink],
    promise: "Folders that are links in the base (/lib, /bin, /var/run) stay links.",
    story: "`COPY --link` lays a tree over the base without looking at it. A tree with a folder /lib over Debian's link \
            /lib -> usr/lib hides every library in /usr/lib from whoever asks for /lib: no program starts any more.",
    run,
};

/// Links without which no program of a distribution with merged /usr starts.
const VITAL: [&str; 5] = ["bin", "lib", "lib32", "lib64", "sbin"];

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let judge = |(path, target, layer): &(Box<str>, Box<str>, usize)| {
        Finding::new(
            if VITAL.contains(&&**path) { Severity::Error } else { Severity::Warning },
            RuleCode::ReplacedLink,
            format!("/{path}"),
            format!("it was a link to {target}; layer {layer} makes it a folder"),
            format!("put the files of that layer under {target}"),
        )
    };
    subject.image.root.replaced_links.iter().map(judge).collect()
}
