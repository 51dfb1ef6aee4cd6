#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Limits on sizes, numbers and times, of what a client may make the proxy hold."""
import threading
import time

from daemon import start
from message import CHUNKED, Closed, chunked, request, response, unread_bytes
from support import DEADLINE_S, cases, expect, expect_match, expect_within, run_suite, wait_until
from upstream import Upstream, answering


def bounded(**server):
    upstream = Upstream()
    return start({"/": upstream}, server=server), upstream


# --- sizes --------------------------------------------------------------------------------


def line_of(length):
    """A request whose first line has so many bytes, CRLF included."""
    return request("GET", "/" + "a" * (length - len("GET / HTTP/1.1\r\n")))


def head_of(length):
    """A request whose head has so many bytes."""
    return request("GET", "/", "X-A: " + "b" * (length - len(request("GET", "/", "X-A: "))))


def fields_of(count):
    """A request with so many fields."""
    return request("GET", "/", *(f"X-{i}: a" for i in range(count - 1)))


SMALL = {"max_request_line": 200, "max_header_bytes": 1024, "max_headers": 10}


@cases(
    {
        "request_line": (line_of(200), line_of(201), 414),
        "head": (head_of(1024), head_of(1025), 431),
        "fields": (fields_of(10), fields_of(11), 431),
    }
)
def test_largest(fits, does_not, status):
    proxy, upstream = bounded(**SMALL)
    client = proxy.connect()

    client.send(fits)
    expect("status of what fits", client.read_response().status, 200)
    client.send(does_not)
    answer = client.read_response()

    expect("status", answer.status, status)
    expect("status in the problem", answer.problem["status"], status)
    client.expect_closed()
    expect("requests at the upstream", len(upstream.requests), 1)


@cases({"request_line": (b"GET /" + b"a" * 300, 414),
        "head": (b"GET / HTTP/1.1\r\nX-A: " + b"b" * 1100, 431)})
def test_refused_before_its_end(sent, status):
    client = bounded(**SMALL)[0].connect()

    client.send(sent)

    expect("status", client.read_response().status, status)


def test_largest_body_by_its_length():
    proxy, upstream = bounded(max_body_bytes=1000)
    client = proxy.connect()

    expect("status of what fits", client.ask("POST", body=b"a" * 1000).status, 200)
    client.send(request("POST", "/", "Content-Length: 1001"))

    expect("status", client.read_response().status, 413)
    client.half_close()
    client.expect_closed()
    expect("requests at the upstream", len(upstream.requests), 1)


def test_largest_body_in_chunks():
    proxy, upstream = bounded(max_body_bytes=1000)
    client = proxy.connect()

    client.send(request("POST", "/", CHUNKED) + chunked(b"a" * 500, b"b" * 500))
    expect("status of what fits", client.read_response().status, 200)
    client.send(request("POST", "/", CHUNKED) + chunked(b"a" * 500, b"b" * 501))

    expect("status", client.read_response().status, 413)
    expect("requests at the upstream", len(upstream.requests), 1)


def test_what_follows_a_request_waits_in_the_kernel():
    may_answer = threading.Event()

    def reply(_):
        may_answer.wait(DEADLINE_S)
        return response(b"ok")

    upstream = Upstream(answering(reply))
    proxy = start({"/": upstream}, server={"max_header_bytes": 1024})
    client = proxy.connect()
    sent = request("GET", "/") * 500

    client.send(sent)
    upstream.wait_for_requests(1)
    proxy.catch_up()

    expect("bytes that were not read", unread_bytes(client.sock), len(sent) - 1024)
    may_answer.set()
    expect("statuses", {client.read_response().status for _ in range(500)}, {200})


def test_huge_length_without_a_body_costs_nothing():
    proxy, _ = bounded()
    before = proxy.resident_bytes()
    client = proxy.connect()

    client.send(request("POST", "/", f"Content-Length: {(1 << 63) - 1}"))
    proxy.connect().ask()

    expect_within("growth in bytes", proxy.resident_bytes() - before, -(32 << 20), 32 << 20)


