//! The doors to registries and to Amazon ECR, against stand-ins that answer as the real ones do when something is wrong.

mod distribution;
