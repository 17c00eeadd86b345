# Made by smp-image from the recipe quickstart. Do not edit: change the recipe, and render again.
# Recipe sha256:5caf3dfb9084be8574928a35ce8fa0aa7c00be7663efcc4bba7535f8b84a6285
# Lock   sha256:769d7ff06929445795599e9cfedf23beaf0b5fa3956dfd860c85de4103655e0d
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge
# Builder: BuildKit of Docker Engine 23.0 or later
# Behind a private certificate authority: docker build --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

# What stays of the distribution.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/library/debian:trixie-slim AS system
RUN --mount=type=cache,id=apt-debian-trixie-slim-system,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-system-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ibverbs-providers=56.1-1 \
        libfabric-bin=2.1.0-1.1 \
        libfabric1=2.1.0-1.1 \
        libstdc++6=14.2.0-19 \
        python3=3.13.5-1 \
        rdma-core=56.1-1 \
        || { echo "If a version was not found: the archive moved on since this was locked; smp-image lock --upgrade takes what it has now." >&2; exit 100; }; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --without-pip /opt/venv

# The same Python environment with pip, in which wheels are unpacked; it does not reach the image.
FROM docker.io/library/debian:trixie-slim AS python
RUN --mount=type=cache,id=apt-debian-trixie-slim-python,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-python-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ca-certificates \
        python3-venv; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --system-site-packages /opt/venv

# cuda: verified against the lock, unpacked below /out.
FROM python AS cuda
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'nvidia-cublas-cu12==12.9.3.13 --hash=sha256:d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72' \
        'nvidia-cuda-nvrtc-cu12==12.9.86 --hash=sha256:210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4' \
        'nvidia-cuda-runtime-cu12==12.9.79 --hash=sha256:25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3' \
        'nvidia-curand-cu12==10.3.10.19 --hash=sha256:49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# cudnn: verified against the lock, unpacked below /out.
FROM python AS cudnn
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'nvidia-cudnn-cu12==9.28.0.42 --hash=sha256:9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# nccl: verified against the lock, unpacked below /out.
FROM python AS nccl
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'nvidia-nccl-cu12==2.32.3 --hash=sha256:bb94b2348e4861d5e8aa00b36c3d12d9bdf9c6369b82cbb723de0b582280a21c' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# transformer-engine: verified against the lock, unpacked below /out.
FROM python AS transformer-engine
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'transformer-engine-cu12==2.20.2 --hash=sha256:7e745539686166790cb9fe2133e7c187edf6fe8627c7f7d46597888299c3f4cf' \
        'transformer-engine==2.20.2 --hash=sha256:7dcfad943a1a55b2612db9a0e43697fe98c70f4c42ec391ba3a0f872f6ce2094' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    mkdir -p "$(dirname /out/opt/venv/lib/python3.13/site-packages/nvidia/cudart)"; \
    ln -s cuda_runtime /out/opt/venv/lib/python3.13/site-packages/nvidia/cudart; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Python packages beyond the components: verified against the lock, unpacked below /out.
FROM python AS packages
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'annotated-types==0.8.0 --hash=sha256:f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0' \
        'importlib-metadata==10.2.0 --hash=sha256:c7a4bf1c7479601f6b8e437cfc14f4f77028ba62a8f34ae95cd93d9774dfba51' \
        'lazy-importer==0.1.0 --hash=sha256:bd93fab7bef18e842eea02b839410954d37889140dc64ca4d9680aec6880c739' \
        'packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c' \
        'pydantic-core==2.50.5 --hash=sha256:cbfde3ad127786f1dea1a6cd89a5eb824a16203f24743ad2b4e07506f43bc844' \
        'pydantic==2.14.4 --hash=sha256:653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc' \
        'typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8' \
        'typing-inspection==0.4.5 --hash=sha256:bc210535442b39e1bf2805e0c7a17dfd6a4ace760c84c7f7d16245d23a6b1c39' \
        'zipp==4.1.2 --hash=sha256:b30cb6cd253122169c47de245ca24a86bac2a5d3802ba15bf7ba6414eb9e144d' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM system AS image
COPY --link --from=cudnn /out/opt/venv /opt/venv
COPY --link --from=cuda /out/opt/venv /opt/venv
COPY --link --from=transformer-engine /out/opt/venv /opt/venv
COPY --link --from=nccl /out/opt/venv /opt/venv
COPY --link --from=packages /out/opt/venv /opt/venv
RUN set -eu; \
    printf '%s\n' \
        /opt/venv/lib/python3.13/site-packages/nvidia/cuda_runtime/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cublas/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cuda_nvrtc/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/curand/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cudnn/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/nccl/lib \
        /opt/venv/lib/python3.13/site-packages/transformer_engine/wheel_lib \
        /opt/venv/lib/python3.13/site-packages/transformer_engine \
        > /etc/ld.so.conf.d/000-smp-image.conf; \
    ldconfig; \
    rm -f /var/cache/ldconfig/aux-cache
ENV PATH="/opt/venv/bin:$PATH" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility" \
    NVIDIA_VISIBLE_DEVICES="all" \
    NVTE_CUDA_INCLUDE_DIR="/opt/venv/lib/python3.13/site-packages/nvidia/cuda_runtime/include"
WORKDIR /workspace
