#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The line that standard output gets for each request."""
import json
import re
import threading

from daemon import Daemon, configuration, limit, start
from message import request, response
from support import cases, expect, expect_match, expect_within, run_suite, wait_until
from upstream import Refusing, Upstream, answering, by_hand

TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<client>\S+) "
    r'"(?P<method>\S+) (?P<target>[^"]*)" (?P<status>\d{3}|-) (?P<bytes>\d+) '
    r"(?P<duration>[\d.]+ms|-) (?P<upstream>\S+) (?P<upstream_time>[\d.]+ms|-) "
    r"(?P<verdict>allowed|limited|-) (?P<request_id>\S+)"
)
KEYS = {"time", "client", "method", "target", "status", "bytes", "duration_ms", "upstream",
        "upstream_ms", "verdict", "request_id"}


def logged(proxy, count=1):
    """The last of the first `count` lines, in text."""
    line = proxy.requests.wait_for("", count=count)
    line = line[-1] if count > 1 else line
    match = TEXT.fullmatch(line)
    expect(f"{line!r} is of the form", match is not None, True)
    return match.groupdict()


def logged_json(proxy, count=1):
    line = proxy.requests.wait_for("", count=count)
    entry = json.loads(line[-1] if count > 1 else line)
    expect("keys", set(entry), KEYS)
    return entry


JSON = {"log": {"format": "json"}}


def test_text():
    upstream = Upstream()
    proxy = start({"/": upstream})
    client = proxy.connect()

    client.ask("POST", "/a/b?c=d", "X-Request-Id: id-7", body=b"hello")

    line = logged(proxy)
    expect("client", line["client"], "127.0.0.1")
    expect("request", (line["method"], line["target"]), ("POST", "/a/b?c=d"))
    expect("status", line["status"], "200")
    expect("bytes", int(line["bytes"]), len(client.received))
    expect("upstream", line["upstream"], upstream.name)
    expect("verdict", line["verdict"], "-")
    expect("request id", line["request_id"], "id-7")


def test_json():
    upstream = Upstream()
    proxy = start({"/": upstream}, rate_limit=limit("1/m", 5), **JSON)
    client = proxy.connect()

    client.ask("POST", "/a/b?c=d", "X-Request-Id: id-7", body=b"hello")

    line = logged_json(proxy)
    expect("client", line["client"], "127.0.0.1")
    expect("request", (line["method"], line["target"]), ("POST", "/a/b?c=d"))
    expect("status", line["status"], 200)
    expect("bytes", line["bytes"], len(client.received))
    expect("upstream", line["upstream"], upstream.name)
    expect("verdict", line["verdict"], "allowed")
    expect("request id", line["request_id"], "id-7")
    expect_within("duration", line["duration_ms"], 0.001, 10_000)
    expect_within("upstream time", line["upstream_ms"], 0.001, line["duration_ms"] + 0.001)


def test_one_line_for_each_request_in_their_order():
    proxy = start({"/": Upstream()})
    client = proxy.connect()

    client.send(b"".join(request("GET", f"/{i}") for i in range(20)))
    for _ in range(20):
        client.read_response()

    lines = proxy.requests.wait_for("", count=20)
    expect("targets", [TEXT.fullmatch(line)["target"] for line in lines],
           [f"/{i}" for i in range(20)])


def test_limited():
    proxy = start({"/": Upstream()}, rate_limit=limit("1/m", 1))
    client = proxy.connect()
    client.ask()
    client.ask("GET", "/more")

    line = logged(proxy, 2)
    expect("verdict", line["verdict"], "limited")
    expect("status", line["status"], "429")
    expect("upstream", line["upstream"], "-")
    expect("target", line["target"], "/more")


@cases({"404": ("/api", "/none", "404"), "502": ("/", "/x", "502")})
def test_answer_of_the_proxy(path, target, status):
    proxy = start({path: Refusing()})

    proxy.connect().ask("GET", target)

    line = logged(proxy)
    expect("status", line["status"], status)
    expect("target", line["target"], target)


def test_malformed_request_is_logged():
    proxy = start({"/": Upstream()})
    client = proxy.connect()

    client.send(b"GET /bad HTTP/1.1\r\n\r\n")
    client.read_response()

    line = logged(proxy)
    expect("status", line["status"], "400")
    expect("target", line["target"], "/bad")
    expect("upstream", line["upstream"], "-")


def test_request_without_a_request_line_is_logged():
    proxy = start({"/": Upstream()}, **JSON)
    client = proxy.connect()

    client.send(b"\x00\x01\x02\r\n\r\n")
    client.read_response()

    expect("status", logged_json(proxy)["status"], 400)


