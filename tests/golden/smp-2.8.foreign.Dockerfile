# Made by smp-image from the recipe smp-2.8. Do not edit: change the recipe, and render again.
# Recipe sha256:34d4eb708775f1d8eb03649e4ffd70b0f5a8532024580a9237a8cc3a26398da6
# Lock   sha256:8043d58206757c6d8bd671b088af0757797690a4346c2b06249e8e835bbfdde6
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge
# Builder: BuildKit of Docker Engine 23.0 or later
# On linux/arm64: what runs on --platform=$BUILDPLATFORM needs no emulation
# Behind a private certificate authority: docker build --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

# What unpacks on the builder's own architecture; nothing else of it reaches the image.
# The digest of this image is not locked: its programs unpack, and nothing of it reaches the image
FROM --platform=$BUILDPLATFORM docker.io/library/debian:trixie-slim AS tools
RUN --mount=type=cache,id=apt-debian-trixie-slim-tools,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-tools-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ca-certificates \
        python3-venv \
        python3-pip \
        python3-setuptools \
        python3-wheel; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

# Python packages for the base's own Python, verified against the lock and unpacked below /out: that Python cannot be started here.
FROM tools AS packages
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'dnspython==2.9.2 --hash=sha256:af15f7d385a6ae2fb35a796fde2138004c8c42c7389090e2addc83e3b3340fd8' \
        'urllib3==2.8.0 --hash=sha256:0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --only-binary=:all: --python-version=3.11 --platform=manylinux_2_35_x86_64 --platform=manylinux_2_34_x86_64 --platform=manylinux_2_33_x86_64 --platform=manylinux_2_32_x86_64 --platform=manylinux_2_31_x86_64 --platform=manylinux_2_30_x86_64 --platform=manylinux_2_29_x86_64 --platform=manylinux_2_28_x86_64 --platform=manylinux_2_27_x86_64 --platform=manylinux_2_26_x86_64 --platform=manylinux_2_25_x86_64 --platform=manylinux_2_24_x86_64 --platform=manylinux_2_23_x86_64 --platform=manylinux_2_22_x86_64 --platform=manylinux_2_21_x86_64 --platform=manylinux_2_20_x86_64 --platform=manylinux_2_19_x86_64 --platform=manylinux_2_18_x86_64 --platform=manylinux_2_17_x86_64 --platform=manylinux2014_x86_64 --platform=linux_x86_64 --target=/out/opt/smp-image/python \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'python-etcd==0.4.5 --hash=sha256:f1b5ebb825a3e8190494f5ce1509fde9069f2754838ed90402a8c11e1f52b8cb' \
        > /tmp/requirements.txt; \
    PIP_ROOT_USER_ACTION=ignore python3 -m pip wheel --disable-pip-version-check --no-input \
        --require-hashes --no-deps --no-build-isolation --wheel-dir /wheels --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    for wheel in /wheels/*.whl; do \
        case "$wheel" in *-none-any.whl) ;; *) \
            echo "$wheel holds compiled code for this machine: build it on the target's architecture" >&2; exit 1 ;; esac; \
    done; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile --no-index --no-deps --find-links /wheels --target /out/opt/smp-image/python \
        python-etcd==0.4.5; \
    if [ -d /out/opt/smp-image/python/bin ]; then sed --in-place '1s|^#!.*python.*$|#!/usr/bin/env python3|' /out/opt/smp-image/python/bin/*; fi; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
# The digest of this image is not locked: out of reach when this was locked
FROM 658645717510.dkr.ecr.us-west-2.amazonaws.com/smdistributed-modelparallel:2.5.1-gpu-py311-cu124 AS image
COPY --link --from=packages /out/opt/smp-image/python /opt/smp-image/python
ENV PYTHONPATH="/opt/smp-image/python"
WORKDIR /workspace
COPY --link scripts /workspace
