# Comes before probes that import or load what insists on the driver's library: a stub of it, made here, where there is no GPU.
#
# A shared library that exports every function of the driver's API; each answers CUDA_ERROR_STUB_LIBRARY (34), as the stub of NVIDIA's
# toolkit does. Written byte by byte because images need hold neither a compiler nor that stub. DRIVER_FUNCTIONS comes from
# `driver-functions.txt`.

import ctypes
import platform
import struct
import tempfile

PAGE = 0x1000
# "return 34" for each processor: the number that ELF gives it, and its code.
PROCESSORS = {
    "x86_64": (62, b"\xb8\x22\x00\x00\x00\xc3"),
    "aarch64": (183, struct.pack("<II", 0x52800440, 0xD65F03C0)),
}
_stubs = []


def stubbed():
    """Returns whether this process has got the stub."""
    return bool(_stubs)


def stub():
    """Loads the stub as libcuda.so.1 and libcuda.so; returns whether that was possible."""
    if platform.machine() not in PROCESSORS or stubbed():
        return False
    with tempfile.TemporaryDirectory() as folder:
        for name in ("libcuda.so.1", "libcuda.so"):
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(shared_library(name, DRIVER_FUNCTIONS))
            # Later requests for this soname get this one, whatever the loader's path is.
            _stubs.append(ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL))
    return True


def shared_library(soname, functions):
    """Returns an ELF file: one page-aligned segment to read and execute, one to write with the dynamic section, and the word that its
    stack needs no executing: without it glibc 2.41 refuses the library."""
    machine, code = PROCESSORS[platform.machine()]
    names, offsets = b"\0", {}
    for name in [soname] + list(functions):
        offsets[name] = len(names)
        names += name.encode() + b"\0"
    count = len(functions) + 1
    at_hash = 64 + 4 * 56
    at_symbols = at_hash + 4 * (3 + count)
    at_symbols += -at_symbols % 8
    at_names = at_symbols + 24 * count
    at_code = at_names + len(names)
    at_code += -at_code % 16
    end = at_code + len(code)
    # The file offset and the address of the dynamic section differ by nothing: the file is padded to a page.
    at_dynamic = end + -end % PAGE
    tags = [(14, offsets[soname]), (4, at_hash), (5, at_names), (6, at_symbols), (10, len(names)), (11, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)

    # One bucket that holds all: a chain is enough for a library that nobody calls.
    table = struct.pack("<III", 1, count, 1 if functions else 0)
    table += struct.pack("<%dI" % count, 0, *[at + 1 if at + 1 < count else 0 for at in range(1, count)])
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", offsets[name], 0x12, 0, 1, at_code, len(code)) for name in functions)  # global functions
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0)
    segments = (
        struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, end, end, PAGE)
        + struct.pack("<IIQQQQQQ", 1, 6, at_dynamic, at_dynamic, at_dynamic, len(dynamic), len(dynamic), PAGE)
        + struct.pack("<IIQQQQQQ", 2, 6, at_dynamic, at_dynamic, at_dynamic, len(dynamic), len(dynamic), 8)
        + struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # PT_GNU_STACK
    )
    file = bytearray(at_dynamic + len(dynamic))
    pieces = ((0, header), (64, segments), (at_hash, table), (at_symbols, symbols), (at_names, names), (at_code, code), (at_dynamic, dynamic))
    for at, piece in pieces:
        file[at:at + len(piece)] = piece
    return bytes(file)
