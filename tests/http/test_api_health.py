#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""GET /health and /ready: that the process lives, and that it can serve; and the drain."""
import os
import signal

from api import JSON, Api, json_of, read_verdict, serve
from client import Client
from daemon import route, start
from message import request
from support import expect, expect_match, run_suite, wait_until
from upstream import Upstream


def test_health_is_told():
    api = Api(serve())

    answer = api.call("GET", "/health")

    expect("status", answer.status, 200)
    health = json_of(answer)
    expect("status in it", health["status"], "ok")
    expect_match("version", health["version"], r"^\d+\.\d+\.\d+")
    expect("Date is there", answer.field("Date") is not None, True)


def test_ready_is_told():
    answer = Api(serve()).call("GET", "/ready")

    expect("status", answer.status, 200)
    expect("body", json_of(answer),
           {"ready": True, "draining": False, "store": "memory", "degraded": False})


def test_head_has_no_body():
    api = Api(serve())

    for target in ("/health", "/ready"):
        answer = api.call("HEAD", target)
        expect("status", answer.status, 200)
        expect("length", int(answer.field("Content-Length")) > 0, True)


def test_api_alone_makes_a_file():
    """Without routes nothing is proxied."""
    daemon = serve()

    expect("allowed", Api(daemon).check("a")["allowed"], True)
    expect_match("log", daemon.log.text(), f"ready: .*{daemon.api_listen}")


def test_file_without_the_section_serves_no_api():
    daemon = start({"/": Upstream()})

    expect("status of the proxy", daemon.connect().ask().status, 200)
    expect("the API is spoken of", "8081" in daemon.log.text(), False)


def test_health_is_told_by_every_worker():
    daemon = serve(server={"workers": 2})

    for _ in range(20):
        expect("status", Api(daemon).call("GET", "/health").status, 200)


def test_health_is_told_after_a_worker_has_died():
    daemon = serve()
    daemon.may_lose_workers = True
    [worker] = daemon.workers()

    os.kill(worker, signal.SIGKILL)

    expect("status", Api(daemon).call("GET", "/health").status, 200)


# --- the drain ------------------------------------------------------------------------------


def refuses(listen):
    try:
        Client(int(listen.rpartition(":")[2])).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_idle_connections_are_closed_at_once():
    daemon = serve(server={"drain_timeout": "60s"})
    apis = [Api(daemon) for _ in range(5)]
    for api in apis[:3]:
        api.call("GET", "/health")

    daemon.signal(signal.SIGTERM)

    for api in apis:
        api.expect_closed()
    expect("exit status", daemon.wait_for_end(5), 0)


def test_request_in_flight_is_answered():
    daemon = serve(server={"drain_timeout": "10s"})
    api = Api(daemon)
    body = b'{"key":"late"}'
    api.send_in_parts(request("POST", "/check", JSON, f"Content-Length: {len(body)}") + body[:5],
                      body[5:6])

    daemon.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(daemon.api_listen))
    api.send(body[6:])

    answer = api.read_answer()
    expect("allowed", read_verdict(answer)["allowed"], True)
    expect("Connection", answer.field("Connection"), "close")
    api.expect_closed()
    expect("exit status", daemon.wait_for_end(5), 0)


def test_it_is_not_ready_while_it_drains():
    daemon = serve(server={"drain_timeout": "10s"})
    api = Api(daemon)
    api.send_in_parts(b"GET /ready HTTP/1.1\r\n", b"Host: site.test\r\n")

    daemon.signal(signal.SIGTERM)
    wait_until("new connections are refused", lambda: refuses(daemon.api_listen))
    api.send(b"\r\n")

    answer = api.read_answer()
    expect("status", answer.status, 503)
    ready = json_of(answer)
    expect("ready and draining", (ready["ready"], ready["draining"]), (False, True))
    api.expect_closed()
    expect("exit status", daemon.wait_for_end(5), 0)


def test_stuck_request_is_cut():
    daemon = serve(server={"drain_timeout": "300ms"})
    api = Api(daemon)
    api.send_in_parts(request("POST", "/check", JSON, "Content-Length: 10"), b"{")

    daemon.signal(signal.SIGTERM)

    expect("exit status", daemon.wait_for_end(5), 0)


def test_proxy_s_drain_does_not_wait_for_the_api():
    daemon = serve([route("/", Upstream())], server={"drain_timeout": "60s"})
    idle = [Api(daemon), daemon.connect()]
    idle[0].call("GET", "/health")
    idle[1].ask()

    daemon.signal(signal.SIGTERM)

    expect("exit status", daemon.wait_for_end(5), 0)


if __name__ == "__main__":
    run_suite()
