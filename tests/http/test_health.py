#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Targets that are taken out and back: by active checks, and by requests that failed."""
import threading
import time

from daemon import route, start
from message import response
from support import expect, expect_within, run_suite, wait_until
from upstream import Refusing, Upstream, answering

CHECKS = {"path": "/health?deep=1", "interval": "200ms", "timeout": "200ms",
          "healthy": 2, "unhealthy": 2}


class Checked(Upstream):
    """A target whose health the test decides: "good", "bad" or "silent"."""

    def __init__(self, name):
        self.name_in_body, self.health, self.checks = name, "good", []
        super().__init__(self._serve)

    def _serve(self, peer):
        while (head := peer.wait_for_head()) is not None:
            if head.target != "/health?deep=1":
                peer.finish(head)
                peer.send(response(self.name_in_body))
                continue
            self.checks.append(head)
            if self.health == "silent":
                peer.read_to_end()
                return
            status = "200 OK" if self.health == "good" else "500 Oh"
            peer.send(response(b"", status=status))


def pair(**sections):
    a, b = Checked(b"a"), Checked(b"b")
    return a, b, start([route("/", [a, b], health=CHECKS)], **sections)


def served_by(client, count=10):
    """Who served so many requests."""
    return {client.ask().body for _ in range(count)}


def test_check_is_a_request_of_the_path():
    a, _, _ = pair()

    [check] = wait_until("a check comes", lambda: a.checks[:1])

    expect("request line", check.start, "GET /health?deep=1 HTTP/1.1")
    expect("Host is there", check.field("Host") is not None, True)


def test_checks_come_at_their_interval_and_from_one_worker():
    a = Checked(b"a")
    often = CHECKS | {"interval": "100ms", "timeout": "100ms"}
    start([route("/", a, health=often)], server={"workers": 4})
    wait_until("checks come", lambda: len(a.checks) >= 2)
    began, before = time.monotonic(), len(a.checks)

    wait_until("ten more", lambda: len(a.checks) >= before + 10)

    expect_within("seconds", time.monotonic() - began, 0.8, 5)


def test_unhealthy_target_is_taken_out_and_back():
    a, b, proxy = pair()
    client = proxy.connect()
    expect("at first", served_by(client), {b"a", b"b"})

    for health in ("bad", "silent"):
        a.health = health
        wait_until(f"the {health} one is out", lambda: served_by(client) == {b"b"})
        a.health = "good"
        wait_until("it is back", lambda: served_by(client) == {b"a", b"b"})


def test_no_healthy_target_is_503():
    a, b, proxy = pair()
    client = proxy.connect()

    a.health = b.health = "bad"

    wait_until("503", lambda: client.ask().status == 503)
    a.health = "good"
    wait_until("it is back", lambda: client.ask().status == 200)


def test_target_that_refuses_is_taken_out_by_checks():
    good = Checked(b"good")
    proxy = start([route("/", [good, Refusing()], health=CHECKS)], upstream={"retries": 0})
    client = proxy.connect()

    def only_good_answers():
        return {client.ask().status for _ in range(10)} == {200}

    wait_until("the other is out", only_good_answers)


def test_target_is_back_after_its_port_is():
    a, b, proxy = pair(upstream={"fail_timeout": "300ms"})
    client = proxy.connect()
    a.refuse()
    wait_until("it is out", lambda: served_by(client) == {b"b"})

    again = Upstream(answering(response(b"again")), port=a.port)

    wait_until("it is back", lambda: b"again" in served_by(client))
    expect("another serves too", b"b" in served_by(client), True)
    expect("checks are counted", len(again.requests) > 0, True)


# --- failures of requests ------------------------------------------------------------------


def failing(fail_timeout):
    """A target that closes every connection, and counts them; and a good one."""
    bad, good = Upstream(lambda peer: peer.wait_for_head()), Upstream(answering(response(b"good")))
    rules = {"max_failures": 3, "fail_timeout": fail_timeout, "retries": 1}
    return bad, good, start({"/": [bad, good]}, upstream=rules).connect()


def test_failing_target_is_set_aside():
    bad, good, client = failing("1h")

    for _ in range(40):
        expect("body", client.ask().body, b"good")

    expect("requests that it got", len(bad.peers), 3)
    expect("requests of the other", len(good.requests), 40)


def test_target_that_was_set_aside_is_tried_again():
    bad, _, client = failing("300ms")
    for _ in range(20):
        client.ask()
    expect("connections at first", len(bad.peers), 3)

    wait_until("it is tried again", lambda: client.ask().body == b"good" and len(bad.peers) > 3)


def test_target_that_works_again_is_used_again():
    bad, _, client = failing("300ms")
    for _ in range(20):
        client.ask()

    bad.serve = answering(response(b"mended"))

    wait_until("it serves", lambda: client.ask().body == b"mended")
    expect("who serves", served_by(client), {b"good", b"mended"})


def test_only_target_is_never_set_aside():
    flaky = threading.Event()

    def serve(peer):
        if flaky.is_set():
            answering(response(b"good"))(peer)

    rules = {"max_failures": 1, "fail_timeout": "1h"}
    client = start({"/": Upstream(serve)}, upstream=rules).connect()
    expect("statuses", {client.ask().status for _ in range(10)}, {502})

    flaky.set()

    expect("body", client.ask().body, b"good")


def test_5xx_of_a_target_does_not_set_it_aside():
    upstreams = [Upstream(answering(response(b"", status="500 Oh"))) for _ in range(2)]
    client = start({"/": upstreams}, upstream={"max_failures": 1, "fail_timeout": "1h"}).connect()

    for _ in range(10):
        expect("status", client.ask().status, 500)

    expect("requests", [len(upstream.requests) for upstream in upstreams], [5, 5])


if __name__ == "__main__":
    run_suite()
