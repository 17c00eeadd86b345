//! SMP's own PyTorch was not replaced by the stock one.

use super::super::finding::{Finding, RuleCode, Severity};
use super::{Rule, Subject};
use crate::recipe::Component;

pub(super) const RULE: Rule = Rule {
    codes: &[RuleCode::StockPytorch],
    promise: "An image that is to have SMP has PyTorch with the module torch.sagemaker.",
    story: "SMP v2 is AWS's own build of PyTorch, not a package beside it: its module is torch.sagemaker (release notes of the \
            SageMaker model parallelism library). Any `pip install` that pulls torch replaces it by the stock wheel, and the \
            training script fails at its first import.",
    run,
};

fn run(subject: &Subject<'_>) -> Vec<Finding> {
    let inventory = &subject.image.inventory;
    let expected = subject.expectations.iter().any(|expectation| expectation.component == Component::Smp);
    // conda's record of SMP's build: pytorch-2.2.0-sm_py3.10_cuda12.1_….json
    let recorded = inventory
        .conda
        .get("pytorch")
        .and_then(|builds| builds.iter().find(|build| build.path.contains("-sm_py")));
    if !expected && recorded.is_none() {
        return Vec::new();
    }
    let root = &subject.image.root;
    let torches: Vec<&str> = root.names().filter_map(|path| path.strip_suffix("/torch/version.py")).collect();
    let stock: Vec<&&str> = torches
        .iter()
        .filter(|folder| root.below(&format!("{folder}/torch/sagemaker")).next().is_none())
        .collect();
    if torches.is_empty() || stock.len() < torches.len() {
        return Vec::new();
    }
    let witness = recorded.map_or("the lock".to_owned(), |build| build.path.clone());
    vec![Finding::new(
        Severity::Error,
        RuleCode::StockPytorch,
        format!("/{}/torch", stock[0]),
        format!(
            "it has no torch.sagemaker, and {witness} says that SMP was installed: the stock PyTorch lies over SMP's"
        ),
        "find the step whose `pip install` pulls torch, and give it --no-deps or a constraint",
    )]
}
