# Runs an all-reduce of NCCL on one rank and checks its sum. Input: {}

import array

COUNT = 1 << 16
FLOAT32, SUM = 7, 0  # ncclFloat32, ncclSum (nccl.h)
cuda, _ = start_driver()
nccl = load_nccl()


def check_nccl(status, what):
    if status != 0:
        failed("%s: %s" % (what, nccl_said(nccl, status)), "run again with NCCL_DEBUG=INFO")


def all_reduced(values):
    """Returns the sums over the one rank, which are the values themselves."""
    cuda.enter(0)
    communicator, devices = ctypes.c_void_p(), (ctypes.c_int * 1)(0)
    check_nccl(nccl.ncclCommInitAll(ctypes.byref(communicator), 1, devices), "ncclCommInitAll")
    size = ctypes.c_size_t(COUNT * values.itemsize)
    source, target, stream = cuda.allocate(size.value), cuda.allocate(size.value), ctypes.c_void_p()
    cuda.cuStreamCreate(ctypes.byref(stream), 0)
    cuda.cuMemcpyHtoD_v2(source, ctypes.c_void_p(values.buffer_info()[0]), size)
    cuda.cuMemsetD8_v2(target, 0, size)
    cuda.cuCtxSynchronize()
    check_nccl(
        nccl.ncclAllReduce(ctypes.c_void_p(source.value), ctypes.c_void_p(target.value), ctypes.c_size_t(COUNT),
                           FLOAT32, SUM, communicator, stream), "ncclAllReduce")
    cuda.cuStreamSynchronize(stream)
    result = array.array("f", bytes(size.value))
    cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(result.buffer_info()[0]), target, size)
    check_nccl(nccl.ncclCommDestroy(communicator), "ncclCommDestroy")
    return result


values = array.array("f", (float(i % 251) for i in range(COUNT)))
try:
    result = all_reduced(values)
except Stopped as error:
    stopped(error)
wrong = sum(1 for got, want in zip(result, values) if got != want)
if wrong:
    failed("%d of %d sums are wrong" % (wrong, COUNT))
code = ctypes.c_int()
check_nccl(nccl.ncclGetVersion(ctypes.byref(code)), "ncclGetVersion")
passed("NCCL %s, all-reduce of %d floats on one rank" % (nccl_version(code.value), COUNT))
