#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Connections, methods and routes: what a client and a target see of each other."""
import re
import threading

from client import ask_once
from daemon import start
from message import CHUNKED, chunked, request, response
from support import DEADLINE_S, cases, expect, expect_match, run_suite, shared, wait_until
from upstream import Upstream, answering


def name_the_target(message):
    return response(f"{message.method} {message.target}".encode())


@shared
def echo():
    """A proxy and its only upstream, which answers with method and target."""
    upstream = Upstream(answering(name_the_target))
    return start({"/": upstream}), upstream


# --- connections ------------------------------------------------------------------


def test_one_connection_serves_many_requests_over_one_upstream_connection():
    upstream = Upstream(answering(name_the_target))
    client = start({"/": upstream}).connect()

    bodies = [client.ask("GET", f"/{i}").body for i in range(50)]

    expect("bodies", bodies, [b"GET /%d" % i for i in range(50)])
    expect("connections to the upstream", len(upstream.peers), 1)


def test_pipelined_requests_of_one_segment_are_answered_in_order():
    proxy, _ = echo()
    for count in range(1, 21):
        client = proxy.connect()

        client.send(b"".join(request("GET", f"/{i}") for i in range(count)))

        bodies = [client.read_response().body for _ in range(count)]
        expect("bodies", bodies, [b"GET /%d" % i for i in range(count)])
        client.close()


def test_pipelined_requests_with_bodies_keep_their_bodies():
    upstream = Upstream(answering(lambda message: response(message.body)))
    client = start({"/": upstream}).connect()

    client.send(
        request("POST", "/", body=b"first")
        + request("POST", "/", CHUNKED)
        + chunked(b"sec", b"ond")
        + request("GET", "/")
        + request("PUT", "/", body=b"last")
    )

    bodies = [client.read_response().body for _ in range(4)]
    expect("bodies", bodies, [b"first", b"second", b"", b"last"])


def test_connection_close_is_honoured_and_said():
    client = echo()[0].connect()

    answer = client.ask("GET", "/", "Connection: close")

    expect("Connection", answer.field("Connection"), "close")
    client.expect_closed()


def test_request_after_connection_close_is_not_served():
    upstream = Upstream(answering(name_the_target))
    client = start({"/": upstream}).connect()

    client.send(request("GET", "/first", "Connection: close") + request("GET", "/second"))

    expect("body", client.read_response().body, b"GET /first")
    client.expect_closed()
    expect("requests at the upstream", [m.target for m in upstream.requests], ["/first"])


def test_half_closed_client_gets_its_answer():
    client = echo()[0].connect()

    client.send(request("GET", "/x"))
    client.half_close()

    expect("body", client.read_response().body, b"GET /x")
    client.expect_closed()


def test_http_1_0_closes_after_its_answer():
    client = echo()[0].connect()

    answer = client.ask(version="HTTP/1.0")

    expect("status line", answer.start, "HTTP/1.1 200 OK")
    expect("body", answer.body, b"GET /")
    client.expect_closed()


def test_http_1_0_keeps_alive_when_it_asks():
    client = echo()[0].connect()

    for i in range(3):
        answer = client.ask("GET", f"/{i}", "Connection: keep-alive", version="HTTP/1.0")
        expect("Connection", answer.field("Connection").lower(), "keep-alive")
        expect("body", answer.body, b"GET /%d" % i)


def test_http_1_0_without_host_is_served():
    upstream = Upstream()

    client = start({"/": upstream}).connect()

    expect("status", client.ask(version="HTTP/1.0", host=None).status, 200)
    expect("Host", upstream.requests[0].field("Host"), "")


def test_http_1_0_gets_a_chunked_response_until_close():
    upstream = Upstream(answering(response(None, CHUNKED) + chunked(b"hel", b"lo")))
    client = start({"/": upstream}).connect()

    answer = client.ask("GET", "/", "Connection: keep-alive", version="HTTP/1.0")

    expect("framing", answer.framing, "close")
    expect("body", answer.body, b"hello")


def test_empty_line_before_a_request_is_ignored():
    client = echo()[0].connect()

    client.send(b"\r\n" + request("GET", "/x"))

    expect("body", client.read_response().body, b"GET /x")


# --- methods ----------------------------------------------------------------------


