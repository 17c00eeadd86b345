//! The libraries that a training job cannot do without have code for the GPUs of the target.

use std::collections::BTreeSet;

use super::super::elf::ElfNote;
use super::super::fatbin::{Arch, Coverage, GpuCode};
use super::super::finding::{Finding, RuleCode, Severity};
use super::super::loader::{Asker, Loader};
use super::{Rule, Subject};
use crate::recipe::Component;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::GpuCodeMissing, RuleCode::GpuCodePtxOnly, RuleCode::GpuCodeUnknown],
    promise: "PyTorch, Transformer Engine, flash-attn and the NCCL that PyTorch gets have code for the GPU of every instance of the target.",
    story: "NCCL 2.21.5, which PyTorch 2.5.1 asks for, has machine code up to sm_90 and no PTX that loads: on a p6-b200 (sm_100) the \
            first collective ends with `no kernel image is available for execution on the device`. Machine code runs on later GPUs \
            of its major version, `a` variants on their own GPU alone; PTX is compiled by the driver when the library is loaded \
            (NVIDIA, CUDA C++ Programming Guide, application compatibility). Only these libraries are judged: cuDNN's parts and \
            libraries that compile with NVRTC or Triton have less code, rightly.",
    run,
};

/// Libraries that are judged: the beginning of the file's name, and the component whose version it has.
const REQUIRED: [(&str, Component); 5] = [
    ("libtorch_cuda.so", Component::Pytorch),
    ("libtransformer_engine.so", Component::TransformerEngine),
    (EXTENSION, Component::TransformerEngine),
    ("flash_attn_2_cuda.", Component::FlashAttn),
    ("libnccl.so.2", Component::Nccl),
];

/// What holds no GPU code where it calls only that of `libtransformer_engine.so`: 2.20.2 is compiled from C++ alone, 1.10 was not.
const EXTENSION: &str = "transformer_engine_torch.";

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.instances.is_empty() {
        return Vec::new();
    }
    let chosen = chosen_nccl(subject);
    let mut findings = Vec::new();
    for (path, note, _) in subject.image.root.files() {
        let file = path.rsplit('/').next().unwrap_or(path);
        let Some((_, component)) = REQUIRED.iter().find(|(start, _)| file.starts_with(start)) else {
            continue;
        };
        let Some(elf) = &note.elf else { continue };
        if file.starts_with(EXTENSION) && elf.gpu.is_none() && elf.unread.is_none() {
            continue;
        }
        if *component == Component::Nccl && !chosen.is_empty() && !chosen.contains(path) {
            continue;
        }
        let stem = file.split(".so").next().unwrap_or(file).split('.').next().unwrap_or(file);
        let version = note.marker().map(str::to_owned);
        let version = version.or_else(|| subject.version(*component).map(|version| version.to_string()));
        let name = version.map_or(stem.to_owned(), |version| format!("{stem} {version}"));
        judge(subject, path, &name, elf, &mut findings);
    }
    findings
}

/// Returns the paths of the NCCL libraries that PyTorch and other programs get; where nobody gets one, all are judged.
fn chosen_nccl(subject: &Subject<'_>) -> BTreeSet<String> {
    let loader = Loader::of(subject.image);
    let torch = super::nccl::torch(subject.image).map(|asker| loader.find(Some(asker), "libnccl.so.2"));
    // What PyTorch gets is what a job of PyTorch uses, whatever else lies there.
    torch.unwrap_or_else(|| loader.find(None::<Asker<'_>>, "libnccl.so.2")).into_iter().collect()
}

fn judge(subject: &Subject<'_>, path: &str, name: &str, elf: &ElfNote, findings: &mut Vec<Finding>) {
    let sms: BTreeSet<u32> = subject.instances.iter().map(|instance| instance.sm).collect();
    let unread = elf.unread.as_deref();
    for sm in sms {
        let needs = subject.named(|instance| instance.sm == sm).join(", ");
        let mut say = |severity, rule, evidence: String, remedy: &str| {
            findings.push(Finding::new(severity, rule, format!("/{path}"), evidence, remedy));
        };
        let coverage = elf.gpu.as_deref().map(|code| (code, code.coverage(sm)));
        match coverage {
            Some((_, Coverage::Native | Coverage::Compatible(_))) => {}
            Some((_, Coverage::Jit(arch))) => say(
                Severity::Warning,
                RuleCode::GpuCodePtxOnly,
                format!(
                    "{name} has no sm_{sm}; the driver of {needs} compiles its PTX for {arch} at each first start, which takes minutes and is not tuned"
                ),
                "build it with this architecture, or take a release that has it",
            ),
            Some((code, Coverage::No)) => say(
                Severity::Error,
                RuleCode::GpuCodeMissing,
                format!("{name} has no sm_{sm}; {needs} needs it, and there is {}", listed(code)),
                "take a release that has it, or build with this architecture in the list",
            ),
            Some((code, Coverage::Unknown)) => say(
                Severity::Unknown,
                RuleCode::GpuCodeUnknown,
                format!(
                    "{name} may have sm_{sm} or not; not all of its GPU code can be read ({})",
                    code.unreadable.as_deref().unwrap_or_default()
                ),
                "run the GPU probes of `smp-image smoke` on this instance",
            ),
            None => say(
                Severity::Unknown,
                RuleCode::GpuCodeUnknown,
                format!(
                    "{name} may have sm_{sm} or not; {}",
                    unread.unwrap_or("no GPU code was found in it")
                ),
                "run the GPU probes of `smp-image smoke` on this instance",
            ),
        }
    }
}

fn listed(code: &GpuCode) -> String {
    let names = |archs: &BTreeSet<Arch>| archs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (code.sass.is_empty(), code.ptx.is_empty()) {
        (false, true) => format!("{} and no PTX", names(&code.sass)),
        (false, false) => format!("{} and PTX for {}", names(&code.sass), names(&code.ptx)),
        (true, false) => format!("PTX for {} alone", names(&code.ptx)),
        (true, true) => "none".to_owned(),
    }
}