def test_response_is_not_held_to_what_requests_may_have():
    fields = [f"X-{i}: " + "b" * 190 for i in range(100)]
    upstream = Upstream(answering(response(b"ok", *fields)))
    proxy = start({"/": upstream}, server={"max_header_bytes": 4096, "max_headers": 10})

    answer = proxy.connect().ask()

    expect("status", answer.status, 200)
    expect("fields", [f"{n}: {v}" for n, v in answer.fields if n.startswith("X-")], fields)


def test_response_has_no_largest_body():
    upstream = Upstream(answering(response(b"a" * 100_000)))
    proxy = start({"/": upstream}, server={"max_body_bytes": 1000})

    expect("length", len(proxy.connect().ask().body), 100_000)


# --- times --------------------------------------------------------------------------------

FAST = {"header_timeout": "300ms", "idle_timeout": "300ms", "body_timeout": "300ms"}


def expect_408(client, began):
    answer = client.read_response()
    expect("status", answer.status, 408)
    expect("status in the problem", answer.problem["status"], 408)
    client.expect_closed()
    expect_within("seconds", time.monotonic() - began, 0.3, 3)


@cases({"first": 0, "later": 1})
def test_head_that_does_not_end_is_408(requests_before):
    client = bounded(**FAST)[0].connect()
    for _ in range(requests_before):
        client.ask()
    began = time.monotonic()

    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A")

    expect_408(client, began)


def test_head_that_comes_byte_by_byte_is_408():
    client = bounded(**FAST)[0].connect()
    began = time.monotonic()

    def answered():
        """The deadline is for the whole head: a byte now and then does not move it."""
        client.send(b"a")
        client.sock.settimeout(0.02)
        try:
            client._receive()
        except AssertionError:
            return False
        except Closed:
            pass
        return True

    client.send(b"GET / HTTP/1.1\r\nX-A: ")
    wait_until("it is answered", answered)
    client.sock.settimeout(5)

    expect_match("answer", client.unread().decode(), "^HTTP/1.1 408 ")
    expect_within("seconds", time.monotonic() - began, 0.3, 3)


@cases({"first": 0, "later": 1})
def test_idle_connection_is_closed_silently(requests_before):
    client = bounded(**FAST)[0].connect()
    for _ in range(requests_before):
        client.ask()
    began = time.monotonic()

    client.expect_closed()

    expect_within("seconds", time.monotonic() - began, 0.25, 3)


def test_connection_that_is_used_is_not_idle():
    client = bounded(**FAST)[0].connect()
    end = time.monotonic() + 1

    while time.monotonic() < end:
        expect("status", client.ask().status, 200)
        time.sleep(0.1)  # what is tested is that time passes without effect


@cases(
    {
        "length": request("POST", "/", "Content-Length: 10") + b"hello",
        "chunks": request("POST", "/", CHUNKED) + b"5\r\nhello\r\n",
        "nothing_of_it": request("POST", "/", "Content-Length: 10"),
    }
)
def test_body_that_does_not_come_is_408(sent):
    proxy, upstream = bounded(**FAST)
    client = proxy.connect()
    began = time.monotonic()

    client.send(sent)

    expect_408(client, began)
    expect("requests at the upstream", upstream.requests, [])


def test_slow_but_steady_body_is_served():
    client = bounded(**FAST)[0].connect()

    client.send(request("POST", "/", "Content-Length: 10"))
    for _ in range(10):
        time.sleep(0.1)  # in all longer than the timeout, which is between two reads
        client.send(b"x")

    expect("status", client.read_response().status, 200)


@cases({"new_connection": 0, "kept_connection": 1})
def test_body_may_take_longer_than_other_times_of_the_target(requests_before):
    times = {"connect_timeout": "200ms", "idle_timeout": "300ms", "response_timeout": "400ms"}
    upstream = Upstream()
    client = start({"/": upstream}, upstream=times).connect()
    for _ in range(requests_before):
        expect("status", client.ask().status, 200)

    client.send(request("POST", "/", "Content-Length: 10"))
    for _ in range(10):
        time.sleep(0.1)  # in all longer than each of them: the target is not waited for
        client.send(b"x")

    expect("status", client.read_response().status, 200)


