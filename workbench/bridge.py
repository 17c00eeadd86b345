"""Makes or removes a network bridge with the kernel's own calls, so that a bare machine needs no `ip` program.

usage: bridge.py add NAME ADDRESS | bridge.py remove NAME
"""

import fcntl
import socket
import struct
import sys
from pathlib import Path

# From <linux/sockios.h> and <linux/if.h>.
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
SIOCBRADDBR, SIOCBRDELBR = 0x89A0, 0x89A1
IFF_UP = 0x1


def address_request(name: str, address: str) -> bytes:
    return struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address))


def main(verb: str, name: str, address: str = "") -> None:
    exists = Path("/sys/class/net", name).exists()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def flags(value: int) -> None:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), value))

        if verb == "add":
            if not exists:
                fcntl.ioctl(control, SIOCBRADDBR, name.encode() + b"\0")
            fcntl.ioctl(control, SIOCSIFADDR, address_request(name, address))
            fcntl.ioctl(control, SIOCSIFNETMASK, address_request(name, "255.255.255.0"))
            flags(IFF_UP)
        elif exists:
            flags(0)
            fcntl.ioctl(control, SIOCBRDELBR, name.encode() + b"\0")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"bridge {sys.argv[2]}: {error.strerror}; an engine needs the right to change the network (CAP_NET_ADMIN)")
