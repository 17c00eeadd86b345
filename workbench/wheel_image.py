#!/usr/bin/env python3
"""Writes an image made of unmodified wheels to standard output, as `docker save` of an old engine does; nothing is kept on disk.

wheel_image.py [--base ROOT.tar] [--repeat N] WHEEL...      one layer for each wheel, below opt/venv/lib/python3.11/site-packages

--repeat writes the layers N times under other folders: an image of any size from a few wheels.
"""
import argparse, hashlib, json, pathlib, sys, tarfile, zipfile

SITE = "opt/venv/lib/python3.11/site-packages"


def header(path, size, kind=tarfile.REGTYPE, mode=0o644):
    info = tarfile.TarInfo(path)
    info.size, info.type, info.mode = size, kind, mode
    return info.tobuf(tarfile.GNU_FORMAT)


def members(wheel, site):
    """The members of a layer, in pieces: headers and contents."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            # The part of a wheel that installers move to the environment's own folders.
            yield header(f"{site}/{member.filename}", member.file_size), None
            yield None, (archive, member)


def length(wheel, site):
    total = 1024
    for head, content in members(wheel, site):
        total += len(head) if head else -(-content[1].file_size // 512) * 512
    return total


def layer(wheel, site, out):
    """Writes a plain layer to `out` and returns its digest."""
    digest = hashlib.sha256()

    def write(data):
        digest.update(data)
        out.write(data)

    for head, content in members(wheel, site):
        if head:
            write(head)
            continue
        archive, member = content
        with archive.open(member) as source:
            while data := source.read(1 << 20):
                write(data)
        write(b"\0" * (-member.file_size % 512))
    write(b"\0" * 1024)
    return digest.hexdigest()


def put(out, path, data):
    out.write(header(path, len(data)))
    out.write(data + b"\0" * (-len(data) % 512))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=pathlib.Path)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("wheels", nargs="+")
    asked = parser.parse_args()
    out = sys.stdout.buffer
    names, digests = [], []
    if asked.base:
        data = asked.base.read_bytes()
        put(out, "base/layer.tar", data)
        names.append("base/layer.tar")
        digests.append(hashlib.sha256(data).hexdigest())
    for turn in range(asked.repeat):
        site = SITE if turn == 0 else f"opt/copy{turn}/lib/python3.11/site-packages"
        for at, wheel in enumerate(asked.wheels):
            name = f"{turn:04}{at:04}/layer.tar"
            size = length(wheel, site)
            out.write(header(name, size))
            digests.append(layer(wheel, site, out))
            out.write(b"\0" * (-size % 512))
            names.append(name)
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/opt/venv/bin:/usr/bin:/bin"]}, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]}, "history": []}).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    put(out, name, config)
    put(out, "manifest.json", json.dumps([{"Config": name, "RepoTags": ["wheels:1"], "Layers": names}]).encode())
    out.write(b"\0" * 1024)


if __name__ == "__main__":
    main()
