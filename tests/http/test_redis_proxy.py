#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The proxy's limit over Redis: instances share a client's bucket; a request waits for Redis
without losing a byte, keeping anybody else waiting or outliving its client.
"""
import signal
import threading

from api import Api, check_until, json_of, serve, wait_for_metric
from client import Client, Load, ask_once
from daemon import limit, route
from message import CHUNKED, chunked, request, response
from redis import PATIENT, Redis, store
from support import (
    cases,
    expect,
    expect_match,
    run_before_others,
    run_suite,
    wait_until,
)
from upstream import Upstream, answering


SHORT = "50ms"  # where it is the deadline that ends what waits


def given(count=1, rate="1/m", burst=5, routes=None, serve_peer=answering(), deadline=PATIENT,
          **sections):
    """A Redis, an upstream, and daemons that have asked it."""
    redis, upstream = Redis(), Upstream(serve_peer)
    daemons = []
    for _ in range(count):
        daemon = serve(routes or [route("/", upstream)], rate_limit=limit(rate, burst),
                       store=store(redis, deadline=deadline), **sections)
        check_until(Api(daemon), "any", lambda verdict: not verdict["degraded"])
        daemons.append(daemon)
    return redis, upstream, daemons


def slow_redis(redis, milliseconds):
    """It answers nothing for so long."""
    redis.send("CLIENT", "PAUSE", milliseconds, "ALL")


def test_instances_share_the_bucket_of_a_client():
    redis, upstream, proxies = given(2, burst=6)

    got = [ask_once(proxy.port).status for _ in range(5) for proxy in proxies]

    expect("statuses", got, [200] * 6 + [429] * 4)
    expect("requests at the upstream", len(upstream.requests), 6)


def test_other_clients_have_buckets_of_their_own():
    _, _, proxies = given(2, burst=2)

    for address in ("127.0.0.1", "127.0.0.2"):
        got = [ask_once(proxy.port, source=address).status for _ in range(2) for proxy in proxies]
        expect(f"statuses of {address}", got, [200, 200, 429, 429])


def test_clients_of_ipv6_are_one_by_64():
    _, _, proxies = given(2, burst=2, trusted_proxies=["127.0.0.1"])

    got = [ask_once(proxy.port, "/", f"X-Forwarded-For: 2001:db8:1:2::{number}").status
           for number, proxy in enumerate(proxies * 2)]

    expect("statuses", got, [200, 200, 429, 429])


def test_routes_with_a_limit_have_buckets_of_their_own():
    upstream = Upstream()
    routes = [route("/", upstream), route("/slow", upstream, rate_limit=limit("1/m", 2))]
    redis, _, proxies = given(2, burst=3, routes=routes)

    def statuses(target, count):
        return [ask_once(proxies[i % 2].port, target).status for i in range(count)]

    expect("of the route", statuses("/slow", 4), [200, 200, 429, 429])
    expect("of the rest", statuses("/", 5), [200, 200, 200, 429, 429])
    expect("keys", redis.keys("*http:*"),
           ["xdp-throttle:http:/slow|127.0.0.1", "xdp-throttle:http:|127.0.0.1"])


def test_standing_is_told():
    _, _, [proxy] = given(burst=3)
    client = proxy.connect()

    answers = [client.ask() for _ in range(4)]

    expect("statuses", [answer.status for answer in answers], [200] * 3 + [429])
    for answer, left in zip(answers, (2, 1, 0, 0)):
        expect_match("RateLimit", answer.field("RateLimit"), rf";r={left};t=\d+$")
    expect("Retry-After is there", answers[3].field("Retry-After") is not None, True)


def test_pipelined_requests_are_charged_one_by_one():
    _, upstream, [proxy] = given(burst=3)
    client = proxy.connect()

    client.send(b"".join(request("GET", f"/{i}") for i in range(6)))

    expect("statuses", [client.read_response().status for _ in range(6)], [200] * 3 + [429] * 3)
    expect("targets", [message.target for message in upstream.requests], ["/0", "/1", "/2"])


@cases(
    {
        "length": request("POST", "/", body=b"x" * 100_000),
        "chunked": request("POST", "/", CHUNKED) + chunked(b"x" * 60_000, b"y" * 30_000),
    }
)
def test_body_that_comes_while_it_waits_is_whole(message):
    redis, upstream, [proxy] = given()
    slow_redis(redis, 40)
    client = proxy.connect()

    client.send(message)

    expect("status", client.read_response().status, 200)
    body = upstream.requests[0].body
    expect("bytes", len(body), message.count(b"x") + message.count(b"y"))


def test_head_that_comes_in_parts_is_charged_once():
    _, upstream, [proxy] = given(burst=2)
    client = proxy.connect()
    whole = request("GET", "/")

    client.send_in_parts(*(whole[i : i + 7] for i in range(0, len(whole), 7)))

    answer = client.read_response()
    expect("status", answer.status, 200)
    expect_match("RateLimit", answer.field("RateLimit"), ";r=1;")


def test_expectation_waits_too():
    def serve_peer(peer):
        head = peer.wait_for_head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        peer.finish(head)
        peer.send(response())

    redis, upstream, [proxy] = given(burst=1, serve_peer=serve_peer)
    client = proxy.connect()
    slow_redis(redis, 30)

    client.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 5"))
    expect("status before the body", client.read_response().status, 100)
    client.send(b"hello")

    expect("status", client.read_response().status, 200)
    expect("body", upstream.requests[0].body, b"hello")


def test_client_that_goes_while_it_waits_harms_nobody():
    redis, upstream, [proxy] = given(rate="1000/s", burst=1000)
    redis.pause()
    for number in range(20):
        client = proxy.connect()
        client.send(request("GET", f"/{number}"))
        if number % 2:
            client.reset()
        else:
            client.close()
    redis.resume()

    expect("status", ask_once(proxy.port, "/last").status, 200)
    wait_for_metric(Api(proxy), 0, "http_connections")


def test_half_closed_client_is_answered():
    redis, _, [proxy] = given()
    slow_redis(redis, 40)
    client = proxy.connect()

    client.send(request("GET", "/"))
    client.half_close()

    expect("status", client.read_response().status, 200)


def test_requests_that_wait_end_by_the_deadline():
    redis, upstream, [proxy] = given(rate="1000/s", burst=1000, deadline=SHORT)
    clients = [proxy.connect() for _ in range(30)]
    redis.pause()

    for client in clients:
        client.send(request("GET", "/"))
    for client in clients:
        expect("status", client.read_response().status, 200)  # on_error is local
    redis.resume()


def test_load_goes_on_while_redis_comes_and_goes():
    redis, _, [proxy] = given(rate="1000000/s", burst=1_000_000, deadline=SHORT,
                              server={"workers": 2})
    load = Load(proxy.port, kept=4, anew=4)
    load.wait_for(50)

    for _ in range(3):
        redis.kill()
        load.wait_for(200)
        redis.start()
        load.wait_for(200)

    load.expect_no_failure()
    expect("statuses", set(load.statuses), {200})


def test_load_goes_on_over_reloads():
    redis, _, [proxy] = given(rate="1000000/s", burst=1_000_000)
    load = Load(proxy.port, kept=4, anew=2)
    load.wait_for(50)
    text = proxy.file.read_text()

    for number in range(6):
        proxy.reload(text.replace("1000000", str(1_000_000 + number)))
        load.wait_for(50)

    load.expect_no_failure()
    expect("statuses", set(load.statuses), {200})


def test_request_that_waits_is_answered_by_the_new_routes_or_the_old():
    redis, _, [proxy] = given(deadline=SHORT)
    new = Upstream(answering(response(b"new")))
    text = proxy.file.read_text()
    old_url = text[text.index("http://127.0.0.1:"):].split()[0]
    client = proxy.connect()
    redis.pause()

    client.send(request("GET", "/"))
    proxy.reload(text.replace(old_url, new.url))

    expect("status", client.read_response().status, 200)
    redis.resume()
    wait_until("the new one serves", lambda: ask_once(proxy.port).body == b"new"
               or ask_once(proxy.port, source="127.0.0.9").body == b"new")


def test_end_lets_what_waits_end():
    redis, upstream, [proxy] = given(deadline=SHORT, server={"drain_timeout": "5s"})
    client = proxy.connect()
    redis.pause()
    client.send(request("GET", "/"))
    wait_until("it has come", lambda: json_of(Api(proxy).call("GET", "/ready")) is not None)

    proxy.signal(signal.SIGTERM)

    expect("status", client.read_response().status, 200)
    expect("exit status", proxy.wait_for_end(5), 0)
    redis.resume()


def test_limit_is_exact_under_a_load_of_two():
    _, upstream, proxies = given(2, burst=100, server={"workers": 2})
    got, lock = [], threading.Lock()

    def run(proxy):
        with_client = Client(proxy.port)
        mine = [with_client.ask().status for _ in range(20)]
        mine += [ask_once(proxy.port).status for _ in range(10)]
        with lock:
            got.extend(mine)

    threads = [threading.Thread(target=run, args=(proxies[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    expect("requests", len(got), 240)
    expect("admitted", got.count(200), 100)
    expect("requests at the upstream", len(upstream.requests), 100)


if __name__ == "__main__":
    run_before_others()
    run_suite()
