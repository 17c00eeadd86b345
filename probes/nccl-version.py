# Asks NCCL itself for its version; needs no GPU. Input: {"version": "2.23.4"}, or {} where any will do.

import ctypes


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
found = nccl_version(code.value)
wanted = INPUT.get("version")
if wanted and release(wanted)[:3] != release(found)[:3]:
    failed("NCCL %s is loaded from %s, %s is locked" % (found, located(), wanted),
           "another libnccl comes first on the loader's path")
passed("NCCL %s from %s" % (found, located()))
