# Made by smp-image from the recipe pytorch-te. Do not edit: change the recipe, and render again.
# Recipe sha256:dc9357066c408e4fc4f63e9ae25c0e25aea617f228ff9fbb91d414d2cb56d476
# Lock   sha256:be7e54dce49568807a08c9ed1ab73d44ae474835d79fbad400665ffcaa019327
# For linux/amd64: ml.g5.8xlarge, ml.p4d.24xlarge, ml.p5.48xlarge, ml.p5en.48xlarge
# Builder: BuildKit of Docker Engine 23.0 or later
# On linux/arm64: what runs on --platform=$BUILDPLATFORM needs no emulation
# Behind a private certificate authority: docker build --secret id=ca-bundle,src=/etc/ssl/certs/ca-certificates.crt

# What unpacks on the builder's own architecture, and the empty Python environment of the image; nothing else of it reaches the image.
# The digest of this image is not locked: out of reach when this was locked
FROM --platform=$BUILDPLATFORM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS tools
RUN --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-tools,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-tools-lists,target=/var/lib/apt/lists,sharing=locked \
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
FROM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS base

# The same packages on the builder's own architecture: what their maintainer scripts do is the same for every machine, and taken from here.
FROM --platform=$BUILDPLATFORM docker.io/nvidia/cuda:13.0.2-base-ubuntu24.04 AS twin
RUN --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-twin,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-twin-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    touch /tmp/before; \
    echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        libstdc++6 \
        python3; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    rm /etc/dpkg/dpkg.cfg.d/unsafe-io; \
    find / -xdev -cnewer /tmp/before -print0 > /changed

# Packages of the distribution for the target, chosen by apt from what the target's base has and knows, and downloaded.
FROM tools AS debs
RUN --mount=type=bind,from=base,source=/,target=/target \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-debs,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-debs-lists,target=/var/lib/apt/lists,sharing=locked \
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
            'libstdc++6=14.2.0-4ubuntu2~24.04.1' \
            python3=3.12.3-0ubuntu2.1 \
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

# Downloads happen here; nothing of it reaches the image.
FROM tools AS fetch
RUN --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-fetch,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-fetch-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        ca-certificates \
        curl; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

FROM fetch AS efa-source
RUN --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/source.tar.gz https://efa-installer.amazonaws.com/aws-efa-installer-1.50.0.tar.gz; \
    printf '%s  %s\n' fa6dff8593d866866c13cb4640d9059835cd4efa427971f100ab40c97bef2841 /tmp/source.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /src; \
    tar --extract --gzip --file /tmp/source.tar.gz --directory /src --strip-components=1 --no-same-owner; \
    rm /tmp/source.tar.gz

FROM fetch AS gdrcopy-source
RUN --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    curl --fail --silent --show-error --location --proto '=https' --tlsv1.2 --retry 5 \
        --output /tmp/source.tar.gz https://github.com/NVIDIA/gdrcopy/archive/v2.5.1.tar.gz; \
    printf '%s  %s\n' c6d5ebb7dabb89d798f27609511735595004da73af28d93ac041bb5290c4cbec /tmp/source.tar.gz > /tmp/sha256; \
    sha256sum --check --strict /tmp/sha256; \
    rm /tmp/sha256; \
    mkdir /src; \
    tar --extract --gzip --file /tmp/source.tar.gz --directory /src --strip-components=1 --no-same-owner; \
    rm /tmp/source.tar.gz

# cudnn: verified against the lock, unpacked below /out.
FROM tools AS cudnn
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'nvidia-cudnn-cu13==9.20.0.48 --hash=sha256:0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# pytorch: verified against the lock, unpacked below /out.
FROM tools AS pytorch
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
    export _PYTHON_HOST_PLATFORM=linux-x86_64; \
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
    printf '%s\n' \
        'torch==2.13.0 --hash=sha256:796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b' \
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
        'nvidia-nccl-cu13==2.29.7 --hash=sha256:edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d' \
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
        'nvidia-curand==10.4.0.35 --hash=sha256:1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc' \
        'transformer-engine-cu13==2.20.2 --hash=sha256:30063d3699e779cce63617c3458804f7a504ce8279f2749c98313db9daae273e' \
        'transformer-engine==2.20.2 --hash=sha256:7dcfad943a1a55b2612db9a0e43697fe98c70f4c42ec391ba3a0f872f6ce2094' \
        > /tmp/requirements.txt; \
    PYTHONDONTWRITEBYTECODE=1 PIP_ROOT_USER_ACTION=ignore /opt/venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
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
        --disable-pip-version-check --no-input --no-compile \
        --require-hashes --no-deps --no-build-isolation --ignore-installed --no-warn-script-location --prefix /out/opt/venv \
        --requirement /tmp/requirements.txt; \
    rm /tmp/requirements.txt; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# AWS's EFA installer: libfabric with the EFA provider, rdma-core, Open MPI, and from 1.38.0 the NCCL plugin. No kernel module and no
