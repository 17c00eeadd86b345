# Initialises the driver, makes a context on the first GPU and allocates memory there. Input: {}

import ctypes

NO_DEVICE = 100
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    no_gpu(str(error))


def named(status):
    text = ctypes.c_char_p()
    if cuda.cuGetErrorName(status, ctypes.byref(text)) == 0 and text.value:
        return text.value.decode()
    return "error %d" % status


def check(status, what):
    if status != 0:
        cause = {
            34: "the toolkit's stub of libcuda comes first on the loader's path: take its folder off",
            803: "the image's cuda-compat is older than the node's driver: take it off the loader's path",
            804: "the image's cuda-compat does not support this GPU: take it off the loader's path",
            35: "the node's driver is too old for the image's CUDA",
        }.get(status, "")
        failed("%s: %s" % (what, named(status)), cause)


status = cuda.cuInit(0)
# Where no GPU was given, a driver that does not start says nothing about the image.
if status == NO_DEVICE or (status != 0 and not GPU_EXPECTED):
    no_gpu("cuInit: %s" % named(status))
check(status, "cuInit")
count = ctypes.c_int()
check(cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
if count.value == 0:
    no_gpu("the driver lists no device")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
name = ctypes.create_string_buffer(128)
check(cuda.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
major, minor = ctypes.c_int(), ctypes.c_int()
check(cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device), "cuDeviceGetAttribute")
check(cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device), "cuDeviceGetAttribute")
driver = ctypes.c_int()
check(cuda.cuDriverGetVersion(ctypes.byref(driver)), "cuDriverGetVersion")
check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(1 << 20)), "cuMemAlloc")
check(cuda.cuMemFree_v2(memory), "cuMemFree")
check(cuda.cuDevicePrimaryCtxRelease_v2(device), "cuDevicePrimaryCtxRelease")
passed("%d x %s (sm_%d%d), driver for CUDA %d.%d"
       % (count.value, name.value.decode(), major.value, minor.value, driver.value // 1000, driver.value % 1000 // 10))