def test_head_gets_the_length_and_no_body():
    upstream = Upstream(
        answering(lambda m: response(b"hello") if m.method == "GET" else response(b"hello")[:-5])
    )
    client = start({"/": upstream}).connect()

    answer = client.ask("HEAD")

    expect("Content-Length", answer.field("Content-Length"), "5")
    expect("body of a GET after it", client.ask("GET").body, b"hello")


@cases({"chunked": CHUNKED, "no_length": "X-Nothing: here"})
def test_head_of_a_response(framing):
    upstream = Upstream(answering(response(None, framing)))
    client = start({"/": upstream}).connect()

    expect("status", client.ask("HEAD").status, 200)
    expect("status of another", client.ask("HEAD").status, 200)


@cases({name: name for name in ("DELETE", "OPTIONS", "PATCH", "TRACE", "get", "PURGE", "M-SEARCH")})
def test_method_is_forwarded(method):
    expect("body", echo()[0].connect().ask(method, "/x").body, f"{method} /x".encode())


@cases(
    {
        "options_asterisk": request("OPTIONS", "*"),
        "connect": request("CONNECT", "site.test:443", host="site.test:443"),
    }
)
def test_not_for_a_gateway(sent):
    proxy, upstream = echo()
    upstream.forget()
    client = proxy.connect()

    client.send(sent)

    answer = client.read_response()
    expect("status", answer.status, 501)
    expect("status in the problem", answer.problem["status"], 501)
    expect("requests at the upstream", upstream.requests, [])


# --- targets of requests ------------------------------------------------------------


@cases(
    {
        "path_and_query": ("http://a.test:81/x?y=1", "/x?y=1", "a.test:81"),
        "no_path": ("http://a.test", "/", "a.test"),
        "query_only": ("http://a.test?y=1", "/?y=1", "a.test"),
        "https": ("https://a.test/x", "/x", "a.test"),
        "scheme_in_capitals": ("HTTP://a.test/x", "/x", "a.test"),
        "ipv6": ("http://[2001:db8::1]:81/x", "/x", "[2001:db8::1]:81"),
    }
)
def test_absolute_form(target, path, host):
    proxy, upstream = echo()
    upstream.forget()

    proxy.connect().ask("GET", target, host="other.test")

    [got] = upstream.requests
    expect("target", got.target, path)
    expect("Host", got.field("Host"), host)


def test_absolute_form_without_a_path_is_an_asterisk_for_options():
    proxy, upstream = echo()
    upstream.forget()

    proxy.connect().ask("OPTIONS", "http://a.test")

    expect("target", upstream.requests[0].target, "*")


TARGETS = """
/  //  ///a  /a//b  /a/  /./a  /a/.  /../a  /a/../b  /a/..  /..;/a  /%2e%2e/a  /%2E%2E%2Fa
/a%2Fb  /a%2fb  /%00  /%0d%0a  /%C3%A9  /%c0%ae  /a%20b  /a+b  /~a  /a;b=c  /a:b@c  /a,b
/!$&'()*+,;=:@-._~  /?  /?a  /?a=b&c=d  /?a=/../b  /?a?b  /?%23  /a?b=%2e%2e  /a?http://b.test/
""".split()


def test_path_and_query_are_forwarded_as_they_were_sent():
    proxy, upstream = echo()
    upstream.forget()
    client = proxy.connect()

    for target in TARGETS:
        client.ask("GET", target)

    expect("targets", [message.target for message in upstream.requests], TARGETS)


def test_long_request_line_is_served():
    target = "/" + "a" * 7900

    expect("body", echo()[0].connect().ask("GET", target).body, f"GET {target}".encode())


# --- routes -----------------------------------------------------------------------


@shared
def routed():
    """Routes whose upstreams answer with the route's path."""
    paths = ["/api", "/api/v2", "/deep/er/still", "/exact/"]
    return start({path: Upstream(answering(response(path.encode()))) for path in paths})


@cases(
    {
        "path_itself": ("/api", "/api"),
        "with_a_query": ("/api?x=/api/v2", "/api"),
        "with_a_slash": ("/api/", "/api"),
        "below": ("/api/x/y", "/api"),
        "longest": ("/api/v2", "/api/v2"),
        "below_the_longest": ("/api/v2/x?y", "/api/v2"),
        "not_quite_the_longest": ("/api/v22", "/api"),
        "empty_segment": ("/api//v2", "/api"),
        "dots_are_not_resolved": ("/api/v2/../x", "/api/v2"),
        "escaped_slash_is_no_slash": ("/api/v2%2Fx", "/api"),
        "several_segments": ("/deep/er/still/x", "/deep/er/still"),
        "written_with_a_slash": ("/exact", "/exact/"),
    }
)
def test_route(target, path):
    expect("route", routed().connect().ask("GET", target).body, path.encode())


