#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Targets that cannot be reached, and what is done about it: another target where that
is safe, else 502, 503 or 504. A request that may have been acted on is not sent
twice unless that makes no difference.
"""
import socket
import threading

from daemon import Daemon, configuration, start
from message import response
from nameserver import nameservers, silent
from support import cases, defer, expect, expect_match, expect_within, run_suite
from upstream import Deaf, Refusing, Upstream, answering

GOOD = response(b"good")
SHORT = {"connect_timeout": "200ms", "response_timeout": "200ms"}


def attempts(*upstreams):
    """How often a request got as far as its head, over all of them."""
    heads = (peer.received.count(b"\r\n\r\n") for u in upstreams for peer in list(u.peers))
    return sum(heads)


def dies_on_request(peer):
    peer.wait_for_head()
    peer.reset()


def never_answers(peer):
    peer.next_request()
    peer.read_to_end()


# --- connecting -----------------------------------------------------------------------


@cases({method: method for method in ("GET", "POST")})
def test_refused_connection_goes_to_the_other_target(method):
    good = Upstream(answering(GOOD))
    client = start({"/": [Refusing(), good]}, upstream={"max_failures": 0}).connect()

    bodies = {client.ask(method, "/", body=b"x").body for _ in range(10)}

    expect("bodies", bodies, {b"good"})
    expect("requests", len(good.requests), 10)


def test_refused_connection_of_the_only_target_is_502():
    client = start({"/": Refusing()}).connect()

    for _ in range(5):
        answer = client.ask()
        expect("status", answer.status, 502)
        expect("status in the problem", answer.problem["status"], 502)


def test_refused_connections_of_all_targets_are_502_then_503():
    rules = {"retries": 1, "max_failures": 2, "fail_timeout": "1h"}
    client = start({"/": [Refusing(), Refusing()]}, upstream=rules).connect()

    statuses = [client.ask().status for _ in range(6)]

    expect("first", statuses[0], 502)
    expect("last", statuses[-1], 503)


def test_only_target_comes_back():
    gone = Upstream(answering(GOOD))
    proxy = start({"/": gone})
    client = proxy.connect()
    gone.refuse()
    expect("status", client.ask().status, 502)

    Upstream(answering(GOOD), port=gone.port)

    expect("body", client.ask().body, b"good")


def test_deaf_target_is_504():
    client = start({"/": Deaf()}, upstream=SHORT).connect()

    expect("status", client.ask().status, 504)


def test_deaf_target_is_tried_elsewhere():
    good = Upstream(answering(GOOD))
    client = start({"/": [Deaf(), good]}, upstream=SHORT).connect()

    expect("bodies", {client.ask("POST", "/", body=b"x").body for _ in range(4)}, {b"good"})


# --- stale connections -----------------------------------------------------------------


def stale_after_one(closed):
    """Serves one request of a connection, then closes it without a word."""

    def serve(peer):
        peer.next_request()
        peer.send(GOOD)
        peer.close()
        closed.release()

    return serve


@cases({method: method for method in ("GET", "PUT", "POST")})
def test_connection_that_went_stale_is_not_an_error(method):
    closed = threading.Semaphore(0)
    client = start({"/": Upstream(stale_after_one(closed))}).connect()

    for _ in range(20):
        expect("body", client.ask(method, "/", body=b"x").body, b"good")
        closed.acquire(timeout=10)


@cases({method: (method, status) for method, status in
        {"GET": 200, "PUT": 200, "DELETE": 200, "POST": 502, "PATCH": 502, "PURGE": 502}.items()})
def test_kept_connection_dies_on_the_request(method, status):
    def serve(peer):
        if first:
            first.pop()
            peer.next_request()
            peer.send(GOOD)
            peer.wait_for_head()
            peer.reset()
        else:
            answering(GOOD)(peer)

    first = [True]
    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()
    expect("status of the first", client.ask().status, 200)

    expect("status", client.ask(method).status, status)
    expect("times sent", attempts(upstream) - 1, 2 if status == 200 else 1)


# --- answers that do not come ------------------------------------------------------------


@cases({method: method for method in ("POST", "PATCH", "PURGE")})
def test_not_idempotent_is_sent_once(method):
    bad, good = Upstream(dies_on_request), Upstream(dies_on_request)
    client = start({"/": [bad, good]}, upstream={"retries": 3, "max_failures": 0}).connect()

    for count in range(1, 6):
        expect("status", client.ask(method, "/", body=b"x").status, 502)
        expect("times sent", attempts(bad, good), count)


@cases({method: method for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE")})
def test_idempotent_is_sent_again(method):
    bad, good = Upstream(dies_on_request), Upstream(answering(response(b"")))
    client = start({"/": [bad, good]}, upstream={"max_failures": 0}).connect()

    for _ in range(4):
        expect("status", client.ask(method).status, 200)

    expect_within("times sent to the bad one", attempts(bad), 1, 4)


@cases({str(retries): retries for retries in (0, 1, 2, 5)})
def test_retries_are_bounded(retries):
    bad = [Upstream(dies_on_request) for _ in range(4)]
    client = start({"/": bad}, upstream={"retries": retries, "max_failures": 0}).connect()

    expect("status", client.ask().status, 502)

    expect("times sent", attempts(*bad), min(retries + 1, 4))
    expect("targets that were asked twice", [u.name for u in bad if attempts(u) > 1], [])


@cases({method: method for method in ("GET", "DELETE", "PUT")})
def test_nothing_is_sent_again_once_a_part_of_a_head_came(method):
    def serve(peer):
        peer.wait_for_head()
        peer.send(b"HTTP/1.1 200 OK\r\nX-Order: 1")

    targets = [Upstream(serve), Upstream(serve)]
    client = start({"/": targets}, upstream={"max_failures": 0}).connect()

    expect("status", client.ask(method).status, 502)
    expect("times sent", attempts(*targets), 1)


def test_nothing_is_sent_again_once_the_answer_began():
    def serve(peer):
        peer.wait_for_head()
        peer.send(response(None, "Content-Length: 10") + b"hello")

    bad = [Upstream(serve), Upstream(serve)]
    client = start({"/": bad}, upstream={"max_failures": 0}).connect()

    client.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")

    client.expect_truncated()
    expect("times sent", attempts(*bad), 1)


def test_late_answer_is_504():
    upstream = Upstream(never_answers)
    client = start({"/": upstream}, upstream=SHORT | {"retries": 0}).connect()

    answer = client.ask()

    expect("status", answer.status, 504)
    expect("status in the problem", answer.problem["status"], 504)


def test_late_answer_to_post_is_504_and_not_sent_again():
    late, other = Upstream(never_answers), Upstream(never_answers)
    client = start({"/": [late, other]}, upstream=SHORT | {"retries": 3}).connect()

    expect("status", client.ask("POST", "/", body=b"x").status, 504)
    expect("times sent", attempts(late, other), 1)


def test_head_that_comes_byte_by_byte_is_504():
    def serve(peer):
        peer.next_request()
        peer.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:  # the time is for the whole head: a byte now and then does not move it
            threading.Event().wait(0.05)
            peer.send(b"a")

    client = start({"/": Upstream(serve)}, upstream=SHORT | {"retries": 0}).connect()
    client.sock.settimeout(2)

    expect("status", client.ask().status, 504)


def test_late_body_is_cut():
    def serve(peer):
        peer.next_request()
        peer.send(response(None, "Content-Length: 10") + b"hello")
        peer.read_to_end()

    client = start({"/": Upstream(serve)}, upstream=SHORT).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")

    client.expect_truncated()


def test_slow_but_steady_body_is_not_cut():
    def serve(peer):
        peer.next_request()
        peer.send(response(None, "Content-Length: 30"))
        for _ in range(30):  # longer than the timeout in all
            threading.Event().wait(0.02)
            peer.send(b"x")

    client = start({"/": Upstream(serve)}, upstream=SHORT).connect()

    expect("body", client.ask().body, b"x" * 30)


def test_5xx_of_a_target_is_its_answer():
    upstreams = [Upstream(answering(response(b"mine", status="503 Busy"))) for _ in range(2)]
    client = start({"/": upstreams}).connect()

    answer = client.ask()

    expect("status line", answer.start, "HTTP/1.1 503 Busy")
    expect("times sent", attempts(*upstreams), 1)


def test_name_that_does_not_exist_is_an_error_of_the_upstream():
    proxy = start([{"path": "/", "target": "http://does-not-exist.invalid:80"}], upstream=SHORT)

    expect_match("status", str(proxy.connect().ask().status), "^50[234]$")


NAMED = "target.test"


def test_name_that_is_not_resolved_in_time_is_504():
    etc = {"resolv.conf": nameservers(silent()), "hosts": ""}
    config = configuration([{"path": "/", "target": f"http://{NAMED}:80"}], upstream=SHORT)
    client = Daemon(config, etc=etc).connect()
    client.sock.settimeout(2)

    expect("status", client.ask().status, 504)


def test_second_address_of_a_name_is_used_when_the_first_is_deaf():
    good = Upstream(address="127.0.0.3", serve=answering(response(b"good", "Connection: close")))
    Deaf(address="127.0.0.2", port=good.port)
    etc = {"hosts": f"127.0.0.2 {NAMED}\n127.0.0.3 {NAMED}\n"}
    target = f"http://{NAMED}:{good.port}"
    rules = SHORT | {"retries": 0}
    proxy = Daemon(configuration([{"path": "/", "target": target}], upstream=rules), etc=etc)
    client = proxy.connect()

    # Whichever it begins with, and it begins with either in turn.
    expect("bodies", [client.ask("POST").body for _ in range(4)], [b"good"] * 4)
    expect("times sent", attempts(good), 4)


if __name__ == "__main__":
    run_suite()
