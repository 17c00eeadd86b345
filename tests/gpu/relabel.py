"""A fault for `make gpu`: marks all GPU code in a library as another architecture's, in place: relabel.py LIBRARY..."""
import mmap, struct, sys

MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # a container of GPU code: magic, version, length of its head
OTHER = 121  # a small Blackwell, newer than any GPU of an instance: neither its code nor its PTX runs on those

for path in sys.argv[1:]:
    marked = 0
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        at = data.find(MAGIC)
        while at >= 0:
            here = at + 16
            end = here + struct.unpack_from("<Q", data, at + 8)[0]
            while here < end:
                length, payload = struct.unpack_from("<IQ", data, here + 4)
                struct.pack_into("<I", data, here + 28, OTHER)
                here += length + payload
                marked += 1
            at = data.find(MAGIC, end)
    print("%s: %d marked" % (path, marked))
    if marked == 0:
        sys.exit("%s holds no GPU code" % path)
