# Made by smp-image from the recipe smp-2.8-from-parts. Do not edit: change the recipe, and render again.
# Recipe sha256:328cd54fd288b3a3bf91c9dc3c934bfcd6cb547e2df1443d4f4b5446f0fb4ea0
# Lock   sha256:8cfe655cef3582b5d6172dd790d95151de1dbde37c64bba1b7904775080d5507
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge
# Builder: the classic builder of Docker Engine 20.10 or later
# Behind a private certificate authority: the base image must trust it, for this builder has no secrets.

# What stays of the distribution.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:12.4.1-base-ubuntu22.04 AS system
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        'libstdc++6=12.3.0-1ubuntu1~22.04.3' \
        || { echo "If a version was not found: the archive moved on since this was locked; smp-image lock --upgrade takes what it has now." >&2; exit 100; }; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

# Downloads happen here; nothing of it reaches the image.
FROM docker.io/nvidia/cuda:12.4.1-base-ubuntu22.04 AS fetch
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        ca-certificates \
        curl; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

FROM fetch AS aws-ofi-nccl-source
# The lock does not know this checksum. Run `smp-image lock` where the network reaches the file, or pass --build-arg.
ARG AWS_OFI_NCCL_SHA256
RUN set -eu; \
    : "${AWS_OFI_NCCL_SHA256:?is not locked: run smp-image lock where the network reaches the file, or pass --build-arg}"; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/source.tar.gz https://github.com/aws/aws-ofi-nccl/archive/v1.13.2-aws.tar.gz; \
    printf '%s  %s\n' "$AWS_OFI_NCCL_SHA256" /tmp/source.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /src; \
    tar --extract --gzip --file /tmp/source.tar.gz --directory /src --strip-components=1 --no-same-owner; \
    rm /tmp/source.tar.gz

# SMP v2 is AWS's own build of PyTorch, from its conda channel. Channels move, so the list of what was installed, with the checksum of each
# package, is verified as a whole.
FROM fetch AS smp
# The lock does not know this checksum. Run `smp-image lock` where the network reaches the file, or pass --build-arg.
ARG SMP_CONDA_SHA256
RUN set -eu; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /usr/local/bin/micromamba https://github.com/mamba-org/micromamba-releases/releases/download/1.5.7-0/micromamba-linux-64; \
    printf '%s  %s\n' 07fdfa75b1b66f8ee515cdc2cd4c51179f7d19ca12ddc399d0484f93c032218d /usr/local/bin/micromamba > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    chmod 0755 /usr/local/bin/micromamba
RUN set -eu; \
    export MAMBA_ROOT_PREFIX=/opt/micromamba MAMBA_SSL_VERIFY="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"; \
    micromamba create --yes --no-rc --override-channels --strict-channel-priority --prefix /opt/conda \
        --channel https://sagemaker-distributed-model-parallel.s3.us-west-2.amazonaws.com/smp-v2/ \
        --channel https://conda.anaconda.org/nvidia/ \
        --channel https://conda.anaconda.org/conda-forge/ \
        'pytorch=2.5.1=sm_py3.11_cuda12.4_*' \
        pip \
        setuptools \
        wheel; \
    micromamba env export --explicit --prefix /opt/conda > /tmp/conda.txt; \
    cat /tmp/conda.txt; \
    sha256sum /tmp/conda.txt; \
    : "${SMP_CONDA_SHA256:?is not locked: run smp-image lock where the network reaches the file, or pass --build-arg}"; \
    printf '%s  %s\n' "$SMP_CONDA_SHA256" /tmp/conda.txt > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    rm -rf /opt/micromamba /tmp/conda.txt; \
    find /opt/conda -type d -name __pycache__ -prune -exec rm -rf {} +

# nccl: verified against the lock, unpacked below /out.
FROM smp AS nccl
RUN set -eu; \
    printf '%s\n' \
        'nvidia-nccl-cu12==2.23.4 --hash=sha256:b097258d9aab2fa9f686e33c6fe40ae57b27df60cedbd15d139701bb5509e0c1' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# transformer-engine: verified against the lock, unpacked below /out.
