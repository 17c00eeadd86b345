# Comes before probes that train with PyTorch: importing it and a GPU to train on. `INPUT["expected"]`: the plan puts the module in the image.

import importlib
import warnings as python_warnings

python_warnings.simplefilter("ignore")


def module(name, package):
    """Imports a module; answers where it is not there or does not import."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name in (name, name.split(".")[0])
        if absent and not INPUT.get("expected"):
            skipped("%s is not in the image" % package)
        if "libcuda.so.1" in str(error) and not GPU_EXPECTED:
            no_gpu(str(error))
        failed("import %s: %s: %s" % (name, type(error).__name__, error), "see the probe `imports`")


def gpu(torch):
    """Returns the GPU's compute capability; answers where PyTorch has no GPU."""
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except Exception as error:
            no_gpu("PyTorch %s: %s" % (torch.__version__, str(error).split("\n")[0]))
        no_gpu("PyTorch %s sees no GPU" % torch.__version__)
    return torch.cuda.get_device_capability(0)


def explained(torch, what, error):
    """Fails with the likely cause of what PyTorch says."""
    said = "%s: %s: %s" % (what, type(error).__name__, str(error).strip().split("\n")[0])
    cause = ""
    if "no kernel image" in str(error):
        cause = "it has no code for this GPU, which is sm_%d%d: it was compiled for other GPUs (PyTorch says it is for %s)" % (
            torch.cuda.get_device_capability(0) + (", ".join(torch.cuda.get_arch_list()),))
    elif "undefined symbol" in str(error):
        cause = "it was compiled against another PyTorch"
    elif "cuda_runtime.h" in str(error):
        cause = ("it compiles kernels as it runs and finds no headers of CUDA: add nvidia-cuda-runtime (CUDA 12: nvidia-cuda-runtime-cu12) to "
                 "the recipe's packages, or set NVTE_CUDA_INCLUDE_DIR to the folder that holds them")
    elif "out of memory" in str(error):
        cause = "another process holds the GPU's memory"
    elif "CUBLAS_STATUS" in str(error):
        cause = "cuBLAS of another version is loaded, or it has no code for this GPU"
    import traceback
    traceback.print_exception(type(error), error, error.__traceback__)
    failed(said, cause)


def apart(got, want):
    """Returns how far two tensors are apart, as a share of the largest wanted number."""
    got, want = got.detach().double().cpu(), want.detach().double().cpu()
    return ((got - want).abs().max() / want.abs().max().clamp_min(1e-12)).item()


def compare(differences, bound, what, said):
    """Passes when no difference is above the bound."""
    worst = max(differences, key=lambda name: differences[name] if differences[name] == differences[name] else float("inf"))
    # Not `>`: a difference that is no number must not pass.
    if not differences[worst] <= bound:
        failed("%s: %s differs from the reference by %.3g of its largest number, %.3g is allowed" % (what, worst, differences[worst], bound),
               "the library computes wrong numbers on this GPU: another version, or a worn GPU")
    passed("%s; at most %.2g from the reference (%s)" % (said, differences[worst], worst))