def test_client_that_does_not_read_is_cut():
    closed = []

    def serve(peer):
        peer.next_request()
        try:
            peer.send(response(None, "Content-Length: 200000000") + b"x" * 200_000_000)
        finally:
            closed.append(True)

    proxy = start({"/": Upstream(serve)}, server=FAST)
    client = proxy.connect(receive_buffer=65536)

    client.send(request("GET", "/"))

    wait_until("the upstream is let go", lambda: closed)
    client.expect_truncated()


def test_client_that_pipelines_and_does_not_read_is_held_up():
    upstream = Upstream(answering(response(b"a" * 100_000)))
    proxy = start({"/": upstream})
    before = proxy.resident_bytes()
    client = proxy.connect(receive_buffer=65536)
    client.sock.settimeout(1)

    try:
        while len(upstream.requests) < 5_000:
            client.sock.send(request("GET", "/") * 1000)
    except TimeoutError:
        pass

    expect_within("requests at the upstream", len(upstream.requests), 1, 1_000)
    expect_within("growth in bytes", proxy.resident_bytes() - before, -(32 << 20), 32 << 20)


def test_slow_clients_do_not_hold_up_others():
    proxy, _ = bounded(header_timeout="10s")
    slow = [proxy.connect() for _ in range(200)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    client = proxy.connect()

    began = time.monotonic()
    for _ in range(100):
        client.ask()

    expect_within("seconds", time.monotonic() - began, 0, 5)


# --- numbers ------------------------------------------------------------------------------


def test_connections_beyond_the_most_wait_or_are_refused():
    proxy, _ = bounded(max_connections=4)
    clients = [proxy.connect() for _ in range(4)]
    for client in clients:
        expect("status", client.ask().status, 200)
        client.send(b"GET / HTTP/1.1\r\n")

    extra = proxy.connect()
    extra.send(request("GET", "/"))
    for client in clients:
        client.send(b"Host: a\r\n\r\n")
        expect("status of one that was there", client.read_response().status, 200)
    clients[0].close()

    try:
        answer = extra.read_response()
        expect_match("status", str(answer.status), "^(200|503)$")
    except Closed:
        pass
    wait_until("a new one is served again", lambda: is_served(proxy))


def test_idle_connection_is_closed_only_for_one_that_waits():
    proxy, _ = bounded(max_connections=2)
    clients = [proxy.connect() for _ in range(2)]
    for client in clients:
        expect("status", client.ask().status, 200)

    extra = proxy.connect()

    expect("status of a new one", extra.ask().status, 200)
    clients[0].expect_closed()
    expect("status of the other that was there", clients[1].ask().status, 200)
    expect("all were in use", "all of them in use" in proxy.log.text(), False)


def is_served(proxy):
    client = proxy.connect()
    try:
        return client.ask("GET", "/", "Connection: close").status == 200
    except Closed:
        return False
    finally:
        client.close()


def test_upstream_connections_that_are_kept_are_bounded():
    upstream = Upstream()
    proxy = start({"/": upstream}, upstream={"keepalive": 2})
    clients = [proxy.connect() for _ in range(8)]

    for client in clients:
        client.send(request("GET", "/"))
    for client in clients:
        client.read_response()

    def open_connections():
        return [peer for peer in upstream.peers if peer.sock.fileno() >= 0]

    wait_until("the others are closed", lambda: len(open_connections()) <= 2)


def test_upstream_connection_that_idles_is_closed():
    upstream = Upstream()
    client = start({"/": upstream}, upstream={"idle_timeout": "200ms"}).connect()
    client.ask()

    wait_until("it is closed", lambda: upstream.peers[0].sock.fileno() < 0)

    expect("status of another", client.ask().status, 200)


if __name__ == "__main__":
    run_suite()
