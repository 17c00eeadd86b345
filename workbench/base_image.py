"""Packs a root folder's tar as a container image, always the same bytes, and pushes that image into a registry.

usage: base_image.py pack ROOTFS.tar SECONDS_SINCE_1970 IMAGE.tar ARCHITECTURE     prints the digests of image and config
       base_image.py push http://HOST:PORT REPOSITORY TAG IMAGE.tar...            as one image for several architectures
"""

import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

NAME, TAG = "docker.io/library/debian", "trixie-slim"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(file: BinaryIO) -> str:
    file.seek(0)
    hashed = hashlib.sha256()
    while block := file.read(1 << 20):
        hashed.update(block)
    file.seek(0)
    return f"sha256:{hashed.hexdigest()}"


def blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


class Archive:
    """A tar of blobs and small files, with fixed dates and owners."""

    def __init__(self, path: str) -> None:
        self.tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)

    def add(self, name: str, file: BinaryIO) -> int:
        member = tarfile.TarInfo(name)
        member.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.tar.addfile(member, file)
        return member.size

    def add_json(self, name: str, value: object) -> None:
        self.add(name, io.BytesIO(json.dumps(value).encode()))

    def blob(self, media_type: str, file: BinaryIO) -> dict:
        digest = digest_of(file)
        return {"mediaType": media_type, "digest": digest, "size": self.add(blob_path(digest), file)}

    def blob_json(self, media_type: str, value: object) -> dict:
        return self.blob(media_type, io.BytesIO(json.dumps(value).encode()))


def pack(rootfs: str, seconds: str, out: str, architecture: str) -> None:
    created = datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    archive = Archive(out)
    with open(rootfs, "rb") as layer, tempfile.TemporaryFile(dir=Path(out).parent) as packed:
        diff_id = digest_of(layer)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as zipped:
            shutil.copyfileobj(layer, zipped, 1 << 20)
        layer_entry = archive.blob(LAYER, packed)
    platform = {"architecture": architecture, "os": "linux"}
    config = archive.blob_json(
        CONFIG,
        {
            **platform,
            "created": created,
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": created, "created_by": "mmdebstrap --variant=minbase trixie", "comment": "stand-in for debian:trixie-slim"}],
        },
    )
    manifest = archive.blob_json(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer_entry]})
    index = archive.blob_json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**manifest, "platform": platform}]})
    names = {"io.containerd.image.name": f"{NAME}:{TAG}", "org.opencontainers.image.ref.name": TAG}
    archive.add_json("index.json", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**index, "annotations": names}]})
    archive.add_json("oci-layout", {"imageLayoutVersion": "1.0.0"})
    # Engines before 25 read this file; they take the short name.
    archive.add_json(
        "manifest.json",
        [{"Config": blob_path(config["digest"]), "RepoTags": [f"debian:{TAG}"], "Layers": [blob_path(layer_entry["digest"])]}],
    )
    archive.tar.close()
    print(index["digest"], config["digest"], sep="\n")


class Registry:
    """The three requests of the distribution API that a push needs."""

    def __init__(self, address: str, repository: str) -> None:
        self.address, self.base = address, f"{address}/v2/{repository}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(self, method: str, url: str, body: "bytes | BinaryIO | None" = None, **headers: str) -> "urllib.request.addinfourl":
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.opener.open(urllib.request.Request(url, data=body, method=method, headers=names), timeout=60)

    def push_blob(self, entry: dict, body: BinaryIO) -> None:
        try:
            self.send("HEAD", f"{self.base}/blobs/{entry['digest']}")
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        location = self.send("POST", f"{self.base}/blobs/uploads/", b"").headers["Location"]
        if location.startswith("/"):
            location = self.address + location
        joint = "&" if "?" in location else "?"
        self.send(
            "PUT", f"{location}{joint}digest={entry['digest']}", body,
            Content_Type="application/octet-stream", Content_Length=str(entry["size"]),
        )

    def push_manifest(self, reference: str, media_type: str, body: bytes) -> None:
        self.send("PUT", f"{self.base}/manifests/{reference}", body, Content_Type=media_type)


def push(address: str, repository: str, tag: str, *images: str) -> None:
    registry, manifests = Registry(address, repository), []
    for image in images:
        with tarfile.open(image) as archive:
            manifests += push_one(registry, archive)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    registry.push_manifest(tag, INDEX, json.dumps(index).encode())


def push_one(registry: Registry, archive: tarfile.TarFile) -> list:
    """Pushes what an archive holds and returns the manifests of its index."""

    def read(name: str) -> BinaryIO:
        file = archive.extractfile(name)
        assert file is not None, name
        return file

    index_entry = json.load(read("index.json"))["manifests"][0]
    manifests = json.load(read(blob_path(index_entry["digest"])))["manifests"]
    for entry in manifests:
        manifest = read(blob_path(entry["digest"])).read()
        parsed = json.loads(manifest)
        for blob in [parsed["config"], *parsed["layers"]]:
            registry.push_blob(blob, read(blob_path(blob["digest"])))
        registry.push_manifest(entry["digest"], MANIFEST, manifest)
    return manifests


if __name__ == "__main__":
    {"pack": pack, "push": push}[sys.argv[1]](*sys.argv[2:])