def test_client_that_goes_before_its_answer_is_logged():
    upstream = Upstream(lambda peer: peer.next_request() and peer.read_to_end())
    proxy = start({"/": upstream})
    client = proxy.connect()
    client.send(request("GET", "/slow"))
    upstream.wait_for_requests(1)

    client.reset()

    line = logged(proxy)
    expect("status", line["status"], "-")
    expect("target", line["target"], "/slow")


def test_upstream_time_of_an_answer_that_never_came_is_how_long_it_was_waited_for():
    upstream = Upstream(by_hand)
    proxy = start({"/": upstream}, **JSON)
    client = proxy.connect()
    client.send(request("GET", "/slow"))
    upstream.wait_for_peers(1)[0].next_request()

    client.reset()

    line = logged_json(proxy)
    expect("upstream", line["upstream"], upstream.name)
    expect_within("upstream time", line["upstream_ms"], 0.001, line["duration_ms"])


def test_client_is_who_a_trusted_proxy_names():
    proxy = start({"/": Upstream()}, trusted_proxies=["127.0.0.1"])

    proxy.connect().ask("GET", "/", "X-Forwarded-For: 2001:db8::7")

    expect("client", logged(proxy)["client"], "2001:db8::7")


SECRETS = ["Authorization: Basic c2VjcmV0", "Cookie: sid=c2VjcmV0", "X-Api-Key: c2VjcmV0",
           "Proxy-Authorization: Basic c2VjcmV0", "Referer: http://a.test/c2VjcmV0"]


@cases({"text": "text", "json": "json"})
def test_secrets_are_not_written(form):
    upstream = Upstream(answering(response(b"c2VjcmV0", "Set-Cookie: sid=c2VjcmV0")))
    proxy = start({"/": upstream}, log={"format": form, "level": "debug"})

    proxy.connect().ask("POST", "/", *SECRETS, body=b"c2VjcmV0")

    proxy.requests.wait_for("POST")
    expect("in the lines", "c2VjcmV0" in proxy.requests.text() + proxy.log.text(), False)


def test_quotes_and_backslashes_of_a_target_are_escaped():
    target = '/a"b\\c'
    proxy = start({"/": Upstream()}, **JSON)

    proxy.connect().ask("GET", target)

    expect("target", logged_json(proxy)["target"], target)


def test_quotes_of_a_target_cannot_end_its_field_in_text():
    proxy = start({"/": Upstream()})

    proxy.connect().ask("GET", '/x"\x20200'.replace("\x20", "%20") + '"')

    expect('quotes in "..."', logged(proxy)["target"].count('"'), 0)


def test_bytes_of_a_refused_target_are_escaped():
    proxy = start({"/": Upstream()}, **JSON)
    client = proxy.connect()

    client.send(b"GET /\x1b[31m\xff HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read_response()

    logged_json(proxy)
    expect("escape bytes", "\x1b" in proxy.requests.text(), False)


def test_long_target_is_cut():
    proxy = start({"/": Upstream()}, **JSON)

    proxy.connect().ask("GET", "/" + "a" * 5000)

    target = logged_json(proxy)["target"]
    expect("end", target[-3:], "...")
    expect_within("length", len(target), 1000, 1100)


def test_output_that_nobody_reads_holds_up_nothing():
    proxy = Daemon(configuration({"/": Upstream()}), read_stdout=False)
    client = proxy.connect()
    target = "/" + "a" * 900

    # A pipe holds 64 KiB, the proxy another 1 MiB: 3,000 lines of 1,000 bytes are more.
    for _ in range(30):
        client.send(b"".join(request("GET", target) for _ in range(100)))
        for _ in range(100):
            expect("status", client.read_response().status, 200)

    lines = []
    reader = threading.Thread(target=lambda: lines.extend(proxy.process.stdout), daemon=True)
    reader.start()
    wait_until("the lines come", lambda: len(lines) > 100)
    client.ask("GET", "/last")
    proxy.stop()
    reader.join(10)
    for line in lines:
        if not TEXT.fullmatch(line.decode().rstrip("\n")):
            expect_match("a line", line.decode(), r"(?i)\d+ (lines|requests|more)?.*(lost|dropped)")


def test_output_that_is_closed_holds_up_nothing():
    proxy = Daemon(configuration({"/": Upstream()}), read_stdout=False)
    proxy.process.stdout.close()
    client = proxy.connect()

    for _ in range(100):
        expect("status", client.ask().status, 200)


if __name__ == "__main__":
    run_suite()
