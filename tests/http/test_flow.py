#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Bodies that are larger than any memory the proxy may use, sides that do not read, and
clients that go in the middle.
"""
import os
import threading
import zlib

from daemon import start
from message import CHUNKED, Closed, request, response, unsent_bytes
from support import DEADLINE_S, cases, expect, expect_within, run_suite, wait_until
from upstream import Upstream

HUGE = 200 * 1000 * 1000
PIECE = os.urandom(1 << 20)
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
MEMORY = 32 << 20  # more than a worker may grow by, whatever goes through it
KERNEL = 48 << 20  # more than the socket buffers of a client, a proxy and a target hold


def crc_of(length):
    crc = 0
    for _ in range(length // len(PIECE)):
        crc = zlib.crc32(PIECE, crc)
    return zlib.crc32(PIECE[: length % len(PIECE)], crc)


def send_bulk(stream, length):
    for _ in range(length // len(PIECE)):
        stream.send(PIECE)
    stream.send(PIECE[: length % len(PIECE)])


# --- huge bodies ------------------------------------------------------------------------


def test_huge_upload_in_constant_memory():
    got = []

    def serve(peer):
        head = peer.wait_for_head()
        got.append(peer.count(int(head.field("Content-Length"))))
        peer.send(response(b"done"))

    proxy = start({"/": Upstream(serve)})
    client = proxy.connect()
    before = proxy.resident_bytes()

    client.send(request("POST", "/", f"Content-Length: {HUGE}"))
    send_bulk(client, HUGE)

    expect("body", client.read_response().body, b"done")
    expect("CRC-32", got, [crc_of(HUGE)])
    expect_within("growth in bytes", proxy.resident_bytes() - before, -MEMORY, MEMORY)


def test_huge_download_in_constant_memory():
    def serve(peer):
        peer.next_request()
        peer.send(response(None, f"Content-Length: {HUGE}"))
        send_bulk(peer, HUGE)

    proxy = start({"/": Upstream(serve)})
    client = proxy.connect()
    before = proxy.resident_bytes()

    client.send(request("GET", "/"))
    client.read_head()

    expect("CRC-32", client.count(HUGE), crc_of(HUGE))
    expect_within("growth in bytes", proxy.resident_bytes() - before, -MEMORY, MEMORY)


# --- back-pressure ----------------------------------------------------------------------


class Flow:
    """Sends `length` bytes on a stream from a thread, and sees when it is held up."""

    def __init__(self, stream, length, piece=PIECE):
        self.stream, self.length, self.piece = stream, length, piece
        self.sent, self.is_over = 0, False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while self.sent < self.length:
                at = self.sent % len(self.piece)
                piece = self.piece[at : at + self.length - self.sent]
                self.sent += self.stream.sock.send(piece)
        except OSError:
            pass  # who waits for the bytes sees it
        self.is_over = True

    def wait_until_held(self):
        """Until what was sent has not changed over 50 looks while some of it cannot go."""
        seen, same = -1, 0

        def is_held():
            nonlocal seen, same
            same = same + 1 if self.sent == seen and unsent_bytes(self.stream.sock) else 0
            seen = self.sent
            return self.is_over or same > 50

        wait_until("the sender is held up", is_held)
        expect("all was taken though nobody read it", self.is_over, False)


def test_slow_client_holds_up_the_upstream():
    flows = []

    def serve(peer):
        peer.next_request()
        peer.send(response(None, f"Content-Length: {HUGE}"))
        peer.sock.settimeout(3 * DEADLINE_S)
        flows.append(Flow(peer, HUGE))
        peer.wait_for_head()

    proxy = start({"/": Upstream(serve)})
    before = proxy.resident_bytes()
    client = proxy.connect(receive_buffer=65536)
    client.send(request("GET", "/"))
    client.read_head()

    wait_until("the upstream sends", lambda: flows)
    flows[0].wait_until_held()

    expect_within("bytes that the upstream could send", flows[0].sent, 0, KERNEL)
    expect_within("growth in bytes", proxy.resident_bytes() - before, -MEMORY, MEMORY)
    client.count(HUGE)


def test_slow_upstream_holds_up_the_client():
    reads = threading.Event()

    def serve(peer):
        peer.wait_for_head()
        reads.wait(DEADLINE_S)
        peer.count(HUGE)
        peer.send(response(b"done"))

    proxy = start({"/": Upstream(serve)})
    before = proxy.resident_bytes()
    client = proxy.connect()
    client.send(request("POST", "/", f"Content-Length: {HUGE}"))
    client.sock.settimeout(3 * DEADLINE_S)
    flow = Flow(client, HUGE)

    flow.wait_until_held()

    expect_within("bytes that the client could send", flow.sent, 0, KERNEL)
    expect_within("growth in bytes", proxy.resident_bytes() - before, -MEMORY, MEMORY)
    reads.set()
    expect("body", client.read_response().body, b"done")


def test_interim_responses_that_nobody_reads_hold_up_the_upstream():
    flows = []

    def serve(peer):
        peer.next_request()
        flows.append(Flow(peer, HUGE, HINTS * 1000))
        peer.wait_for_head()

    proxy = start({"/": Upstream(serve)})
    before = proxy.resident_bytes()
    client = proxy.connect(receive_buffer=65536)

    client.send(request("GET", "/"))
    wait_until("the upstream sends", lambda: flows)
    flows[0].wait_until_held()

    expect_within("growth in bytes", proxy.resident_bytes() - before, -MEMORY, MEMORY)


# --- clients that go --------------------------------------------------------------------


@cases({"close": "close", "reset": "reset"})
def test_client_gone_in_its_body_is_no_whole_request(how):
    ends = []

    def serve(peer):
        head = peer.wait_for_head()
        try:
            peer.finish(head)
        except Closed:
            ends.append("cut")
            raise
        ends.append("whole")

    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()
    client.send(request("POST", "/", "Content-Length: 1000") + b"some")
    upstream.wait_for_peers(1)

    getattr(client, how)()

    wait_until("the upstream sees the end", lambda: ends)
    expect("ends", ends, ["cut"])


def test_client_gone_in_chunks_is_no_whole_request():
    ends = []

    def serve(peer):
        try:
            peer.next_request()
        except Closed:
            ends.append("cut")
            raise
        ends.append("whole")

    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()
    client.send(request("POST", "/", CHUNKED) + b"5\r\nhello\r\n")
    upstream.wait_for_peers(1)

    client.close()

    wait_until("the upstream sees the end", lambda: ends)
    expect("ends", ends, ["cut"])


def test_client_gone_while_it_waits_lets_the_upstream_go():
    gone = threading.Event()

    def serve(peer):
        peer.next_request()
        peer.read_to_end()
        gone.set()

    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()
    client.send(request("GET", "/"))
    upstream.wait_for_requests(1)

    client.reset()

    expect("the upstream is let go", gone.wait(DEADLINE_S), True)


if __name__ == "__main__":
    run_suite()
