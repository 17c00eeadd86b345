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
