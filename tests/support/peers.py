#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Both ends of TCP connections that carry something, for tests of real connections.

  peers.py serve ADDRESS PORT
                  returns on each connection what came, in messages of 8 bytes of
                  length and that many of content; says "ready" once it listens
  peers.py ask ADDRESS PORT BYTES SOURCE...
                  one connection after the other, from each of these addresses: sends a
                  message of BYTES random bytes, and compares what returns; says how many
                  were right, and keeps them all open until it is told to end

Nothing here waits for longer than 10 seconds."""
import os
import signal
import socket
import sys
import threading

PATIENCE_S = 10


def receive(connection, size):
    """`size` bytes, or fewer where the connection ends before."""
    content = bytearray(size)
    view = memoryview(content)
    got = 0
    while got < size:
        more = connection.recv_into(view[got:])
        if not more:
            break
        got += more
    return bytes(view[:got])


def echo(connection):
    with connection:
        while len(head := receive(connection, 8)) == 8:
            connection.sendall(receive(connection, int.from_bytes(head, "big")))


def serve(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, int(port)))
        listener.listen(1024)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=echo, args=(connection,), daemon=True).start()


def ask(address, port, size, *sources):
    content = os.urandom(int(size))
    connections = []
    right = 0
    for source in sources:
        connection = socket.create_connection((address, int(port)), PATIENCE_S, (source, 0))
        connections.append(connection)
        # What returns is read meanwhile: neither end can hold it all.
        sender = threading.Thread(
            target=connection.sendall, args=(len(content).to_bytes(8, "big") + content,)
        )
        sender.start()
        right += receive(connection, len(content)) == content
        sender.join()
    print(right, flush=True)
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
