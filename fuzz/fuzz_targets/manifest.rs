//! Feeds `manifest` of `fuzz/src/check.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| smp_image_fuzz::manifest(bytes));