@cases(
    {
        "longer_segment": "/apifoo",
        "other_case": "/API",
        "escaped": "/%61pi",
        "empty_segment_first": "//api",
        "dots_first": "/./api",
        "part_of_one": "/deep/er",
        "root": "/",
        "asterisk_like": "/*",
    }
)
def test_no_route(target):
    client = routed().connect()

    answer = client.ask("GET", target)

    expect("status", answer.status, 404)
    expect("problem", answer.problem["title"], "Not Found")
    expect("status of a request after it", client.ask("GET", "/api").status, 200)


def test_no_route_with_a_body_leaves_the_connection_in_step():
    client = routed().connect()

    expect("status", client.ask("POST", "/none", body=b"GET /api HTTP/1.1\r\n\r\n").status, 404)
    answer = client.ask("GET", "/api") if b"close" not in client.received else None

    if answer:
        expect("body", answer.body, b"/api")


def test_thousand_routes_each_go_to_their_own():
    upstreams = [Upstream(answering(response(b"%d" % i))) for i in range(4)]
    proxy = start({f"/r{i}/x": upstreams[i % 4] for i in range(1000)})
    client = proxy.connect()

    for i in range(0, 1000, 37):
        expect(f"route {i}", client.ask("GET", f"/r{i}/x/y").body, b"%d" % (i % 4))
        expect(f"beside route {i}", client.ask("GET", f"/r{i}/y").status, 404)


# --- balancing --------------------------------------------------------------------


def balanced(balance, count=3):
    upstreams = [Upstream(answering(response(b"%d" % i))) for i in range(count)]
    routes = [{"path": "/", "targets": [u.url for u in upstreams], "balance": balance}]
    return start(routes, trusted_proxies=["127.0.0.0/8"]), upstreams


def test_round_robin_is_even():
    proxy, upstreams = balanced("round_robin")
    client = proxy.connect()

    for _ in range(30):
        client.ask()

    expect("requests", [len(upstream.requests) for upstream in upstreams], [10, 10, 10])


def test_consistent_hash_keeps_a_client_and_spreads_clients():
    proxy, upstreams = balanced("consistent_hash")
    client = proxy.connect()

    for address in range(60):
        field = f"X-Forwarded-For: 192.0.2.{address}"
        expect("targets", len({client.ask("GET", "/", field).body for _ in range(3)}), 1)

    for upstream in upstreams:
        expect_match("every target has clients", str(len(upstream.requests)), r"^[1-9]\d")


def test_random_uses_every_target():
    proxy, upstreams = balanced("random", 2)
    client = proxy.connect()

    for _ in range(64):
        client.ask()

    for upstream in upstreams:
        expect("used", len(upstream.requests) > 8, True)


def test_least_conn_avoids_the_busy_one():
    may_answer = threading.Event()

    def reply(message):
        if message.target == "/slow":
            may_answer.wait(DEADLINE_S)
        return response(b"x")

    upstreams = [Upstream(answering(reply)) for _ in range(2)]
    routes = [{"path": "/", "targets": [u.url for u in upstreams], "balance": "least_conn"}]
    proxy = start(routes)
    slow = proxy.connect()
    slow.send(request("GET", "/slow"))
    wait_until("it is at an upstream", lambda: any(u.requests for u in upstreams))
    client = proxy.connect()

    for _ in range(10):
        client.ask()

    expect("requests", sorted(len(u.requests) for u in upstreams), [1, 10])
    may_answer.set()
    expect("body of the slow one", slow.read_response().body, b"x")


def test_upstream_by_name_is_resolved():
    upstream = Upstream()
    proxy = start([{"path": "/", "target": f"http://localhost:{upstream.port}"}])

    expect("status", ask_once(proxy.port).status, 200)


def test_problem_is_json_without_the_request_in_it():
    answer = routed().connect().ask("GET", '/"<script>"')

    expect("status", answer.status, 404)
    expect("echoed", re.search(rb"script", answer.body), None)


if __name__ == "__main__":
    run_suite()
