# Made by smp-image from the recipe quickstart. Do not edit: change the recipe, and render again.
# Recipe sha256:5caf3dfb9084be8574928a35ce8fa0aa7c00be7663efcc4bba7535f8b84a6285
# Lock   sha256:769d7ff06929445795599e9cfedf23beaf0b5fa3956dfd860c85de4103655e0d
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge
# Builder: BuildKit of Docker Engine 23.0 or later
# On linux/arm64: what runs on --platform=$BUILDPLATFORM needs no emulation
# Behind a private certificate authority: docker build --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

# What unpacks on the builder's own architecture, and the empty Python environment of the image; nothing else of it reaches the image.
# The digest of this image is not locked: out of reach when this was locked
FROM --platform=$BUILDPLATFORM docker.io/library/debian:trixie-slim AS tools
RUN --mount=type=cache,id=apt-debian-trixie-slim-tools,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-tools-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ca-certificates \
        python3-venv; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --without-pip /opt/venv; \
    mkdir /skeleton; \
    cp --archive --parents /opt/venv /skeleton; \
    find /skeleton -exec touch --no-dereference --date=@946684800 {} +; \
    python3 -m venv --clear --system-site-packages /opt/venv

# The base of the target; no program of it is started.
FROM docker.io/library/debian:trixie-slim AS base

# The same packages on the builder's own architecture: what their maintainer scripts do is the same for every machine, and taken from here.
FROM --platform=$BUILDPLATFORM docker.io/library/debian:trixie-slim AS twin
RUN --mount=type=cache,id=apt-debian-trixie-slim-twin,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-twin-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    touch /tmp/before; \
    echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ibverbs-providers \
        libfabric-bin \
        libfabric1 \
        libstdc++6 \
        python3 \
        rdma-core; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    rm /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    find / -xdev -cnewer /tmp/before -print0 > /changed

# Packages of the distribution for the target, chosen by apt from what the target's base has and knows, and downloaded.
FROM tools AS debs
RUN --mount=type=bind,from=base,source=/,target=/target \
    --mount=type=cache,id=apt-debian-trixie-slim-debs,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-debian-trixie-slim-debs-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    printf '%s\n' \
        'Dir::Etc "/target/etc/apt";' \
        'Dir::State::status "/target/var/lib/dpkg/status";' \
        'Dir::Cache::archives "keep";' \
        'APT::Architecture "amd64";' \
        'APT::Architectures "amd64";' \
        > /etc/apt/target.conf; \
    export APT_CONFIG=/etc/apt/target.conf DEBIAN_FRONTEND=noninteractive; \
    apt-get --option Dir::Cache::pkgcache=pkgcache.bin update; \
    for how in --download-only --simulate; do \
        apt-get --option Dir::Cache::pkgcache=pkgcache.bin install --yes --no-install-recommends "$how" \
            ibverbs-providers=56.1-1 \
            libfabric-bin=2.1.0-1.1 \
            libfabric1=2.1.0-1.1 \
            libstdc++6=14.2.0-19 \
            python3=3.13.5-1 \
            rdma-core=56.1-1 \
            > /tmp/chosen \
            || { echo "If a version was not found: the archive moved on since this was locked; smp-image lock --upgrade takes what it has now." >&2; exit 100; }; \
    done; \
    if grep '^Remv ' /tmp/chosen; then \
        echo 'apt would remove these packages of the base, which needs a step on the target' >&2; exit 1; fi; \
    sed --quiet --regexp-extended \
        's/^Inst ([^ ]+) (\[[^]]*\] )?\(([^ ]+) .*\[([a-z0-9]+)\].*$/\1_\3_\4.deb/; T; s/:/%3a/g; p' /tmp/chosen > /tmp/names; \
    mkdir /debs; \
    xargs --arg-file /tmp/names --replace=DEB cp /var/cache/apt/keep/DEB /debs/; \
    rm /tmp/chosen /tmp/names

