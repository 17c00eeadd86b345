#!/usr/bin/env bash
# `make demo`: the main job for real. Finds a Docker Engine or starts one, gets the base image, starts a registry and the ECR API
# (moto, because AWS itself cannot be had here), then builds, checks, smoke-tests and pushes the quickstart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*" >&2; }

# Asks the engine's API; fails where the engine does.
engine_api() {
  curl --silent --fail --output /dev/null --max-time 120 --unix-socket "${engine#unix://}" -X "$1" "http://docker$2"
}

say "smp-image itself"
cargo build --release --quiet
smp_image=$PWD/target/release/smp-image
"$smp_image" --version >&2

say "a registry with a login, and the ECR API beside it"
workbench/workbench.sh up registry registry-auth ecr tools
arguments=()
engine=${DOCKER_HOST:-}
if [ -z "$engine" ] && [ -S /var/run/docker.sock ]; then
  engine=unix:///var/run/docker.sock
fi
if [ -n "$engine" ] && engine_api GET /_ping; then
  say "using the Docker Engine at $engine"
else
  say "no Docker Engine answers: starting one of the workbench"
  workbench/workbench.sh up engine26c
  eval "$(workbench/workbench.sh env)"
  engine=$SMP_WB_ENGINE26C
  # The workbench's bridges have no way out, so the build's steps use the host's network.
  arguments+=(--network host)
fi
eval "$(workbench/workbench.sh env)"

say "the base image"
if engine_api POST '/images/create?fromImage=debian&tag=trixie-slim' && engine_api GET /images/debian:trixie-slim/json; then
  echo "the engine pulled debian:trixie-slim" >&2
else
  workbench/workbench.sh up base
  echo "no registry is in reach: debian:trixie-slim was made from Debian's packages and is served at $SMP_WB_REGISTRY" >&2
  arguments+=(--mirror "docker.io=$SMP_WB_REGISTRY")
fi

say "smp-image release quickstart"
export AWS_ENDPOINT_URL=$SMP_WB_ECR AWS_REGION=us-west-2 AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
export SMP_IMAGE_ECR_HOST=$SMP_WB_REGISTRY_AUTH SMP_IMAGE_UV=$SMP_WB_UV
exec "$smp_image" release quickstart --arch amd64 --host "$engine" "${arguments[@]}" \
  --to smp-quickstart --create-repository --scan-on-push "$@"
