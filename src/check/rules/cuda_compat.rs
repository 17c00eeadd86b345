//! The driver's forward-compatibility libraries are not always on the loader's path.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::CudaCompat],
    promise: "The libcuda of cuda-compat is not on the path for every driver.",
    story: "cuda-compat brings a libcuda that is newer than an old driver. Forced on a newer driver it ends with CUDA error 803 \
            (system has unsupported display driver / cuda driver combination). AWS's Deep Learning Containers add it at start only \
            where the driver is older (aws/deep-learning-containers, scripts/docker/common/start_cuda_compat.sh); \
            Dockerfiles that put it into LD_LIBRARY_PATH for good are copied around.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let image = subject.image;
    let on_path = image.config.run.env.iter().filter_map(|line| line.strip_prefix("LD_LIBRARY_PATH="));
    let on_path =
        on_path.flat_map(|value| value.split(':')).map(|folder| (folder, "LD_LIBRARY_PATH".to_owned()));
    let configured = image.root.files().filter(|(path, ..)| path.starts_with("etc/ld.so.conf"));
    let configured = configured.flat_map(|(path, note, _)| {
        let lines = note.text.as_ref().map_or("", |text| text.lines.as_str()).lines();
        lines.map(move |line| (line.trim(), format!("/{path}")))
    });
    let mut findings: Vec<Finding> = Vec::new();
    for (folder, said) in on_path.chain(configured) {
        let inside = folder.trim_matches('/');
        // The driver itself is injected elsewhere; NGC's images name a folder that their entry point makes only where it is needed.
        if folder.contains("compat") && image.root.contains(&format!("{inside}/libcuda.so.1")) {
            findings.push(Finding::new(
                Severity::Error,
                RuleCode::CudaCompat,
                format!("/{inside}/libcuda.so.1"),
                format!("{said} names its folder, so that it wins over the libcuda of every driver; a newer driver answers with error 803"),
                "take the folder off the path, or add it at start only where the driver is older than the library",
            ));
        }
    }
    findings.dedup_by(|a, b| a.subject == b.subject);
    findings
}
