# SPDX-License-Identifier: Apache-2.0
# TCP segments with data that belong to no connection, as frames: INTERFACE SOURCE DESTINATION COUNT.
import socket
import struct
import sys

interface, source, destination, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


payload = b"GET / HTTP/1.1\r\n\r\n"
addresses = socket.inet_aton(source) + socket.inet_aton(destination)
tcp = struct.pack("!HHIIBBHHH", 40000, 5000, 1, 1, 0x50, 0x18, 1024, 0, 0)
pseudo = addresses + struct.pack("!HH", 6, len(tcp) + len(payload))
tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + payload)) + tcp[18:]
ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0) + addresses
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
frame = b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + ip + tcp + payload

packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
packets.bind((interface, 0))
for _ in range(count):
    packets.send(frame)
