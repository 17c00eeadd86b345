# Starts the driver, makes a context on every GPU and allocates memory there; asks the driver and the CUDA runtime for their versions.
# Input: {}

cuda, count = start_driver()


def version(code):
    return "%d.%d" % (code // 1000, code % 1000 // 10)


def runtime_version():
    """Returns the version of the image's CUDA runtime, where there is one of its own (PyTorch's is)."""
    for name in ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"):
        try:
            runtime = load(name)
        except OSError:
            continue
        code = ctypes.c_int()
        if runtime.cudaRuntimeGetVersion(ctypes.byref(code)) == 0:
            return code.value
    return None


try:
    driver = cuda.number("cuDriverGetVersion")
    names = []
    for ordinal in range(count):
        device, context = cuda.enter(ordinal)
        memory = cuda.allocate(1 << 20)
        cuda.cuMemFree_v2(memory)
        names.append("%s (sm_%d%d)" % ((cuda.name(device),) + cuda.capability(device)))
        cuda.cuDevicePrimaryCtxRelease_v2(device)
except Stopped as error:
    stopped(error)
said = ", ".join("%d x %s" % (names.count(name), name) for name in sorted(set(names)))
runtime = runtime_version()
if runtime is None:
    passed("%s, driver for CUDA %s" % (said, version(driver)))
if runtime // 1000 > driver // 1000:
    failed("%s, driver for CUDA %s, the image's runtime is CUDA %s" % (said, version(driver), version(runtime)),
           "the node's driver is too old for the image's CUDA: choose an older CUDA, or put cuda-compat into the image")
passed("%s, driver for CUDA %s, runtime CUDA %s" % (said, version(driver), version(runtime)))
