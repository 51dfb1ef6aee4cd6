#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the API says in the log: who changed a config and how it is now, who is refused for the
token or the limit of requests, and no more than that.
"""
import json
import os
import pathlib
import re
import signal
import time

from api import JSON, SLOW, Api, api_section, etag_of, json_of, serve
from daemon import Daemon, configuration, new_directory
from message import request
from support import DEADLINE_S, cases, expect, expect_match, expect_within, run_suite, wait_until

TOKEN = "correct-horse-battery-staple"
WRONG = "Authorization: Bearer " + TOKEN.upper()


def guarded(**api):
    file = new_directory() / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return serve(api={"token_file": str(file), **api})


def said(daemon):
    """The lines of the API so far, without their time."""
    return [line.split(" ", 1)[1] for line in daemon.log.lines if "API: " in line]


def expect_said(daemon, *lines):
    """Just that, in that order. All of it has been said when the last line is there."""
    daemon.log.wait_for(re.escape(lines[-1]) + "$")
    expect("lines", said(daemon), list(lines))


# --- changes --------------------------------------------------------------------------------


def test_change_tells_who_made_it_and_what_is_in_force():
    daemon = serve()
    api = Api(daemon, source="127.0.0.2")

    tags = [api.set("user:42", 5, 0.1), api.set("user:42", 6, 10, on_error="deny")]
    expect("status", api.delete("user:42").status, 204)

    by = "info worker 1: API: {} of a key's config by 127.0.0.2: "
    first, second = (tag.strip('"') for tag in tags)
    expect_said(
        daemon,
        by.format("PUT")
        + f"201, ETag {first}, capacity 5, refill_per_second 0.1, on_error local",
        by.format("PUT") + f"204, ETag {second}, capacity 6, refill_per_second 10, on_error deny",
        by.format("DELETE") + "204",
    )


def test_change_of_the_default_is_called_so():
    daemon = serve()
    api = Api(daemon)

    tag = api.set("default", 7, 1).strip('"')
    api.delete("default")

    expect_said(
        daemon,
        "info worker 1: API: PUT of the config of default by 127.0.0.1: 201, "
        f"ETag {tag}, capacity 7, refill_per_second 1, on_error local",
        "info worker 1: API: DELETE of the config of default by 127.0.0.1: 204",
    )


def test_change_by_a_socket_tells_the_user():
    daemon = Daemon(configuration([], api={"listen": str(new_directory() / "api.sock")}))

    Api(daemon).set("a", 5, 1)

    expect_match("log", daemon.log.wait_for("API: "), rf"PUT .* by uid {os.getuid()}: 201, ")


def test_what_changes_nothing_is_not_told():
    daemon = serve()
    api = Api(daemon)

    api.check("a")
    api.get("a")
    api.delete("a")
    api.put("a", 0, 1)
    api.put("a", 5, 1, "If-Match: *")
    api.call("POST", "/config/a", {})
    api.call("GET", "/nothing")
    api.set("the-last", 5, 1)

    daemon.log.wait_for("PUT .*: 201, ")
    expect("lines", len(said(daemon)), 1)


def test_change_that_cannot_be_kept_is_told_with_its_reason():
    config = configuration([], api=api_section())
    daemon = Daemon(config)
    directory = pathlib.Path(config["store"]["memory"]["state_file"]).parent
    directory.rename(new_directory() / "aside")
    directory.write_text("not a directory: nothing can be written in it")

    expect("status", Api(daemon).put("a", 5, 1).status, 503)

    line = daemon.log.wait_for("API: ")
    expect_match("log", line, r"PUT of a key's config by 127\.0\.0\.1: 503, .*Not a directory$")


def test_change_that_nobody_waited_for_is_told():
    daemon = serve(server={"drain_timeout": "10s"})
    daemon.may_lose_workers = True
    api = Api(daemon)
    api.set("a", 5, 1)
    daemon.signal(signal.SIGSTOP)  # the master answers no change
    try:
        api.send_call("PUT", "/config/a", {"capacity": 6, "refill_per_second": 1})
        expect("status", Api(daemon).call("GET", "/health").status, 200)
        api.reset()
        line = daemon.log.wait_for("API: .*nobody")
    finally:
        daemon.signal(signal.SIGCONT)

    expect_match("log", line, r"PUT of a key's config by 127\.0\.0\.1: nobody waited")
    reader = Api(daemon)
    wait_until("it is made", lambda: json_of(reader.get("a"))["capacity"] == 6)


def test_config_can_be_told_by_its_tag():
    daemon = serve()
    api = Api(daemon)
    for key in ("one", "two", "three"):
        api.set(key, 5, 1)

    tag = etag_of(api.get("two")).strip('"')

    daemon.log.wait_for("API: ", count=3)
    expect("lines with its tag", len([line for line in said(daemon) if f"ETag {tag}," in line]), 1)


def test_line_is_json_where_the_log_is():
    daemon = serve(log={"format": "json"})

    Api(daemon).set("a", 5, SLOW)

    event = json.loads(daemon.log.wait_for("API: "))
    expect("level", event["level"], "info")
    expect_match("message", event["message"], r"^API: PUT of .*, refill_per_second 0\.001, ")


# --- refused callers ------------------------------------------------------------------------


@cases(
    {
        "none": ((), "without a token"),
        "wrong": ((WRONG,), "with a wrong token"),
        "other_scheme": (("Authorization: Basic YTpi",), "without a token"),
    }
)
def test_caller_is_told_of(fields, what):
    daemon = guarded()

    answer = Api(daemon, source="127.0.0.3").call("POST", "/check", {"key": "a"}, *fields)

    expect("status", answer.status, 401)
    expect_said(daemon, f"warning worker 1: API: a call {what} by 127.0.0.3")


def test_callers_without_number_are_told_of_once_a_second():
    daemon = guarded()
    api = Api(daemon, source="127.0.0.4")
    began = time.monotonic()

    api.send(request("GET", "/ready", WRONG) * 500)
    expect("statuses", {api.read_answer().status for _ in range(500)}, {401})
    wait_until("all are told", lambda: told_refusals(daemon) == 500)

    expect_within("lines", len(said(daemon)), 2, 3 + time.monotonic() - began)
    expect_match("last line", said(daemon)[-1],
                 r"^warning worker 1: API: \d+ more calls with a wrong token, the last by 127.0.0.4$")


def told_refusals(daemon):
    further = [re.search(r"API: (\d+) more calls", line) for line in said(daemon)]
    return sum(int(match[1]) if match else 1 for match in further)


def test_caller_over_its_limit_is_told_of():
    daemon = guarded(rate_limit={"requests_per_minute": 1, "burst": 2})
    api = Api(daemon, source="127.0.0.7")

    api.send(request("GET", "/ready") * 4)
    expect("statuses", [api.read_answer().status for _ in range(4)], [401, 401, 429, 429])
    daemon.stop()

    expect(
        "lines",
        sorted(line.partition("API: ")[2] for line in said(daemon)),
        [
            "1 more calls over api.rate_limit, the last by 127.0.0.7",
            "1 more calls without a token, the last by 127.0.0.7",
            "a call over api.rate_limit by 127.0.0.7",
            "a call without a token by 127.0.0.7",
        ],
    )


def test_caller_on_a_socket_is_told_of():
    path = new_directory() / "api.sock"
    limit = {"requests_per_minute": 1, "burst": 1}
    daemon = Daemon(configuration([], api={"listen": str(path), "rate_limit": limit}))
    api = Api(daemon)

    expect("statuses", [api.call("GET", "/ready").status for _ in range(3)], [200, 429, 429])
    daemon.stop()

    expect_match("first", said(daemon)[0], rf"a call over api\.rate_limit by uid {os.getuid()}$")
    expect_match("second", said(daemon)[1], "1 more calls .* the last by a client of the socket$")


def test_caller_is_told_of_again_after_a_while():
    daemon = guarded()
    caller, other = Api(daemon, source="127.0.0.5"), Api(daemon, source="127.0.0.6")
    end = time.monotonic() + DEADLINE_S

    caller.call("GET", "/ready")
    while len(said(daemon)) < 2 and time.monotonic() < end:
        other.call("GET", "/ready")

    expect_match("second line", said(daemon)[1], r"by 127\.0\.0\.6$")


def test_callers_that_were_not_told_of_are_at_the_end():
    daemon = guarded()
    api = Api(daemon)
    for _ in range(3):
        api.call("GET", "/ready")

    daemon.stop()

    expect("told", told_refusals(daemon), 3)


def test_who_has_the_token_or_needs_none_is_not_told_of():
    daemon = guarded()

    Api(daemon).call("GET", "/health")
    Api(daemon, token=TOKEN).call("POST", "/check", {"key": "a"})
    api = Api(daemon)
    api.send(request("GET", "/health", WRONG, JSON))
    expect("status", api.read_answer().status, 200)
    api.call("GET", "/ready")

    expect_said(daemon, "warning worker 1: API: a call without a token by 127.0.0.1")


if __name__ == "__main__":
    run_suite()
