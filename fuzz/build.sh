#!/usr/bin/env bash
# Builds the fuzz targets with coverage counters on a stable compiler: what cargo-fuzz does, without its need for a nightly one.
set -euo pipefail
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1"
cargo build --release --target "$(rustc -vV | sed -n 's/^host: //p')" "$@"