FROM smp AS transformer-engine
RUN set -eu; \
    printf '%s\n' \
        'transformer-engine-cu12==1.10.0 --hash=sha256:dd5d16585ca7feb1e47d56c0417d28b3288a34eb31bd9ef076c39c2c302f3405' \
        'transformer-engine==1.10.0 --hash=sha256:15fbaa8170fe7485b030e3f796417ea3bbb4bbee8b9a19615933b15b449ff2be' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    mkdir -p "$(dirname /out/opt/conda/lib/python3.11/site-packages/nvidia/cudart)"; \
    ln -s cuda_runtime /out/opt/conda/lib/python3.11/site-packages/nvidia/cudart; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Python packages beyond the components: verified against the lock, unpacked below /out.
FROM smp AS packages
RUN set -eu; \
    printf '%s\n' \
        'aiohappyeyeballs==2.7.1 --hash=sha256:9243213661e29250eb41368e5daa826fc017156c3b8a11440826b2e3ed376472' \
        'aiohttp==3.14.5 --hash=sha256:50a195903119008fe9cc68710535eb37f556ffffd6a7759afe70a2c145587045 --hash=sha256:efc21a454892828368b11c2c780de0ff8bc991f73f6b99c6b66e56205470929b' \
        'aiosignal==1.4.0 --hash=sha256:053243f8b92b990551949e63930a839ff0cf0b0ebbe0597b0f3fb19e1a0fe82e' \
        'annotated-types==0.8.0 --hash=sha256:f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0' \
        'attrs==26.1.0 --hash=sha256:c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309' \
        'certifi==2026.10.19.post1 --hash=sha256:1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2' \
        'charset-normalizer==3.5.2 --hash=sha256:1c50fe28bbc2ced33386f298650d91218076c05420e6cbd790b913adc41659e7 --hash=sha256:211d5a3eb6af8f513b8d4ca19a8c1b7accab1b5f0d3175f9826b03c1a920dc1f --hash=sha256:b6b751274acb69d77b3323d6b7dbaa3c7fdfc1eb829b7eb61d262f32e1af9685' \
        'datasets==2.19.0 --hash=sha256:f57c5316e123d4721b970c68c1cb856505f289cda58f5557ffe745b49c011a8e' \
        'dill==0.3.8 --hash=sha256:c36ca9ffb54365bdd2f8eb3eff7d2a21237f8452b57ace88b1ac615b7e815bd7' \
        'dnspython==2.9.2 --hash=sha256:af15f7d385a6ae2fb35a796fde2138004c8c42c7389090e2addc83e3b3340fd8' \
        'einops==0.8.2 --hash=sha256:54058201ac7087911181bfec4af6091bb59380360f069276601256a76af08193' \
        'filelock==4.2.12 --hash=sha256:21decfec02f116ed4c954433cdb31f28c3b346b784543177b6d7059da2702ee9' \
        'frozenlist==1.8.0 --hash=sha256:0c18a16eab41e82c295618a77502e17b195883241c563b00f0aa5106fc4eaa0d --hash=sha256:2552f44204b744fba866e573be4c1f9048d6a324dfe14475103fd51613eb1d1f' \
        'fsspec==2024.3.1 --hash=sha256:918d18d41bf73f0e2b261824baeb1b124bcf771767e3a26425cd7dec3332f512' \
        'hf-xet==1.8.0 --hash=sha256:29dab7c904cd1914a0439c6e1306c12c7497c8bd32290fbe563ebf51ca4b6d6d' \
        'huggingface-hub==0.36.2 --hash=sha256:48f0c8eac16145dfce371e9d2d7772854a4f591bcb56c9cf548accf531d54270' \
        'idna==3.20 --hash=sha256:ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c' \
        'importlib-metadata==10.2.0 --hash=sha256:c7a4bf1c7479601f6b8e437cfc14f4f77028ba62a8f34ae95cd93d9774dfba51' \
        'lazy-importer==0.1.0 --hash=sha256:bd93fab7bef18e842eea02b839410954d37889140dc64ca4d9680aec6880c739' \
        'multidict==7.2.1 --hash=sha256:08ea94663d9e7c25d14d78222f7aee906c472d4837766bec62477c38f6e419dc --hash=sha256:3b7542fad2706595c1b1853b46f2c3c4ae5cc5a6252b7225f294d607a29e1bdf' \
        'multiprocess==0.70.16 --hash=sha256:a0bafd3ae1b732eac64be2e72038231c1ba97724b60b09400d68f229fcc2fbf3 --hash=sha256:a71d82033454891091a226dfc319d0cfa8019a4e888ef9ca910372a446de4435 --hash=sha256:af4cabb0dac72abfb1e794fa7855c325fd2b55a10a44628a3c1ad3311c04127a --hash=sha256:c4a9944c67bd49f823687463660a2d6daae94c289adff97e0f9d696ba6371d02' \
        'numpy==2.4.6 --hash=sha256:89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93' \
        'packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c' \
        'pandas==3.1.1 --hash=sha256:4f1602f614bb83f443381dbcbb94c4ac764b2e50c8d6c965614c5cd83e328c47' \
        'propcache==0.5.4 --hash=sha256:62c60aec739ed00124573cce1178138fd690c7676352d67a37328c1cf51d7468 --hash=sha256:6e9368e87a3efc285e559131092c5db643eb8e56de4ee42064d5baec22ef2bb5' \
        'pyarrow-hotfix==0.7 --hash=sha256:3236f3b5f1260f0e2ac070a55c1a7b339c4bb7267839bd2015e283234e758100' \
        'pyarrow==26.0.1 --hash=sha256:39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c' \
        'pydantic-core==2.50.5 --hash=sha256:488319076ec92908b91fc6265ce761f1d78748f69f85518564fd16bf333e1b70' \
        'pydantic==2.14.4 --hash=sha256:653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc' \
        'python-dateutil==4.0.0 --hash=sha256:a5e246f79eb80475e691bf93862cead98decd8a498cf53ba0516fcdc0f50dc1c' \
        'pyyaml==6.0.4 --hash=sha256:622aa875fa6533f25fedcffe23079357d65a690d462200afed5d8e9d0e01ebee' \
        'regex==2026.11.19 --hash=sha256:86d3b2ea69b3c56df3e8ddbac6cd98eaf5a8c5b5e7e006897ebdf7a28d6818e6 --hash=sha256:e4c605ee49b0fd1e609cf87bce68c5c9b03bf1c075f991313835e2570d8f9b36' \
        'requests==2.34.2 --hash=sha256:2a0d60c172f83ac6ab31e4554906c0f3b3588d37b5cb939b1c061f4907e278e0' \
        'safetensors==0.8.0 --hash=sha256:fd6f3f93c9a0a7cc2788ee63fb763353d4bd2e89b0751bc78fcf7dda00bea774' \
        'tokenizers==0.19.1 --hash=sha256:d16ff18907f4909dca9b076b9c2d899114dd6abceeb074eca0c93e2353f943aa' \
        'tqdm==4.70.1 --hash=sha256:c293e525e6fef9c20e8728fd4612df02a0aa31bb5fe91ecd93e123b1b7bffa73' \
        'transformers==4.44.2 --hash=sha256:1c02c65e7bfa5e52a634aff3da52138b583fc6f263c1f28d547dc144ba3d412d' \
        'typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8' \
        'typing-inspection==0.4.5 --hash=sha256:bc210535442b39e1bf2805e0c7a17dfd6a4ace760c84c7f7d16245d23a6b1c39' \
        'tzdata==2026.6 --hash=sha256:0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec' \
        'urllib3==2.8.0 --hash=sha256:0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3' \
        'xxhash==4.1.0 --hash=sha256:5e713f5db9e1a8aafac59a45cc1ffce11ca507730f5dc12e212ea7b73d9debde' \
        'yarl==1.25.1 --hash=sha256:681c758b0490f9e96b78e5fa8e8dc6e648e9185bb6eaebe73183c33ea0c445f3 --hash=sha256:d5add7b4ca7afeea91d52e4d4e4db3b1fe9885b71f07054560d8c4296b7441a2' \
        'zipp==4.1.2 --hash=sha256:b30cb6cd253122169c47de245ca24a86bac2a5d3802ba15bf7ba6414eb9e144d' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Python packages that exist only as source: verified against the lock, unpacked below /out.
