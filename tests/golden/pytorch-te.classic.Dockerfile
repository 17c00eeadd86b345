# Made by smp-image from the recipe pytorch-te. Do not edit: change the recipe, and render again.
# Recipe sha256:dc9357066c408e4fc4f63e9ae25c0e25aea617f228ff9fbb91d414d2cb56d476
# Lock   sha256:be7e54dce49568807a08c9ed1ab73d44ae474835d79fbad400665ffcaa019327
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge, ml.p5en.48xlarge
# Builder: the classic builder of Docker Engine 20.10 or later
# Behind a private certificate authority: the base image must trust it, for this builder has no secrets.

# What stays of the distribution.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS system
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        'libstdc++6=14.2.0-4ubuntu2~24.04.1' \
        python3=3.12.3-0ubuntu2.1 \
        || { echo "If a version was not found: the archive moved on since this was locked; smp-image lock --upgrade takes what it has now." >&2; exit 100; }; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --without-pip /opt/venv

# Downloads happen here; nothing of it reaches the image.
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS fetch
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

# The same Python environment with pip, in which wheels are unpacked; it does not reach the image.
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS python
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        ca-certificates \
        python3-venv; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --system-site-packages /opt/venv

# cudnn: verified against the lock, unpacked below /out.
FROM python AS cudnn
RUN set -eu; \
    printf '%s\n' \
        'nvidia-cudnn-cu13==9.20.0.48 --hash=sha256:0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# pytorch: verified against the lock, unpacked below /out.
FROM python AS pytorch
RUN set -eu; \
    printf '%s\n' \
        'torch==2.13.0 --hash=sha256:796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# nccl: verified against the lock, unpacked below /out.
FROM python AS nccl
RUN set -eu; \
    printf '%s\n' \
        'nvidia-nccl-cu13==2.29.7 --hash=sha256:edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# transformer-engine: verified against the lock, unpacked below /out.
FROM python AS transformer-engine
RUN set -eu; \
    printf '%s\n' \
        'nvidia-curand==10.4.0.35 --hash=sha256:1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc' \
        'transformer-engine-cu13==2.20.2 --hash=sha256:30063d3699e779cce63617c3458804f7a504ce8279f2749c98313db9daae273e' \
        'transformer-engine==2.20.2 --hash=sha256:7dcfad943a1a55b2612db9a0e43697fe98c70f4c42ec391ba3a0f872f6ce2094' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Python packages beyond the components: verified against the lock, unpacked below /out.
