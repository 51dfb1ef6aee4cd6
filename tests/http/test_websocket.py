#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tunnels after Upgrade: any bytes, both ways, at any time, until both ends are done."""
import os
import threading

from daemon import start
from message import Closed, request, response
from support import cases, expect, run_suite, wait_until
from upstream import Upstream, answering
from websocket import echo_frames, let_in, upgrade, upgrade_request


def tunnel(serve=echo_frames, **sections):
    upstream = Upstream(serve)
    proxy = start({"/": upstream}, **sections)
    client = proxy.connect()
    upgrade(client)
    return client, upstream


def test_upgrade_is_forwarded():
    _, upstream = tunnel()

    [message] = upstream.requests
    expect("Connection", message.field("Connection").lower(), "upgrade")
    expect("Upgrade", message.field("Upgrade"), "websocket")


def test_bytes_go_both_ways():
    client, _ = tunnel()

    for length in (1, 10, 65536, 1_000_000):
        data = os.urandom(length)
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        expect(f"echo of {length}", client.read_exactly(length) == data, True)
        sender.join(10)


def test_bytes_that_look_like_http_are_bytes():
    client, upstream = tunnel()
    sent = request("GET", "/") + b"\x00\xff\r\n\r\n" + response(b"x")

    client.send(sent)

    expect("echo", client.read_exactly(len(sent)), sent)
    expect("requests", len(upstream.requests), 1)


def test_bytes_sent_with_the_upgrade_are_not_lost():
    client = start({"/": Upstream(echo_frames)}).connect()

    client.send(upgrade_request() + b"early")

    expect("status", client.read_response().status, 101)
    expect("echo", client.read_exactly(5), b"early")


def test_bytes_that_come_with_the_101_are_not_lost():
    def serve(peer):
        message = peer.next_request()
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
            b"hello"
        )
        peer.read_to_end()
        return message

    client = start({"/": Upstream(serve)}).connect()
    client.send(upgrade_request())

    expect("status", client.read_response().status, 101)
    expect("first bytes", client.read_exactly(5), b"hello")


def test_half_close_of_the_client_leaves_the_other_way_open():
    def serve(peer):
        let_in(peer)
        got = peer.read_to_end()
        peer.send(b"after the end: " + got)

    client, _ = tunnel(serve)
    client.send(b"last words")

    client.half_close()

    expect("the rest", client.read_to_end(), b"after the end: last words")


def test_half_close_of_the_upstream_leaves_the_other_way_open():
    got = []

    def serve(peer):
        let_in(peer)
        peer.send(b"bye")
        peer.half_close()
        got.append(peer.read_to_end())

    client, _ = tunnel(serve)
    expect("until its end", client.read_to_end(), b"bye")

    client.send(b"not yet")
    client.half_close()

    wait_until("the upstream sees the end", lambda: got)
    expect("what came after", got, [b"not yet"])


@cases({"close": "close", "reset": "reset"})
def test_upstream_gone_ends_the_tunnel(how):
    may_go = threading.Event()

    def serve(peer):
        let_in(peer)
        may_go.wait(10)
        getattr(peer, how)()

    client, _ = tunnel(serve)

    may_go.set()

    client.expect_closed()


def test_client_gone_ends_the_tunnel():
    ended = threading.Event()

    def serve(peer):
        let_in(peer)
        try:
            peer.read_to_end()
        finally:
            ended.set()

    client, _ = tunnel(serve)

    client.reset()

    expect("the upstream sees it", ended.wait(10), True)


def test_tunnel_outlives_the_timeouts_of_requests():
    short = {"header_timeout": "100ms", "idle_timeout": "100ms"}
    client, _ = tunnel(server=short, upstream={"idle_timeout": "100ms"})

    threading.Event().wait(0.5)  # what is tested is that time passes without effect
    client.send(b"still here")

    expect("echo", client.read_exactly(10), b"still here")


def test_refused_upgrade_is_an_ordinary_response():
    upstream = Upstream(answering(response(b"no", status="403 Forbidden")))
    client = start({"/": upstream}).connect()
    client.send(upgrade_request())

    expect("status", client.read_response().status, 403)
    expect("status of another", client.ask().status, 403)


@cases(
    {
        "1_0": upgrade_request(version="HTTP/1.0"),
        "no_connection": request("GET", "/", "Upgrade: websocket"),
        "h2c": request("GET", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                       "HTTP2-Settings: AAMAAABkAAQAAP__"),
        "body": request("POST", "/", "Connection: Upgrade", "Upgrade: websocket", body=b"hello"),
    }
)
def test_no_upgrade_is_forwarded_of(sent):
    upstream = Upstream()
    client = start({"/": upstream}).connect()

    client.send(sent)

    expect("status", client.read_response().status, 200)
    expect("Upgrade", upstream.requests[0].all("Upgrade"), [])
    expect("Connection", upstream.requests[0].all("Connection"), [])


def test_slow_client_of_a_tunnel_holds_up_the_upstream():
    sent, is_held = [0], threading.Event()

    def serve(peer):
        let_in(peer)
        peer.sock.settimeout(1)
        try:
            while sent[0] < 200_000_000:
                sent[0] += peer.sock.send(b"x" * 100_000)
        except TimeoutError:
            is_held.set()

    client, _ = tunnel(serve)

    expect("it is held up", is_held.wait(10), True)
    expect("bytes are few", sent[0] < 48 << 20, True)
    client.count(sent[0])
    try:
        client.expect_closed()
    except Closed:
        pass


if __name__ == "__main__":
    run_suite()