FROM smp AS packages-from-source
RUN set -eu; \
    printf '%s\n' \
        'python-etcd==0.4.5 --hash=sha256:f1b5ebb825a3e8190494f5ce1509fde9069f2754838ed90402a8c11e1f52b8cb' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
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
        --output /tmp/efa.tar.gz https://efa-installer.amazonaws.com/aws-efa-installer-1.36.0.tar.gz; \
    printf '%s  %s\n' de183f333cfb58aeb7908a67bf9106985ba3ccb7f8638b851d2a0d8dbfacaec4 /tmp/efa.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /tmp/efa; \
    tar --extract --gzip --file /tmp/efa.tar.gz --directory /tmp/efa --strip-components=1 --no-same-owner; \
    rm /tmp/efa.tar.gz; \
    env --chdir=/tmp/efa ./efa_installer.sh -y --skip-kmod --skip-limit-conf --no-verify; \
    test -x /opt/amazon/efa/bin/fi_info; \
    rm -rf /tmp/efa; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

# The NCCL plugin for libfabric, beside an EFA installer that brings none. The archive of a tag has no `configure` yet.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04 AS aws-ofi-nccl
ARG MAX_JOBS=2
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        autoconf \
        automake \
        libhwloc-dev \
        libtool \
        make \
        pkg-config; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache
COPY --from=aws-ofi-nccl-source /src /src
COPY --from=efa /opt/amazon/efa /opt/amazon/efa
RUN set -eu; \
    env --chdir=/src ./autogen.sh; \
    env --chdir=/src ./configure --prefix=/opt/aws-ofi-nccl --libdir=/opt/aws-ofi-nccl/lib \
        --with-libfabric=/opt/amazon/efa --with-cuda=/usr/local/cuda \
        --enable-platform-aws --disable-tests; \
    make --directory /src --jobs "$MAX_JOBS"; \
    make --directory /src DESTDIR=/out install; \
    test -e /out/opt/aws-ofi-nccl/lib/libnccl-net.so; \
    find /out -name '*.la' -delete; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Transformer Engine's PyTorch extension, compiled: NVIDIA publishes its source only.
FROM docker.io/nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04 AS transformer-engine-compiled
ARG MAX_JOBS=2
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        cmake \
        g++ \
        ninja-build \
        pybind11-dev; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

COPY --from=smp /opt/conda /opt/conda
COPY --from=nccl /out/opt/conda /opt/conda
COPY --from=transformer-engine /out/opt/conda /opt/conda
COPY --from=packages /out/opt/conda /opt/conda
RUN set -eu; \
    export MAX_JOBS CUDA_HOME=/usr/local/cuda \
        NVTE_BUILD_THREADS_PER_JOB=1 \
        NVTE_CUDA_ARCHS='80;86;90' \
        NVTE_FRAMEWORK=pytorch \
        NVTE_PYTORCH_FORCE_BUILD=TRUE \
        TORCH_CUDA_ARCH_LIST='8.0;8.6;9.0'; \
    export CPATH=/opt/conda/lib/python3.11/site-packages/nvidia/nccl/include"${CPATH:+:$CPATH}" LIBRARY_PATH=/opt/conda/lib/python3.11/site-packages/nvidia/nccl/lib"${LIBRARY_PATH:+:$LIBRARY_PATH}"; \
    printf '%s\n' \
        'transformer-engine-torch==1.10.0 --hash=sha256:0e8cebe70e0b2f08be6b2b6b30be44788f729519e3739bf1f60bea6a5ed9dc8e' \
        > /tmp/requirements.txt; \
    PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip wheel --disable-pip-version-check --no-input \
        --require-hashes --no-deps --no-build-isolation --wheel-dir /wheels --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    env --chdir=/wheels sh -c 'sha256sum ./*.whl > SHA256SUMS'; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile --no-index --no-deps --find-links /wheels --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
        transformer-engine-torch==1.10.0; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# flash-attn, compiled against the image's PyTorch.