FROM python AS packages
RUN set -eu; \
    printf '%s\n' \
        'annotated-types==0.8.0 --hash=sha256:f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0' \
        'apache-tvm-ffi==0.1.15.post2 --hash=sha256:059eed9bfc94bcd41650fb8eefde74040a1bc7e7b1a6f0a8ff897b02b118875b' \
        'cuda-bindings==13.5.0 --hash=sha256:a46a8cc84112d769d0f57bf3ae3fedc115cf09348f14da85a1a8200968b6f262' \
        'cuda-pathfinder==1.9.0 --hash=sha256:622df7440f7702f36b7a02a1699aa0b084fe04034d9939188fee9b16d0c36366' \
        'cuda-toolkit==13.0.3.0 --hash=sha256:d693caaa261214ddd7dbb60d68e71cbed884e68c2be7509778f3051da0b91c3f' \
        'einops==0.8.2 --hash=sha256:54058201ac7087911181bfec4af6091bb59380360f069276601256a76af08193' \
        'filelock==4.2.12 --hash=sha256:21decfec02f116ed4c954433cdb31f28c3b346b784543177b6d7059da2702ee9' \
        'fsspec==2026.9.0 --hash=sha256:8dd6e646e99ea382bd85f97a45e6b526a442d79423a7dc673f1e2756d05fcb5f' \
        'importlib-metadata==10.2.0 --hash=sha256:c7a4bf1c7479601f6b8e437cfc14f4f77028ba62a8f34ae95cd93d9774dfba51' \
        'jinja2==3.1.6 --hash=sha256:85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67' \
        'lazy-importer==0.1.0 --hash=sha256:bd93fab7bef18e842eea02b839410954d37889140dc64ca4d9680aec6880c739' \
        'markupsafe==3.0.4 --hash=sha256:8e124f974786f831d6043728e38296969d3579db8896fe004682f5758e613581' \
        'ml-dtypes==0.6.0 --hash=sha256:3b4a480aa8fd54a1805b8ac10f3f91763926a74f73c0c364c10f9231854f4170' \
        'mpmath==1.3.0 --hash=sha256:a0b2b9fe80bbcd81a6647ff13108738cfb482d481d826cc0e02f5b35e5c88d2c' \
        'networkx==3.7 --hash=sha256:e3fd2c13a7814cee3746340d8d7f8598a67f16a58bf47fb7f8793fab6efca1b0' \
        'numpy==2.5.5 --hash=sha256:704d819265e5d1064d932968e9ee85fff2103ccc78c05b878c06943ba27b8507' \
        'nvdlfw-inspect==0.2.2 --hash=sha256:8a4dc2814c5a4cd19ae304170b9bfa514538ef3c3eb243a45a82404ec3cb279d' \
        'nvidia-cublas==13.1.1.3 --hash=sha256:37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436' \
        'nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8' \
        'nvidia-cuda-nvrtc==13.0.88 --hash=sha256:ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575' \
        'nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548' \
        'nvidia-cudnn-frontend==1.32.0 --hash=sha256:8b354a8e550c083eb247f1eb39a7d69a4a269075f5a01e4fcbd2531680b17239' \
        'nvidia-cufft==12.0.0.61 --hash=sha256:6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3' \
        'nvidia-cufile==1.15.1.6 --hash=sha256:08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44' \
        'nvidia-cusolver==12.0.4.66 --hash=sha256:0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112' \
        'nvidia-cusparse==12.6.3.3 --hash=sha256:2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b' \
        'nvidia-cusparselt-cu13==0.8.1 --hash=sha256:786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0' \
        'nvidia-cutlass-dsl-libs-base==4.8.1 --hash=sha256:ac2fd8c7fa3d6ded00917fa7cba8686061005da8c4703c6a29e03c1504543909' \
        'nvidia-cutlass-dsl-libs-core==4.8.1 --hash=sha256:bacc6760e3286db447d45720d32ae58ac2e6cecade1152345ef784b2d5e44431' \
        'nvidia-cutlass-dsl-libs-cu12==4.8.1 --hash=sha256:440b88739120c65d96c5f15bbe496a3bd7c26392874d5af6061d38497f84c70c' \
        'nvidia-cutlass-dsl-libs-cu13==4.8.1 --hash=sha256:50191a381d8cc1393373ae0bc879b0aefa9a256c23c22d4fa1c2fe3dfe57bc90' \
        'nvidia-cutlass-dsl==4.8.1 --hash=sha256:43ed46b21d151aa643c6765457c7310827b938c1cf45d5109a0152de4ef06227' \
        'nvidia-nvjitlink==13.5.37 --hash=sha256:280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb' \
        'nvidia-nvshmem-cu13==3.4.5 --hash=sha256:290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80' \
        'nvidia-nvtx==13.0.85 --hash=sha256:4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4' \
        'onnx-ir==1.1.0 --hash=sha256:76cc313a788c073b75271c1b6abb172aaf90fcc6335ed40f9f3238b2064a2fa3' \
        'onnx==1.23.2 --hash=sha256:7abf381d278f31ac62487fddedc9dd42da842dce94d5d43536836ee3efdf4a2b' \
        'onnxscript==0.7.2 --hash=sha256:d0e7121c6a1eefd608058928e111cbdb76709f70d269ff0d07aee493bd1d13c9' \
        'packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c' \
        'protobuf==7.36.2 --hash=sha256:89f23aa53c24553a2416fd4fd1ec06f74fa42b14b546d8883128813f775bbfd2 --hash=sha256:bdb3a345d48db958e6ce1f18e508beb0cc981d64f24088427549c866cd039f1e' \
        'pydantic-core==2.50.5 --hash=sha256:470bbc2495367f60d3ca849a8039e4c164701d10637e7743f4427d92651bdb6d' \
        'pydantic==2.14.4 --hash=sha256:653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc' \
        'pyyaml==6.0.4 --hash=sha256:93bfb2459195406a518e2f487a9bbf01df240175f31e06f5a252ac6734c7bbf0' \
        'setuptools==84.2.1 --hash=sha256:ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2' \
        'sympy==1.14.0 --hash=sha256:e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5' \
        'triton==3.7.1 --hash=sha256:7e40869937a68206ec70d7f25bb7ec6433cb083f9135e1f36dbd318dc449a728' \
        'typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8' \
        'typing-inspection==0.4.5 --hash=sha256:bc210535442b39e1bf2805e0c7a17dfd6a4ace760c84c7f7d16245d23a6b1c39' \
        'zipp==4.1.2 --hash=sha256:b30cb6cd253122169c47de245ca24a86bac2a5d3802ba15bf7ba6414eb9e144d' \
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
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04 AS gdrcopy
ARG MAX_JOBS=2
COPY --from=gdrcopy-source /src /src
RUN set -eu; \
    mkdir -p /out/opt/gdrcopy/include /out/opt/gdrcopy/lib; \
    make --directory /src --jobs "$MAX_JOBS" CUDA=/usr/local/cuda lib; \
    make --directory /src CUDA=/usr/local/cuda prefix=/out/opt/gdrcopy lib_install; \
    test -e /out/opt/gdrcopy/lib/libgdrapi.so.2; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Transformer Engine's PyTorch extension, compiled: NVIDIA publishes its source only.
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04 AS transformer-engine-compiled
ARG MAX_JOBS=2
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        cmake \
        g++ \
        ninja-build \
        pybind11-dev \
        python3-dev \
        python3-pybind11 \
        python3-setuptools \
        python3-venv \
        python3-wheel; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --system-site-packages /opt/venv

