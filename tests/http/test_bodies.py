#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Bodies: both codings in both directions, trailers, Expect and interim responses, and
answers that come before the body.
"""
import os
import threading
import time

from daemon import start
from message import CHUNKED, Closed, chunked, request, response
from support import DEADLINE_S, cases, expect, fail, run_suite
from upstream import Upstream, answering


def echo_proxy():
    upstream = Upstream(answering(lambda message: response(message.body)))
    return start({"/": upstream}), upstream


def content():
    return os.urandom(100_000)


# --- codings ----------------------------------------------------------------------


def test_request_with_a_length_stays_one():
    proxy, upstream = echo_proxy()
    body = content()

    expect("echo", proxy.connect().ask("POST", body=body).body, body)
    expect("framing", upstream.requests[0].framing, "length")


def test_request_in_chunks_stays_in_chunks():
    proxy, upstream = echo_proxy()
    client, body = proxy.connect(), content()

    client.send(request("POST", "/", CHUNKED) + chunked(body[:7], body[7:50_000], body[50_000:]))

    expect("echo", client.read_response().body, body)
    expect("framing", upstream.requests[0].framing, "chunked")


@cases({method: method for method in ("POST", "PUT", "DELETE", "GET")})
def test_empty_body_with_a_length(method):
    proxy, upstream = echo_proxy()

    proxy.connect().ask(method, "/", "Content-Length: 0")

    expect("Content-Length", upstream.requests[0].field("Content-Length"), "0")


def test_empty_body_in_chunks():
    proxy, upstream = echo_proxy()
    client = proxy.connect()

    client.send(request("POST", "/", CHUNKED) + chunked())

    expect("status", client.read_response().status, 200)
    expect("framing", upstream.requests[0].framing, "chunked")


def test_get_with_a_body_keeps_it():
    proxy, upstream = echo_proxy()
    client, body = proxy.connect(), b"GET / HTTP/1.1\r\n\r\n"

    expect("echo", client.ask("GET", body=body).body, body)
    expect("status of another", client.ask().status, 200)
    expect("requests at the upstream", len(upstream.requests), 2)


def test_body_of_a_1_0_client():
    proxy, _ = echo_proxy()

    expect("echo", proxy.connect().ask("POST", version="HTTP/1.0", body=b"hello").body, b"hello")


def test_chunk_extensions_are_dropped():
    proxy, upstream = echo_proxy()
    client = proxy.connect()

    client.send(request("POST", "/", CHUNKED) + b'5;a;b=c;d="e;\\"f"\r\nhello\r\n0;last=1\r\n\r\n')

    expect("echo", client.read_response().body, b"hello")
    sent_on = upstream.peers[0].received.partition(b"\r\n\r\n")[2]
    for extension in (b";", b"last"):
        expect(f"{extension} at the upstream", sent_on.find(extension), -1)


@cases({"capitals": b"A", "small": b"a", "zeros": b"00000000000000a"})
def test_chunk_size_in(size):
    proxy, _ = echo_proxy()
    client = proxy.connect()

    client.send(request("POST", "/", CHUNKED) + size + b"\r\nhelloworld\r\n000\r\n\r\n")

    expect("echo", client.read_response().body, b"helloworld")


@cases({"length": response(content()), "chunked": response(None, CHUNKED) + chunked(b"a" * 50_000)})
def test_response_in_framing(sent):
    client = start({"/": Upstream(answering(sent))}).connect()

    bodies = {client.ask().body for _ in range(3)}

    expect("bodies", len(bodies), 1)


@cases({"1_1": "HTTP/1.1", "1_0": "HTTP/1.0"})
def test_response_until_close_of(version):
    body = content()
    upstream = Upstream(
        lambda peer: peer.next_request() and peer.send(response(None, version=version) + body)
    )
    client = start({"/": upstream}).connect()

    answer = client.ask()

    expect("framing", answer.framing, "chunked")
    expect("body", answer.body, body)
    expect("status of another", client.ask().status, 200)


@cases(
    {
        "204": response(None, status="204 No Content"),
        "304": response(None, status="304 Not Modified"),
        "304_with_a_length": response(None, "Content-Length: 5", status="304 Not Modified"),
    }
)
def test_response_without_a_body(sent):
    client = start({"/": Upstream(answering(sent))}).connect()

    for _ in range(3):
        answer = client.ask()
        expect("body", answer.body, b"")
        expect("Transfer-Encoding", answer.field("Transfer-Encoding"), None)


def test_large_bodies_in_chunks_both_ways():
    proxy, _ = echo_proxy()
    client = proxy.connect()
    body = os.urandom(3_000_000)
    pieces = [body[at : at + 65_537] for at in range(0, len(body), 65_537)]

    client.send(request("POST", "/", CHUNKED) + chunked(*pieces))

    expect("echoed", client.read_response().body == body, True)


# --- trailers ---------------------------------------------------------------------


def test_trailers_of_a_request_are_forwarded():
    upstream = Upstream()
    client = start({"/": upstream}).connect()

    client.send(request("POST", "/", CHUNKED) + chunked(b"x", trailers=["X-Sum: 1", "X-More: 2"]))

    expect("status", client.read_response().status, 200)
    expect("trailers", upstream.requests[0].trailers, [("X-Sum", "1"), ("X-More", "2")])


def test_trailers_of_a_response_are_forwarded():
    sent = response(None, CHUNKED) + chunked(b"x", trailers=["X-Sum: 1", "X-More: 2"])

    answer = start({"/": Upstream(answering(sent))}).connect().ask()

    expect("trailers", answer.trailers, [("X-Sum", "1"), ("X-More", "2")])


@cases(
    {
        name.lower().replace("-", "_"): f"{name}: {value}"
        for name, value in {
            "Content-Length": "50",
            "Transfer-Encoding": "chunked",
            "Host": "evil.test",
            "Connection": "close",
            "Authorization": "Basic eDp5",
            "Upgrade": "websocket",
            "TE": "trailers",
        }.items()
    }
)
def test_trailer_that_must_not_be_one_is_left_out(line):
    upstream = Upstream()
    client = start({"/": upstream}).connect()

    client.send(request("POST", "/", CHUNKED) + chunked(b"x", trailers=[line, "X-Sum: 1"]))

    answer = client.read_response()
    if answer.status == 200:
        expect("trailers", upstream.requests[0].trailers, [("X-Sum", "1")])
    else:
        expect("status", answer.status, 400)
        expect("requests at the upstream", upstream.requests, [])


def test_trailers_are_not_sent_to_a_1_0_client():
    sent = response(None, CHUNKED) + chunked(b"hello", trailers=["X-Sum: 1"])

    expect("body", start({"/": Upstream(answering(sent))}).connect().ask(version="HTTP/1.0").body,
           b"hello")


# --- Expect and interim responses ---------------------------------------------------

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = ["Expect: 100-continue", "Content-Length: 5"]


def test_expect_waits_for_the_upstreams_100():
    def serve(peer):
        head = peer.wait_for_head()
        peer.send(CONTINUE)
        peer.send(response(peer.finish(head).body))

    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()

    client.send(request("POST", "/", *EXPECT))
    expect("status", client.read_response().status, 100)
    client.send(b"hello")

    expect("body", client.read_response().body, b"hello")
    expect("Expect at the upstream", upstream.requests[0].field("Expect"), "100-continue")


def test_expect_and_a_body_that_does_not_wait():
    proxy, _ = echo_proxy()
    client = proxy.connect()

    client.send(request("POST", "/", *EXPECT) + b"hello")

    answer = client.read_response()
    if answer.status == 100:
        answer = client.read_response()
    expect("body", answer.body, b"hello")
    expect("status of another", client.ask().status, 200)


def test_expect_and_a_refusal_in_the_place_of_100():
    def serve(peer):
        peer.wait_for_head()
        peer.send(response(b"no", status="413 Content Too Large"))
        peer.expect_closed()

    client = start({"/": Upstream(serve)}).connect()

    client.send(request("POST", "/", *EXPECT))

    expect("status", client.read_response().status, 413)
    client.half_close()
    client.expect_closed()


def test_expect_of_a_1_0_client_gets_no_100():
    def serve(peer):
        head = peer.wait_for_head()
        peer.send(CONTINUE)
        peer.send(response(peer.finish(head).body))

    client = start({"/": Upstream(serve)}).connect()

    client.send(request("POST", "/", *EXPECT, version="HTTP/1.0") + b"hello")

    answer = client.read_response()
    expect("status", answer.status, 200)
    expect("body", answer.body, b"hello")


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_interim_responses_are_forwarded():
    client = start({"/": Upstream(answering(HINTS + HINTS + response()))}).connect()

    for _ in range(2):
        client.send(request("GET", "/"))
        expect("statuses", [client.read_response().status for _ in range(3)], [103, 103, 200])


def test_interim_responses_are_not_for_a_1_0_client():
    client = start({"/": Upstream(answering(HINTS + response()))}).connect()

    expect("status", client.ask(version="HTTP/1.0").status, 200)


def hints_without_end(peer):
    peer.next_request()
    while True:
        peer.send(HINTS * 100)


def test_interim_responses_without_end_are_cut():
    upstream = Upstream(hints_without_end)
    client = start({"/": upstream}, upstream={"response_timeout": "500ms"}).connect()
    client.send(request("GET", "/"))

    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            if client.read_response().status != 103:
                return
        except Closed:
            return
    fail("interim responses came for six times the response_timeout")


# --- answers before the body ----------------------------------------------------------


def test_early_answer_reaches_a_client_that_still_sends():
    def serve(peer):
        peer.wait_for_head()
        peer.send(response(b"no room", "Connection: close", status="507 Insufficient Storage"))
        peer.half_close()
        peer.count(1 << 20)

    client = start({"/": Upstream(serve)}).connect()
    client.send(request("POST", "/", "Content-Length: 1000000000"))
    sender = threading.Thread(target=send_until_closed, args=(client,), daemon=True)
    sender.start()

    answer = client.read_response()

    expect("status", answer.status, 507)
    expect("body", answer.body, b"no room")
    sender.join(DEADLINE_S)
    expect("the client still sends", sender.is_alive(), False)


def send_until_closed(stream):
    try:
        for _ in range(1000):
            stream.send(bytes(1_000_000))
    except (Closed, OSError, AssertionError):
        pass


def test_early_answer_to_a_small_body_that_comes_later():
    def serve(peer):
        head = peer.wait_for_head()
        peer.send(response(b"early"))
        peer.finish(head)

    client = start({"/": Upstream(serve)}).connect()
    client.send(request("POST", "/", "Content-Length: 5"))

    expect("body", client.read_response().body, b"early")

    # Kept or closed, what comes after must be read as the rest of this body.
    try:
        client.send(b"hello" + request("GET", "/"))
        answer = client.read_response()
    except Closed:
        return
    expect("body of the next", answer.body, b"early")


if __name__ == "__main__":
    run_suite()
