# Imports Python modules and tells their versions. Where a module insists on the driver's library and there is no GPU, it gets a stub.
# Input: {"modules": ["torch", ...]}

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


def wants(error, library):
    return "%s: cannot open shared object file" % library in str(error)


def forget(name):
    """Takes a module that failed half-way out of the modules, so that it can be imported again; not what it had imported."""
    top = name.split(".")[0]
    for known in [known for known in sys.modules if known == top or known.startswith(top + ".")]:
        del sys.modules[known]


def imported(name):
    """Imports a module, with a stub of the driver where it wants the driver and no GPU was promised."""
    try:
        return importlib.import_module(name)
    except BaseException as error:
        if GPU_EXPECTED or not wants(error, "libcuda.so.1") or not stub():
            raise
    if name in sys.modules or name.split(".")[0] in sys.modules:
        forget(name)
    return importlib.import_module(name)


def complain(name, error):
    cause = ""
    if "undefined symbol" in str(error):
        cause = "it was compiled against another version of the library that it loads"
    elif "cannot open shared object file" in str(error):
        cause = "the library is not on the loader's path, or not in the image"
    elif isinstance(error, ModuleNotFoundError):
        cause = "it is not installed for %s" % sys.executable
    failed("import %s: %s: %s" % (name, type(error).__name__, error), cause)


came, without_driver = [], []
for name in INPUT["modules"]:
    try:
        came.append(version(imported(name), name))
    except BaseException as error:
        if wants(error, "libcuda.so.1") or wants(error, "libnvidia-ml.so.1") or (stubbed() and "CUDA_ERROR" in str(error)):
            without_driver.append("%s wants the driver: %s" % (name, error))
            continue
        traceback.print_exc()
        complain(name, error)

said = ", ".join(came + without_driver)
if without_driver:
    no_gpu(said)
passed(said + (", with a stub in place of the driver's library" if stubbed() else ""))