# What stays of the distribution, unpacked and registered by dpkg for a machine that does not run here.
FROM tools AS distribution
ARG BUILDARCH
COPY <<'PROGRAM' /usr/local/lib/foreign-debs.py
"""Installs packages of another architecture without running any of their programs: dpkg of this machine unpacks and registers them, and
what their maintainer scripts do is taken from a twin, where the same packages of this machine's own architecture were installed.

usage: foreign-debs.py TARGET TWIN CHANGED DEBS OUT THEIRS OURS
  TARGET   the root folder of the target's base; it may be written to
  TWIN     the root folder of the twin
  CHANGED  a file with the paths that the installation changed in the twin, each ended by a zero byte
  DEBS     the folder of the target's packages
  OUT      where everything that changed in TARGET is put
  THEIRS, OURS   the architectures of target and twin as dpkg calls them
"""

import compileall
import filecmp
import glob
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time

TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
SCRIPTS = {"preinst", "postinst", "prerm", "postrm", "config"}
# What no image keeps, and what is made for each machine anew.
PASSING = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/", "/var/cache/apt/", "/var/cache/ldconfig/", "/var/lib/apt/", "/var/log/apt/", "/changed")
PASSING_FILES = {"/etc/ld.so.cache", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/var/log/alternatives.log", "/var/log/bootstrap.log",
                 "/var/log/dpkg.log"}
# Of dpkg's own knowledge, what scripts write.
BY_SCRIPTS = ("/var/lib/dpkg/alternatives/", "/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride")
# Which packages came only because others need them.
MARKS = "/var/lib/apt/extended_states"
# The time that everything made here gets, so that the same packages make the same layer.
SETTLED = 946684800


