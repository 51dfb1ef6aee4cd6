#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Messages in pieces: wherever a segment ends, what arrives is the same. The second
piece is sent when the proxy has read the first.
"""
from daemon import start
from message import CHUNKED, chunked, request, response
from support import expect, run_suite
from upstream import Upstream, answering

ID = "X-Request-Id: the-same"  # so that requests are the same to the byte
DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"

LENGTH_REQUEST = request("POST", "/path?query", ID, "X-A: b", body=b"hello\r\n\r\nworld")
CHUNKED_REQUEST = request("PUT", "/", ID, CHUNKED, "Trailer: X-T") + chunked(
    b"hel", b"lo wor", b"ld", trailers=["X-T: last"]
)
LENGTH_RESPONSE = response(b"HTTP/1.1 200 OK\r\n\r\n", DATE, "X-A: b")
CHUNKED_RESPONSE = response(None, DATE, CHUNKED) + chunked(b"hel", b"lo", trailers=["X-T: last"])


def whole(message):
    """What must not depend on how a message was cut; chunks may be cut anew."""
    return message.head, message.body, message.trailers


def send_at_every_split(sent):
    """Each split is a request of its own; returns what the upstream got."""
    upstream = Upstream()
    client = start({"/": upstream}).connect()
    for at in range(1, len(sent)):
        client.send_in_parts(sent[:at], sent[at:])
        expect(f"status with a split at {at}", client.read_response().status, 200)
    client.send(sent)
    client.read_response()
    expect("requests at the upstream", len(upstream.requests), len(sent))
    return [whole(message) for message in upstream.requests]


def answer_at_every_split(sent):
    """Each split is a response of its own; returns what the client got."""
    splits = iter([*range(1, len(sent)), len(sent)])

    def serve(peer):
        while peer.next_request():
            at = next(splits)
            peer.send_in_parts(sent[:at], sent[at:])

    client = start({"/": Upstream(serve)}).connect()
    return [whole(client.ask()) for _ in range(len(sent))]


def expect_all_alike(got):
    for at, message in enumerate(got, 1):
        expect(f"message with a split at {at}", message, got[-1])


def test_request_with_a_length_at_every_split():
    got = send_at_every_split(LENGTH_REQUEST)

    expect("body", got[-1][1], b"hello\r\n\r\nworld")
    expect_all_alike(got)


def test_request_in_chunks_at_every_split():
    got = send_at_every_split(CHUNKED_REQUEST)

    expect("body and trailers", got[-1][1:], (b"hello world", [("X-T", "last")]))
    expect_all_alike(got)


def test_response_with_a_length_at_every_split():
    got = answer_at_every_split(LENGTH_RESPONSE)

    expect("body", got[-1][1], b"HTTP/1.1 200 OK\r\n\r\n")
    expect_all_alike(got)


def test_response_in_chunks_at_every_split():
    got = answer_at_every_split(CHUNKED_RESPONSE)

    expect("body and trailers", got[-1][1:], (b"hello", [("X-T", "last")]))
    expect_all_alike(got)


def test_pipelined_requests_at_every_split():
    upstream = Upstream(answering(lambda message: response(message.target.encode() + message.body)))
    client = start({"/": upstream}).connect()
    first, last = request("POST", "/a", body=b"1"), request("POST", "/c", body=b"2")
    sent = first + request("GET", "/b") + last

    for at in range(1, len(sent)):
        client.send_in_parts(sent[:at], sent[at:])

        got = [client.read_response().body for _ in range(3)]
        expect(f"bodies with a split at {at}", got, [b"/a1", b"/b", b"/c2"])


def test_request_byte_by_byte():
    upstream = Upstream()
    client = start({"/": upstream}).connect()

    client.send_in_parts(*(bytes([byte]) for byte in CHUNKED_REQUEST))

    expect("status", client.read_response().status, 200)
    expect("body", upstream.requests[0].body, b"hello world")


def test_response_byte_by_byte():
    upstream = Upstream(
        lambda peer: peer.next_request()
        and peer.send_in_parts(*(bytes([byte]) for byte in CHUNKED_RESPONSE))
    )

    expect("body", start({"/": upstream}).connect().ask().body, b"hello")


if __name__ == "__main__":
    run_suite()