# device test: the node has the driver.
FROM system AS efa
RUN --mount=type=bind,from=efa-source,source=/src,target=/tmp/efa,rw \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-efa,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-base-ubuntu24-04-efa-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    env --chdir=/tmp/efa ./efa_installer.sh -y --skip-kmod --skip-limit-conf --no-verify --disable-ngc --disable-build-ngc; \
    test -x /opt/amazon/efa/bin/fi_info; \
    test -n "$(find /opt/amazon/ofi-nccl -name 'libnccl-net*.so')"; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache

# GDRCopy's library; its kernel module belongs to the node.
# The digest of this image is not locked: out of reach when this was locked
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04 AS gdrcopy
ARG MAX_JOBS=2
COPY --link --from=gdrcopy-source /src /src
RUN set -eu; \
    mkdir -p /out/opt/gdrcopy/include /out/opt/gdrcopy/lib; \
    make --directory /src --jobs "$MAX_JOBS" CUDA=/usr/local/cuda lib; \
    make --directory /src CUDA=/usr/local/cuda prefix=/out/opt/gdrcopy lib_install; \
    test -e /out/opt/gdrcopy/lib/libgdrapi.so.2; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# Transformer Engine's PyTorch extension, compiled: NVIDIA publishes its source only.
FROM docker.io/nvidia/cuda:13.0.2-devel-ubuntu24.04 AS transformer-engine-compiled
ARG MAX_JOBS=2
RUN --mount=type=cache,id=apt-cuda-13-0-2-devel-ubuntu24-04-transformer-engine-compiled,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=apt-cuda-13-0-2-devel-ubuntu24-04-transformer-engine-compiled-lists,target=/var/lib/apt/lists,sharing=locked \
    set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update; \
    apt-get --option Dir::Cache::archives=keep install --yes --no-install-recommends \
        cmake \
        g++ \
        ninja-build \
        pybind11-dev \
        python3-dev \
        python3-pybind11 \
        python3-setuptools \
        python3-venv \
        python3-wheel; \
    rm -rf /var/log/alternatives.log /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache; \
    python3 -m venv --system-site-packages /opt/venv

COPY --link --from=cudnn /out/opt/venv /opt/venv
COPY --link --from=pytorch /out/opt/venv /opt/venv
COPY --link --from=nccl /out/opt/venv /opt/venv
COPY --link --from=transformer-engine /out/opt/venv /opt/venv
COPY --link --from=packages /out/opt/venv /opt/venv
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle \
    set -eu; \
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
    [ ! -s /run/secrets/ca-bundle ] || export SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle; \
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

# Files of native stages, on the base of the target.
FROM efa AS files
COPY --link --from=tools /skeleton/opt/venv /opt/venv
COPY --link --from=pytorch /out/opt/venv /opt/venv
COPY --link --from=cudnn /out/opt/venv /opt/venv
COPY --link --from=transformer-engine /out/opt/venv /opt/venv
COPY --link --from=transformer-engine-compiled /out/opt/venv /opt/venv
COPY --link --from=nccl /out/opt/venv /opt/venv
COPY --link --from=gdrcopy /out/opt/gdrcopy /opt/gdrcopy
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
        /opt/venv/lib/python3.12/site-packages/nvidia/cudnn/lib \
        /opt/venv/lib/python3.12/site-packages/nvidia/nccl/lib \
        /opt/venv/lib/python3.12/site-packages/transformer_engine/wheel_lib \
        /opt/amazon/efa/lib \
        /opt/amazon/ofi-nccl/lib/x86_64-linux-gnu \
        /opt/amazon/ofi-nccl/lib \
        /opt/gdrcopy/lib; \
    find /out -exec touch --no-dereference --date=@946684800 {} +

# The image.
FROM files AS image
COPY --link --from=loader /out /
ENV PATH="/opt/venv/bin:/opt/amazon/openmpi/bin:/opt/amazon/efa/bin:$PATH" \
    NVTE_CUDA_INCLUDE_DIR="/opt/venv/lib/python3.12/site-packages/nvidia/cu13/include"
WORKDIR /workspace
