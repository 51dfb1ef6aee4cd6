#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The limit of a client's requests: what is admitted, what a refusal says, who counts
as one client, and that several workers grant together what one would. Where only a
burst is to be seen, a token comes back once a minute.
"""
import re
import threading
import time

from client import ask_once
from daemon import limit, route, start
from message import request, response
from support import DEADLINE_S, cases, expect, expect_within, run_suite, shared
from upstream import Upstream, answering

TRUSTED = "127.0.0.9"


def limited(burst=5, rate="1/m", **sections):
    upstream = Upstream()
    return start({"/": upstream}, rate_limit=limit(rate, burst), **sections), upstream


def statuses(client, count, *fields, target="/"):
    return [client.ask("GET", target, *fields).status for _ in range(count)]


def standing(answer):
    """The fields of a limit as numbers: q, w, r, t."""
    policy = re.fullmatch(r'"[^"]*";q=(\d+);w=(\d+)', answer.field("RateLimit-Policy"))
    now = re.fullmatch(r'"[^"]*";r=(\d+);t=(\d+)', answer.field("RateLimit"))
    return tuple(int(number) for number in policy.groups() + now.groups())


# --- one client -------------------------------------------------------------------------


def test_burst_is_admitted_and_no_more():
    proxy, upstream = limited(burst=5)

    got = statuses(proxy.connect(), 8)

    expect("statuses", got, [200] * 5 + [429] * 3)
    expect("requests at the upstream", len(upstream.requests), 5)


def test_refusal_says_what_and_keeps_the_connection():
    proxy, upstream = limited(burst=1)
    client = proxy.connect()
    client.ask()

    answer = client.ask("POST", "/", body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    expect("status line", answer.start, "HTTP/1.1 429 Too Many Requests")
    expect("problem", answer.problem["status"], 429)
    expect("title", answer.problem["title"], "Too Many Requests")
    expect_within("Retry-After", int(answer.field("Retry-After")), 59, 60)
    expect("Date is there", answer.field("Date") is not None, True)
    if answer.field("Connection") == "close":
        client.expect_closed()
    else:
        expect("status of another", client.ask().status, 429)
    expect("requests at the upstream", len(upstream.requests), 1)


def test_refusal_of_head_has_no_body():
    proxy, _ = limited(burst=1)
    client = proxy.connect()
    client.ask()

    expect("status", client.ask("HEAD").status, 429)
    expect("status of another", client.ask("HEAD").status, 429)


def test_every_answer_tells_the_standing():
    proxy, _ = limited(burst=3)
    client = proxy.connect()

    answers = [client.ask() for _ in range(4)]

    expect("quota and window", {standing(answer)[:2] for answer in answers}, {(3, 180)})
    expect("remaining", [standing(answer)[2] for answer in answers], [2, 1, 0, 0])
    for answer, least in zip(answers, (59, 119, 179)):
        expect_within("seconds until full", standing(answer)[3], least, least + 1)
        expect("Retry-After", answer.field("Retry-After"), None)
    expect("t of a refusal", standing(answers[3])[3], int(answers[3].field("Retry-After")))


def test_standing_of_the_target_is_replaced_by_ours():
    upstream = Upstream(answering(response(b"", 'RateLimit: "theirs";r=1;t=1',
                                           'RateLimit-Policy: "theirs";q=1;w=1')))
    proxy = start({"/": upstream}, rate_limit=limit("1/m", 5))

    expect("standing", standing(proxy.connect().ask())[:1], (5,))


def test_standing_of_the_target_is_kept_without_a_limit():
    upstream = Upstream(answering(response(b"", 'RateLimit: "theirs";r=1;t=1')))

    expect("RateLimit", start({"/": upstream}).connect().ask().field("RateLimit"),
           '"theirs";r=1;t=1')


def test_retry_after_is_the_truth():
    proxy, _ = limited(burst=1, rate="30/m")  # a token in 2 s
    client = proxy.connect()
    began = time.monotonic()
    expect("status of the first", client.ask().status, 200)
    refusal = client.ask()
    refused = time.monotonic()
    expect("status of the second", refusal.status, 429)
    retry_s = int(refusal.field("Retry-After"))
    expect("Retry-After", retry_s, 2)

    while time.monotonic() < refused + retry_s:
        answer = client.ask()
        if answer.status == 200:
            break
        time.sleep(0.02)  # what is measured is a length of time
    else:
        answer = client.ask()

    expect("status after that time", answer.status, 200)
    expect_within("seconds between the two", time.monotonic() - began, 2, 2 + DEADLINE_S)


def test_refused_requests_cost_nothing():
    proxy, _ = limited(burst=1, rate="1/s")
    client = proxy.connect()
    client.ask()
    end = time.monotonic() + 1.05

    refused = 0
    while time.monotonic() < end and client.ask().status == 429:
        refused += 1

    expect("many were refused", refused > 20, True)
    expect("status", 200 if time.monotonic() < end else client.ask().status, 200)


def test_what_is_not_a_request_costs_nothing():
    proxy, _ = limited(burst=2)
    for _ in range(5):
        client = proxy.connect()
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        expect("status", client.read_response().status, 400)

    expect("statuses", statuses(proxy.connect(), 3), [200, 200, 429])


# --- who is one client --------------------------------------------------------------------


def test_every_address_has_a_bucket_of_its_own():
    proxy, _ = limited(burst=2)

    for address in ("127.0.0.1", "127.0.0.2", "127.0.1.1"):
        expect("statuses", statuses(proxy.connect(address), 3), [200, 200, 429])


def test_connections_of_an_address_share_a_bucket():
    proxy, _ = limited(burst=4)

    got = [ask_once(proxy.port).status for _ in range(6)]

    expect("statuses", got, [200] * 4 + [429] * 2)


@shared
def behind_a_proxy():
    return limited(burst=2, trusted_proxies=[TRUSTED, "10.0.0.0/8", "2001:db8:10::/48"])[0]


def test_address_that_an_untrusted_peer_names_is_not_believed():
    client = behind_a_proxy().connect("127.0.0.3")

    got = [client.ask("GET", "/", f"X-Forwarded-For: 192.0.2.{i}").status for i in range(4)]

    expect("statuses", got, [200, 200, 429, 429])


def used_up(*fields):
    """Use up the bucket of who the fields name."""
    expect("statuses", statuses(behind_a_proxy().connect(TRUSTED), 3, *fields), [200, 200, 429])


def expect_same_client(*fields):
    expect("statuses", statuses(behind_a_proxy().connect(TRUSTED), 1, *fields), [429])


def expect_other_client(*fields):
    expect("statuses", statuses(behind_a_proxy().connect(TRUSTED), 1, *fields), [200])


def test_address_that_a_trusted_peer_names_is_the_client():
    used_up("X-Forwarded-For: 192.0.2.1")

    expect_same_client("X-Forwarded-For: 192.0.2.1:4711")
    expect_other_client("X-Forwarded-For: 192.0.2.2")


def test_nearest_address_that_is_not_trusted_is_the_client():
    used_up("X-Forwarded-For: 192.0.2.10")

    expect_same_client("X-Forwarded-For: 203.0.113.1, 192.0.2.10")
    expect_same_client("X-Forwarded-For: 203.0.113.2, 192.0.2.10, 10.1.2.3")
    expect_same_client("X-Forwarded-For: 203.0.113.3, 192.0.2.10", "X-Forwarded-For: 10.1.2.3")
    expect_same_client("X-Forwarded-For: 203.0.113.4", "X-Forwarded-For: 192.0.2.10,10.1.2.3")


def test_what_is_no_address_ends_the_walk():
    used_up("X-Forwarded-For: 10.9.9.9")

    expect_same_client("X-Forwarded-For: 192.0.2.20, unknown, 10.9.9.9")
    expect_same_client("X-Forwarded-For: 192.0.2.21, , 10.9.9.9")


def test_leftmost_is_the_client_when_all_are_trusted():
    used_up("X-Forwarded-For: 10.8.8.8, 10.8.8.9")

    expect_same_client("X-Forwarded-For: 10.8.8.8")


def test_trusted_peer_that_names_nobody_is_the_client():
    used_up()

    expect_same_client("X-Forwarded-For: unknown")


def test_ipv6_clients_are_one_by_64():
    used_up("X-Forwarded-For: 2001:db8:1:2::1")

    expect_same_client("X-Forwarded-For: 2001:db8:1:2:ffff::9")
    expect_same_client("X-Forwarded-For: [2001:db8:1:2::8]:4711")
    expect_same_client("X-Forwarded-For: 2001:DB8:1:2:0:0:0:7, 2001:db8:10::1")
    expect_other_client("X-Forwarded-For: 2001:db8:1:3::1")


def test_mapped_ipv4_is_ipv4():
    used_up("X-Forwarded-For: ::ffff:192.0.2.30")

    expect_same_client("X-Forwarded-For: 192.0.2.30")
    expect_other_client("X-Forwarded-For: ::ffff:192.0.2.31")


# --- routes ---------------------------------------------------------------------------------


def test_route_with_a_limit_has_buckets_of_its_own():
    upstream = Upstream()
    routes = [route("/", upstream), route("/slow", upstream, rate_limit=limit("1/m", 2))]
    client = start(routes, rate_limit=limit("1/m", 3)).connect()

    expect("of the route", statuses(client, 3, target="/slow"), [200, 200, 429])
    expect("of the rest", statuses(client, 4), [200, 200, 200, 429])


def test_routes_without_a_limit_share_the_default():
    upstream = Upstream()
    client = start({"/a": upstream, "/b": upstream}, rate_limit=limit("1/m", 3)).connect()

    expect("statuses", statuses(client, 2, target="/a") + statuses(client, 2, target="/b"),
           [200, 200, 200, 429])


def test_limit_of_a_route_alone_leaves_the_rest_unlimited():
    upstream = Upstream()
    routes = [route("/", upstream), route("/slow", upstream, rate_limit=limit("1/m", 1))]
    client = start(routes).connect()

    expect("of the route", statuses(client, 2, target="/slow"), [200, 429])
    answer = client.ask()
    expect("status of the rest", answer.status, 200)
    expect("RateLimit of the rest", answer.field("RateLimit"), None)


# --- workers --------------------------------------------------------------------------------


@cases({"new_connections": True, "kept_connections": False})
def test_workers_grant_together_what_one_would(anew):
    upstream = Upstream()
    proxy = start({"/": upstream}, rate_limit=limit("1/m", 100), server={"workers": 4})
    got, lock = [], threading.Lock()

    def run():
        mine = []
        if anew:
            mine = [ask_once(proxy.port).status for _ in range(25)]
        else:
            for _ in range(3):
                mine += statuses(proxy.connect(), 10)
        with lock:
            got.extend(mine)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * DEADLINE_S)

    expect("requests", len(got), 8 * (25 if anew else 30))
    expect("admitted", got.count(200), 100)
    expect("refused", got.count(429), len(got) - 100)
    expect("requests at the upstream", len(upstream.requests), 100)


def test_pipelined_requests_are_charged_one_by_one():
    proxy, upstream = limited(burst=3)
    client = proxy.connect()

    client.send(b"".join(request("GET", f"/{i}") for i in range(6)))

    expect("statuses", [client.read_response().status for _ in range(6)], [200] * 3 + [429] * 3)
    expect("targets", [message.target for message in upstream.requests], ["/0", "/1", "/2"])


def test_full_table_never_lets_anything_pass_unlimited():
    proxy, upstream = limited(burst=2, store={"memory": {"max_keys": 1}},
                              trusted_proxies=[TRUSTED])
    client = proxy.connect(TRUSTED)

    got = [client.ask("GET", "/", f"X-Forwarded-For: 10.{i >> 8}.{i & 255}.1").status
           for i in range(2000) for _ in range(2)]

    expect("some are refused", got.count(429) > 0, True)
    expect("requests at the upstream", len(upstream.requests), got.count(200))


if __name__ == "__main__":
    run_suite()
