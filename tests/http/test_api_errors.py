#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the API refuses, and how: problem details (RFC 9457) with a type that programs can
rely on, the field at fault, and a connection that goes on where it can.
"""
import json

from api import JSON, Api, serve
from message import CHUNKED, chunked, request
from support import cases, expect, expect_match, fail, run_suite, shared

MIB = 1 << 20


@shared
def the_daemon():
    return serve(server={"workers": 1})


def expect_goes_on(api):
    """The refusal cost no more than the request."""
    expect("status of the next", api.call("GET", "/health").status, 200)


# --- POST /check ----------------------------------------------------------------------------


@cases(
    {
        "empty": (b" ", None),
        "cut": (b'{"key":"a"', None),
        "garbage": (b"hello", None),
        "trailing": (b'{"key":"a"} {}', None),
        "trailing_comma": (b'{"key":"a",}', None),
        "comment": (b'{"key":"a" /* b */}', None),
        "single_quotes": (b"{'key':'a'}", None),
        "byte_order_mark": b'\xef\xbb\xbf{"key":"a"}',
        "zero_byte": b'{"key":"a"}\0',
        "array": (b'["key"]', None),
        "string": (b'"key"', None),
        "null": (b"null", None),
        "number": (b"1", None),
        "nothing_in_it": (b"{}", "key"),
        "unknown_member": (b'{"key":"a","burst":1}', "burst"),
        "member_of_the_wrong_case": (b'{"Key":"a"}', "Key"),
        "duplicate_key": (b'{"key":"a","key":"b"}', "key"),
        "duplicate_cost": (b'{"key":"a","cost":1,"cost":1}', "cost"),
        "duplicate_by_escape": (b'{"key":"a","\\u006bey":"b"}', "key"),
        "key_and_checks": (b'{"key":"a","checks":[{"key":"b"}]}', "checks"),
        "key_a_number": (b'{"key":42}', "key"),
        "key_null": (b'{"key":null}', "key"),
        "key_a_list": (b'{"key":["a"]}', "key"),
        "key_empty": (b'{"key":""}', "key"),
        "key_too_long": (b'{"key":"' + b"k" * 257 + b'"}', "key"),
        "key_too_long_in_bytes": ('{"key":"' + "ü" * 129 + '"}', "key"),
        "key_with_a_zero": b'{"key":"a\\u0000b"}',
        "key_of_bad_utf8": b'{"key":"\xff"}',
        "key_of_overlong_utf8": b'{"key":"\xc0\xaf"}',
        "key_of_a_utf8_surrogate": b'{"key":"\xed\xa0\x80"}',
        "key_of_a_lone_surrogate": b'{"key":"\\ud83d"}',
        "key_of_surrogates_turned": b'{"key":"\\udea6\\ud83d"}',
        "key_with_a_raw_control": b'{"key":"a\nb"}',
        "key_with_a_bad_escape": b'{"key":"\\x41"}',
        "cost_a_string": (b'{"key":"a","cost":"1"}', "cost"),
        "cost_a_float": (b'{"key":"a","cost":1.0}', "cost"),
        "cost_with_an_exponent": (b'{"key":"a","cost":1e3}', "cost"),
        "cost_negative": (b'{"key":"a","cost":-1}', "cost"),
        "cost_minus_zero_point": (b'{"key":"a","cost":-0.5}', "cost"),
        "cost_true": (b'{"key":"a","cost":true}', "cost"),
        "cost_null": (b'{"key":"a","cost":null}', "cost"),
        "cost_over_all_bounds": (b'{"key":"a","cost":1099511627777}', "cost"),
        "cost_of_64_bits": (b'{"key":"a","cost":18446744073709551617}', "cost"),
        "cost_of_a_thousand_digits": b'{"key":"a","cost":' + b"9" * 1000 + b"}",
        "cost_with_a_leading_zero": b'{"key":"a","cost":01}',
        "cost_with_a_plus": b'{"key":"a","cost":+1}',
        "cost_in_hex": b'{"key":"a","cost":0x1}',
        "nan": b'{"key":"a","cost":NaN}',
        "infinity": b'{"key":"a","cost":Infinity}',
        "checks_an_object": (b'{"checks":{"key":"a"}}', "checks"),
        "checks_of_strings": (b'{"checks":["a"]}', "checks[0]"),
        "second_check_without_key": (b'{"checks":[{"key":"a"},{}]}', "checks[1].key"),
        "third_check_with_a_bad_cost": (
            b'{"checks":[{"key":"a"},{"key":"b"},{"key":"c","cost":"1"}]}',
            "checks[2].cost",
        ),
        "duplicate_in_a_batch": (b'{"checks":[{"key":"a","key":"b"}]}', "checks[0].key"),
        "unknown_in_a_batch": (b'{"checks":[{"key":"a","x":1}]}', "checks[0].x"),
        "deep": b"[" * 100_000,
        "deep_in_a_member": b'{"key":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    }
)
def test_check_refuses(body, *field):
    """Without a field: the text is no JSON, and which member it is in may not be known."""
    body = body.encode() if isinstance(body, str) else body
    api = Api(the_daemon())

    answer = api.call("POST", "/check", body)

    expect("status", answer.status, 400)
    if field:
        expect("field", answer.problem.get("field"), field[0])
    expect_goes_on(api)


def test_near_miss_is_told_what_was_meant():
    answer = Api(the_daemon()).call("POST", "/check", b'{"kez":"a"}')

    expect_match("detail", answer.problem["detail"], r"kez.*\bkey\b")


def test_empty_body_is_refused():
    api = Api(the_daemon())

    api.send(request("POST", "/check", JSON, "Content-Length: 0"))

    expect("status", api.read_answer().status, 400)
    expect_goes_on(api)


def test_detail_shows_no_more_than_it_must_of_the_body():
    answer = Api(the_daemon()).call("POST", "/check", b'{"key":"' + b"secret" * 50 + b'"}')

    expect("status", answer.status, 400)
    expect("of the key", answer.problem["detail"].count("secret"), 0)


# --- PUT /config/{key} ------------------------------------------------------------------------


@cases(
    {
        "cut": (b'{"capacity":1', None),
        "array": (b"[]", None),
        "nothing_in_it": (b"{}", "capacity"),
        "without_refill": (b'{"capacity":1}', "refill_per_second"),
        "without_capacity": (b'{"refill_per_second":1}', "capacity"),
        "unknown_member": (b'{"capacity":1,"refill_per_second":1,"burst":2}', "burst"),
        "duplicate": (b'{"capacity":1,"capacity":2,"refill_per_second":1}', "capacity"),
        "capacity_zero": (b'{"capacity":0,"refill_per_second":1}', "capacity"),
        "capacity_negative": (b'{"capacity":-1,"refill_per_second":1}', "capacity"),
        "capacity_a_float": (b'{"capacity":1.5,"refill_per_second":1}', "capacity"),
        "capacity_a_string": (b'{"capacity":"1","refill_per_second":1}', "capacity"),
        "capacity_too_large": (b'{"capacity":1099511627777,"refill_per_second":1}', "capacity"),
        "capacity_huge": (b'{"capacity":1' + b"0" * 400 + b',"refill_per_second":1}', "capacity"),
        "refill_zero": (b'{"capacity":1,"refill_per_second":0}', "refill_per_second"),
        "refill_negative": (b'{"capacity":1,"refill_per_second":-0.1}', "refill_per_second"),
        "refill_a_string": (b'{"capacity":1,"refill_per_second":"1"}', "refill_per_second"),
        "refill_true": (b'{"capacity":1,"refill_per_second":true}', "refill_per_second"),
        "refill_infinite": (b'{"capacity":1,"refill_per_second":1e999}', "refill_per_second"),
        "refill_too_slow": (b'{"capacity":1000,"refill_per_second":1e-9}', "refill_per_second"),
        "nan": (b'{"capacity":1,"refill_per_second":NaN}', None),
        "on_error_unknown": (
            b'{"capacity":1,"refill_per_second":1,"on_error":"open"}',
            "on_error",
        ),
        "on_error_a_bool": (b'{"capacity":1,"refill_per_second":1,"on_error":true}', "on_error"),
        "deep": (b'{"capacity":' + b"[" * 50_000, None),
    }
)
def test_put_refuses(body, field):
    api = Api(the_daemon())

    answer = api.call("PUT", "/config/refused", body)

    expect("status", answer.status, 400)
    if field:
        expect("field", answer.problem.get("field"), field)
    expect("status of reading", api.get("refused").status, 404)


@cases(
    {
        "refill": (b'{"capacity":1,"refill_per_second":0}', r"refill_per_second|over 0|0 "),
        "on_error": (
            b'{"capacity":1,"refill_per_second":1,"on_error":"x"}',
            r"local.*allow.*deny",
        ),
        "capacity": (b'{"capacity":0,"refill_per_second":1}', r"\b1\b.*\d{4}|2\^40"),
    }
)
def test_detail_says_what_would_be_right(body, pattern):
    answer = Api(the_daemon()).call("PUT", "/config/told", body)

    expect_match("detail", answer.problem["detail"], pattern)


@cases(
    {
        "not_a_tag": "If-Match: abc",
        "open_quote": 'If-Match: "abc',
        "empty": "If-Match: ",
        "both": ('If-Match: "1"', 'If-None-Match: "2"'),
    }
)
def test_condition_that_is_none_changes_nothing(*fields):
    api = Api(the_daemon())
    api.set("untouched", 5, 1)

    answer = api.put("untouched", 6, 1, *fields)

    expect("refused", answer.status in (400, 412), True)
    expect("capacity", json.loads(api.get("untouched").body)["capacity"], 5)


# --- paths, methods, types ----------------------------------------------------------------------


@cases(
    {
        "root": "/",
        "unknown": "/nothing",
        "under_check": "/check/",
        "check_of_another_case": "/Check",
        "prefix": "/checks",
        "prefix_of_config": "/configs",
        "health_and_more": "/health/x",
        "dots": "/config/../health",
    }
)
def test_path_is_not_found(target):
    api = Api(the_daemon())

    answer = api.call("GET", target)

    if target.startswith("/config/.."):
        expect("refused", answer.status in (400, 404), True)
    else:
        expect("status", answer.status, 404)
        expect_match("type", answer.problem["type"], ":no-such-path$")


@cases(
    {
        "empty_key": ("/config/", (400, 404)),
        "bad_escape": ("/config/a%2", (400,)),
        "bad_hex": ("/config/%zz", (400,)),
        "bad_utf8": ("/config/%ff", (400,)),
        "zero": ("/config/a%00", (400,)),
        "too_long": ("/config/" + "k" * 257, (400,)),
        "too_long_decoded": ("/config/" + "%c3%bc" * 129, (400,)),
        "bare_slash": ("/config/a/b", (400, 404)),
        "query": ("/config/a?b=c", (400,)),
        "query_of_check": ("/health?x", (400,)),
    }
)
def test_target_is_refused(target, statuses):
    api = Api(the_daemon())

    answer = api.call("GET", target)

    if answer.status not in statuses:
        fail(f"{target}: {answer.start} {answer.body}")
    expect_goes_on(api)


def test_longest_key_in_a_path_is_taken():
    api = Api(the_daemon())

    expect("status", api.put("ü" * 128, 5, 1).status, 201)  # 768 bytes encoded
    expect("limit", api.check("ü" * 128)["limit"], 5)


@cases(
    {
        "get_check": ("GET", "/check", {"POST", "OPTIONS"}),
        "put_check": ("PUT", "/check", {"POST", "OPTIONS"}),
        "delete_check": ("DELETE", "/check", {"POST", "OPTIONS"}),
        "head_check": ("HEAD", "/check", {"POST", "OPTIONS"}),
        "post_config": ("POST", "/config/a", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        "patch_config": ("PATCH", "/config/a", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        "post_configs": ("POST", "/config", {"GET", "HEAD", "OPTIONS"}),
        "put_configs": ("PUT", "/config", {"GET", "HEAD", "OPTIONS"}),
        "delete_configs": ("DELETE", "/config", {"GET", "HEAD", "OPTIONS"}),
        "post_health": ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
        "put_ready": ("PUT", "/ready", {"GET", "HEAD", "OPTIONS"}),
        "delete_metrics": ("DELETE", "/metrics", {"GET", "HEAD", "OPTIONS"}),
        "own_method": ("BREW", "/check", {"POST", "OPTIONS"}),
    }
)
def test_method_is_not_allowed(method, target, allowed):
    api = Api(the_daemon())

    answer = api.call(method, target)

    expect("status", answer.status, 405)
    expect("Allow", set(answer.field("Allow").split(", ")), allowed)
    expect_goes_on(api)


@cases(
    {
        "check": ("/check", {"POST", "OPTIONS"}),
        "config": ("/config/a", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
        "configs": ("/config", {"GET", "HEAD", "OPTIONS"}),
        "metrics": ("/metrics", {"GET", "HEAD", "OPTIONS"}),
    }
)
def test_options_tells_the_methods(target, allowed):
    api = Api(the_daemon())

    answer = api.call("OPTIONS", target)

    expect("status", answer.status, 204)
    expect("Allow", set(answer.field("Allow").split(", ")), allowed)
    expect_goes_on(api)


@cases(
    {
        "form": "Content-Type: application/x-www-form-urlencoded",
        "text": "Content-Type: text/plain",
        "problem": "Content-Type: application/problem+json",
        "near": "Content-Type: application/jsonp",
        "empty": "Content-Type: ",
    }
)
def test_type_of_the_body_is_refused(field):
    api = Api(the_daemon())

    for method, target in (("POST", "/check"), ("PUT", "/config/typed")):
        answer = api.call(method, target, b'{"key":"a"}', field)
        expect("status", answer.status, 415)
        expect_match("detail", answer.problem["detail"], "application/json")
    expect_goes_on(api)


@cases(
    {
        "check": ("POST", "/check", MIB + 1),
        "config": ("PUT", "/config/large", 65537),
        "of_all_sizes": ("POST", "/check", 10**15),
    }
)
def test_body_that_is_too_large_is_refused_by_its_length(method, target, length):
    api = Api(the_daemon())

    api.send(request(method, target, JSON, f"Content-Length: {length}"))

    answer = api.read_answer()
    expect("status", answer.status, 413)
    expect("Connection", answer.field("Connection"), "close")
    api.expect_closed()


def test_body_that_is_too_large_is_refused_by_its_chunks():
    api = Api(the_daemon())

    api.send(request("PUT", "/config/large", JSON, CHUNKED) + chunked(b"x" * 65537))

    expect("status", api.read_answer().status, 413)


def test_body_where_none_is_needed_is_passed_over():
    api = Api(the_daemon())

    answer = api.call("GET", "/health", b'{"any":"thing"}')

    expect("status", answer.status, 200)
    expect_goes_on(api)


TYPES = {
    "body": ("POST", "/check", b"{", (), 400, "invalid-body"),
    "key": ("GET", "/config/%ff", None, (), 400, "invalid-key"),
    "query": ("GET", "/ready?now", None, (), 400, "unexpected-query"),
    "cursor": ("GET", "/config?from=x", None, (), 400, "unexpected-query"),
    "condition": ("GET", "/config/a", None, ("If-Match: x",), 400, "invalid-condition"),
    "path": ("GET", "/nothing", None, (), 404, "no-such-path"),
    "config": ("GET", "/config/nobody-s", None, (), 404, "no-such-config"),
    "method": ("PUT", "/check", b"{}", (), 405, "method-not-allowed"),
    "precondition": ("DELETE", "/config/nobody-s", None, ("If-Match: *",), 412,
                     "precondition-failed"),
    "media": ("POST", "/check", b"{}", ("Content-Type: text/html",), 415,
              "unsupported-media-type"),
    "encoded": ("POST", "/check", b"{}", ("Content-Encoding: gzip",), 415,
                "unsupported-media-type"),
    "expectation": ("POST", "/check", b"{}", ("Expect: miracles",), 417, "expectation-failed"),
    "cost": ("POST", "/check", {"key": "default", "cost": 1 << 40}, (), 422,
             "cost-exceeds-capacity"),
}


@cases(TYPES)
def test_type_tells_what_is_wrong_by(method, target, body, fields, status, wanted):
    answer = Api(the_daemon()).call(method, target, body, *fields)

    expect("status", answer.status, status)
    expect("type", answer.problem["type"], "urn:xdp-throttle:problem:" + wanted)


# --- not HTTP -------------------------------------------------------------------------------------


@cases(
    {
        "no_host": b"GET /health HTTP/1.1\r\n\r\n",
        "two_lengths": b"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\n",
        "length_and_chunked": b"POST /check HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        "space_in_a_name": b"GET /health HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "bare_lf": b"GET /health HTTP/1.1\nHost: a\n\n",
        "bad_chunk": b"POST /check HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    }
)
def test_what_is_malformed_gets_400_and_the_connection_closes(data):
    api = Api(the_daemon())

    api.send(data)

    answer = api.read_answer()
    expect("status", answer.status, 400)
    expect("Connection", answer.field("Connection"), "close")
    api.expect_closed()


def test_head_that_is_too_large_is_refused():
    api = Api(the_daemon())

    api.send(request("GET", "/health", "X-A: " + "a" * 70_000))

    expect("status", api.read_answer().status, 431)


def test_request_that_does_not_come_is_timed_out():
    daemon = serve(server={"header_timeout": "200ms", "body_timeout": "200ms"})
    head, body = Api(daemon), Api(daemon)

    head.send(b"GET /health HT")
    body.send(request("POST", "/check", JSON, "Content-Length: 10") + b'{"key"')

    expect("status of a head", head.read_answer().status, 408)
    head.expect_closed()
    expect("status of a body", body.read_answer().status, 408)
    body.expect_closed()


def test_connections_that_say_nothing_keep_nobody_out():
    daemon = serve(server={"idle_timeout": "60s"})
    idle = [Api(daemon) for _ in range(300)]

    expect("status", Api(daemon).call("GET", "/health").status, 200)
    expect("status of an idle one", idle[0].call("GET", "/health").status, 200)


if __name__ == "__main__":
    run_suite()
