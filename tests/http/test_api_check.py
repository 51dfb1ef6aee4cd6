#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
POST /check on the memory store: what is taken, what the answer says, whose bucket a key
is, and how a request may come. Where only a burst is to be seen, a token comes back in a
quarter of an hour.
"""
import json
import threading
import time

from api import JSON, SLOW, Api, json_of, read_verdict, serve
from client import Client
from daemon import limit, route
from message import CHUNKED, chunked, request
from support import (
    DEADLINE_S,
    cases,
    defer,
    expect,
    expect_match,
    expect_within,
    run_suite,
    shared,
    wait_until,
)
from upstream import Upstream


@shared
def the_daemon():
    """Of tests that have a key of their own."""
    return serve(api={"default": {"capacity": 100, "refill_per_second": 10}})


def given(key, capacity, refill=SLOW):
    """A connection, and the key with this quota."""
    api = Api(the_daemon())
    api.set(key, capacity, refill)
    return api


# --- what is taken ----------------------------------------------------------------------


def test_burst_is_allowed_and_no_more():
    api = given("burst", 3)

    expect("allowed", api.verdicts("burst", 5), [True] * 3 + [False] * 2)


def test_answer_tells_the_standing():
    api = given("standing", 3, 0.01)

    answers = [api.check("standing") for _ in range(4)]

    expect("limit", {answer["limit"] for answer in answers}, {3})
    expect("remaining", [answer["remaining"] for answer in answers], [2, 1, 0, 0])
    expect("degraded", {answer["degraded"] for answer in answers}, {False})
    for answer, tokens in zip(answers, (1, 2, 3, 3)):
        expect_within("reset_after_ms", answer["reset_after_ms"],
                      tokens * 100_000 - DEADLINE_S * 1000, tokens * 100_000)
    expect_within("retry_after_ms", answers[3]["retry_after_ms"], 90_000, 100_000)


def test_milliseconds_are_rounded_up():
    api = given("rounded", 1_000_000, 1_000_000)  # a token in a microsecond

    expect("reset_after_ms", api.check("rounded")["reset_after_ms"], 1)


def test_cost_is_taken_whole_or_not_at_all():
    api = given("cost", 10)

    expect("remaining", api.check("cost", 7)["remaining"], 3)
    refused = api.check("cost", 4)
    expect("of too much", (refused["allowed"], refused["remaining"]), (False, 3))
    expect("of what is left", api.check("cost", 3)["remaining"], 0)


def test_cost_of_zero_only_looks():
    api = given("peek", 2)

    for left in (2, 1, 0):
        for _ in range(3):
            seen = api.check("peek", 0)
            expect("seen", (seen["allowed"], seen["remaining"]), (left > 0, left))
        api.check("peek")


def test_cost_over_the_capacity_is_refused_for_good():
    api = given("too-dear", 5)

    answer = api.call("POST", "/check", {"key": "too-dear", "cost": 6})

    expect("status", answer.status, 422)
    expect("type", answer.problem["type"], "urn:xdp-throttle:problem:cost-exceeds-capacity")
    expect("field", answer.problem["field"], "cost")
    expect_match("detail", answer.problem["detail"], r"\b5\b")
    expect("Retry-After", answer.field("Retry-After"), None)
    expect("remaining", api.check("too-dear", 0)["remaining"], 5)


def test_retry_after_is_the_truth():
    api = given("retry", 1, 2)  # a token in 500 ms
    api.check("retry")
    asked = time.monotonic()
    refused = api.check("retry")
    expect("allowed", refused["allowed"], False)
    expect_within("retry_after_ms", refused["retry_after_ms"], 1, 500)

    allowed_at = asked + refused["retry_after_ms"] / 1000
    while not api.check("retry")["allowed"]:
        expect("it is not due yet", time.monotonic() < allowed_at + DEADLINE_S, True)

    expect_within("seconds", time.monotonic() - asked,
                  refused["retry_after_ms"] / 1000 - 0.05, DEADLINE_S)


def test_refill_is_what_the_quota_says():
    """Of a bucket that holds what comes in ten seconds: none is lost while nobody asks."""
    api = given("refill", 2000, 200)
    before = time.monotonic()
    expect("all are allowed", api.check("refill", 2000)["allowed"], True)
    began = time.monotonic()

    allowed, is_empty, asked = 0, False, began
    while asked < began + 2 or not is_empty:
        asked = time.monotonic()
        is_empty = not api.check("refill")["allowed"]
        allowed += not is_empty

    now = time.monotonic()
    expect_within("allowed", allowed, 200 * (asked - began) - 1, 200 * (now - before) + 1)


# --- whose bucket -------------------------------------------------------------------------


def test_keys_have_buckets_of_their_own():
    api = given("own:1", 2)
    api.set("own:2", 2, SLOW)

    expect("first", api.verdicts("own:1", 3), [True, True, False])
    expect("second", api.verdicts("own:2", 3), [True, True, False])


def test_key_without_a_quota_has_the_default_one():
    api = Api(the_daemon())

    answer = api.call("POST", "/check", {"key": "unheard-of", "cost": 60})

    expect("limit", read_verdict(answer)["limit"], 100)
    expect_match("policy", answer.field("RateLimit-Policy"), '^"default";')
    expect("of another", api.check("unheard-of too", 60)["allowed"], True)


def test_policy_says_whose_quota_it_is():
    api = given("policy", 2)

    answer = api.call("POST", "/check", {"key": "policy"})

    expect_match("policy", answer.field("RateLimit-Policy"), '^"key";')


@cases(
    {
        "umlaut": "grüße",
        "astral": "\U0001f6a6",
        "control": "a\u0001b\u007f\n",
        "quotes": '"\\/',
        "slash": "../a/b//",
        "space": " a ",
        "percent": "%2f%00",
        "longest": "k" * 256,
        "longest_of_many_bytes": "ü" * 128,
    }
)
def test_key_may_be_any_text(key):
    api = given(key, 2)

    escaped = json.dumps({"key": key}, ensure_ascii=True).encode()
    plain = json.dumps({"key": key}, ensure_ascii=False).encode()

    expect("escaped", read_verdict(api.call("POST", "/check", escaped))["remaining"], 1)
    expect("plain", read_verdict(api.call("POST", "/check", plain))["remaining"], 0)
    expect("capacity", json_of(api.get(key))["capacity"], 2)


def test_key_is_told_apart_by_every_byte():
    api = given("Case", 1)
    for other in ("case", "Case ", "Cas\u00e9", "Cas\u0065\u0301"):
        api.set(other, 1, SLOW)

    for key in ("Case", "case", "Case ", "Cas\u00e9", "Cas\u0065\u0301"):
        expect(f"allowed for {key!r}", api.check(key)["allowed"], True)


def test_new_quota_holds_for_the_next_check():
    api = given("changed", 2)
    expect("before", api.verdicts("changed", 3), [True, True, False])

    api.set("changed", 1000, 1000)

    answer = api.check("changed")
    expect("limit", answer["limit"], 1000)
    wait_until("more is allowed", lambda: api.check("changed")["allowed"])


def test_larger_capacity_keeps_the_debt():
    api = given("debt", 10)
    api.check("debt", 8)

    api.set("debt", 20, SLOW)

    expect("remaining", api.check("debt", 0)["remaining"], 12)


def test_check_and_the_proxy_do_not_share_buckets():
    upstream = Upstream()
    daemon = serve([route("/", upstream)], rate_limit=limit("1/m", 2))
    api = Api(daemon)
    api.set("127.0.0.1", 2, SLOW)

    expect("of the key", api.verdicts("127.0.0.1", 3), [True, True, False])
    client = daemon.connect()
    expect("of the client", [client.ask().status for _ in range(3)], [200, 200, 429])


def test_buckets_survive_a_reload():
    daemon = serve()
    api = Api(daemon)
    api.set("kept", 3, SLOW)
    expect("before", api.verdicts("kept", 4), [True] * 3 + [False])

    daemon.reload(daemon.file.read_text())

    expect("after", Api(daemon).check("kept")["allowed"], False)
    expect("on the old connection", api.check("kept")["allowed"], False)


def test_workers_grant_together_what_one_would():
    daemon = serve(server={"workers": 2})
    Api(daemon).set("shared", 100, SLOW)
    apis = [Api(daemon) for _ in range(16)]
    got = []

    def run(mine):
        for api in mine:
            got.extend(api.verdicts("shared", 10))

    threads = [threading.Thread(target=run, args=(apis[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * DEADLINE_S)

    expect("checks", len(got), 160)
    expect("allowed", got.count(True), 100)


# --- batches ------------------------------------------------------------------------------


def test_batch_is_answered_in_order():
    api = given("batch:1", 1)
    api.set("batch:2", 5, SLOW)

    results = api.checks(("batch:1", 1), ("batch:2", 3), ("batch:1", 1), ("batch:2", 2))

    expect("allowed", [result["allowed"] for result in results], [True, True, False, True])
    expect("limits", [result["limit"] for result in results], [1, 5, 1, 5])
    expect("remaining", [result["remaining"] for result in results], [0, 2, 0, 0])


def test_batch_with_a_fault_takes_nothing():
    api = given("batch:whole", 5)

    for fault, field in (
        ({"key": "batch:whole", "cost": -1}, "checks[1].cost"),
        ({"key": ""}, "checks[1].key"),
        ({"cost": 1}, "checks[1].key"),
        ({"key": "batch:whole", "cost": 6}, "checks[1].cost"),
    ):
        answer = api.call("POST", "/check", {"checks": [{"key": "batch:whole"}, fault]})
        expect("status", answer.status, 422 if fault.get("cost") == 6 else 400)
        expect("field", answer.problem["field"], field)

    expect("remaining", api.check("batch:whole", 0)["remaining"], 5)


def test_batch_of_a_thousand_is_the_largest():
    api = given("batch:large", 10_000)
    checks = [{"key": "batch:large"}] * 1000

    answer = api.call("POST", "/check", {"checks": checks})
    expect("status", answer.status, 200)
    results = json_of(answer)["results"]
    expect("remaining", [result["remaining"] for result in results], list(range(9999, 8999, -1)))

    answer = api.call("POST", "/check", {"checks": checks + checks[:1]})
    expect("status of one more", answer.status, 400)
    expect("field", answer.problem["field"], "checks")
    expect("remaining", api.check("batch:large", 0)["remaining"], 9000)


def test_batch_of_the_longest_keys_fits():
    api = Api(the_daemon())
    keys = [f"{number:04d}" + "\u0007" * 126 for number in range(1000)]  # 760 bytes escaped

    results = api.checks(*((key, 1) for key in keys))

    expect("remaining", {result["remaining"] for result in results}, {99})


# --- how a request may come -----------------------------------------------------------------


def test_pipelined_checks_are_answered_in_order():
    api = given("pipelined", 4)

    for _ in range(6):
        api.send_call("POST", "/check", {"key": "pipelined"})
    answers = [read_verdict(api.read_answer()) for _ in range(6)]

    expect("remaining", [answer["remaining"] for answer in answers], [3, 2, 1, 0, 0, 0])
    expect("allowed", [answer["allowed"] for answer in answers], [True] * 4 + [False] * 2)


def test_thousands_of_pipelined_checks_are_answered():
    api = given("many", 100_000, 0.01)
    one = request("POST", "/check", JSON, body=b'{"key":"many"}')
    thread = threading.Thread(target=api.send, args=(one * 5000,))
    thread.start()
    defer(thread.join, DEADLINE_S)

    left = [read_verdict(api.read_answer())["remaining"] for _ in range(5000)]

    expect("remaining", left, list(range(99_999, 94_999, -1)))


def test_check_may_come_byte_by_byte():
    api = given("dripping", 2)
    whole = request("POST", "/check", JSON, body=b'{"key":"dripping"}')

    api.send_in_parts(*(whole[i : i + 1] for i in range(len(whole))))

    expect("remaining", read_verdict(api.read_answer())["remaining"], 1)


def test_body_may_be_chunked():
    api = given("chunked", 2)

    api.send(request("POST", "/check", JSON, CHUNKED)
             + chunked(b'{"key":', b'"chunk', b'ed"}', trailers=["X-Trailer: 1"]))

    expect("remaining", read_verdict(api.read_answer())["remaining"], 1)
    expect("of the next", api.check("chunked")["remaining"], 0)


def test_expectation_is_answered_before_the_body():
    api = given("expect", 2)
    body = b'{"key":"expect"}'

    api.send(request("POST", "/check", JSON, "Expect: 100-continue",
                     f"Content-Length: {len(body)}"))
    expect("status", api.read_response().status, 100)
    api.send(body)

    expect("remaining", read_verdict(api.read_answer())["remaining"], 1)


def test_refused_request_with_an_expectation_gets_the_refusal():
    api = Api(the_daemon())

    api.send(request("PUT", "/nothing", "Expect: 100-continue", "Content-Length: 10"))

    expect("status", api.read_answer().status, 404)


@cases({"closed": ("HTTP/1.0",), "kept": ("HTTP/1.0", "Connection: keep-alive")})
def test_http_1_0_is_served(version, *fields):
    api = given("old", 100)

    api.send(request("POST", "/check", JSON, *fields, version=version, body=b'{"key":"old"}'))

    answer = api.read_answer()
    read_verdict(answer)
    if fields and (answer.field("Connection") or "").lower() == "keep-alive":
        expect("allowed", api.check("old")["allowed"], True)
    else:
        api.expect_closed()


def test_close_is_honoured():
    api = given("close", 2)

    answer = api.call("POST", "/check", {"key": "close"}, "Connection: close")

    expect("Connection", answer.field("Connection"), "close")
    api.expect_closed()


@cases(
    {
        "parameter": ("Content-Type: application/json; charset=utf-8",),
        "capitals": ("Content-Type: Application/JSON",),
        "none": (),
    }
)
def test_content_type_may_be(*fields):
    client = Client(int(the_daemon().api_listen.rpartition(":")[2]))

    client.send(request("POST", "/check", *fields, body=b'{"key":"typed"}'))

    expect("status", client.read_response().status, 200)


@cases(
    {
        "spaces": b' \t\r\n{ "key" : "ws" , "cost" : 1 } \n',
        "cost_first": b'{"cost":1,"key":"ws"}',
        "escaped_name": b'{"\\u006bey":"ws"}',
        "surrogates": b'{"key":"\\ud83d\\udea6"}',
    }
)
def test_json_may_be(body):
    read_verdict(Api(the_daemon()).call("POST", "/check", body))


def test_empty_batch_is_refused():
    answer = Api(the_daemon()).call("POST", "/check", {"checks": []})

    expect("status", answer.status, 400)
    expect("field", answer.problem["field"], "checks")


def test_client_that_goes_before_the_answer_harms_nobody():
    daemon = the_daemon()
    with daemon.paused():
        for _ in range(20):
            api = Api(daemon)
            api.send_call("POST", "/check", {"key": "gone"})
            api.reset()

    expect("status", Api(daemon).call("GET", "/health").status, 200)


if __name__ == "__main__":
    run_suite()
