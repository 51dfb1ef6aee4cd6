#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""GET /health and /ready: that the process lives, and that it can serve; and the drain."""
import os
import pathlib
import signal

from api import JSON, Api, api_section, json_of, read_verdict, serve
from client import Client
from daemon import Daemon, configuration, expect_valid, route, run_without_a_file, start
from message import request
from support import Skip, cases, expect, expect_match, run_suite, wait_until
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


def test_store_is_named_where_it_is_ready_and_reloaded():
    """One that writes store.redis.url alone learns that Redis is not used."""
    config = configuration([], api=api_section(), store={"redis": {"url": "redis://:secret@h"}})
    daemon = Daemon(config)
    expect_match("log", daemon.log.text(), r"ready: .*, interfaces: 0, store: memory$")

    config["store"]["backend"] = "redis"
    config["store"]["redis"]["url"] = "rediss://:secret@127.0.0.1:1"
    log = daemon.reload(config)

    expect_match("log", log, r"reloaded: .*, store: redis 127\.0\.0\.1:1 \(tls\)")
    expect("the password is said", "secret" in daemon.log.text(), False)


COUNTS = "services: 0, source prefixes: 0"


@cases(
    {
        "of_an_api": ("api: {}", rf"\(routes: 0, {COUNTS}, store: memory\)"),
        "of_a_proxy": ("routes: [{path: /, target: http://a}]", rf"\(routes: 1, {COUNTS}\)"),
        "with_a_redis_that_is_not_used": (
            "routes: [{path: /, target: http://a}]\nstore: {redis: {url: redis://h}}",
            rf"\(routes: 1, {COUNTS}, store: memory\)",
        ),
        "with_redis": (
            "routes: [{path: /, target: http://a}]\nstore: {backend: redis}",
            rf"\(routes: 1, {COUNTS}, store: redis 127\.0\.0\.1:6379\)",
        ),
    }
)
def test_check_names_the_store(text, pattern):
    expect_valid(text, pattern)


def test_check_names_the_store_of_the_environment():
    expect_valid("api: {}", rf"\(routes: 0, {COUNTS}, store: redis h:7 \(tls\)\)",
                 XDP_THROTTLE_STORE_BACKEND="redis",
                 XDP_THROTTLE_STORE_REDIS_URL="rediss://:secret@h:7")


WITHOUT_A_FILE = ("sh", "-c", 'exec "$1" run', "sh")  # with none of what follows


def expect_no_default_file():
    if pathlib.Path("/etc/xdp-throttle.yaml").exists():
        raise Skip("there is an /etc/xdp-throttle.yaml, which is used")


def serve_by_the_environment(**environment):
    expect_no_default_file()
    config = configuration([], api=api_section())
    return Daemon(config, prefix=WITHOUT_A_FILE, environment={
        "XDP_THROTTLE_API_LISTEN": config["api"]["listen"],
        "XDP_THROTTLE_STORE_MEMORY_STATE_FILE": config["store"]["memory"]["state_file"],
        "XDP_THROTTLE_SERVER_WORKERS": "1",
    } | environment)


def test_environment_alone_makes_an_api():
    daemon = serve_by_the_environment()

    expect("allowed", Api(daemon).check("a")["allowed"], True)
    expect_match("log", daemon.log.text(), "configuration of the environment alone")


def test_warnings_name_the_environment_where_there_is_no_file():
    daemon = serve_by_the_environment(XDP_THROTTLE_RATE_LIMIT_REQUESTS_PER_SECOND="5")

    expect_match("log", daemon.log.text(), r"master: environment: rate_limit is for .* routes")
    expect("a file is spoken of", "/dev/null" in daemon.log.text(), False)


def test_environment_without_an_api_needs_a_file():
    expect_no_default_file()

    ended = run_without_a_file(XDP_THROTTLE_STORE_BACKEND="redis")

    expect("exit status", ended.returncode, 1)
    expect_match("what is said", ended.stderr,
                 r"/etc/xdp-throttle\.yaml: No such file.*with -c.*XDP_THROTTLE_API_LISTEN")


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