def run(*command):
    """Runs a command; what it says is told only where it fails: dpkg warns of every package that is for another machine."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(done.stdout.decode(errors="replace")[-4000:] + f"{command[0]} failed with {done.returncode}")


def without_scripts(deb, folder):
    """Copies a package without its maintainer scripts; returns its name and the scripts."""
    control = subprocess.run(["dpkg-deb", "--ctrl-tarfile", deb], check=True, stdout=subprocess.PIPE).stdout
    kept, scripts = io.BytesIO(), {}
    with tarfile.open(fileobj=io.BytesIO(control)) as old, tarfile.open(fileobj=kept, mode="w", format=tarfile.GNU_FORMAT) as new:
        for member in old:
            data = old.extractfile(member).read() if member.isreg() else None
            name = os.path.basename(member.name)
            if name in SCRIPTS:
                scripts[name] = data
            else:
                new.addfile(member, io.BytesIO(data) if data is not None else None)
            if name == "control":
                package = next(line.split(":", 1)[1].strip() for line in data.decode().splitlines() if line.startswith("Package:"))
    with open(deb, "rb") as whole, open(os.path.join(folder, os.path.basename(deb)), "wb") as copy:
        copy.write(whole.read(8))
        while head := whole.read(60):
            size = int(head[48:58])
            if head.startswith(b"control.tar"):
                whole.seek(size + size % 2, os.SEEK_CUR)
                data = kept.getvalue()
                copy.write(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (b"control.tar", 0, 0, 0, b"100644", len(data)) + data + b"\n" * (len(data) % 2))
            else:
                copy.write(head)
                shutil.copyfileobj(io.BytesIO(whole.read(size + size % 2)), copy)
    return package, scripts


class Install:
    def __init__(self, target, twin, theirs, ours):
        self.target, self.twin, self.theirs, self.ours = target, twin, theirs, ours
        self.own, self.other = TRIPLETS[ours], TRIPLETS[theirs]
        self.info = target + "/var/lib/dpkg/info"

    def mapped(self, path):
        """Returns the path in the target of what is at `path` in the twin."""
        return path.replace(self.own, self.other)

    def unpack(self, debs):
        """Unpacks and registers the packages."""
        os.makedirs(self.info, exist_ok=True)
        for name in BY_SCRIPTS[1:]:
            if os.path.exists(self.twin + name):
                shutil.copyfile(self.twin + name, self.target + name)
        if not debs:
            return
        with tempfile.TemporaryDirectory() as folder:
            scripts = [without_scripts(deb, folder) for deb in debs]
            # Triggers would run scripts of packages that are there: those stand aside.
            aside = [path for path in glob.glob(self.info + "/*.postinst")]
            for path in aside:
                os.rename(path, path + ".aside")
            dpkg = ["dpkg", "--root=" + self.target, "--force-architecture", "--force-depends", "--force-confnew", "--no-debsig", "--log=/dev/null",
                    # A build that is cut off is done anew: nothing must survive a power failure.
                    "--force-unsafe-io"]
            dpkg += self.left_out()
            run(*dpkg, "--unpack", *sorted(glob.glob(folder + "/*.deb")))
            run(*dpkg, "--configure", "--pending")
        renewed = {package for package, _ in scripts}
        for path in aside:
            name = os.path.basename(path)[:-len(".postinst")]
            if name.split(":")[0] in renewed:
                os.remove(path + ".aside")
            else:
                os.rename(path + ".aside", path)
        for package, each in scripts:
            qualified = f"{self.info}/{package}:{self.theirs}"
            base = qualified if os.path.exists(qualified + ".list") else f"{self.info}/{package}"
            for name, data in each.items():
                self.file(f"{base}.{name}", data, 0o755)

    def left_out(self):
        """Returns the options of dpkg by which slim images leave out documentation and translations."""
        lines = []
        for path in sorted(glob.glob(self.twin + "/etc/dpkg/dpkg.cfg.d/*")):
            with open(path, encoding="utf-8") as file:
                lines += file.read().splitlines()
        return ["--" + line.strip() for line in lines if line.startswith(("path-exclude", "path-include"))]

    def file(self, path, data, mode):
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)

    def packaged(self):
        """Returns the paths that packages of the twin own."""
        owned = set()
        for path in glob.glob(self.twin + "/var/lib/dpkg/info/*.list"):
            with open(path, encoding="utf-8", errors="surrogateescape") as lines:
                owned.update(line.rstrip("\n") for line in lines)
        # Before /usr was merged packages own /bin/x, which lies at /usr/bin/x.
        owned.update("/usr" + path for path in list(owned) if path.split("/")[1] in ("bin", "sbin", "lib", "lib64"))
        return owned

    def follow(self, changed):
        """Does in the target what scripts did in the twin."""
        owned, bytecode = self.packaged(), []
        for path in sorted(changed):
            if path == MARKS:
                self.marks()
            if path.startswith(PASSING) or path in PASSING_FILES or path + "/" in PASSING:
                continue
            if path.startswith("/var/lib/dpkg/") and not path.startswith(BY_SCRIPTS):
                continue
            if "/__pycache__/" in path:
                bytecode.append(path)
            elif os.path.lexists(self.twin + path):
                self.same(path, path in owned)

        self.compile(bytecode)

    def marks(self):
        with open(self.twin + MARKS, encoding="utf-8") as file:
            text = file.read().replace(f"Architecture: {self.ours}\n", f"Architecture: {self.theirs}\n")
        self.file(self.target + MARKS, text.encode(), 0o644)

    def same(self, path, owned):
        there, here = self.twin + path, self.target + self.mapped(path)
        state = os.lstat(there)
        replaced = stat.S_ISLNK(state.st_mode) and os.path.isdir(here) and not os.path.islink(here) and not os.listdir(here)
        if replaced:
            os.rmdir(here)
        if replaced or (not owned and not path.endswith("/__pycache__")):
            self.copy(path, there, here, state)
        if not os.path.lexists(here) or stat.S_ISLNK(state.st_mode):
            return
        mine = os.lstat(here)
        if (mine.st_uid, mine.st_gid) != (state.st_uid, state.st_gid):
            os.lchown(here, state.st_uid, state.st_gid)
        if stat.S_IMODE(mine.st_mode) != stat.S_IMODE(state.st_mode):
            os.chmod(here, stat.S_IMODE(state.st_mode))
        for name in os.listxattr(there, follow_symlinks=False):
            if name == "security.capability":
                os.setxattr(here, name, os.getxattr(there, name))

    def copy(self, path, there, here, state):
        if stat.S_ISDIR(state.st_mode):
            os.makedirs(here, exist_ok=True)
            return
        os.makedirs(os.path.dirname(here), exist_ok=True)
        if stat.S_ISLNK(state.st_mode):
            if os.path.lexists(here):
                os.remove(here)
            os.symlink(self.mapped(os.readlink(there)), here)
            return
        if not stat.S_ISREG(state.st_mode):
            return
        with open(there, "rb") as file:
            data = file.read()
        if data.startswith(b"\x7fELF"):
            sys.exit(f"{path} is a program that a package made as it was installed: it must be made on {self.theirs}")
        if os.path.exists(here):
            with open(here, "rb") as file:
                if file.read() == data:
                    return
        self.file(here, data.replace(self.own.encode(), self.other.encode()) if b"\0" not in data else data, stat.S_IMODE(state.st_mode))

    def compile(self, bytecode):
        """Takes the bytecode that scripts made in the twin: it is the same on every machine. Where a module is not the same, it is compiled."""
        suffix = f".{sys.implementation.cache_tag}.pyc"
        for path in bytecode:
            folder, name = path.split("/__pycache__/")
            module = f"{folder}/{name.removesuffix(suffix)}.py"
            source = self.target + self.mapped(module)
            if name.endswith(suffix) and os.path.isfile(source):
                if self.same_module(module):
                    os.makedirs(os.path.dirname(self.target + path), exist_ok=True)
                    shutil.copyfile(self.twin + path, self.target + path)
                else:
                    compileall.compile_file(source, stripdir=self.target, prependdir="/", quiet=2)
            elif name.endswith(".pyc") and os.path.isfile(f"{self.target}{self.mapped(folder)}/{name.split('.')[0]}.py"):
                sys.exit(f"{path}: bytecode of another Python than the {suffix[1:-4]} that runs here")

    def same_module(self, module):
        """Returns whether a module has path, time and text in common with the twin's: all that bytecode holds of it."""
        there, here = self.twin + module, self.target + module
        return (os.path.isfile(here) and os.path.isfile(there) and int(os.path.getmtime(here)) == int(os.path.getmtime(there))
                and filecmp.cmp(here, there, shallow=False))


