//! The doors to registries and to Amazon ECR, against stand-ins that answer as the real ones do when something is wrong.

mod distribution;
mod ecr;
mod fake_ecr;
mod push;
