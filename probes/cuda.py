# Comes before probes that use a GPU through the driver's own library: loading it, and what its errors mean.

DRIVER = "libcuda.so.1"
NO_DEVICE, STUB = 100, 34
INVALID_PTX, NO_BINARY, UNSUPPORTED_PTX = 218, 209, 222
CAUSES = {
    STUB: "a stub of libcuda (from a CUDA toolkit's `stubs` folder) comes first on the loader's path: take its folder off LD_LIBRARY_PATH",
    803: "the image's cuda-compat is older than the node's driver: take it off the loader's path",
    804: "the image's cuda-compat does not support this GPU: take it off the loader's path",
    35: "the node's driver is too old for the image's CUDA",
    NO_BINARY: "the code was compiled for other GPUs than this one",
    999: "the driver does not work in this container: see dmesg on the node for Xid errors",
    802: "the node's Fabric Manager is not running, without which GPUs on NVSwitch do not start",
    2: "another process holds the GPU's memory",
}


class Stopped(Exception):
    """A call of the driver failed."""

    def __init__(self, what, status, name):
        Exception.__init__(self, "%s: %s" % (what, name))
        self.status = status


class Driver:
    """The driver's library; every call is checked."""

    def __init__(self, library):
        self.library = library

    def named(self, status):
        text = ctypes.c_char_p()
        if self.library.cuGetErrorName(status, ctypes.byref(text)) == 0 and text.value:
            return text.value.decode()
        return {STUB: "CUDA_ERROR_STUB_LIBRARY", NO_DEVICE: "CUDA_ERROR_NO_DEVICE"}.get(status, "error %d" % status)

    def __getattr__(self, name):
        call = getattr(self.library, name)

        def checked(*arguments):
            status = call(*arguments)
            if status != 0:
                raise Stopped(name.split("_v")[0], status, self.named(status))
        return checked

    def number(self, name, *arguments):
        value = ctypes.c_int()
        getattr(self, name)(ctypes.byref(value), *arguments)
        return value.value

    def allocate(self, size):
        memory = ctypes.c_uint64()
        self.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size))
        return memory

    def enter(self, ordinal):
        """Makes the primary context of a GPU current and returns (device, context)."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.cuDeviceGet(ctypes.byref(device), ordinal)
        self.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        self.cuCtxSetCurrent(context)
        return device, context

    def name(self, device):
        text = ctypes.create_string_buffer(128)
        self.cuDeviceGetName(text, len(text), device)
        return text.value.decode()

    def capability(self, device):
        return self.number("cuDeviceGetAttribute", 75, device), self.number("cuDeviceGetAttribute", 76, device)

    def timed(self, work, count):
        """Returns the seconds that each of `count` runs of `work` took on the GPU."""
        begin, end, took = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_float()
        self.cuEventCreate(ctypes.byref(begin), 0)
        self.cuEventCreate(ctypes.byref(end), 0)
        self.cuEventRecord(begin, None)
        for _ in range(count):
            work()
        self.cuEventRecord(end, None)
        self.cuEventSynchronize(end)
        self.cuEventElapsedTime(ctypes.byref(took), begin, end)
        return took.value / 1000.0 / count


def start_driver():
    """Loads and starts the driver; answers where there is none. Returns it and the number of GPUs."""
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError as error:
        no_gpu(str(error))
    cuda = Driver(library)
    status = library.cuInit(0)
    where = (mapped("libcuda.so") or [DRIVER])[0]
    # Where no GPU was given, a driver that does not start says nothing about the image.
    if status == NO_DEVICE or (status != 0 and not GPU_EXPECTED):
        no_gpu("cuInit: %s from %s" % (cuda.named(status), where))
    if status != 0:
        failed("cuInit: %s from %s" % (cuda.named(status), where), CAUSES.get(status, ""))
    count = cuda.number("cuDeviceGetCount")
    if count == 0:
        no_gpu("the driver lists no device")
    return cuda, count


def names(gpu, name):
    """Tells whether every word of `gpu` (`A100 40GB`) is one of the name that the driver gives (`NVIDIA A100-SXM4-40GB`)."""
    return set(gpu.split()) <= set(name.replace("-", " ").split())


def stopped(error):
    failed(str(error), CAUSES.get(error.status, ""))
