//! What a cluster's errors are to a person: whose fault, and what helps.

use crate::cluster::ClusterError;
use crate::error::{Failure, Fault};
use crate::report::plain;

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let message = match &error {
            ClusterError::RanTooLong { tail, .. } => {
                let lines: Vec<String> =
                    tail.iter().map(|line| format!("\n  {}", plain::line(line))).collect();
                format!("{error}\nthe last lines of their logs:{}", lines.concat())
            }
            _ => error.to_string(),
        };
        match error {
            ClusterError::Config(_) => {
                Self::said(Fault::Usage, message).hint("see --kubeconfig and --kube-context; `kubectl config view` shows what there is")
            }
            ClusterError::Credentials { hint, .. } if !hint.is_empty() => {
                Self::said(Fault::Unauthorised, message).hint(hint)
            }
            ClusterError::Credentials { .. } => {
                Self::said(Fault::Unauthorised, message).hint("for EKS: install the AWS CLI, log in, then aws eks update-kubeconfig")
            }
            ClusterError::Unauthorised { .. } => {
                Self::said(Fault::Unauthorised, message).hint("log in again; for EKS: aws eks update-kubeconfig")
            }
            ClusterError::Forbidden { permission, .. } => Self::said(Fault::Unauthorised, message)
                .hint(format!("see what is missing: kubectl auth can-i {permission}")),
            ClusterError::UnknownKind { kind, .. } => Self::said(Fault::Machine, message)
                .hint(format!("install Kubeflow's operator that brings {kind}; HyperPod's Helm chart does")),
            ClusterError::Image { .. } => Self::said(Fault::Machine, message)
                .hint("push the image where the nodes can pull it, and look at its name; nodes pull from ECR of their own account by themselves"),
            ClusterError::NeverStarted { .. } => Self::said(Fault::Machine, message)
                .hint("`kubectl get nodes -L node.kubernetes.io/instance-type` shows what there is; --start-limit waits longer"),
            ClusterError::LeftBehind { ref left, .. } => {
                let hint = left.iter().map(|what| format!("kubectl delete {what}")).collect::<Vec<_>>().join("; ");
                Self::said(Fault::Machine, message).hint(hint)
            }
            ClusterError::Unreachable { .. }
            | ClusterError::Failing { .. }
            | ClusterError::Conflict { .. }
            | ClusterError::Refused { .. }
            | ClusterError::Nonsense { .. }
            | ClusterError::Unstartable { .. }
            | ClusterError::RanTooLong { .. } => Self::said(Fault::Machine, message),
        }
    }
}
