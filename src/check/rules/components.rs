//! Declared = locked = installed: every expected component is there, in the locked version, once.

use std::collections::BTreeSet;

use super::super::component::{ComponentSeen, Evidence, Sighting, agrees};
use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};
use crate::lock::Origin;
use crate::plan::Expectation;
use crate::recipe::Component;

pub(super) const RULE: Rule = Rule {
    codes: &[
        RuleCode::ComponentMissing,
        RuleCode::ComponentVersion,
        RuleCode::ComponentUnknown,
        RuleCode::ComponentTwice,
    ],
    promise: "Every component of the lock is in the image, in its locked version; what cannot be read is said to be unknown.",
    story: "AWS's own training images once declared NCCL 2.26.2 and held 2.28.9: the declared value bound to nothing. A \
            `pip install` late in a Dockerfile moves a version that an earlier line pinned, and an SMP image loses SMP's PyTorch \
            to the stock wheel without a word.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let pairs = subject.expectations.iter().zip(subject.components);
    pairs.flat_map(|(expectation, seen)| judge(subject, expectation, seen)).collect()
}

fn judge(subject: &Subject<'_>, expectation: &Expectation, seen: &ComponentSeen) -> Vec<Finding> {
    let mut findings = Vec::new();
    if expectation.component == Component::Driver {
        // The node brings it; its library in an image is another matter.
        return findings;
    }
    if seen.seen.is_empty() {
        findings.push(absent(subject, expectation));
        return findings;
    }
    findings.extend(missing_parts(expectation, seen));
    match (&seen.declared, &seen.found) {
        (Some(declared), Some(found)) if !agrees(declared, found, expectation.origin) => {
            findings.push(Finding::new(
                Severity::Error,
                RuleCode::ComponentVersion,
                expectation.component.to_string(),
                format!("{declared} is locked, {found} is installed ({})", places(&seen.seen)),
                format!(
                    "find the step that installs {} {found} after the locked one, or lock {found}",
                    expectation.component
                ),
            ));
        }
        (Some(declared), None) => findings.push(Finding::new(
            Severity::Unknown,
            RuleCode::ComponentUnknown,
            expectation.component.to_string(),
            format!("it is there ({}), but nothing says whether it is {declared}", places(&seen.seen)),
            "a smoke test can ask it",
        )),
        _ => {}
    }
    findings.extend(twice(expectation, seen));
    findings
}

/// Says that nothing was seen of a component: missing, or unknown where somebody else may know of it.
fn absent(subject: &Subject<'_>, expectation: &Expectation) -> Finding {
    let names: Vec<&str> = expectation
        .distributions
        .iter()
        .chain(&expectation.packages)
        .chain(&expectation.libraries)
        .map(String::as_str)
        .collect();
    let unread = &subject.image.inventory.unread;
    let component = expectation.component;
    let unknown = |evidence: String| {
        Finding::new(
            Severity::Unknown,
            RuleCode::ComponentUnknown,
            component.to_string(),
            evidence,
            "a smoke test can ask it",
        )
    };
    // A file name needs no package manager to be found.
    let provable = !expectation.distributions.is_empty() || !expectation.libraries.is_empty();
    if names.is_empty() && !has_own_record(component) {
        return unknown("nothing is known by which it could be found in an image".to_owned());
    }
    if !unread.is_empty() && !provable {
        return unknown(format!("it may be recorded where we cannot read: {}", unread.join(", ")));
    }
    let looked = if names.is_empty() { "its own record".to_owned() } else { names.join(", ") };
    Finding::new(
        Severity::Error,
        RuleCode::ComponentMissing,
        component.to_string(),
        format!("nothing of it is in the image; looked for {looked}"),
        format!("see whether the step that installs {component} ran, and whether a later one removed it"),
    )
    .stopping(is_loaded(component))
}

/// Returns whether a training loads the component into its process; without the others it runs, slower or unmeasured.
fn is_loaded(component: Component) -> bool {
    use Component::{Cuda, Cudnn, FlashAttn, Nccl, Python, Pytorch, Smp, TransformerEngine};
    matches!(component, Cuda | Cudnn | FlashAttn | Nccl | Python | Pytorch | Smp | TransformerEngine)
}

fn has_own_record(component: Component) -> bool {
    matches!(component, Component::Os | Component::Efa | Component::Python)
}

/// Names the packages and libraries of a component that are missing while others are there.
fn missing_parts<'a>(
    expectation: &'a Expectation,
    seen: &'a ComponentSeen,
) -> impl Iterator<Item = Finding> + use<'a> {
    let found: BTreeSet<&str> = seen.seen.iter().map(|sighting| sighting.name.as_str()).collect();
    // A library may come by wheel or by package; either list may be the one that does not apply to this origin. Libraries must be
    // there wherever something was installed for them: metadata alone runs nothing.
    let installed = matches!(
        expectation.origin,
        Origin::Apt | Origin::Wheels | Origin::Sdist | Origin::Installer | Origin::Archive
    );
    let lists = [
        (&expectation.distributions, false),
        (&expectation.packages, false),
        (&expectation.libraries, installed),
    ];
    let any_of =
        |names: &[String]| names.iter().any(|name| seen.seen.iter().any(|sighting| &sighting.name == name));
    lists
        .into_iter()
        .filter(move |(names, must)| *must || any_of(names))
        .flat_map(|(names, _)| names)
        .filter(move |name| !found.contains(name.as_str()))
        .map(|name| {
            Finding::new(
                Severity::Error,
                RuleCode::ComponentMissing,
                expectation.component.to_string(),
                format!("{name}, a part of it, is not in the image"),
                format!("see whether the step that installs {} ran to its end", expectation.component),
            )
            .stopping(is_loaded(expectation.component))
        })
}

/// Says that a component is there in several versions.
fn twice(expectation: &Expectation, seen: &ComponentSeen) -> Option<Finding> {
    let leader = expectation.distributions.first().or(expectation.packages.first());
    let telling = |sighting: &&Sighting| match sighting.evidence {
        Evidence::LibraryMarker => true,
        Evidence::PythonMetadata | Evidence::Dpkg | Evidence::Conda => Some(&sighting.name) == leader,
        _ => false,
    };
    let versions: Vec<&Sighting> = seen.seen.iter().filter(telling).collect();
    let declared = seen.declared.as_ref();
    let first = versions.first()?.version.as_deref()?;
    let reference = declared.cloned().or_else(|| first.parse().ok())?;
    let others: Vec<&&Sighting> = versions
        .iter()
        .filter(|sighting| {
            let version = sighting.version.as_deref().unwrap_or_default();
            !agrees(&reference, version, crate::lock::Origin::Base) && Some(version) != seen.found.as_deref()
        })
        .collect();
    if others.is_empty() {
        return None;
    }
    Some(Finding::new(
        Severity::Warning,
        RuleCode::ComponentTwice,
        expectation.component.to_string(),
        format!("it is in the image in several versions: {}", places(&seen.seen)),
        "remove all but one: which of them a program gets depends on its search path",
    ))
}

/// Names where a component was seen, three places at most.
fn places(seen: &[Sighting]) -> String {
    let place = |sighting: &Sighting| match &sighting.version {
        Some(version) => format!("{} {version} in {}", sighting.name, sighting.path),
        None => sighting.path.clone(),
    };
    let mut places: Vec<String> = seen.iter().take(3).map(place).collect();
    if seen.len() > 3 {
        places.push(format!("and {} more", seen.len() - 3));
    }
    places.join(", ")
}
