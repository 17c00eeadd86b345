#!/usr/bin/env python3
"""Packs an image that `docker save` wrote in its classic form as a folder in OCI's layout, and tells how fast such a folder can be read at all.

oci_layout.py pack gzip|zstd IMAGE.tar FOLDER      the layers packed at level 1, as builders write them (the Python package zstandard)
oci_layout.py read FOLDER                          reads, hashes, unpacks and hashes every layer, a thread for each processor: the limit of `make bench`
"""
import hashlib, json, os, pathlib, sys, tarfile, zlib
from concurrent.futures import ThreadPoolExecutor

LAYER = "application/vnd.oci.image.layer.v1.tar+"
PIECE = 1 << 18


def packer(codec):
    if codec == "gzip":
        return zlib.compressobj(1, zlib.DEFLATED, 31)
    import zstandard
    return zstandard.ZstdCompressor(level=1).compressobj()


def unpacker(head):
    if head.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31)
    import zstandard
    return zstandard.ZstdDecompressor().decompressobj()


def pack(codec, image, folder):
    """Writes the layout."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def layer(place):
        at, size = place
        digest, pack, path = hashlib.sha256(), packer(codec), blobs / f"at-{at}"
        with open(image, "rb") as source, open(path, "wb") as out:
            source.seek(at)
            while size:
                piece = source.read(min(PIECE, size))
                size -= len(piece)
                for data in (pack.compress(piece), b"" if size else pack.flush()):
                    digest.update(data)
                    out.write(data)
        named = path.rename(blobs / digest.hexdigest())
        return {"mediaType": LAYER + codec, "digest": f"sha256:{digest.hexdigest()}", "size": named.stat().st_size}

    with tarfile.open(image) as archive:
        places = {member.name: (member.offset_data, member.size) for member in archive}
        (entry,) = json.load(archive.extractfile("manifest.json"))
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", **put(archive.extractfile(entry["Config"]).read())}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        layers = list(pool.map(layer, (places[name] for name in entry["Layers"])))
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode())
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": kind, **manifest}]}))


def unpack(path):
    """Does with one blob what nobody can do without who verifies it."""
    packed, plain = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as source:
        piece = source.read(PIECE)
        if piece.startswith(b"{"):
            return 0
        unpack, size = unpacker(piece), 0
        while piece:
            packed.update(piece)
            data = unpack.decompress(piece)
            plain.update(data)
            size += len(data)
            piece = source.read(PIECE)
    return size


def main():
    match sys.argv[1:]:
        case ["pack", codec, image, folder]:
            pack(codec, pathlib.Path(image), pathlib.Path(folder))
        case ["read", folder]:
            # The largest first, so that no thread is left alone with one at the end.
            blobs = sorted(pathlib.Path(folder).glob("blobs/sha256/*"), key=lambda path: -path.stat().st_size)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                print(sum(pool.map(unpack, blobs)), "bytes unpacked")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
