# Asks which GPUs reach each other's memory, and copies between each pair. Input: {}

import array

COPIED = 1 << 28
cuda, count = start_driver()
if count < 2:
    skipped("one GPU", "the driver lists one GPU")


def bus(device):
    text = ctypes.create_string_buffer(32)
    cuda.cuDeviceGetPCIBusId(text, len(text), device)
    return text.value.decode()


def pair(left, right):
    """Copies from one GPU to another, looks at what came, and returns (GB/s, whether it went directly)."""
    direct = cuda.number("cuDeviceCanAccessPeer", left[0], right[0])
    cuda.cuCtxSetCurrent(left[1])
    if direct:
        status = cuda.library.cuCtxEnablePeerAccess(right[1], 0)
        if status not in (0, 704):  # already enabled
            raise Stopped("cuCtxEnablePeerAccess", status, cuda.named(status))
    source = cuda.allocate(COPIED)
    cuda.cuMemsetD8_v2(source, 0xA5, ctypes.c_size_t(COPIED))
    cuda.cuCtxSynchronize()
    cuda.cuCtxSetCurrent(right[1])
    target = cuda.allocate(COPIED)
    cuda.cuMemsetD8_v2(target, 0, ctypes.c_size_t(COPIED))
    cuda.cuCtxSynchronize()
    cuda.cuCtxSetCurrent(left[1])

    def copy():
        cuda.cuMemcpyPeerAsync(target, right[1], source, left[1], ctypes.c_size_t(COPIED), None)
    cuda.timed(copy, 2)
    took = cuda.timed(copy, 5)
    cuda.cuCtxSetCurrent(right[1])
    got = array.array("B", bytes(4096))
    for at in (0, COPIED // 2, COPIED - 4096):
        cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(got.buffer_info()[0]), ctypes.c_uint64(target.value + at), ctypes.c_size_t(4096))
        if got.tobytes() != b"\xa5" * 4096:
            failed("what GPU %s copied to GPU %s came out wrong" % (bus(left[0]), bus(right[0])),
                   "ACS or IOMMU translation on the PCIe switches breaks peer copies: turn it off on the host")
    cuda.cuMemFree_v2(target)
    cuda.cuCtxSetCurrent(left[1])
    cuda.cuMemFree_v2(source)
    return COPIED / took / 1e9, bool(direct)


try:
    devices = [cuda.enter(ordinal) for ordinal in range(count)]
    # Every ordered pair on small machines; each with its neighbour beyond, so that eight GPUs take no minute.
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b and (count <= 4 or b == (a + 1) % count)]
    found = [pair(devices[a], devices[b]) for a, b in pairs]
    buses = ", ".join("%d at %s" % (ordinal, bus(device)) for ordinal, (device, _) in enumerate(devices))
except Stopped as error:
    stopped(error)
speeds, through_host = [speed for speed, _ in found], sum(1 for _, direct in found if not direct)
said = "%d GPUs (%s); %d of %d pairs reach each other directly; copies %.0f to %.0f GB/s" % (
    count, buses, len(found) - through_host, len(found), min(speeds), max(speeds))
warnings = []
if 0 < through_host < len(found):
    warnings.append("some pairs reach each other and some do not: NCCL's rings will cross the host's memory")
if min(speeds) < 0.5 * max(speeds):
    warnings.append("the slowest pair has less than half the speed of the fastest: a link may be down, see `nvidia-smi nvlink -s`")
passed(said, warnings)
