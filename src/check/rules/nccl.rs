//! PyTorch and every other program get the same NCCL.

use super::super::finding::{Finding, RuleCode, Severity};
use super::super::loader::{Asker, Loader};
use super::{Image, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::NcclTwice],
    promise: "The libnccl that PyTorch loads is the one that other programs of the image load.",
    story: "A base image brings one NCCL and PyTorch's wheel another; the search path decides who gets which, and nccl-tests measures a \
            library that the training never uses. Where a part of PyTorch was built for the newer one, importing it ends with \
            `undefined symbol: ncclCommRegister` (pytorch/pytorch#119932, #119072).",
    run,
};

/// Returns the library of PyTorch that asks for NCCL.
pub(super) fn torch(image: &Image) -> Option<Asker<'_>> {
    let (path, note, _) =
        image.root.files().find(|(path, ..)| path.ends_with("/torch/lib/libtorch_cuda.so"))?;
    let dynamic = note.elf.as_ref()?.dynamic.as_deref();
    Some(Asker { path, dynamic })
}

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let loader = Loader::of(subject.image);
    let Some(torch) = torch(subject.image) else { return Vec::new() };
    let (Some(own), Some(others)) =
        (loader.find(Some(torch), "libnccl.so.2"), loader.find(None, "libnccl.so.2"))
    else {
        return Vec::new();
    };
    let version = |path: &str| subject.image.root.file(path).and_then(|note| note.marker());
    let (Some(first), Some(second)) = (version(&own), version(&others)) else { return Vec::new() };
    if first == second {
        return Vec::new();
    }
    vec![Finding::new(
        Severity::Warning,
        RuleCode::NcclTwice,
        "nccl",
        format!("PyTorch loads {first} (/{own}), other programs load {second} (/{others})"),
        "remove one of them, or put the folder of the right one first in LD_LIBRARY_PATH",
    )]
}
