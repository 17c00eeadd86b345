# Asks NCCL itself for its version; needs no GPU. Input: {"version": "2.23.4"}, or {} where any will do.

nccl = load_nccl()
code = ctypes.c_int()
status = nccl.ncclGetVersion(ctypes.byref(code))
if status != 0:
    failed("ncclGetVersion answered %d" % status)
found, where = nccl_version(code.value), mapped("libnccl.so")[0]
wanted = INPUT.get("version")
if wanted and release(wanted) != release(found):
    failed("NCCL %s is loaded from %s, %s is locked" % (found, where, wanted), "another libnccl comes first on the loader's path")
passed("NCCL %s from %s" % (found, where))
