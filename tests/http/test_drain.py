#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""SIGTERM: what is on its way ends well, nothing new begins, and it is over in time."""
import os
import signal
import threading
import time

from client import Client
from daemon import start
from message import request, response, unread_bytes
from support import DEADLINE_S, cases, expect, expect_match, expect_within, fail, run_suite, wait_until
from upstream import Upstream
from websocket import echo_frames, upgrade


class Waiting:
    """An upstream that answers when it is told to."""

    def __init__(self, **server):
        self.may_answer = threading.Event()
        self.upstream = Upstream(self._serve)
        self.proxy = start({"/": self.upstream}, server=server)

    def _serve(self, peer):
        while peer.next_request():
            self.may_answer.wait(2 * DEADLINE_S)
            peer.send(response(b"in the end"))

    def begin(self, *clients):
        for client in clients:
            client.send(request("GET", "/"))
        self.upstream.wait_for_requests(len(clients))


def refuses(port):
    try:
        Client(port).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True  # reset: it was in the queue of the listener that closed
    return False


@cases({"sigterm": signal.SIGTERM, "sigint": signal.SIGINT, "sigquit": signal.SIGQUIT})
def test_request_in_flight_is_answered(number):
    given = Waiting(drain_timeout="10s")
    client = given.proxy.connect()
    given.begin(client)

    given.proxy.signal(number)
    wait_until("new connections are refused", lambda: refuses(given.proxy.port))
    given.may_answer.set()

    answer = client.read_response()
    expect("body", answer.body, b"in the end")
    expect("Connection", answer.field("Connection"), "close")
    client.expect_closed()
    expect("exit status", given.proxy.wait_for_end(5), 0)
    expect_match("log", given.proxy.log.text(), f"{number.name}: stopping")
    expect_match("log", given.proxy.log.text(), "connections that have 10s to end: [12]")


@cases({"sigusr1": signal.SIGUSR1, "sigusr2": signal.SIGUSR2})
def test_signal_to_open_logs_again_changes_nothing(number):
    given = Waiting(drain_timeout="10s")
    client = given.proxy.connect()
    given.begin(client)

    given.proxy.signal(number)
    for worker in given.proxy.workers():
        os.kill(worker, number)
    given.proxy.log.wait_for(f"{number.name}: nothing to do: logs go to standard output")
    given.may_answer.set()

    expect("body", client.read_response().body, b"in the end")
    expect("body of the next", client.ask().body, b"in the end")


def test_idle_connections_are_closed_at_once():
    given = Waiting(drain_timeout="60s")
    given.may_answer.set()
    clients = [given.proxy.connect() for _ in range(5)]
    for client in clients[:3]:
        client.ask()

    given.proxy.signal(signal.SIGTERM)

    for client in clients:
        client.expect_closed()
    expect("exit status", given.proxy.wait_for_end(5), 0)


def test_without_connections_it_ends_at_once():
    proxy = Waiting(drain_timeout="60s").proxy

    proxy.signal(signal.SIGTERM)

    expect("exit status", proxy.wait_for_end(5), 0)
    expect("a line about connections", "to end" in proxy.log.text(), False)


def test_upload_in_flight_is_finished():
    given = Waiting(drain_timeout="10s")
    given.may_answer.set()
    client = given.proxy.connect()
    client.send(request("POST", "/", "Content-Length: 10") + b"hello")
    given.upstream.wait_for_peers(1)

    given.proxy.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(given.proxy.port))
    client.send(b"world")

    expect("body", client.read_response().body, b"in the end")
    expect("body at the upstream", given.upstream.requests[0].body, b"helloworld")
    expect("exit status", given.proxy.wait_for_end(5), 0)


def test_stuck_request_is_cut():
    given = Waiting(drain_timeout="500ms")
    client = given.proxy.connect()
    given.begin(client)
    began = time.monotonic()

    given.proxy.signal(signal.SIGTERM)

    expect("exit status", given.proxy.wait_for_end(5), 0)
    expect_within("seconds", time.monotonic() - began, 0.5, 4)
    client.expect_closed()


def test_stuck_websocket_is_cut():
    proxy = start({"/": Upstream(echo_frames)}, server={"drain_timeout": "500ms"})
    client = proxy.connect()
    upgrade(client)

    proxy.signal(signal.SIGTERM)

    expect("exit status", proxy.wait_for_end(5), 0)
    client.expect_closed()


def test_second_signal_ends_at_once():
    given = Waiting(drain_timeout="60s")
    given.begin(given.proxy.connect())
    given.proxy.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(given.proxy.port))

    given.proxy.signal(signal.SIGTERM)

    expect("exit status", given.proxy.wait_for_end(5), 0)


def test_pipelined_requests_after_the_one_in_flight_are_not_half_done():
    given = Waiting(drain_timeout="5s")
    client = given.proxy.connect()
    client.send(request("GET", "/1") + request("GET", "/2"))
    given.upstream.wait_for_requests(1)

    given.proxy.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(given.proxy.port))
    given.may_answer.set()

    expect("body", client.read_response().body, b"in the end")
    rest = client.read_to_end()
    if rest and not rest.endswith(b"in the end"):
        fail(f"half of a response: {rest}")
    expect("exit status", given.proxy.wait_for_end(5), 0)


def test_request_that_comes_with_the_last_answer_does_not_reset_it():
    given = Waiting(drain_timeout="5s")
    client = given.proxy.connect()
    given.may_answer.set()
    client.ask()
    given.may_answer.clear()
    given.upstream.forget()
    given.begin(client)
    given.proxy.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(given.proxy.port))

    with given.proxy.paused():
        given.may_answer.set()
        [peer] = given.upstream.peers
        wait_until("the answer is there", lambda: unread_bytes(peer.sock))
        client.send(request("GET", "/second"))

    expect("body", client.read_response().body, b"in the end")
    expect("bytes before the end", client.read_to_end(), b"")
    client.close()
    expect("requests at the upstream", len(given.upstream.requests), 1)
    expect("exit status", given.proxy.wait_for_end(5), 0)


if __name__ == "__main__":
    run_suite()
