# Imports what trains and looks which libraries the process then holds: declared = locked = installed = loaded.
# Input: {"modules": ["torch"], "versions": {"nccl": "2.23.4", "cudnn": "9.1.0.70"}, "distributions": {"nccl": ["nvidia-nccl-cu12"]}}

import importlib

try:
    from importlib import metadata
except ImportError:
    metadata = None
STEMS = {"nccl": "libnccl.so", "cudnn": "libcudnn.so", "cublas": "libcublas.so", "libfabric": "libfabric.so", "cudart": "libcudart.so"}


def asked(library, function):
    code = ctypes.c_int()
    if getattr(library, function)(ctypes.byref(code)) != 0:
        return None
    return code.value


def told(component, path):
    """Returns the version that a loaded library tells of itself, where it does."""
    library = ctypes.CDLL(path)
    if component == "nccl":
        code = asked(library, "ncclGetVersion")
        return nccl_version(code) if code else None
    if component == "cudnn":
        library.cudnnGetVersion.restype = ctypes.c_size_t
        code = library.cudnnGetVersion()
        # Since 9.0 the major version counts tens of thousands.
        unit = 10000 if code >= 90000 else 1000
        return "%d.%d.%d" % (code // unit, code % unit // 100, code % 100)
    if component == "cudart":
        code = asked(library, "cudaRuntimeGetVersion")
        return "%d.%d" % (code // 1000, code % 1000 // 10) if code else None
    return None


def installed(component):
    for name in INPUT.get("distributions", {}).get(component, []):
        try:
            return metadata.version(name), name
        except Exception:
            continue
    return None, None


missing = []
for name in INPUT["modules"]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        missing.append("%s: %s: %s" % (name, type(error).__name__, error))
if len(missing) == len(INPUT["modules"]):
    if INPUT.get("expected"):
        failed("; ".join(missing), "see the probe `imports`")
    skipped("nothing that trains is in the image", "; ".join(missing))
said = []
for component in sorted(STEMS):
    paths = mapped(STEMS[component])
    locked = INPUT.get("versions", {}).get(component)
    if not paths:
        continue
    if len(paths) > 1:
        failed("two files are loaded as %s: %s" % (STEMS[component], " and ".join(paths)),
               "one of them comes from a wheel and one from the base: keep one")
    version = told(component, paths[0])
    present, distribution = installed(component)
    if locked and version and release(locked) != release(version):
        failed("%s %s is loaded from %s, %s is locked" % (component, version, paths[0], locked),
               "another copy comes first on the loader's path, or the wheel's file was replaced")
    if present and version and release(present) != release(version):
        failed("%s %s is loaded from %s, %s %s is installed" % (component, version, paths[0], distribution, present),
               "another copy comes first on the loader's path, or the wheel's file was replaced")
    said.append("%s %s%s" % (component, version + " from " if version else "from ", paths[0]))
passed("; ".join(said) or "none of %s is loaded" % ", ".join(sorted(STEMS.values())))
