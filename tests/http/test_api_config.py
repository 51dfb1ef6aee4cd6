#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
/config/{key} on the memory store: what can be set and read, under which conditions, and
that what was acknowledged is on disk whatever happens next.
"""
import os
import pathlib
import re
import signal
import threading

from api import SLOW, Api, api_section, etag_of, json_of, serve
from daemon import Daemon, configuration, expect_refused, new_directory, route
from support import (
    DEADLINE_S,
    cases,
    expect,
    expect_match,
    run_suite,
    shared,
    wait_until,
)
from upstream import Upstream


@shared
def the_daemon():
    """Of tests that have a key of their own."""
    return serve(api={"default": {"capacity": 100, "refill_per_second": 10}})


def state_file(config):
    return pathlib.Path(config["store"]["memory"]["state_file"])


def api_configuration(**sections):
    return configuration([], api=api_section(**sections.pop("api", {})), **sections)


# --- setting, reading, deleting -------------------------------------------------------------


def test_put_creates_then_replaces():
    api = Api(the_daemon())

    first = api.put("crud", 5, 2.5)
    second = api.put("crud", 6, 3, on_error="deny")

    expect("status of the first", first.status, 201)
    expect("status of the second", second.status, 204)
    expect("body of the second", second.body, b"")
    expect("ETags differ", etag_of(first) != etag_of(second), True)


def test_get_tells_what_was_put():
    api = Api(the_daemon())
    etag = api.set("read", 5, 2.5, on_error="allow")

    answer = api.get("read")

    expect("status", answer.status, 200)
    expect("quota", json_of(answer), {"capacity": 5, "refill_per_second": 2.5, "on_error": "allow"})
    expect("ETag", answer.field("ETag"), etag)


def test_head_tells_the_same_without_a_body():
    api = Api(the_daemon())
    etag = api.set("head", 5, 2.5)

    answer = api.call("HEAD", "/config/head")

    expect("status", answer.status, 200)
    expect("ETag", answer.field("ETag"), etag)
    expect("Content-Length", answer.field("Content-Length"), str(len(api.get("head").body)))


def test_on_error_is_local_where_nothing_is_said():
    api = Api(the_daemon())
    api.set("silent", 5, 1)

    expect("on_error", json_of(api.get("silent"))["on_error"], "local")


def test_on_error_that_is_not_said_is_the_store_s():
    api = Api(serve(store={"on_error": "deny"}))
    api.set("silent", 5, 1)

    expect("on_error", json_of(api.get("silent"))["on_error"], "deny")


def test_delete_brings_the_default_back():
    api = Api(the_daemon())
    api.set("deleted", 5, 1)

    expect("status", api.delete("deleted").status, 204)

    expect("status of reading", api.get("deleted").status, 404)
    expect("status of deleting again", api.delete("deleted").status, 404)
    expect("limit", api.check("deleted")["limit"], 100)


def test_quota_of_default_is_of_all_that_have_none():
    daemon = serve(api={"default": {"capacity": 7, "refill_per_second": 2}})
    api = Api(daemon)
    api.set("other", 9, 1)
    answer = api.get("default")
    expect("status", answer.status, 200)
    expect("before", json_of(answer) | {"on_error": ""},
           {"capacity": 7, "refill_per_second": 2, "on_error": ""})
    expect("ETag before", answer.field("ETag"), None)

    expect("status of the first PUT", api.put("default", 11, 1).status, 201)

    expect("limit", api.check("any")["limit"], 11)
    expect("limit of one that has its own", api.check("other")["limit"], 9)
    expect("status of DELETE", api.delete("default").status, 204)
    expect("limit without", api.check("any")["limit"], 7)


def test_default_of_the_file_follows_a_reload():
    config = api_configuration(api={"default": {"capacity": 7, "refill_per_second": 2}})
    daemon = Daemon(config)
    expect("before", Api(daemon).check("any")["limit"], 7)

    config["api"]["default"] = {"capacity": 8, "refill_per_second": 0.5}
    daemon.reload(config)

    api = Api(daemon)
    wait_until("the new default holds", lambda: api.check("any")["limit"] == 8)


@cases(
    {
        "slash": ("a/b", "/config/a%2Fb"),
        "percent": ("%2F", "/config/%252F"),
        "umlaut": ("grüße", "/config/gr%c3%bc%C3%9fe"),
        "space": ("a b", "/config/a%20b"),
        "plus": ("a+b", "/config/a+b"),
        "dots": ("..", "/config/%2e%2e"),
        "needless": ("abc", "/config/%61b%63"),
        "question_mark": ("a?b=c", "/config/a%3Fb%3dc"),
        "colon": ("user:42@site", "/config/user:42@site"),
    }
)
def test_path_is_decoded_once(key, target):
    api = Api(the_daemon())

    answer = api.call("PUT", target, {"capacity": 41, "refill_per_second": SLOW})

    expect("status", answer.status, 201)
    expect("limit of the key", api.check(key)["limit"], 41)
    expect("status of reading", api.get(key).status, 200)


@cases(
    {
        "smallest": (1, 0.0001),
        "largest": (2**40, 2**40),
        "fraction": (10, 0.1),
        "many_digits": (1000, 123.456789012345),
        "whole": (10, 3),
    }
)
def test_numbers_are_kept_exactly(capacity, refill):
    config = api_configuration()
    daemon = Daemon(config)
    Api(daemon).set("number", capacity, refill)

    daemon.stop()
    got = json_of(Api(Daemon(config)).get("number"))

    expect("capacity", got["capacity"], capacity)
    expect("refill_per_second", got["refill_per_second"], refill)


# --- conditions -----------------------------------------------------------------------------


def test_put_only_where_there_is_none():
    api = Api(the_daemon())

    first = api.put("once", 5, 1, "If-None-Match: *")
    second = api.put("once", 6, 1, "If-None-Match: *")

    expect("status of the first", first.status, 201)
    expect("status of the second", second.status, 412)
    expect("capacity", json_of(api.get("once"))["capacity"], 5)


def test_put_only_over_what_was_read():
    api = Api(the_daemon())
    old = api.set("guarded", 5, 1)
    new = api.set("guarded", 6, 1)

    expect("status by the old", api.put("guarded", 7, 1, f"If-Match: {old}").status, 412)
    expect("status by the new", api.put("guarded", 7, 1, f"If-Match: {new}").status, 204)
    expect("capacity", json_of(api.get("guarded"))["capacity"], 7)


@cases(
    {
        "any": ("If-Match: *", True),
        "in_a_list": ('If-Match: "0", {etag} ,"x"', True),
        "other": ('If-Match: "0"', False),
        "weak": ("If-Match: W/{etag}", False),
        "none_of": ("If-None-Match: {etag}", False),
        "none_of_weakly": ("If-None-Match: W/{etag}", False),
        "none_of_others": ('If-None-Match: "0"', True),
    }
)
def test_condition_of_a_put(condition, holds):
    api = Api(the_daemon())
    etag = api.set("conditional", 5, 1)

    answer = api.put("conditional", 6, 1, condition.format(etag=etag))

    expect("status", answer.status, 204 if holds else 412)
    expect("capacity", json_of(api.get("conditional"))["capacity"], 6 if holds else 5)


def test_condition_of_a_put_of_what_is_not_there():
    api = Api(the_daemon())

    expect("status", api.put("absent", 5, 1, "If-Match: *").status, 412)
    expect("status of reading", api.get("absent").status, 404)


def test_condition_of_a_delete():
    api = Api(the_daemon())
    old = api.set("doomed", 5, 1)
    new = api.set("doomed", 5, 1)

    expect("status by the old", api.delete("doomed", f"If-Match: {old}").status, 412)
    expect("status by the new", api.delete("doomed", f"If-Match: {new}").status, 204)
    expect("status of reading", api.get("doomed").status, 404)


def test_get_of_what_is_known_has_no_body():
    api = Api(the_daemon())
    etag = api.set("cached", 5, 1)

    answer = api.get("cached", f'If-None-Match: "0", {etag}')

    expect("status", answer.status, 304)
    expect("ETag", answer.field("ETag"), etag)
    expect("status weakly", api.get("cached", f"If-None-Match: W/{etag}").status, 304)
    expect("status of another", api.get("cached", 'If-None-Match: "0"').status, 200)


def test_version_never_comes_twice():
    config = api_configuration()
    daemon = Daemon(config)
    api = Api(daemon)
    etags = [api.set("version", 5, 1)]
    api.delete("version")
    etags.append(api.set("version", 5, 1))
    api.delete("version")
    daemon.stop()

    api = Api(Daemon(config))
    etags.append(api.set("version", 5, 1))

    expect("different ETags", len(set(etags)), 3)


def test_of_concurrent_changes_under_one_condition_one_is_done():
    daemon = serve(server={"workers": 2})
    etag = Api(daemon).set("raced", 5, 1)
    apis = [Api(daemon) for _ in range(16)]

    for number, api in enumerate(apis):
        body = {"capacity": 100 + number, "refill_per_second": 1}
        api.send_call("PUT", "/config/raced", body, f"If-Match: {etag}")
    statuses = [api.read_answer("PUT").status for api in apis]

    expect("statuses", sorted(statuses), [204] + [412] * 15)
    expect("capacity", json_of(apis[0].get("raced"))["capacity"], 100 + statuses.index(204))


# --- how many -------------------------------------------------------------------------------


def test_as_many_as_the_file_allows():
    config = api_configuration(api={"max_configs": 3})
    daemon = Daemon(config)
    api = Api(daemon)
    for key in "abc":
        api.set(key, 5, 1)

    answer = api.put("d", 5, 1)

    expect("status", answer.status, 507)
    expect("status of reading", api.get("d").status, 404)
    expect("status of replacing", api.put("a", 6, 1).status, 204)
    api.delete("b")
    expect("status when there is room", api.put("d", 5, 1).status, 201)


# --- workers --------------------------------------------------------------------------------


def test_other_workers_see_a_put_at_once():
    daemon = serve(server={"workers": 2})
    apis = [Api(daemon) for _ in range(16)]

    for number in range(50):
        apis[number % 16].set("seen", 100 + number, SLOW)
        for api in apis:
            expect("limit", api.check("seen", 0)["limit"], 100 + number)


# --- what is on disk ------------------------------------------------------------------------


def test_quotas_survive_a_restart():
    config = api_configuration()
    daemon = Daemon(config)
    api = Api(daemon)
    etag = api.set("a/ü", 5, 0.25, on_error="deny")
    api.set("gone", 5, 1)
    api.delete("gone")
    daemon.stop()

    api = Api(Daemon(config))

    answer = api.get("a/ü")
    expect("quota", json_of(answer), {"capacity": 5, "refill_per_second": 0.25, "on_error": "deny"})
    expect("ETag", answer.field("ETag"), etag)
    expect("status of what was deleted", api.get("gone").status, 404)
    expect("limit", api.check("a/ü")["limit"], 5)


@cases({"put": True, "delete": False})
def test_what_is_acknowledged_survives_a_kill(is_put):
    config = api_configuration()
    daemon = Daemon(config)
    daemon.may_lose_workers = True
    api = Api(daemon)
    api.set("killed", 5, 1)

    answer = api.put("killed", 6, 1) if is_put else api.delete("killed")
    daemon.kill()

    expect("status", answer.status, 204)
    answer = Api(Daemon(config)).get("killed")
    expect("status after", answer.status, 200 if is_put else 404)
    if is_put:
        expect("capacity", json_of(answer)["capacity"], 6)


def test_all_that_was_acknowledged_concurrently_survives_a_kill():
    config = api_configuration(server={"workers": 2}, api={"max_configs": 1000})
    daemon = Daemon(config)
    daemon.may_lose_workers = True
    acknowledged, lock = {}, threading.Lock()
    apis = [Api(daemon) for _ in range(8)]

    def put(api, number):
        for round_number in range(100):
            key, capacity = f"c{number}:{round_number % 10}", 1 + round_number
            expect("status", api.put(key, capacity, 1).status in (201, 204), True)
            with lock:
                acknowledged[key] = capacity

    threads = [threading.Thread(target=put, args=pair) for pair in zip(apis, range(8))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * DEADLINE_S)
    expect("keys", len(acknowledged), 80)
    daemon.kill()

    api = Api(Daemon(config))
    expect("capacities", {key: json_of(api.get(key))["capacity"] for key in acknowledged},
           acknowledged)


def test_burst_of_changes_is_made():
    """More than the channel between a worker and the master holds, all there at once."""
    config = api_configuration(api={"max_configs": 1000})
    daemon = Daemon(config)
    apis = [Api(daemon) for _ in range(600)]
    for api in apis:  # so that none waits in the listener's queue
        expect("status", api.call("GET", "/health").status, 200)

    with daemon.paused():
        for number, api in enumerate(apis):
            body = {"capacity": 1 + number, "refill_per_second": 1}
            api.send_call("PUT", f"/config/burst{number}", body)

    expect("statuses", {api.read_answer("PUT").status for api in apis}, {201})
    daemon.stop()
    api = Api(Daemon(config))
    for number in range(len(apis)):
        expect("capacity", json_of(api.get(f"burst{number}"))["capacity"], 1 + number)


def test_kill_amid_changes_leaves_a_file_that_is_whole():
    config = api_configuration()
    for round_number in range(5):
        daemon = Daemon(config)
        daemon.may_lose_workers = True
        apis = [Api(daemon) for _ in range(8)]
        for number, api in enumerate(apis):
            for i in range(20):
                body = {"capacity": 1 + round_number, "refill_per_second": 1}
                api.send_call("PUT", f"/config/k{number}:{i}", body)
        apis[0].read_answer("PUT")  # and the others are on their way
        daemon.kill()

    got = json_of(Api(Daemon(config)).get("k0:0"))
    expect("capacity", got["capacity"], 5)


def test_killed_worker_takes_no_change_with_it():
    daemon = serve()
    daemon.may_lose_workers = True
    api = Api(daemon)
    api.set("before", 5, 1)
    [worker] = daemon.workers()

    since = len(daemon.log.lines)
    api.send_call("PUT", "/config/during", {"capacity": 6, "refill_per_second": 1})
    os.kill(worker, signal.SIGKILL)
    daemon.log.wait_for("worker", since)

    wait_until("another worker", lambda: daemon.workers() not in ([], [worker]))
    api = Api(daemon)
    expect("capacity", json_of(api.get("before"))["capacity"], 5)
    expect("status of a change", api.put("after", 7, 1).status, 201)


def test_changes_end_with_the_master():
    """It has 64 of them, which may be in force later; the others it never gets."""
    daemon = Daemon(api_configuration())
    daemon.may_lose_workers = True
    apis = [Api(daemon) for _ in range(100)]
    daemon.signal(signal.SIGSTOP)
    for number, api in enumerate(apis):
        body = {"capacity": 1, "refill_per_second": 1}
        api.send_call("PUT", f"/config/orphan{number}", body)
    expect("status", Api(daemon).call("GET", "/health").status, 200)  # the worker has them all

    daemon.signal(signal.SIGKILL)

    answers = [api.read_answer("PUT") for api in apis]
    expect("statuses", {answer.status for answer in answers}, {503})
    details = [answer.problem["detail"] for answer in answers]
    expect("the master has ended", sum("master has ended" in detail for detail in details), 100)
    expect("may be in force", sum("may be in force" in detail for detail in details), 64)
    daemon.wait_for_end()


def test_directory_of_the_file_is_made():
    config = api_configuration()
    file = state_file(config)
    config["store"]["memory"]["state_file"] = str(file.parent / "new" / "limits.json")
    api = Api(Daemon(config))

    api.set("made", 5, 1)

    expect("the file is there", (file.parent / "new" / "limits.json").exists(), True)


def test_file_is_for_its_owner_alone():
    config = api_configuration()
    Api(Daemon(config)).set("mode", 5, 1)

    file = state_file(config)

    expect("mode", oct(file.stat().st_mode & 0o777), "0o600")
    expect(
        "files beside it",
        sorted(path.name for path in file.parent.iterdir()),
        [file.name, file.name + ".lock"],
    )


def test_change_that_cannot_be_kept_is_not_made():
    config = api_configuration(api={"default": {"capacity": 100, "refill_per_second": 1}})
    daemon = Daemon(config)
    api = Api(daemon)
    api.set("kept", 5, 1)
    directory = state_file(config).parent
    aside = new_directory() / "aside"

    directory.rename(aside)
    directory.write_text("not a directory: nothing can be written in it")
    since = len(daemon.log.lines)
    answers = [api.put("kept", 6, 1), api.put("new", 6, 1), api.delete("kept")]

    expect("statuses", [answer.status for answer in answers], [503] * 3)
    for answer in answers:
        expect_match("detail", answer.problem["detail"], "limits.json|Not a directory")
    daemon.log.wait_for("limits.json", since)
    expect("capacity", json_of(api.get("kept"))["capacity"], 5)
    expect("limit", api.check("kept")["limit"], 5)
    expect("status of the new", api.get("new").status, 404)

    directory.unlink()
    aside.rename(directory)
    expect("status when it can be written", api.put("kept", 7, 1).status, 204)
    daemon.stop()
    expect("capacity after a restart", json_of(Api(Daemon(config)).get("kept"))["capacity"], 7)


def written_state():
    """A configuration, and the text of its state file."""
    config = api_configuration()
    daemon = Daemon(config)
    Api(daemon).set("written", 5, 1)
    daemon.stop()
    return config, state_file(config).read_bytes()


def change_a_digit(text):
    return re.sub(rb'("capacity": ?)5', rb"\g<1>6", text)


@cases(
    {
        "empty": lambda text: b"",
        "cut": lambda text: text[: len(text) // 2],
        "cut_by_a_byte": lambda text: text.rstrip()[:-1],
        "with_more_behind_it": lambda text: text + text,
        "not_json": lambda text: b"\0" * len(text),
        "one_digit_changed": change_a_digit,
        "of_another_kind": lambda text: b"[1, 2, 3]\n",
    }
)
def test_damaged_file_is_refused_and_kept(damage):
    config, text = written_state()
    damaged = damage(text)
    expect("it is damaged", damaged != text, True)
    state_file(config).write_bytes(damaged)

    expect_start_refused(config, re.escape(str(state_file(config))) + r".*\w+")

    expect("the file", state_file(config).read_bytes(), damaged)


def test_file_that_cannot_be_read_is_refused():
    config, _ = written_state()
    file = state_file(config)
    file.unlink()
    file.mkdir()

    expect_start_refused(config, re.escape(str(file)) + r".*\w+")


def test_file_with_more_than_there_may_be_is_refused():
    config = api_configuration()
    daemon = Daemon(config)
    api = Api(daemon)
    for key in "abc":
        api.set(key, 5, 1)
    daemon.stop()

    config["api"]["max_configs"] = 2

    expect_start_refused(config, r"limits\.json.*\b3\b.*|limits\.json.*max_configs")


def expect_start_refused(config, pattern):
    expect_refused(config, pattern, commands=("run",))


def test_file_that_cannot_be_written_is_refused():
    config = api_configuration()
    directory = state_file(config).parent
    directory.rmdir()
    directory.write_text("not a directory")

    expect_start_refused(config, r"limits\.json: cannot be written: .*store\.memory\.state_file")


def test_file_of_a_running_daemon_is_refused():
    config = api_configuration()
    api = Api(Daemon(config))
    api.set("first", 5, 1)

    second = api_configuration(store=config["store"])
    expect_start_refused(second, r"limits\.json: is in use by another process")

    expect("status of a change", api.put("first", 6, 1).status, 204)


def test_file_that_is_left_from_a_write_is_passed_over():
    config, text = written_state()
    file = state_file(config)
    for name in (file.name + ".new", file.name + ".tmp", "." + file.name):
        (file.parent / name).write_bytes(text[:10])

    api = Api(Daemon(config))

    expect("capacity", json_of(api.get("written"))["capacity"], 5)
    expect("status of a change", api.put("written", 6, 1).status, 204)


def test_api_that_appears_by_a_reload_reads_the_file():
    config, _ = written_state()
    config["routes"] = [route("/", Upstream())]
    daemon = Daemon({name: section for name, section in config.items() if name != "api"})

    daemon.reload(config)

    daemon.api_listen = config["api"]["listen"]
    expect("capacity", json_of(Api(daemon).get("written"))["capacity"], 5)


UNUSED = r"warning.*limits\.json: not used while store\.backend is redis; configs in it: 2: "
ON_REDIS = {"backend": "redis", "redis": {"url": "redis://127.0.0.1:1"}}


def test_what_is_not_used_with_redis_is_said_at_the_start():
    config = api_configuration()
    daemon = Daemon(config)
    for key in "ab":
        Api(daemon).set(key, 5, 1)
    daemon.stop()

    config["store"] |= ON_REDIS

    expect_match("log", Daemon(config).log.text(), UNUSED)


def test_what_is_not_used_with_redis_is_said_once_by_a_reload():
    config = api_configuration()
    daemon = Daemon(config)
    for key in "ab":
        Api(daemon).set(key, 5, 1)

    config["store"] |= ON_REDIS

    expect_match("log", daemon.reload(config), UNUSED)
    expect("said again", "not used" in daemon.reload(config), False)


def test_state_file_is_not_spoken_of_where_nothing_is_in_it():
    config = api_configuration()
    Daemon(config).stop()

    config["store"] |= ON_REDIS

    expect("it is spoken of", "limits.json" in Daemon(config).log.text(), False)


# --- the end --------------------------------------------------------------------------------


def test_changes_on_their_way_are_answered_when_it_ends():
    daemon = serve(server={"drain_timeout": "10s"})
    apis = [Api(daemon) for _ in range(8)]
    for number, api in enumerate(apis):
        api.send_call("PUT", f"/config/late:{number}", {"capacity": 5, "refill_per_second": 1})
    expect("status of the first", apis[0].read_answer("PUT").status, 201)

    daemon.signal(signal.SIGTERM)

    for api in apis[1:]:
        unread = api.read_to_end()
        if unread:  # it had not come before the end began
            expect_match("answer", unread.decode(), r"^HTTP/1\.1 201 ")
    expect("exit status", daemon.wait_for_end(), 0)


if __name__ == "__main__":
    run_suite()