FROM docker.io/nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04 AS flash-attn
ARG MAX_JOBS=2
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get install --yes --no-install-recommends \
        cmake \
        g++ \
        ninja-build \
        pybind11-dev; \
    rm -rf /var/cache/apt/archives /var/cache/apt/*.bin /var/lib/apt/lists/*; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

COPY --from=smp /opt/conda /opt/conda
COPY --from=nccl /out/opt/conda /opt/conda
COPY --from=packages /out/opt/conda /opt/conda
RUN set -eu; \
    export MAX_JOBS CUDA_HOME=/usr/local/cuda \
        FLASH_ATTENTION_FORCE_BUILD=TRUE \
        FLASH_ATTN_CUDA_ARCHS='80;90' \
        NVCC_THREADS=1 \
        TORCH_CUDA_ARCH_LIST='8.0;8.6;9.0'; \
    export CPATH=/opt/conda/lib/python3.11/site-packages/nvidia/nccl/include"${CPATH:+:$CPATH}" LIBRARY_PATH=/opt/conda/lib/python3.11/site-packages/nvidia/nccl/lib"${LIBRARY_PATH:+:$LIBRARY_PATH}"; \
    printf '%s\n' \
        'flash-attn==2.5.8 --hash=sha256:2e5b2bcff6d5cff40d494af91ecd1eb3c5b4520a6ce7a0a8b1f9c1ed129fb402' \
        > /tmp/requirements.txt; \
    PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip wheel --disable-pip-version-check --no-input \
        --require-hashes --no-deps --no-build-isolation --wheel-dir /wheels --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    env --chdir=/wheels sh -c 'sha256sum ./*.whl > SHA256SUMS'; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/conda/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-cache-dir --no-compile --no-index --no-deps --find-links /wheels --ignore-installed --no-warn-script-location --prefix /out/opt/conda \
        flash-attn==2.5.8; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM efa AS image
COPY --from=smp /opt/conda /opt/conda
COPY --from=transformer-engine /out/opt/conda /opt/conda
COPY --from=flash-attn /out/opt/conda /opt/conda
COPY --from=transformer-engine-compiled /out/opt/conda /opt/conda
COPY --from=nccl /out/opt/conda /opt/conda
COPY --from=aws-ofi-nccl /out/opt/aws-ofi-nccl /opt/aws-ofi-nccl
COPY --from=packages-from-source /out/opt/conda /opt/conda
COPY --from=packages /out/opt/conda /opt/conda
RUN set -eu; \
    printf '%s\n' \
        /opt/conda/lib/python3.11/site-packages/nvidia/nccl/lib \
        /opt/conda/lib/python3.11/site-packages/transformer_engine/wheel_lib \
        /opt/conda/lib/python3.11/site-packages/transformer_engine \
        /opt/amazon/efa/lib \
        /opt/aws-ofi-nccl/lib \
        > /etc/ld.so.conf.d/000-smp-image.conf; \
    ldconfig; \
    rm -f /var/cache/ldconfig/aux-cache
ENV PATH="/opt/conda/bin:/opt/amazon/openmpi/bin:/opt/amazon/efa/bin:$PATH"
WORKDIR /workspace
COPY scripts /workspace
