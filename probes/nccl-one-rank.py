# Runs an all-reduce of NCCL on one rank and checks its sum. Input: {}

import array
import ctypes

COUNT = 1 << 16
FLOAT32, SUM = 7, 0  # ncclFloat32, ncclSum (nccl.h)
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    no_gpu(str(error))
status = cuda.cuInit(0)
if status == 100 or (status != 0 and not GPU_EXPECTED):
    no_gpu("cuInit: driver error %d" % status)
try:
    nccl = ctypes.CDLL("libnccl.so.2")
except OSError as error:
    failed(str(error), "libnccl.so.2 is not on the loader's path, or something that it needs is not")
nccl.ncclGetErrorString.restype = ctypes.c_char_p


def check_cuda(status, what):
    if status != 0:
        failed("%s: driver error %d" % (what, status))


def check_nccl(status, what):
    if status != 0:
        failed("%s: %s" % (what, nccl.ncclGetErrorString(status).decode()), "run again with NCCL_DEBUG=INFO")


check_cuda(status, "cuInit")
device, context = ctypes.c_int(), ctypes.c_void_p()
check_cuda(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
check_cuda(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
check_cuda(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")

communicator, devices = ctypes.c_void_p(), (ctypes.c_int * 1)(0)
check_nccl(nccl.ncclCommInitAll(ctypes.byref(communicator), 1, devices), "ncclCommInitAll")
values = array.array("f", (float(i % 251) for i in range(COUNT)))
size = ctypes.c_size_t(COUNT * values.itemsize)
source, target, stream = ctypes.c_uint64(), ctypes.c_uint64(), ctypes.c_void_p()
check_cuda(cuda.cuMemAlloc_v2(ctypes.byref(source), size), "cuMemAlloc")
check_cuda(cuda.cuMemAlloc_v2(ctypes.byref(target), size), "cuMemAlloc")
check_cuda(cuda.cuStreamCreate(ctypes.byref(stream), 0), "cuStreamCreate")
check_cuda(cuda.cuMemcpyHtoD_v2(source, ctypes.c_void_p(values.buffer_info()[0]), size), "cuMemcpyHtoD")
check_cuda(cuda.cuMemsetD8_v2(target, 0, size), "cuMemsetD8")
check_cuda(cuda.cuCtxSynchronize(), "cuCtxSynchronize")
check_nccl(
    nccl.ncclAllReduce(ctypes.c_void_p(source.value), ctypes.c_void_p(target.value), ctypes.c_size_t(COUNT),
                       FLOAT32, SUM, communicator, stream), "ncclAllReduce")
check_cuda(cuda.cuStreamSynchronize(stream), "cuStreamSynchronize")
result = array.array("f", bytes(COUNT * values.itemsize))
check_cuda(cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(result.buffer_info()[0]), target, size), "cuMemcpyDtoH")
# On one rank the sum is the value itself, to the last bit.
wrong = sum(1 for got, want in zip(result, values) if got != want)
if wrong:
    failed("%d of %d sums are wrong" % (wrong, COUNT))
code = ctypes.c_int()
check_nccl(nccl.ncclGetVersion(ctypes.byref(code)), "ncclGetVersion")
check_nccl(nccl.ncclCommDestroy(communicator), "ncclCommDestroy")
passed("NCCL %s, all-reduce of %d floats on one rank" % (nccl_version(code.value), COUNT))
