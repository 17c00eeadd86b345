#!/usr/bin/env bash
# Smoke tests on a machine with an NVIDIA GPU and a Docker Engine: `make gpu`, or with an image of yours
#   IMAGE=my/image:1 RECIPE=smp-image.toml make gpu
# Runs every tier that the machine reaches, then seeds faults into copies of the image and looks that each is caught by its probe with its
# cause. IMAGE must hold python3 and PyTorch. Removes the copies; leaves JSON reports in target/gpu.
set -euo pipefail
cd "$(dirname "$0")/../.."
SMP=${SMP:-target/release/smp-image}
IMAGE=${IMAGE:?name an image with PyTorch: IMAGE=my/image:1}
OUT=target/gpu
[[ -x $SMP ]] || cargo build --release --quiet
[[ -e /dev/nvidiactl ]] || { echo "skipped: no GPU (no /dev/nvidiactl)"; exit 0; }
docker image inspect "$IMAGE" >/dev/null
mkdir -p "$OUT"
wrong=0

# Runs probes; the report goes into target/gpu, the exit status to the caller.
smoke() { # NAME ARGUMENT...
    local name=$1 status=0
    shift
    "$SMP" smoke "$@" --format json >"$OUT/$name.json" || status=$?
    return "$status"
}

# A copy of the image with a fault, made by the Dockerfile lines on standard input.
faulty() { # NAME
    { echo "FROM $IMAGE"; cat; } | docker build --quiet --tag "smp-image-fault:$1" - >/dev/null
}

# The named probe must have failed with words in its evidence or cause.
caught() { # NAME PROBE WORDS
    if python3 - "$OUT/$1.json" "$2" "$3" <<'PY'; then echo "ok      $1: $2 says \`$3\`"; else echo "MISSED  $1"; wrong=1; fi
import json, sys
file, probe, words = sys.argv[1:]
answers = [o["answer"] for o in json.load(open(file))["probes"] if o["probe"] == probe]
sys.exit(0 if any(a["status"] == "failed" and words in a["evidence"] + a["cause"] for a in answers) else 1)
PY
}

recipe=()
if [[ -n ${RECIPE:-} ]]; then recipe=(--recipe "$RECIPE"); fi
"$SMP" smoke "$IMAGE" "${recipe[@]}" || wrong=1
smoke all "$IMAGE" "${recipe[@]}" || true

faulty hidden <<<'ENV CUDA_VISIBLE_DEVICES=""'
smoke hidden smp-image-fault:hidden --probe gpu-context || true
caught hidden gpu-context "CUDA_VISIBLE_DEVICES"

if (( $(ls -d /dev/nvidia[0-9]* | wc -l) > 1 )); then
    # Switched-off peer access sends NCCL through /dev/shm, which is then too small.
    faulty shm <<<'ENV NCCL_P2P_DISABLE=1 NCCL_CUMEM_HOST_ENABLE=0'
    smoke shm smp-image-fault:shm --probe nccl-collectives --shm-size 1 --limit 60 || true
    caught shm nccl-collectives "/dev/shm is too small"
else
    echo "skipped shm: one GPU"
fi

docker image rm --force smp-image-fault:hidden smp-image-fault:shm >/dev/null 2>&1 || true
exit "$wrong"
