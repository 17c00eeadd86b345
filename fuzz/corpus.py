#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets from small real files of this machine: corpus.py FOLDER [LIBRARY WITH GPU CODE]..."""
import gzip, hashlib, io, json, pathlib, sqlite3, struct, subprocess, sys, tarfile, tempfile

out = pathlib.Path(sys.argv[1])
MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)


def seed(target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def tar(members, form=tarfile.GNU_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for path, content in members:
            info = tarfile.TarInfo(path)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# ELF files as linkers of this machine made them, small enough to be changed all over.
libraries = [p for d in ("/usr/lib/x86_64-linux-gnu", "/usr/bin") for p in pathlib.Path(d).iterdir() if p.is_file() and not p.is_symlink()]
small = sorted((p for p in libraries if 4000 < p.stat().st_size < 40000), key=lambda p: p.stat().st_size)
elves = [p for p in small if p.read_bytes()[:4] == b"\x7fELF"][:40]
for path in elves:
    seed("elf", path.name, path.read_bytes())

# Containers of real libraries, their payloads cut: the heads are what is read.
for path in sys.argv[2:]:
    data = pathlib.Path(path).read_bytes()
    at, cut = 0, []
    while len(cut) < 6 and (at := data.find(MAGIC, at)) >= 0:
        end = at + 16 + struct.unpack_from("<Q", data, at + 8)[0]
        entries, here = [], at + 16
        while here < end:
            length, payload = struct.unpack_from("<IQ", data, here + 4)
            head = bytearray(data[here : here + length])
            struct.pack_into("<Q", head, 8, 16)
            entries.append(bytes(head) + data[here + length : here + length + 16])
            here += length + payload
        body = b"".join(entries)
        cut.append(MAGIC + struct.pack("<Q", len(body)) + body)
        at = end
    seed("fatbin", pathlib.Path(path).name, b"".join(cut))

status = pathlib.Path("/var/lib/dpkg/status").read_bytes()
seed("texts", "dpkg", status[:6000])
seed("texts", "os-release", pathlib.Path("/etc/os-release").read_bytes())
for path in list(pathlib.Path("/").glob("usr/lib/python3/dist-packages/*/METADATA"))[:10]:
    seed("texts", path.parent.name, path.read_bytes()[:3000])
seed("texts", "metadata", b"Metadata-Version: 2.4\nName: torch\nVersion: 2.5.1\nRequires-Dist: nvidia-nccl-cu12==2.21.5\n\nText\n")

lower = tar([("a/b", b"one"), ("a/c", b"two"), ("lib", (tarfile.SYMTYPE, "usr/lib")), ("etc/os-release", b"ID=debian\n"), ("h", (tarfile.LNKTYPE, "a/b"))])
upper = tar([("a/.wh.b", b""), ("a/.wh..wh..opq", b""), ("lib/libx.so", elves[0].read_bytes()), ("loop", (tarfile.SYMTYPE, "loop"))])
long = tar([("d/" * 90 + "file", b"x"), ("../../etc/passwd", b"root")], tarfile.PAX_FORMAT)
for pieces, (name, data) in enumerate([("plain", lower), ("two", lower + upper), ("pax", long)]):
    seed("layer", name, bytes([pieces]) + data)
seed("layer", "gzip", b"\0" + gzip.compress(lower, mtime=0))
packed = subprocess.run(["zstd", "-q", "-c"], input=lower, capture_output=True, check=False).stdout
if packed:
    seed("layer", "zstd", b"\0" + packed)

config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin"], "Labels": None}, "rootfs": {"type": "layers", "diff_ids": [digest(lower), digest(upper)]}, "history": [{"created_by": "RUN make"}, {"created_by": "x"}]}).encode()
saved = json.dumps([{"Config": digest(config)[7:] + ".json", "RepoTags": ["a:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]).encode()
seed("image", "docker", tar([("1/layer.tar", lower), ("2/layer.tar", upper), (digest(config)[7:] + ".json", config), ("manifest.json", saved)]))
layers = [gzip.compress(layer, mtime=0) for layer in (lower, upper)]
describe = lambda data, kind: {"mediaType": kind, "digest": digest(data), "size": len(data)}
manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": describe(config, "application/vnd.oci.image.config.v1+json"), "layers": [describe(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer in layers]}).encode()
index = json.dumps({"schemaVersion": 2, "manifests": [describe(manifest, "application/vnd.oci.image.manifest.v1+json")]}).encode()
blobs = [("blobs/sha256/" + digest(data)[7:], data) for data in (*layers, config, manifest)]
seed("image", "oci", tar([*blobs, ("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]))
seed("manifest", "docker", b"\0".join([saved.replace(digest(config)[7:].encode() + b".json", b"config.json"), config, index]))
seed("manifest", "oci", b"\0".join([b"[]", config, manifest]))

# rpm's database: SQLite by SQLite itself, headers as rpm writes them (tag, type, offset, count; then the strings).
with tempfile.TemporaryDirectory() as folder:
    for pages in (512, 4096):
        path = pathlib.Path(folder) / f"{pages}.sqlite"
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA page_size = {pages}")
        database.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        for name in (b"bash", b"libfabric-aws", b"glibc" * 200):
            strings, entries = b"", b""
            for tag, text in ((1000, name), (1001, b"2.1.0"), (1002, b"1.amzn2023")):
                entries += struct.pack(">IIII", tag, 6, len(strings), 1)
                strings += text + b"\0"
            blob = struct.pack(">II", 3, len(strings)) + entries + strings
            database.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
        database.commit()
        database.close()
        seed("rpm", path.name, path.read_bytes())
