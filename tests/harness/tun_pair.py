# SPDX-License-Identifier: Apache-2.0
# Two tun devices, one in each network namespace, joined like the ends of a tunnel: what one sends comes out
# of the other as a bare IP packet. NAMESPACE DEVICE NAMESPACE DEVICE [HARDWARE_TYPE]; goes away with this process.
import ctypes
import fcntl
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
TUNSETLINK = 0x400454CD
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

libc = ctypes.CDLL(None, use_errno=True)


def tun(namespace, device, kind):
    with open(f"/run/netns/{namespace}") as place:
        if libc.setns(place.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    if kind is not None:
        fcntl.ioctl(fd, TUNSETLINK, kind)
    return fd


kind = int(sys.argv[5]) if len(sys.argv) > 5 else None
ends = [tun(*sys.argv[1:3], kind), tun(*sys.argv[3:5], kind)]
print("ready", flush=True)
while True:
    for fd in select.select(ends, [], [])[0]:
        packet = os.read(fd, 65536)
        try:
            os.write(ends[1 - ends.index(fd)], packet)
        except OSError:
            pass  # The other end is down.
