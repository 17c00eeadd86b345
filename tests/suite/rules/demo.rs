//! Failures that were really shipped, found in images like those.

use smp_image::check::Severity;
use smp_image::lock::Origin;
use smp_image::plan::Expectation;
use smp_image::recipe::Component;

use super::look;
use super::seeds::{NCCL, SITE, nccl, sound};

/// aws/deep-learning-containers, .github/config/image/pytorch/2.11-sagemaker-cuda.yml declares NCCL 2.26.2, and its uv.lock holds
/// 2.28.9: the Dockerfile has no argument of that name, so that the declared value binds to nothing.
#[test]
fn the_nccl_that_aws_declared_is_not_the_one_that_it_shipped() {
    let (mut image, mut target) = sound();
    let venv = image.layers.last_mut().unwrap();
    venv.files.retain(|path, _| !path.contains("nvidia_nccl_cu12") && !path.contains("torch-2.5.1"));
    let metadata = "Name: nvidia-nccl-cu13\nVersion: 2.28.9\n";
    venv.put(&format!("{SITE}/nvidia_nccl_cu13-2.28.9.dist-info/METADATA"), metadata);
    venv.put(NCCL, nccl("2.28.9", &[80, 90, 100], &[6, 7, 8, 9, 10, 11]).built());
    target.expectations = vec![Expectation {
        component: Component::Nccl,
        version: Some("2.26.2".parse().unwrap()),
        origin: Origin::Wheels,
        distributions: vec!["nvidia-nccl-cu13".to_owned()],
        packages: Vec::new(),
        libraries: vec!["libnccl.so.2".to_owned()],
    }];
    let inspection = look(&image, &target);
    let errors: Vec<&str> =
        inspection.of_severity(Severity::Error).map(|finding| finding.rule.name()).collect();
    assert_eq!(errors, ["component-version"], "{:#?}", inspection.findings);
    assert!(inspection.findings[0].evidence.starts_with("2.26.2 is locked, 2.28.9 is installed"));
}
