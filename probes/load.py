# Comes before probes that load libraries by name: where PyTorch's wheels keep theirs when the loader's path does not tell.

import ctypes
import glob


def load(name, pattern=None):
    """Loads a library as the loader finds it, else from NVIDIA's Python packages, as PyTorch does. Raises OSError."""
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        if not str(error).startswith("%s: cannot open" % name):
            raise
        for folder in sys.path:
            for path in sorted(glob.glob(os.path.join(folder, "nvidia", "*", "lib", pattern or name))):
                return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        raise


def load_nccl():
    try:
        return load("libnccl.so.2")
    except OSError as error:
        if not INPUT.get("expected", True) and str(error).startswith("libnccl.so.2: cannot open"):
            skipped("NCCL is not in the image", str(error))
        failed(str(error), "libnccl.so.2 is not on the loader's path, or something that it needs is not")


def nccl_said(nccl, status):
    """Returns the words of NCCL's error."""
    nccl.ncclGetErrorString.restype = ctypes.c_char_p
    return nccl.ncclGetErrorString(status).decode()
