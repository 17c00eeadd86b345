# Asks NCCL itself for its version; needs no GPU. Input: {"version": "2.23.4"}, or {} where any will do.

import ctypes


def decode(code):
    """Returns the version of a code: 22304 is 2.23.4, and before 2.9 it was 2804 for 2.8.4."""
    if code < 10000:
        return "%d.%d.%d" % (code // 1000, code % 1000 // 100, code % 100)
    return "%d.%d.%d" % (code // 10000, code % 10000 // 100, code % 100)


def located():
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "libnccl.so" in line:
                return line.split(None, 5)[-1].strip()
    return "libnccl.so.2"


def release(version):
    parts = []
    for part in version.split("+")[0].split("-")[0].split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return parts + [0] * (3 - len(parts))


try:
    nccl = ctypes.CDLL("libnccl.so.2")
except OSError as error:
    failed(str(error), "libnccl.so.2 is not on the loader's path, or something that it needs is not")
code = ctypes.c_int()
status = nccl.ncclGetVersion(ctypes.byref(code))
if status != 0:
    failed("ncclGetVersion answered %d" % status)
found = decode(code.value)
wanted = INPUT.get("version")
if wanted and release(wanted)[:3] != release(found)[:3]:
    failed("NCCL %s is loaded from %s, %s is locked" % (found, located(), wanted),
           "another libnccl comes first on the loader's path")
passed("NCCL %s from %s" % (found, located()))