COPY --from=cudnn /out/opt/venv /opt/venv
COPY --from=pytorch /out/opt/venv /opt/venv
COPY --from=nccl /out/opt/venv /opt/venv
COPY --from=transformer-engine /out/opt/venv /opt/venv
COPY --from=packages /out/opt/venv /opt/venv
RUN set -eu; \
    export MAX_JOBS CUDA_HOME=/usr/local/cuda \
        CUDNN_PATH=/opt/venv/lib/python3.12/site-packages/nvidia/cudnn \
        NVTE_BUILD_THREADS_PER_JOB=1 \
        NVTE_CUDA_ARCHS='80;86;90' \
        NVTE_FRAMEWORK=pytorch \
        NVTE_PYTORCH_FORCE_BUILD=TRUE \
        NVTE_WITH_NCCL_EP=0 \
        TORCH_CUDA_ARCH_LIST='8.0;8.6;9.0'; \
    export CPATH=/opt/venv/lib/python3.12/site-packages/nvidia/cudnn/include"${CPATH:+:$CPATH}" LIBRARY_PATH=/opt/venv/lib/python3.12/site-packages/nvidia/cudnn/lib"${LIBRARY_PATH:+:$LIBRARY_PATH}"; \
    export CPATH=/opt/venv/lib/python3.12/site-packages/nvidia/nccl/include"${CPATH:+:$CPATH}" LIBRARY_PATH=/opt/venv/lib/python3.12/site-packages/nvidia/nccl/lib"${LIBRARY_PATH:+:$LIBRARY_PATH}"; \
    printf '%s\n' \
        'transformer-engine-torch==2.20.2 --hash=sha256:4c40ced8a6261649e689076f198d4feaf02277b1ba18931a66eccdaceb33c43e' \
        > /tmp/requirements.txt; \
    PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip wheel --disable-pip-version-check --no-input \
        --require-hashes --no-deps --no-build-isolation --wheel-dir /wheels --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    env --chdir=/wheels sh -c 'sha256sum ./*.whl > SHA256SUMS'; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile --no-index --no-deps --find-links /wheels --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        transformer-engine-torch==2.20.2; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM efa AS image
COPY --from=pytorch /out/opt/venv /opt/venv
COPY --from=cudnn /out/opt/venv /opt/venv
COPY --from=transformer-engine /out/opt/venv /opt/venv
COPY --from=transformer-engine-compiled /out/opt/venv /opt/venv
COPY --from=nccl /out/opt/venv /opt/venv
COPY --from=gdrcopy /out/opt/gdrcopy /opt/gdrcopy
COPY --from=packages /out/opt/venv /opt/venv
RUN set -eu; \
    printf '%s\n' \
        /opt/venv/lib/python3.12/site-packages/nvidia/cudnn/lib \
        /opt/venv/lib/python3.12/site-packages/nvidia/nccl/lib \
        /opt/venv/lib/python3.12/site-packages/transformer_engine/wheel_lib \
        /opt/amazon/efa/lib \
        /opt/amazon/ofi-nccl/lib/x86_64-linux-gnu \
        /opt/amazon/ofi-nccl/lib \
        /opt/gdrcopy/lib \
        > /etc/ld.so.conf.d/000-smp-image.conf; \
    ldconfig; \
    rm -f /var/cache/ldconfig/aux-cache
ENV PATH="/opt/venv/bin:/opt/amazon/openmpi/bin:/opt/amazon/efa/bin:$PATH" \
    NVTE_CUDA_INCLUDE_DIR="/opt/venv/lib/python3.12/site-packages/nvidia/cu13/include"
WORKDIR /workspace
