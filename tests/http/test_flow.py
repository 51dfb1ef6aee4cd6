#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Bodies that are larger than any memory the proxy may use, sides that do not read, what
the proxy holds for them, and clients that go in the middle.
"""
import os
import threading
import time
import zlib

from client import Client
from daemon import start
from message import CHUNKED, Closed, coming_bytes, request, response, unread_bytes, unsent_bytes
from support import DEADLINE_S, cases, expect, expect_within, fail, run_suite, wait_until
from upstream import Upstream, answering, by_hand

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


# --- what waits in the proxy ------------------------------------------------------------

# Read at once, and more than a connection takes that is narrow: the end of it waits in
# the proxy, which has nothing more to read then.
HELD = bytes(range(250)) * 240


def send_to_be_held(proxy, sender, data, receiver):
    """Send `data`, which ends in HELD; `receiver` is called for who does not read it."""
    with proxy.paused():
        sender.send(data)
        wait_until("all is there to be read", lambda: unread_bytes(sender.sock) == len(data))
    reader = receiver()
    wait_until("the proxy has read it all", lambda: unread_bytes(sender.sock) == 0)
    proxy.catch_up()
    expect_within("bytes of it that went on", coming_bytes(reader.sock), 1, len(HELD) - 1)
    return reader


def held_for_a_slow_client(answer, **sections):
    """The end of an answer waits for its client."""
    upstream = Upstream(by_hand)
    proxy = start({"/": upstream}, **sections)
    client = proxy.connect(narrow=True)
    client.send(request("GET", "/slow"))
    [peer] = upstream.wait_for_peers(1)
    peer.next_request()
    send_to_be_held(proxy, peer, answer, lambda: client)
    return upstream, proxy, client, peer


def test_early_answer_to_a_body_whose_end_waits():
    upstream = Upstream(by_hand, narrow=True)
    proxy = start({"/": upstream})
    client = proxy.connect()
    sent = request("POST", "/first", body=HELD)
    peer = send_to_be_held(proxy, client, sent, lambda: upstream.wait_for_peers(1)[0])
    upstream.serve = answering(response(b"next"))

    peer.send(response(b"early"))

    expect("body", client.read_response().body, b"early")
    # The target would take what follows on its connection for the rest of the body.
    expect("body of another", proxy.connect().ask("GET", "/next").body, b"next")
    expect("body of its own next", client.ask("GET", "/next").body, b"next")
    got = peer.read_to_end()
    expect("the next is in the body", b"/next" in got, False)
    expect_within("bytes of the body", len(got), 1, len(HELD) - 1)


def test_bytes_behind_an_answer_whose_end_waits():
    upstream, proxy, client, peer = held_for_a_slow_client(response(HELD))
    upstream.serve = answering(response(b"good"))

    peer.send(response(b"poison"))
    proxy.catch_up()

    expect("body", client.read_response().body, HELD)
    for _ in range(3):
        expect("body of another", client.ask().body, b"good")


def test_silence_after_a_slow_client_is_cut():
    length = f"Content-Length: {len(HELD) + 1}"
    _, _, client, _ = held_for_a_slow_client(
        response(None, length) + HELD, upstream={"response_timeout": "300ms"}
    )
    time.sleep(0.5)  # the client's time, not the target's: it passes without effect

    client.read_head()
    client.read_exactly(len(HELD))

    client.sock.settimeout(2)
    try:
        fail(f"after the body that fell silent: {client.read_exactly(1)}")
    except Closed:
        pass


# --- clients that go --------------------------------------------------------------------


class Cut:
    """An upstream of one request, whose head it says to have, and how its body ends."""

    def __init__(self):
        self.has_begun, self.ends = threading.Event(), []
        self.upstream = Upstream(self._serve)

    def _serve(self, peer):
        head = peer.wait_for_head()
        self.has_begun.set()
        try:
            peer.finish(head)
        except Closed:
            self.ends.append("cut")
            raise
        self.ends.append("whole")


def expect_cut(sent, leave):
    """A client that leaves while the upstream waits for the rest of its body."""
    cut = Cut()
    client = start({"/": cut.upstream}).connect()
    client.send(sent)
    expect("the upstream has the head", cut.has_begun.wait(DEADLINE_S), True)

    leave(client)

    wait_until("the upstream sees the end", lambda: cut.ends)
    expect("ends", cut.ends, ["cut"])


LEAVE = {"close": Client.close, "reset": Client.reset}


@cases(LEAVE)
def test_client_gone_in_its_body_is_no_whole_request(leave):
    expect_cut(request("POST", "/", "Content-Length: 1000") + b"some", leave)


@cases(LEAVE)
def test_client_gone_in_chunks_is_no_whole_request(leave):
    expect_cut(request("POST", "/", CHUNKED) + b"5\r\nhello\r\n", leave)


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
