# Measures memory bandwidth and a bf16 matrix product against the GPU's data sheet; warns, never fails for being slow.
# Input: {"sheets": [{"gpu": "H100", "memory": 3350, "bf16": 989}, ...], "fraction": 0.6}: GB/s and TFLOP/s

import random

SIDE, COPIED = 8192, 1 << 30
BF16, COMPUTE_FLOAT32 = 14, 68  # CUDA_R_16BF, CUBLAS_COMPUTE_32F (library_types.h, cublas_api.h)

cuda, _ = start_driver()


def copy_speed():
    """Returns GB/s, counting bytes read and bytes written."""
    source, target = cuda.allocate(COPIED), cuda.allocate(COPIED)
    cuda.cuMemsetD8_v2(source, 1, ctypes.c_size_t(COPIED))

    def copy():
        cuda.cuMemcpyDtoDAsync_v2(target, source, ctypes.c_size_t(COPIED), None)
    cuda.timed(copy, 3)
    took = cuda.timed(copy, 20)
    cuda.cuMemFree_v2(source)
    cuda.cuMemFree_v2(target)
    return 2 * COPIED / took / 1e9


def random_matrix():
    """Returns a matrix of small random numbers: zeros would need less power, and so run faster than training does."""
    tile = bytearray(random.Random(1).randbytes(1 << 20) if hasattr(random.Random, "randbytes") else os.urandom(1 << 20))
    for at in range(1, len(tile), 2):
        tile[at] = tile[at] & 0x80 | 0x3E | tile[at] & 1  # exponents of 0.1 to 2, either sign
    matrix = cuda.allocate(SIDE * SIDE * 2)
    cuda.cuMemcpyHtoD_v2(matrix, (ctypes.c_char * len(tile)).from_buffer(tile), ctypes.c_size_t(len(tile)))
    for at in range(len(tile), SIDE * SIDE * 2, len(tile)):
        cuda.cuMemcpyDtoD_v2(ctypes.c_uint64(matrix.value + at), matrix, ctypes.c_size_t(len(tile)))
    return matrix


def matrix_speed():
    """Returns TFLOP/s of cuBLAS, or nothing where the image has none."""
    blas = None
    for major in (13, 12, 11):
        try:
            load("libcublasLt.so.%d" % major)
            blas = load("libcublas.so.%d" % major)
            break
        except OSError:
            continue
    if blas is None:
        return None
    handle = ctypes.c_void_p()

    def check(status, what):
        if status != 0:
            failed("%s of %s: status %d" % (what, mapped("libcublas.so")[0], status),
                   {15: "this cuBLAS has no code for this GPU", 1: "cuBLAS could not start: another version's libcublasLt may come first",
                    8: "this cuBLAS has no code for this GPU"}.get(status, ""))
    check(blas.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
    a, b, c = random_matrix(), random_matrix(), cuda.allocate(SIDE * SIDE * 2)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)

    def multiply():
        check(blas.cublasGemmEx(
            handle, 1, 0, SIDE, SIDE, SIDE, ctypes.byref(one), a, BF16, SIDE, b, BF16, SIDE, ctypes.byref(zero), c, BF16, SIDE,
            COMPUTE_FLOAT32, -1), "cublasGemmEx")
    cuda.timed(multiply, 3)
    return 2 * SIDE ** 3 / cuda.timed(multiply, 10) / 1e12


try:
    device, _ = cuda.enter(0)
    name, capability = cuda.name(device), cuda.capability(device)
    copied = copy_speed()
    multiplied = matrix_speed() if capability >= (8, 0) else None
except Stopped as error:
    stopped(error)
sheets = [sheet for sheet in INPUT.get("sheets", []) if names(sheet["gpu"], name)]
sheet = max(sheets, key=lambda sheet: len(sheet["gpu"])) if sheets else {}
said, warnings = [], []
for what, measured, key, unit in (("memory", copied, "memory", "GB/s"), ("bf16 product", multiplied, "bf16", "TFLOP/s")):
    if measured is None:
        said.append("%s not measured: %s" % (what, "no cuBLAS in the image" if capability >= (8, 0) else "the GPU has no bf16"))
        continue
    promised = sheet.get(key)
    if promised is None:
        said.append("%s %.0f %s" % (what, measured, unit))
        continue
    share = "%s %.0f %s, %.0f %% of the data sheet" % (what, measured, unit, 100 * measured / promised)
    said.append(share)
    if measured < INPUT.get("fraction", 0.6) * promised:
        warnings.append("%s: another process on the GPU, a power or clock limit, or a worn part" % share)
if not sheet:
    said.append("no data sheet of this GPU is known")
passed("%s: %s" % (name, "; ".join(said)), warnings)
