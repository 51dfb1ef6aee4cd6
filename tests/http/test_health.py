#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Targets that are taken out and back: by active checks, and by requests that failed."""
import threading
import time

from daemon import route, start
from message import request, response
from support import DEADLINE_S, cases, expect, expect_within, run_suite, wait_until
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


LASTING = {"max_failures": 3, "fail_timeout": "1h"}
STALLED = request("POST", "/", "Content-Length: 100") + b"some"


@cases({"stalls": True, "goes": False})
def test_client_in_its_body_cannot_set_targets_aside(stalls):
    def serve(peer):
        while head := peer.wait_for_head():
            if head.method == "POST":
                peer.read_exactly(4)
                if not stalls:
                    peer.read_to_end()
                return  # the target's own time for a body is over
            peer.finish(head)
            peer.send(response(b"good"))

    targets = [Upstream(serve), Upstream(serve)]
    proxy = start({"/": targets}, upstream=LASTING)

    for count in range(1, 7):
        client = proxy.connect()
        client.send(STALLED)
        if stalls:
            expect("status of the one that stalls", client.read_response().status, 502)
        else:
            wait_until("it is at a target",
                       lambda: sum(len(target.peers) for target in targets) == count)
        client.reset()
    proxy.requests.wait_for("POST", count=6)

    client = proxy.connect()
    expect("statuses of another", [client.ask().status for _ in range(4)], [200] * 4)
    expect("requests at each", [len(target.requests) for target in targets], [2, 2])
    expect("set aside", "set aside" in proxy.log.text(), False)


def test_target_that_refuses_is_set_aside_though_the_body_is_to_come():
    good = Upstream(answering(response(b"good")))
    proxy = start({"/": [Refusing(), good]}, upstream=LASTING)
    client = proxy.connect()

    for count in range(1, 7):
        client.send(STALLED)
        wait_until("its head is at the good one",
                   lambda: sum(peer.received.count(b"POST /") for peer in good.peers) == count)
        client.send(bytes(96))
        expect("body", client.read_response().body, b"good")

    proxy.log.wait_for("set aside")


def test_target_that_hangs_on_kept_connections_is_set_aside():
    arrived, hangs, over = threading.Barrier(8), threading.Event(), threading.Event()

    def serve(peer):
        while peer.next_request():
            if hangs.is_set():
                over.wait(DEADLINE_S)
                return
            arrived.wait(DEADLINE_S)  # all at once, so that each has a connection of its own
            peer.send(response(b"bad"))

    bad, good = Upstream(serve), Upstream(answering(response(b"good")))
    rules = LASTING | {"response_timeout": "200ms", "retries": 0}
    proxy = start({"/": [bad, good]}, upstream=rules)
    clients = [proxy.connect() for _ in range(16)]
    for client in clients:
        client.send(request("GET", "/"))
    expect("statuses before", {client.read_response().status for client in clients}, {200})

    hangs.set()

    statuses = [clients[0].ask().status for _ in range(12)]
    over.set()
    expect("504s", statuses.count(504), 3)
    expect("200s", statuses.count(200), 9)
    expect("connections to it", len(bad.peers), 8)


if __name__ == "__main__":
    run_suite()
