# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A client of the check API, and what tests of the API expect of every answer.

    daemon = serve()                        a daemon with the API on a free port
    api = Api(daemon)                       a connection to it
    api.put("user:42", 5, SLOW)             a quota of five that hardly comes back
    api.check("user:42")["remaining"]       4

What is read is checked on the way: every answer's Content-Type, problem and fields of
a limit, and that those agree with the JSON beside them.
"""
import dataclasses
import json
import os
import re
import socket
import time
import urllib.parse

from client import Client
from daemon import Daemon, configuration, free_port, new_directory
from message import Stream, request
from support import DEADLINE_S, Skip, defer, expect, expect_match, expect_within, fail, wait_until

JSON = "Content-Type: application/json"
PROBLEM = "urn:xdp-throttle:problem:"
SLOW = 0.001  # tokens a second: none comes back while a test runs


def api_section(**more):
    return {"listen": f"127.0.0.1:{free_port()}", **more}


def serve(routes=(), environment=None, **sections):
    """A daemon that is ready, with an API."""
    api = api_section(**sections.pop("api", {}))
    return Daemon(configuration(list(routes), api=api, **sections), environment=environment)


def serve_packets(routes=(), xdp=None, **sections):
    """One that also has the packet layer, on `here`, a veth in a network of its own; its API is
    on a Unix socket. `xdp` adds to that section."""
    if os.geteuid() != 0:
        raise Skip("needs root, for a network of its own")
    config = configuration(
        list(routes),
        api={"listen": str(new_directory() / "api.sock")},
        xdp={
            "interfaces": ["here"],
            "per_source": {"connections_per_minute": 1, "burst": 20},
            **(xdp or {}),
        },
        **sections,
    )
    network = (
        "ip link add here type veth peer name there && ip link set lo up && "
        'ip link set here up && ip link set there up && exec "$@"'
    )
    return Daemon(config, prefix=["unshare", "--net", "sh", "-c", network, "sh"])


def config_path(key):
    """Every byte but letters and digits is encoded."""
    return "/config/" + urllib.parse.quote(key, safe="")


class Api(Client):
    """A connection to the API of a daemon, or to a `listen`."""

    def __init__(self, daemon, source="127.0.0.1", token=None):
        listen = daemon if isinstance(daemon, str) else daemon.api_listen
        self.token = token
        if listen.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            defer(sock.close)
            sock.connect(listen)
            Stream.__init__(self, sock)
        else:
            super().__init__(int(listen.rpartition(":")[2]), source)

    def call(self, method, target, body=None, *fields):
        """Send a request and return the answer. `body` is bytes, or what JSON is made of."""
        self.send_call(method, target, body, *fields)
        return self.read_answer(method)

    def send_call(self, method, target, body=None, *fields):
        if self.token:
            fields += (f"Authorization: Bearer {self.token}",)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body and not any(field.lower().startswith("content-type:") for field in fields):
            fields += (JSON,)
        self.send(request(method, target, *fields, body=body or b""))

    def read_answer(self, method="GET"):
        answer = self.read_response(method)
        is_report = answer.field("Content-Type") == "application/json"  # a verdict, /ready
        if answer.status >= 400 and method != "HEAD" and not is_report:
            expect_problem(answer)
        return answer

    # checks

    def check(self, key, cost=None):
        """One check; returns what was answered."""
        check = {"key": key} if cost is None else {"key": key, "cost": cost}
        return read_verdict(self.call("POST", "/check", check))

    def checks(self, *checks):
        """A batch of (key, cost); returns the results."""
        body = {"checks": [{"key": key, "cost": cost} for key, cost in checks]}
        answer = self.call("POST", "/check", body)
        expect("status of a batch", answer.status, 200)
        results = json_of(answer)["results"]
        expect("results", len(results), len(checks))
        return results

    def verdicts(self, key, count):
        return [self.check(key)["allowed"] for _ in range(count)]

    # quotas

    def put(self, key, capacity, refill, *fields, **more):
        body = {"capacity": capacity, "refill_per_second": refill, **more}
        return self.call("PUT", config_path(key), body, *fields)

    def set(self, key, capacity, refill, **more):
        """Put, which must be done, and again where the store was not there in time; returns
        the ETag."""
        end = time.monotonic() + DEADLINE_S
        while True:
            answer = self.put(key, capacity, refill, **more)
            if answer.status in (201, 204):
                return etag_of(answer)
            if answer.status != 503 or time.monotonic() > end:
                fail(f"{key} was not put: {answer.start} {answer.body}")

    def get(self, key, *fields):
        return self.call("GET", config_path(key), None, *fields)

    def delete(self, key, *fields):
        return self.call("DELETE", config_path(key), None, *fields)

    # reports

    def is_ready(self):
        return self.call("GET", "/ready").status == 200

    def metrics(self):
        answer = self.call("GET", "/metrics")
        expect("status of /metrics", answer.status, 200)
        return Metrics(answer.body.decode())


# --- what is read ---------------------------------------------------------------------


def json_of(answer):
    expect("Content-Type", answer.field("Content-Type"), "application/json")
    expect("Cache-Control", answer.field("Cache-Control"), "no-store")
    return json.loads(answer.body)


def etag_of(answer):
    expect_match("ETag", answer.field("ETag") or "none", r'^"\d+"$')
    return answer.field("ETag")


VERDICT = {
    "allowed": bool,
    "limit": int,
    "remaining": int,
    "reset_after_ms": int,
    "retry_after_ms": int,
    "degraded": bool,
}


def expect_verdict(verdict):
    """The members of one, and what they mean together."""
    expect("members", {name: type(value) for name, value in verdict.items()}, VERDICT)
    expect_within("remaining", verdict["remaining"], 0, verdict["limit"])
    expect("allowed is retry at once", verdict["retry_after_ms"] == 0, verdict["allowed"])


def read_verdict(answer):
    """What a single check was answered, which its status and fields must say too."""
    if answer.status not in (200, 429):
        fail(f"not a verdict: {answer.start} {answer.body}")
    verdict = json_of(answer)
    expect_verdict(verdict)
    expect("status", answer.status, 200 if verdict["allowed"] else 429)
    limit = re.fullmatch(r'"[^"]*";q=(\d+);w=\d+', answer.field("RateLimit-Policy"))
    now = re.fullmatch(r'"[^"]*";r=(\d+);t=(\d+)', answer.field("RateLimit"))
    expect("q", int(limit[1]), verdict["limit"])
    expect("r", int(now[1]), verdict["remaining"])
    if verdict["allowed"]:
        expect("Retry-After", answer.field("Retry-After"), None)
    else:
        seconds = max(1, -(-verdict["retry_after_ms"] // 1000))
        expect("Retry-After", answer.field("Retry-After"), str(seconds))
    return verdict


def expect_problem(answer):
    problem = answer.problem
    expect("status of the problem", problem.get("status"), answer.status)
    expect_match("type", problem.get("type", "none"), rf"^{PROBLEM}[a-z0-9-]+$")
    expect_match("title", problem.get("title", ""), r"^\w.*\w$")
    expect_match("detail", problem.get("detail", ""), r"\S \S")


class Metrics:
    """Prometheus text, parsed: {name: [(labels, value)]}."""

    SERIES = re.compile(r'([a-z_][a-z0-9_]*)(?:\{(.*)\})? ([-+0-9.eInfNa]+)')
    LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.series = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            if not (match := self.SERIES.fullmatch(line)):
                fail(f"not a series: {line!r}")
            labels = dict(self.LABEL.findall(match[2] or ""))
            self.series.setdefault(match[1], []).append((labels, float(match[3])))

    def value(self, name, **labels):
        """The sum of the series that have these labels; None when there is none."""
        found = [
            value
            for its_labels, value in self.series.get("xdp_throttle_" + name, [])
            if labels.items() <= its_labels.items()
        ]
        return sum(found) if found else None


# --- checking again and again ---------------------------------------------------------


@dataclasses.dataclass
class Taken:
    """An answer, and how long it was waited for."""

    verdict: dict
    seconds: float


def check_until(api, key, is_enough, deadline_s=DEADLINE_S):
    """Check without a pause until is_enough(verdict); returns all that was answered."""
    taken = []
    end = time.monotonic() + deadline_s
    while True:
        began = time.monotonic()
        verdict = api.check(key)
        now = time.monotonic()
        taken.append(Taken(verdict, now - began))
        if is_enough(verdict):
            return taken
        if now > end:
            fail(f"not within {deadline_s} s; the last answer is {verdict}")


def check_for(api, key, seconds):
    """Check without a pause for so long; what is measured is a length of time."""
    end = time.monotonic() + seconds
    return check_until(api, key, lambda verdict: time.monotonic() >= end)


def wait_for_metric(api, value, name, **labels):
    wait_until(f"{name} is {value}", lambda: api.metrics().value(name, **labels) == value)
