# Loads shared libraries with all symbols bound, in the order given. Input: {"libraries": ["libnccl.so.2", ...]}

import ctypes
import re

MISSING = re.compile(r"(\S+): cannot open shared object file")
UNDEFINED = re.compile(r"undefined symbol: (\S+)")


def mapped(name):
    """Returns the file that the loader took for `name`."""
    stem = name.split("/")[-1].split(".so")[0] + ".so"
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(None, 5)[-1].strip() if line.count("/") else ""
            if path.split("/")[-1].startswith(stem):
                return path
    return name


loaded, without_driver = [], []
for name in INPUT["libraries"]:
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
        loaded.append(mapped(name))
    except OSError as error:
        missing, undefined = MISSING.search(str(error)), UNDEFINED.search(str(error))
        if missing and missing.group(1) in ("libcuda.so.1", "libnvidia-ml.so.1") and missing.group(1) != name:
            without_driver.append("%s wants the driver's %s" % (name, missing.group(1)))
            continue
        if missing and missing.group(1) != name:
            failed("%s needs %s, which is missing" % (name, missing.group(1)),
                   "install what brings %s, or put its folder on the loader's path" % missing.group(1))
        if missing:
            failed("%s is not on the loader's path" % name, "LD_LIBRARY_PATH=%s" % os.environ.get("LD_LIBRARY_PATH", ""))
        if undefined:
            failed("%s: %s" % (name, error), "it was linked against another version of what it loads")
        failed("%s: %s" % (name, error))

if without_driver:
    no_gpu("; ".join(loaded + without_driver))
passed(", ".join(loaded))
