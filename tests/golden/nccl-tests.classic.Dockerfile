# Made by smp-image from the recipe nccl-tests. Do not edit: change the recipe, and render again.
# Recipe sha256:27f6d819cd3ca87589ce8fbe4aa68561d7275d5186671c62c8f96ba31a3cd451
# Lock   sha256:dce05983d843d2f2b09ceb4d323dba23bd4c3dec1c9cc00ac50254365d6af25c
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge, ml.p5en.48xlarge
# Builder: the classic builder of Docker Engine 20.10 or later
# Behind a private certificate authority: the base image must trust it, for this builder has no secrets.

# What stays of the distribution.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu22.04 AS system
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        'python3=3.10.6-1~22.04.1' \
        || { echo "If a version was not found: the archive moved on since this was locked; smp-image lock --upgrade takes what it has now." >&2; exit 100; }; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --without-pip /opt/venv

# Downloads happen here; nothing of it reaches the image.
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu22.04 AS fetch
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        ca-certificates \
        curl; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

FROM fetch AS gdrcopy-source
RUN set -eu; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/source.tar.gz https://github.com/NVIDIA/gdrcopy/archive/v2.5.1.tar.gz; \
    printf '%s  %s\n' c6d5ebb7dabb89d798f27609511735595004da73af28d93ac041bb5290c4cbec /tmp/source.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /src; \
    tar --extract --gzip --file /tmp/source.tar.gz --directory /src --strip-components=1 --no-same-owner; \
    rm /tmp/source.tar.gz

FROM fetch AS nccl-tests-source
RUN set -eu; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/source.tar.gz https://github.com/NVIDIA/nccl-tests/archive/v2.17.6.tar.gz; \
    printf '%s  %s\n' 38974e70342150ede0e3fb8fd24bfe60ccbde90fa20241716ba8bb338e6b61a0 /tmp/source.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /src; \
    tar --extract --gzip --file /tmp/source.tar.gz --directory /src --strip-components=1 --no-same-owner; \
    rm /tmp/source.tar.gz

# The same Python environment with pip, in which wheels are unpacked; it does not reach the image.
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu22.04 AS python
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        ca-certificates \
        python3-venv; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --system-site-packages /opt/venv

# nccl: verified against the lock, unpacked below /out.
FROM python AS nccl
RUN set -eu; \
    printf '%s\n' \
        'nvidia-nccl-cu13==2.32.3 --hash=sha256:1459723080ac889d73a26edfa3e04383a7928ab31ac8f0ec43b3ea9548b04ff3' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# AWS's EFA installer: libfabric with the EFA provider, rdma-core, Open MPI, and from 1.38.0 the NCCL plugin. No kernel module and no
# device test: the node has the driver.
FROM system AS efa
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates curl; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/efa.tar.gz https://efa-installer.amazonaws.com/aws-efa-installer-1.50.0.tar.gz; \
    printf '%s  %s\n' fa6dff8593d866866c13cb4640d9059835cd4efa427971f100ab40c97bef2841 /tmp/efa.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /tmp/efa; \
    tar --extract --gzip --file /tmp/efa.tar.gz --directory /tmp/efa --strip-components=1 --no-same-owner; \
    rm /tmp/efa.tar.gz; \
    env --chdir=/tmp/efa ./efa_installer.sh -y --skip-kmod --skip-limit-conf --no-verify --disable-ngc --disable-build-ngc; \
    test -x /opt/amazon/efa/bin/fi_info; \
    test -n "$(find /opt/amazon/ofi-nccl -name 'libnccl-net*.so')"; \
    rm -rf /tmp/efa; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

# GDRCopy's library; its kernel module belongs to the node.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu22.04 AS gdrcopy
ARG MAX_JOBS=2
COPY --from=gdrcopy-source /src /src
RUN set -eu; \
    mkdir -p /out/opt/gdrcopy/include /out/opt/gdrcopy/lib; \
    make --directory /src --jobs "$MAX_JOBS" CUDA=/usr/local/cuda lib; \
    make --directory /src CUDA=/usr/local/cuda prefix=/out/opt/gdrcopy lib_install; \
    test -e /out/opt/gdrcopy/lib/libgdrapi.so.2; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# NVIDIA's NCCL benchmarks, for launching with MPI.
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu22.04 AS nccl-tests
ARG MAX_JOBS=2
COPY --from=nccl-tests-source /src /src
COPY --from=efa /opt/amazon /opt/amazon
COPY --from=nccl /out/opt/venv /opt/venv
RUN set -eu; \
    ln -sf libnccl.so.2 /opt/venv/lib/python3.10/site-packages/nvidia/nccl/lib/libnccl.so; \
    make --directory /src --jobs "$MAX_JOBS" \
        CUDA_HOME=/usr/local/cuda NCCL_HOME=/opt/venv/lib/python3.10/site-packages/nvidia/nccl MPI=1 MPI_HOME=/opt/amazon/openmpi \
        NVCC_GENCODE='-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_86,code=sm_86 -gencode=arch=compute_90,code=sm_90'; \
    mkdir -p /out/opt/nccl-tests/bin; \
    cp /src/build/*_perf /out/opt/nccl-tests/bin/; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM efa AS image
COPY --from=nccl /out/opt/venv /opt/venv
COPY --from=gdrcopy /out/opt/gdrcopy /opt/gdrcopy
COPY --from=nccl-tests /out/opt/nccl-tests /opt/nccl-tests
RUN set -eu; \
    printf '%s\n' \
        /opt/venv/lib/python3.10/site-packages/nvidia/nccl/lib \
        /opt/amazon/efa/lib \
        /opt/amazon/ofi-nccl/lib/x86_64-linux-gnu \
        /opt/amazon/ofi-nccl/lib \
        /opt/gdrcopy/lib \
        > /etc/ld.so.conf.d/000-smp-image.conf; \
    ldconfig; \
    rm -f /var/cache/ldconfig/aux-cache
ENV PATH="/opt/venv/bin:/opt/amazon/openmpi/bin:/opt/amazon/efa/bin:/opt/nccl-tests/bin:$PATH" \
    NCCL_SOCKET_IFNAME="^docker,lo,veth" \
    OMPI_MCA_btl="tcp,self" \
    OMPI_MCA_pml="^ucx" \
    OPAL_PREFIX="/opt/amazon/openmpi" \
    PMIX_MCA_gds="hash"
WORKDIR /opt/nccl-tests
