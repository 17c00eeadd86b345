//! Images in registries.

pub mod distribution;
pub mod ecr;
pub mod manifest;
mod reason;

/// Makes ring the provider of cryptography for TLS in this process, unless another is set already.
fn use_ring() {
    // An error says that one is set: by us before, or by a program that uses this library and knows why.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}
