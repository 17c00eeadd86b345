#!/usr/bin/env bash
# Smoke tests on a machine with an NVIDIA GPU and a Docker Engine: `make gpu`, or with an image of yours
#   IMAGE=my/image:1 RECIPE=smp-image.toml make gpu
# Runs every tier that the machine reaches, then seeds faults into copies of the image and looks that each is caught by its probe with its
# cause. IMAGE must hold python3 and PyTorch. Two faults take a file from elsewhere: OLD_NCCL=… names an older libnccl.so.2 (else the machine's
# own), STUB=… a stub of libcuda (else the machine's CUDA toolkit's). Removes the copies; leaves JSON reports in target/gpu.
set -euo pipefail
cd "$(dirname "$0")/../.."
SMP=${SMP:-target/release/smp-image}
IMAGE=${IMAGE:?name an image with PyTorch: IMAGE=my/image:1}
OUT=target/gpu
[[ -x $SMP ]] || cargo build --release --quiet
[[ -e /dev/nvidiactl ]] || { echo "skipped: no GPU (no /dev/nvidiactl)"; exit 0; }
docker image inspect "$IMAGE" >/dev/null
mkdir -p "$OUT"
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"; docker image rm --force $(docker image ls --quiet smp-image-fault) >/dev/null 2>&1 || true' EXIT
wrong=0

# Runs probes; the report goes into target/gpu, the exit status to the caller.
smoke() { # NAME ARGUMENT...
    local name=$1 status=0
    shift
    "$SMP" smoke "$@" --format json >"$OUT/$name.json" || status=$?
    return "$status"
}

# A copy of the image with a fault, made by the Dockerfile lines on standard input and files beside them.
faulty() { # NAME [FILE...]
    local name=$1
    shift
    mkdir "$FOLDER/$name"
    for file in "$@"; do cp --dereference "$file" "$FOLDER/$name/"; done
    { echo "FROM $IMAGE"; cat; } >"$FOLDER/$name/Dockerfile"
    docker build --quiet --tag "smp-image-fault:$name" "$FOLDER/$name" >/dev/null
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

# The first of these that is a file.
first() { # PATH...
    for path in "$@"; do
        if [[ -f $path ]]; then echo "$path"; return; fi
    done
}

recipe=()
if [[ -n ${RECIPE:-} ]]; then recipe=(--recipe "$RECIPE"); fi
"$SMP" smoke "$IMAGE" "${recipe[@]}" || wrong=1
smoke all "$IMAGE" "${recipe[@]}" || true
smoke without-gpu "$IMAGE" "${recipe[@]}" --gpu none --tier 1 || { echo "MISSED  tier 1 without a GPU: see $OUT/without-gpu.json"; wrong=1; }

faulty hidden <<<'ENV CUDA_VISIBLE_DEVICES=""'
smoke hidden smp-image-fault:hidden --probe gpu-context || true
caught hidden gpu-context "CUDA_VISIBLE_DEVICES"

stub=$(first "${STUB:-}" /usr/local/cuda*/lib64/stubs/libcuda.so /usr/local/cuda*/targets/x86_64-linux/lib/stubs/libcuda.so)
if [[ -n $stub ]]; then
    faulty stub "$stub" <<<'COPY libcuda.so /opt/stubs/libcuda.so.1
ENV LD_LIBRARY_PATH="/opt/stubs:$LD_LIBRARY_PATH"'
    smoke stub smp-image-fault:stub --probe gpu-context || true
    caught stub gpu-context "a stub of libcuda"
else
    echo "skipped stub: no CUDA toolkit on this machine, and no STUB"
fi

old=$(first "${OLD_NCCL:-}" /usr/lib/x86_64-linux-gnu/libnccl.so.2 /usr/lib64/libnccl.so.2)
if [[ -z $old ]]; then
    echo "skipped nccl: no libnccl.so.2 on this machine, and no OLD_NCCL"
elif (( ${#recipe[@]} == 0 )); then
    echo "skipped nccl: which NCCL it should be says a lock: RECIPE=…"
else
    faulty nccl "$old" <<<"COPY $(basename "$old") /opt/older
RUN find / -xdev -name libnccl.so.2 -exec cp /opt/older {} \\;"
    smoke nccl smp-image-fault:nccl "${recipe[@]}" --probe nccl-version --probe loaded || true
    caught nccl nccl-version "another libnccl"
    caught nccl loaded "another copy"
fi

# PyTorch whose code is for other GPUs, as one that was compiled for them.
faulty arch tests/gpu/relabel.py <<<'COPY relabel.py /opt/
RUN python3 /opt/relabel.py $(find / -xdev -name libtorch_cuda.so)'
smoke arch smp-image-fault:arch --probe torch-train || true
caught arch torch-train "no code for this GPU"

if (( $(ls -d /dev/nvidia[0-9]* | wc -l) > 1 )); then
    # Switched-off peer access sends NCCL through /dev/shm, which is then too small.
    faulty shm <<<'ENV NCCL_P2P_DISABLE=1 NCCL_CUMEM_HOST_ENABLE=0'
    smoke shm smp-image-fault:shm --probe nccl-collectives --shm-size 1 --limit 60 || true
    caught shm nccl-collectives "/dev/shm is too small"

    # The probe forks once to count GPUs, then for each rank: the third child is rank 1.
    faulty rank tests/gpu/late.py <<<'COPY late.py /opt/late/sitecustomize.py
ENV PYTHONPATH=/opt/late'
    smoke rank smp-image-fault:rank --probe nccl-collectives --limit 25 || true
    caught rank nccl-collectives "rank 1 of"
    caught rank nccl-collectives "never arrived"
else
    echo "skipped shm, rank: one GPU"
fi
exit "$wrong"
