# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A DNS server for tests, on an address of its own at port 53: for the `resolv.conf` of a daemon.

    Daemon(config, etc={"resolv.conf": nameservers(silent(), answering("127.0.0.1")), "hosts": ""})
"""
import os
import socket
import struct
import threading

from support import Skip, defer

_count = 0


def _bound():
    if os.geteuid() != 0:
        raise Skip("needs root, for port 53")
    global _count
    _count += 1
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((f"127.{52 + _count}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}", 53))
    return server


def silent():
    """The address of one that never answers."""
    server = _bound()
    defer(server.close)
    return server.getsockname()[0]


def answering(address):
    """The address of one by which every name has this IPv4 address, and no other."""
    server = _bound()

    def answer():
        while True:
            query, who = server.recvfrom(512)
            if not query:
                return
            name_end = query.index(b"\0", 12) + 1
            is_a = query[name_end:name_end + 2] == b"\0\1"
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
            server.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, is_a, 0, 0)
                          + query[12:name_end + 4] + record * is_a, who)

    def end():
        server.sendto(b"", server.getsockname())
        thread.join()
        server.close()

    thread = threading.Thread(target=answer)
    thread.start()
    defer(end)
    return server.getsockname()[0]


def nameservers(*addresses):
    """The text of a resolv.conf."""
    return "".join(f"nameserver {address}\n" for address in addresses)
