# Loads shared libraries with all symbols bound, in the order given. Where one is linked with the driver's library and there is no GPU,
# it gets a stub. Input: {"libraries": ["libnccl.so.2", ...]}

import ctypes
import re

MISSING = re.compile(r"(\S+): cannot open shared object file")
UNDEFINED = re.compile(r"undefined symbol: (\S+)")
DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")


def bound(name):
    """Loads a library, with a stub of the driver where it wants the driver and no GPU was promised."""
    try:
        return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    except OSError as error:
        missing = MISSING.search(str(error))
        if GPU_EXPECTED or not missing or missing.group(1) != DRIVER[0] or name == DRIVER[0] or not stub():
            raise
    return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_GLOBAL)


loaded, without_driver = [], []
for name in INPUT["libraries"]:
    try:
        bound(name)
        loaded.append((mapped(name.split("/")[-1].split(".so")[0] + ".so") or [name])[0])
    except OSError as error:
        missing, undefined = MISSING.search(str(error)), UNDEFINED.search(str(error))
        if missing and missing.group(1) in DRIVER and missing.group(1) != name:
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

said = ", ".join(loaded + without_driver)
if without_driver:
    no_gpu(said)
passed(said + (", with a stub in place of the driver's library" if stubbed() else ""))
