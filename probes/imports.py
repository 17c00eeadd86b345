# Imports Python modules and tells their versions. Input: {"modules": ["torch", ...]}

import importlib
import traceback


def version(module, name):
    found = getattr(module, "__version__", None)
    if found is None:
        try:
            from importlib import metadata
            found = metadata.version(name.replace("_", "-"))
        except Exception:
            return name
    return "%s %s" % (name, found)


def wants_driver(error):
    """Tells whether nothing but the driver's own libraries is missing; they come with the node."""
    return any("%s: cannot open shared object file" % library in str(error)
               for library in ("libcuda.so.1", "libnvidia-ml.so.1"))


imported, without_driver = [], []
for name in INPUT["modules"]:
    try:
        imported.append(version(importlib.import_module(name), name))
    except BaseException as error:
        if wants_driver(error):
            without_driver.append("%s wants the driver: %s" % (name, error))
            continue
        traceback.print_exc()
        cause = ""
        if "undefined symbol" in str(error):
            cause = "it was compiled against another version of the library that it loads"
        elif "cannot open shared object file" in str(error):
            cause = "the library is not on the loader's path, or not in the image"
        elif isinstance(error, ModuleNotFoundError):
            cause = "it is not installed for %s" % sys.executable
        failed("import %s: %s: %s" % (name, type(error).__name__, error), cause)

if without_driver:
    no_gpu("; ".join(imported + without_driver))
passed(", ".join(imported))