def changed_since(root, start):
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            if state.st_ctime_ns >= start:
                if state.st_mtime_ns >= start:
                    os.utime(path, (SETTLED, SETTLED), follow_symlinks=False)
                yield os.path.relpath(path, root)


def main():
    target, twin, changed, debs, out, theirs, ours = sys.argv[1:]
    with open(changed, "rb") as file:
        paths = [os.fsdecode(path) for path in file.read().split(b"\0") if path]
    with tempfile.NamedTemporaryFile() as stamp:
        start = os.stat(stamp.name).st_ctime_ns
    time.sleep(0.02)
    install = Install(target.rstrip("/"), twin.rstrip("/"), theirs, ours)
    before = set()
    for path in glob.glob(install.info + "/*.list"):
        with open(path, encoding="utf-8", errors="surrogateescape") as lines:
            before.update(line.rstrip("\n") for line in lines if os.path.lexists(install.target + line.rstrip("\n")))
    install.unpack(sorted(glob.glob(debs + "/*.deb")))
    install.follow(paths)
    for path in sorted(before):
        if not os.path.lexists(install.target + path):
            print(f"warning: {path} of the base would go and stays: a layer without a step of its own removes nothing")
    for path in glob.glob(target + "/var/lib/dpkg/*-old") + glob.glob(target + "/var/lib/dpkg/lock*"):
        os.remove(path)
    names = b"".join(os.fsencode(path) + b"\0" for path in sorted(changed_since(target, start)))
    os.makedirs(out, exist_ok=True)
    pack = subprocess.Popen(
        ["tar", "--directory", target, "--null", "--no-recursion", "--files-from", "-", "--xattrs", "--create"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    # Without the delay a folder gets its time before all of its members are there: `a.b` stands between `a` and `a/c`.
    unpack = subprocess.Popen(
        ["tar", "--directory", out, "--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--same-owner", "-p", "--extract"],
        stdin=pack.stdout)
    pack.stdin.write(names)
    pack.stdin.close()
    if pack.wait() or unpack.wait():
        sys.exit("tar failed")
    print(f"{names.count(bytes(1))} files and folders")


main()
PROGRAM

RUN --mount=type=bind,from=base,source=/,target=/target,rw \
    --mount=type=bind,from=twin,source=/,target=/twin \
    --mount=type=bind,from=debs,source=/debs,target=/debs \
    python3 /usr/local/lib/foreign-debs.py /target /twin /twin/changed /debs /out amd64 "$BUILDARCH"

# Files of native stages, on the base of the target.
FROM base AS system
COPY --link --from=distribution /out /

# cuda: verified against the lock, unpacked below /out.
FROM tools AS cuda
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
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
FROM tools AS cudnn
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
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
FROM tools AS nccl
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
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
FROM tools AS transformer-engine
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
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
FROM tools AS packages
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
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

# Files of native stages, on the base of the target.
FROM system AS files
COPY --link --from=tools /skeleton/opt/venv /opt/venv
COPY --link --from=cudnn /out/opt/venv /opt/venv
COPY --link --from=cuda /out/opt/venv /opt/venv
COPY --link --from=transformer-engine /out/opt/venv /opt/venv
COPY --link --from=nccl /out/opt/venv /opt/venv
COPY --link --from=packages /out/opt/venv /opt/venv

# The loader's cache for the target: the ldconfig of this machine knows only its own libraries.
FROM tools AS loader
COPY <<'PROGRAM' /usr/local/lib/foreign-loader.py
"""Writes the loader's cache of an image for another machine, as that machine's ldconfig would: ldconfig knows only its own.

usage: foreign-loader.py ROOT OUT MACHINE FOLDER...    FOLDERs are searched first, the first wins; writes OUT/etc and missing links below OUT
"""

import functools
import glob
import os
import struct
import sys

# e_machine of ELF and the flags of the cache (glibc, elf/elf.h and sysdeps/generic/ldconfig.h).
MACHINES = {"x86_64": (62, 0x0303), "aarch64": (183, 0x0A03)}
OWN_CONF = "etc/ld.so.conf.d/000-smp-image.conf"


class Root:
    """A root folder whose absolute links mean itself."""

    def __init__(self, path):
        self.path = path

    def real(self, path, depth=40):
        """Returns where `path` of the image ends, as a path of the image; nothing where it does not exist."""
        done = ""
        parts = [part for part in path.split("/") if part]
        while parts:
            part = parts.pop(0)
            if part == ".":
                continue
            if part == "..":
                done = os.path.dirname(done)
                continue
            here = self.path + done + "/" + part
            if os.path.islink(here):
                depth -= 1
                if depth == 0:
                    return None
                link = os.readlink(here)
                if link.startswith("/"):
                    done = ""
                parts = [piece for piece in link.split("/") if piece] + parts
            elif os.path.exists(here):
                done += "/" + part
            else:
                return None
        return done or "/"

    def outside(self, path):
        """Returns `path` of the image as a path of this machine; nothing where it does not exist."""
        real = self.real(path)
        return None if real is None else self.path + real


def folders_of(root, conf):
    """Returns the folders that a file of ld.so.conf's form names, in order."""
    found = []
    path = root.outside(conf)
    if path is None:
        return found
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if words and words[0] == "include":
                for pattern in words[1:]:
                    if not pattern.startswith("/"):
                        pattern = os.path.dirname(conf) + "/" + pattern
                    for each in sorted(glob.glob(root.path + pattern)):
                        found += folders_of(root, each[len(root.path):])
            elif words and words[0] != "hwcap":
                found += [word.split("=")[0].rstrip("/") for word in words]
    return found


def soname(path, machine):
    """Returns the DT_SONAME of the shared library `path` for `machine`, "" where it has none; nothing if it is no such library."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        kind, built_for = struct.unpack_from("<HH", head, 16)
        if kind != 3 or built_for != machine:
            return None
        offset, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
        loads, dynamic = [], None
        for index in range(count):
            kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", table, index * size)
            if kind == 1:
                loads.append((address, at, length))
            elif kind == 2:
                dynamic = (at, length)
        if dynamic is None:
            return None
        file.seek(dynamic[0])
        tags = dict(reversed([pair for pair in struct.iter_unpack("<QQ", file.read(dynamic[1] // 16 * 16))]))
        if 14 not in tags or 5 not in tags:
            return ""
        for address, at, length in loads:
            if address <= tags[5] < address + length:
                file.seek(at + tags[5] - address + tags[14])
                return file.read(4096).split(b"\0")[0].decode()
    return None


def compare(a, b):
    """Orders names as the loader searches them: runs of digits are numbers (glibc, _dl_cache_libcmp)."""
    i = j = 0
    while i < len(a):
        if a[i].isdigit():
            if j >= len(b) or not b[j].isdigit():
                return 1
            first = second = 0
            while i < len(a) and a[i].isdigit():
                first, i = first * 10 + int(a[i]), i + 1
            while j < len(b) and b[j].isdigit():
                second, j = second * 10 + int(b[j]), j + 1
            if first != second:
                return first - second
        elif j < len(b) and b[j].isdigit():
            return -1
        elif j >= len(b) or a[i] != b[j]:
            return ord(a[i]) - (ord(b[j]) if j < len(b) else 0)
        else:
            i, j = i + 1, j + 1
    return -ord(b[j]) if j < len(b) else 0


def libraries(root, folder, machine):
    """Returns what the cache says of one folder: sonames, and the links that are missing, as pairs of link and file."""
    best = {}
    outside = root.outside(folder)
    for name in sorted(os.listdir(outside)):
        if not (name.startswith(("lib", "ld-")) and ".so" in name):
            continue
        path = root.outside(folder + "/" + name)
        if path is None or not os.path.isfile(path):
            continue
        own = soname(path, machine)
        if own is None:
            continue
        own = own or name
        link = os.path.islink(outside + "/" + name)
        # A link counts under its own name where that is a soname or the name that compilers link by.
        link = link and (name == own or name.endswith(".so") and own.startswith(name))
        own = name if link else own
        known = best.get(own)
        # A real file before a link, then the higher version.
        if known is None or (known[1] and not link) or (known[1] == link and compare(known[0], name) < 0):
            best[own] = (name, link)
    missing = [(folder + "/" + own, name) for own, (name, link) in best.items()
               if not link and name != own and not os.path.lexists(outside + "/" + own)]
    return sorted(best), missing


def cache(entries, flags):
    """Returns the cache of `entries`, pairs of soname and path, as bytes (glibc, elf/cache.c: the new format alone)."""
    ordered = sorted(entries, key=functools.cmp_to_key(lambda one, other: compare(other[0], one[0])))
    at = 48 + 24 * len(ordered)
    table, strings, places = b"", b"", {}
    for pair in ordered:
        for text in pair:
            if text not in places:
                places[text] = at + len(strings)
                strings += text.encode() + b"\0"
        table += struct.pack("<iIIIQ", flags, places[pair[0]], places[pair[1]], 0, 0)
    head = struct.pack("<17s3sIIB3xI12x", b"glibc-ld.so.cache", b"1.1", len(ordered), len(strings), 2, 0)
    return head + table + strings


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def main():
    root, out = Root(sys.argv[1].rstrip("/")), sys.argv[2]
    machine, flags = MACHINES[sys.argv[3]]
    own = sys.argv[4:]
    triplet = sys.argv[3] + "-linux-gnu"
    wanted = own + folders_of(root, "/etc/ld.so.conf") + [f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib", "/usr/lib"]
    seen, entries = set(), []
    for folder in wanted:
        real = root.real(folder)
        if real is None or real in seen or not os.path.isdir(root.path + real):
            continue
        seen.add(real)
        names, missing = libraries(root, folder, machine)
        entries += [(name, folder + "/" + name) for name in names]
        for link, file in missing:
            path = out + os.path.dirname(root.real(folder) + "/x") + "/" + os.path.basename(link)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(file, path)
    if own:
        write(out + "/" + OWN_CONF, "".join(folder + "\n" for folder in own).encode())
    write(out + "/etc/ld.so.cache", cache(entries, flags))
    print(f"{len(entries)} libraries in {len(seen)} folders")


main()
PROGRAM

RUN --mount=type=bind,from=files,source=/,target=/target \
    set -eu; \
    python3 /usr/local/lib/foreign-loader.py /target /out x86_64 \
        /opt/venv/lib/python3.13/site-packages/nvidia/cuda_runtime/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cublas/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cuda_nvrtc/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/curand/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/cudnn/lib \
        /opt/venv/lib/python3.13/site-packages/nvidia/nccl/lib \
        /opt/venv/lib/python3.13/site-packages/transformer_engine/wheel_lib \
        /opt/venv/lib/python3.13/site-packages/transformer_engine; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM files AS image
COPY --link --from=loader /out /
ENV PATH="/opt/venv/bin:$PATH" \
    NVIDIA_DRIVER_CAPABILITIES="compute,utility" \
    NVIDIA_VISIBLE_DEVICES="all" \
    NVTE_CUDA_INCLUDE_DIR="/opt/venv/lib/python3.13/site-packages/nvidia/cuda_runtime/include"
WORKDIR /workspace
