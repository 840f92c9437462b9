"""A NAT in user space: packets of a TUN device in one network namespace leave by sockets of another.

usage: nat_box.py INSIDE OUTSIDE cone|symmetric EXTERNAL_ADDRESS
cone: one external port for each inner one; symmetric: one for each inner port and destination.
In both only who was written to may answer (address and port).
"""

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys

INSIDE, OUTSIDE, KIND, EXTERNAL = sys.argv[1:5]
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000


def enter(name):
    with open(f"/run/netns/{name}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def outward(packet):
    """(source address, port, destination address, port, payload) of an unfragmented UDP packet."""
    head = (packet[0] & 15) * 4
    fragment = struct.unpack("!H", packet[6:8])[0] & 0x3FFF
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_UDP or fragment:
        return None
    source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    sport, dport, length = struct.unpack("!HHH", packet[head : head + 6])
    return source, sport, target, dport, packet[head + 8 : head + length]


def inward(sender, receiver, payload):
    udp = struct.pack("!HHHH", sender[1], receiver[1], 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(sender[0]) + socket.inet_aton(receiver[0])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, socket.IPPROTO_UDP, 0) + addresses
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


enter(INSIDE)
tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
enter(OUTSIDE)
mappings, sockets = {}, {}
print("ready", flush=True)
while True:
    for ready in select.select([tun, *sockets], [], [])[0]:
        if ready == tun:
            found = outward(os.read(tun, 65536))
            if not found:
                continue
            source, sport, target, dport, payload = found
            key = found[:2] if KIND == "cone" else found[:4]
            if key not in mappings:
                mappings[key] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                mappings[key].bind((EXTERNAL, 0))
                sockets[mappings[key]] = ((source, sport), set())
            sockets[mappings[key]][1].add((target, dport))
            try:
                mappings[key].sendto(payload, (target, dport))
            except OSError:
                pass  # nobody there: as on any network
        else:
            payload, sender = ready.recvfrom(65536)
            inner, written_to = sockets[ready]
            if sender in written_to:
                os.write(tun, inward(sender, inner, payload))
