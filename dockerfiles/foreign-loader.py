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
