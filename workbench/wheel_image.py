#!/usr/bin/env python3
"""Writes an image made of unmodified packages to standard output, as `docker save` of an old engine does; nothing is kept on disk.

wheel_image.py [--base ARCHIVE] [--arch ARCH] [--prefix FOLDER] [--env NAME=VALUE]... [--deb FILE]... [--repeat N] WHEEL...

One layer for each package: of wheels as an installer lays them below FOLDER (opt/venv), of Debian packages as dpkg unpacks them. ARCHIVE is a
root folder's tar, or an image as `docker save` writes it, with one layer. --repeat writes the wheels N times under other folders: an image of
any size from a few wheels.
"""
import argparse, gzip, hashlib, json, pathlib, shutil, subprocess, sys, tarfile, tempfile, zipfile

PYTHON = "lib/python3.11/site-packages"
# Where an installer puts the parts of a wheel's `.data` folder; headers have a folder of each package's name.
SCHEME = {"purelib": PYTHON, "platlib": PYTHON, "data": "", "scripts": "bin", "headers": "include"}


def header(path, size, kind=tarfile.REGTYPE, mode=0o644):
    info = tarfile.TarInfo(path)
    info.size, info.type, info.mode = size, kind, mode
    return info.tobuf(tarfile.GNU_FORMAT)


def place(name, prefix):
    """Where an installer puts the member `name` of a wheel."""
    first, _, rest = name.partition("/")
    scheme, _, path = rest.partition("/")
    folder, name = (SCHEME[scheme], path) if first.endswith(".data") and scheme in SCHEME else (PYTHON, name)
    return "/".join(part for part in (prefix, folder, name) if part)


def members(wheel, prefix):
    """The members of a wheel's layer: headers and contents."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield header(place(member.filename, prefix), member.file_size), archive, member


def length(wheel, prefix):
    return 1024 + sum(len(head) + -(-member.file_size // 512) * 512 for head, _, member in members(wheel, prefix))


class Image:
    """An image that is being written."""

    def __init__(self, out):
        self.out, self.names, self.digests = out, [], []

    def put(self, path, data):
        self.out.write(header(path, len(data)))
        self.out.write(data + b"\0" * (-len(data) % 512))

    def begin(self, size):
        self.names.append(f"{len(self.names):04}/layer.tar")
        self.out.write(header(self.names[-1], size))
        self.digest = hashlib.sha256()

    def write(self, data):
        self.digest.update(data)
        self.out.write(data)

    def end(self, size):
        self.digests.append(self.digest.hexdigest())
        self.out.write(b"\0" * (-size % 512))

    def wheel(self, wheel, prefix):
        size = length(wheel, prefix)
        self.begin(size)
        for head, archive, member in members(wheel, prefix):
            self.write(head)
            with archive.open(member) as source:
                while data := source.read(1 << 20):
                    self.write(data)
            self.write(b"\0" * (-member.file_size % 512))
        self.write(b"\0" * 1024)
        self.end(size)

    def tar(self, source):
        """A layer from an open tar."""
        size = source.seek(0, 2)
        source.seek(0)
        self.begin(size)
        while data := source.read(1 << 20):
            self.write(data)
        self.end(size)

    def finish(self, arch, env):
        rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in self.digests]}
        config = json.dumps({"architecture": arch, "os": "linux", "config": {"Env": env}, "rootfs": rootfs, "history": []}).encode()
        name = hashlib.sha256(config).hexdigest() + ".json"
        self.put(name, config)
        self.put("manifest.json", json.dumps([{"Config": name, "RepoTags": ["wheels:1"], "Layers": self.names}]).encode())
        self.out.write(b"\0" * 1024)


def base_layer(path, out):
    """Writes the one layer of the image at `path`, or the tar at `path` itself, plain to `out`."""
    with tarfile.open(path) as archive:
        manifest = next((member for member in archive if member.name == "manifest.json"), None)
        if manifest is None:
            out.write(path.read_bytes())
            return
        (layer,) = json.load(archive.extractfile(manifest))[0]["Layers"]
        with gzip.open(archive.extractfile(layer)) as plain:
            shutil.copyfileobj(plain, out, 1 << 20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=pathlib.Path)
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--prefix", default="opt/venv")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--deb", action="append", default=[])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("wheels", nargs="*")
    asked = parser.parse_args()
    image = Image(sys.stdout.buffer)
    if asked.base:
        with tempfile.TemporaryFile() as plain:
            base_layer(asked.base, plain)
            image.tar(plain)
    for deb in asked.deb:
        with tempfile.TemporaryFile() as plain:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=plain, check=True)
            image.tar(plain)
    for turn in range(asked.repeat):
        for wheel in asked.wheels:
            image.wheel(wheel, asked.prefix if turn == 0 else f"opt/copy{turn}")
    image.finish(asked.arch, [f"PATH=/{asked.prefix}/bin:/usr/bin:/bin", *asked.env])


if __name__ == "__main__":
    main()
