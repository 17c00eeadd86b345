# Made by smp-image from the recipe smp-2.8. Do not edit: change the recipe, and render again.
# Recipe sha256:34d4eb708775f1d8eb03649e4ffd70b0f5a8532024580a9237a8cc3a26398da6
# Lock   sha256:8043d58206757c6d8bd671b088af0757797690a4346c2b06249e8e835bbfdde6
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge
# Builder: BuildKit of Docker Engine 23.0 or later
# Behind a private certificate authority: docker build --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

# The image.
# The digest of this image is not locked: out of reach when this was locked
FROM 658645717510.dkr.ecr.us-west-2.amazonaws.com/smdistributed-modelparallel:2.5.1-gpu-py311-cu124 AS image
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'dnspython==2.9.2 --hash=sha256:af15f7d385a6ae2fb35a796fde2138004c8c42c7389090e2addc83e3b3340fd8' \
        'urllib3==2.8.0 --hash=sha256:0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3' \
        'python-etcd==0.4.5 --hash=sha256:f1b5ebb825a3e8190494f5ce1509fde9069f2754838ed90402a8c11e1f52b8cb' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation  \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt
WORKDIR /workspace
COPY --link scripts /workspace
