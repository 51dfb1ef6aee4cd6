#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Redis killed, frozen, empty, read-only, full, slow, unwilling: checks are answered all the
time, none later than the deadline, the answers say that they are degraded, what a limit's
on_error says decides, and all is as before within two seconds of its return.
"""
import re
import threading
import time

from api import (
    SLOW,
    Api,
    api_section,
    check_for,
    check_until,
    json_of,
    serve,
    wait_for_metric,
)
from client import ask_once
from daemon import Daemon, configuration, limit, route
from nameserver import answering, nameservers, silent
from redis import PATIENT, Redis, said_of, store
from support import (
    cases,
    expect,
    expect_match,
    expect_within,
    fail,
    run_before_others,
    run_suite,
    wait_until,
)
from upstream import Refusing, Upstream

LATEST_S = 0.150  # the deadline of 50 ms, and what this machine and Python add
BACK_S = 2
QUIET_S = 1.5  # more than a probe's interval


def given(capacity=1_000_000, refill=1_000_000, on_error="local", **more):
    """A Redis, a daemon that uses it, has asked it and has read what is set there, and a
    connection to its API."""
    redis = Redis()
    daemon = serve(store=store(redis, **more))
    api = Api(daemon)
    api.set("key", capacity, refill, on_error=on_error)
    wait_for_metric(api, 1, "store_quotas")  # what it put itself it knows before it has read
    check_until(api, "key", lambda verdict: not verdict["degraded"])
    return redis, daemon, api


def expect_in_time(taken):
    latest = max(one.seconds for one in taken)
    expect_within("seconds of the slowest answer", latest, 0, LATEST_S)


def expect_degraded(api, key="key"):
    """From the first degraded answer on all are, and none is late."""
    taken = check_until(api, key, lambda verdict: verdict["degraded"])
    taken += check_for(api, key, 0.3)
    expect_in_time(taken)
    expect("degraded to the end", {one.verdict["degraded"] for one in taken[-20:]}, {True})
    return taken


def expect_back(api, key="key"):
    """Answers are Redis' again in time, and stay so."""
    expect_in_time(check_until(api, key, lambda verdict: not verdict["degraded"], BACK_S))
    taken = check_for(api, key, 0.2)
    expect_in_time(taken)
    expect_few_degraded(taken)


def expect_few_degraded(taken):
    """None, but for what came when the machine stood still for as long as the deadline."""
    degraded = sum(one.verdict["degraded"] for one in taken)
    expect_within("degraded answers", degraded, 0, len(taken) / 100)


# --- each way to fail -----------------------------------------------------------------------


def kill(redis):
    redis.kill()
    return redis.start


def freeze(redis):
    redis.pause()
    return redis.resume


def make_read_only(redis):
    nobody = Refusing()
    redis.set("replica-serve-stale-data", "yes")
    redis.command("REPLICAOF", "127.0.0.1", nobody.port)
    return lambda: redis.command("REPLICAOF", "NO", "ONE")


def cut_off_from_its_master(redis):
    nobody = Refusing()
    redis.set("replica-serve-stale-data", "no")
    redis.command("REPLICAOF", "127.0.0.1", nobody.port)
    return lambda: redis.command("REPLICAOF", "NO", "ONE")


def fill(redis):
    redis.set("maxmemory-policy", "noeviction")
    redis.set("maxmemory", "1")
    return lambda: redis.set("maxmemory", "0")


def change_the_password(redis):
    redis.set("requirepass", "another")
    redis.drop_clients()
    return lambda: redis.set("requirepass", "")


def refuse_writes_for_lack_of_replicas(redis):
    redis.set("min-replicas-to-write", "1")
    return lambda: redis.set("min-replicas-to-write", "0")


def take_no_more_clients(redis):
    connected = len(redis.command("CLIENT", "LIST").splitlines())
    redis.set("maxclients", "1")
    expect("clients", connected >= 1, True)
    redis.drop_clients()
    return lambda: redis.set("maxclients", "100")


FAILURES = {
    "killed": kill,
    "frozen": freeze,
    "read_only": make_read_only,
    "without_its_master": cut_off_from_its_master,
    "out_of_memory": fill,
    "of_another_password": change_the_password,
    "without_replicas": refuse_writes_for_lack_of_replicas,
    "out_of_clients": take_no_more_clients,
}


@cases(FAILURES)
def test_checks_go_on_while_it_is(break_it):
    redis, daemon, api = given()

    mend = break_it(redis)
    taken = expect_degraded(api)
    expect("allowed", {one.verdict["allowed"] for one in taken}, {True})
    metrics = api.metrics()
    expect("the breaker is not closed", metrics.value("store_breaker_state") > 0, True)
    degraded = metrics.value("store_takings_total", degraded="true")
    expect("degraded checks are counted", degraded > 0, True)
    mend()

    expect_back(api)
    wait_for_metric(api, 0, "store_breaker_state")


@cases(FAILURES)
def test_one_line_is_said_of_each_change_while_it_is(break_it):
    redis, daemon, api = given()
    before = len(said_of(daemon, redis.name))

    mend = break_it(redis)
    expect_degraded(api)
    check_for(api, "key", QUIET_S)
    said = said_of(daemon, redis.name)[before:]
    if len(said) != 1:
        fail(f"not one line: {said}")
    expect_match("the line", said[0], "warning")
    mend()
    expect_back(api)

    wait_until("the return is told", lambda: len(said_of(daemon, redis.name)) > before + 1)
    said = said_of(daemon, redis.name)[before:]
    if len(said) != 2:
        fail(f"not two lines: {said}")
    expect_match("the second", said[1], "answers again")


def test_first_line_says_what_it_means():
    redis, daemon, api = given()

    redis.kill()

    expect_degraded(api)
    expect_match("log", said_of(daemon, redis.name)[-1], rf"redis {re.escape(redis.name)}: \w+")


def test_it_comes_and_goes_without_a_late_answer():
    redis, _, api = given()

    for _ in range(3):
        redis.kill()
        expect_degraded(api)
        redis.start()
        expect_back(api)


def test_daemon_starts_while_it_is_away():
    redis = Redis()
    redis.kill()

    daemon = serve(store=store(redis))
    api = Api(daemon)
    expect_degraded(api, "any")
    expect("status of /health", api.call("GET", "/health").status, 200)
    redis.start()

    expect_back(api, "any")


UNKNOWN = "Redis has not said yet what is set for keys"


def test_start_without_it_says_that_quotas_are_not_known():
    redis = Redis()
    redis.kill()

    daemon = serve(store=store(redis))

    daemon.log.wait_for(f"warning worker 1: {UNKNOWN}")


def test_start_with_it_says_nothing_of_quotas():
    _, daemon, api = given()

    check_for(api, "key", QUIET_S)

    expect("they are spoken of", UNKNOWN in daemon.log.text(), False)


def test_daemon_starts_while_it_is_frozen():
    redis = Redis()
    redis.pause()

    api = Api(serve(store=store(redis)))
    taken = check_for(api, "any", 0.5)
    redis.resume()

    expect_in_time(taken)
    expect("degraded", {one.verdict["degraded"] for one in taken}, {True})
    expect_back(api, "any")


def test_name_of_it_is_found_while_the_first_nameserver_is_away():
    redis = Redis()
    etc = {"resolv.conf": nameservers(silent(), answering("127.0.0.1")), "hosts": ""}
    section = store(f"redis://redis.test:{redis.port}")

    api = Api(Daemon(configuration([], api=api_section(), store=section), etc=etc))

    expect_in_time(check_until(api, "any", lambda verdict: not verdict["degraded"]))


def test_nobody_waits_while_the_breaker_is_open():
    redis, _, api = given()
    redis.pause()
    expect_degraded(api)

    taken = sorted(one.seconds for one in check_for(api, "key", 2))

    redis.resume()
    expect_within("seconds of 99 in 100", taken[int(len(taken) * 0.99)], 0, 0.02)
    expect_in_time([one for one in check_for(api, "key", 0.1)])


def test_many_that_wait_are_all_answered_in_time():
    redis, daemon, api = given()
    apis = [Api(daemon) for _ in range(50)]
    redis.pause()

    began = time.monotonic()
    for number, one in enumerate(apis):
        one.send_call("POST", "/check", {"key": f"key {number % 5}"})
    for one in apis:
        expect("degraded", json_of(one.read_answer())["degraded"], True)

    expect_within("seconds", time.monotonic() - began, 0, LATEST_S + 0.05)
    redis.resume()


# --- what on_error says -------------------------------------------------------------------------


def test_local_grants_the_share_of_an_instance():
    redis = Redis()
    daemons = [serve(store=store(redis)) for _ in range(2)]
    apis = [Api(daemon) for daemon in daemons]
    apis[0].set("shared", 10, SLOW)
    for api in apis:
        wait_for_metric(api, 2, "store_instances")
        wait_until("it knows the quota", lambda api=api: api.check("shared", 0)["limit"] == 10)

    redis.kill()

    for api in apis:
        check_until(api, "other", lambda verdict: verdict["degraded"])
        expect("allowed", api.verdicts("shared", 8), [True] * 5 + [False] * 3)


def test_local_refills():
    redis, _, api = given(10, 100)
    redis.kill()
    check_until(api, "key", lambda verdict: verdict["degraded"])

    began = time.monotonic()
    taken = check_for(api, "key", 1)

    allowed = sum(one.verdict["allowed"] for one in taken)
    expect_within("allowed", allowed, 80, 10 + 100 * (time.monotonic() - began) + 1)


def test_local_grants_one_at_least():
    redis = Redis()
    apis = [Api(serve(store=store(redis))) for _ in range(3)]
    apis[0].set("single", 1, SLOW)
    for api in apis:
        wait_for_metric(api, 3, "store_instances")
        wait_until("it knows the quota", lambda api=api: api.check("single", 0)["limit"] == 1)

    redis.kill()

    for api in apis:
        check_until(api, "other", lambda verdict: verdict["degraded"])
        expect("allowed", api.verdicts("single", 3), [True, False, False])


def test_cost_over_the_share_takes_all_of_it():
    """It would be denied for as long as Redis is away, whatever was left."""
    redis = Redis()
    apis = [Api(serve(store=store(redis))) for _ in range(2)]
    apis[0].set("large", 10, SLOW)
    for api in apis:
        wait_for_metric(api, 2, "store_instances")
        wait_until("it knows the quota", lambda api=api: api.check("large", 0)["limit"] == 10)
    redis.kill()
    check_until(apis[0], "other", lambda verdict: verdict["degraded"])

    verdicts = [apis[0].check("large", 8), apis[0].check("large", 8), apis[0].check("large")]

    expect("allowed", [verdict["allowed"] for verdict in verdicts], [True, False, False])
    expect("degraded", {verdict["degraded"] for verdict in verdicts}, {True})


def test_allow_allows():
    redis, _, api = given(2, SLOW, on_error="allow")
    redis.kill()
    check_until(api, "key", lambda verdict: verdict["degraded"])

    expect("allowed", set(api.verdicts("key", 50)), {True})


def test_deny_denies_until_it_is_back():
    redis, _, api = given(on_error="deny")
    expect("ready", api.is_ready(), True)
    redis.kill()
    check_until(api, "key", lambda verdict: verdict["degraded"])

    expect("allowed", set(api.verdicts("key", 50)), {False})
    expect_within("retry_after_ms", api.check("key")["retry_after_ms"], 1, 2000)
    expect("ready", api.is_ready(), False)

    redis.start()
    expect_back(api)
    expect("allowed", api.check("key")["allowed"], True)
    wait_until("ready", api.is_ready)  # for its other workers Redis may still be away


def test_every_worker_says_of_all_whether_they_are_ready():
    """The next connection may be another worker's, which nobody asked for that limit."""
    redis = Redis()
    daemon = serve(server={"workers": 3}, store=store(redis, on_error="deny"))
    api = Api(daemon)
    check_until(api, "key", lambda verdict: not verdict["degraded"])
    redis.kill()
    check_until(api, "key", lambda verdict: verdict["degraded"])

    answers = [Api(daemon).call("GET", "/ready") for _ in range(20)]

    expect("ready", [answer.status for answer in answers], [503] * 20)
    expect("degraded", [json_of(answer)["degraded"] for answer in answers], [True] * 20)


def test_on_error_of_the_file_is_of_keys_that_say_nothing():
    redis = Redis()
    api = Api(serve(store=store(redis, on_error="deny")))
    check_until(api, "any", lambda verdict: not verdict["degraded"])

    redis.kill()

    taken = expect_degraded(api, "any")
    expect("allowed", {one.verdict["allowed"] for one in taken if one.verdict["degraded"]}, {False})


def test_ready_tells_that_it_is_degraded():
    redis, _, api = given()

    redis.kill()
    expect_degraded(api)

    answer = api.call("GET", "/ready")
    expect("status", answer.status, 200)
    expect("body", json_of(answer),
           {"ready": True, "draining": False, "store": "redis", "degraded": True})


@cases({"local": (None, [200] * 4 + [429] * 2), "allow": ("allow", [200] * 6),
        "deny": ("deny", [429] * 6)})
def test_limit_of_the_proxy_says_what_happens(on_error, statuses):
    redis = Redis()
    the_limit = limit("1/m", 4) | ({"on_error": on_error} if on_error else {})
    daemon = serve([route("/", Upstream())], rate_limit=the_limit, store=store(redis))
    api = Api(daemon)
    check_until(api, "any", lambda verdict: not verdict["degraded"])
    redis.kill()
    check_until(api, "any", lambda verdict: verdict["degraded"])

    got = [ask_once(daemon.port).status for _ in range(6)]

    expect("statuses", got, statuses)


# --- quotas while it is away --------------------------------------------------------------------


def test_change_is_refused_while_it_is_away():
    redis, _, api = given(5, 1)
    redis.kill()
    expect_degraded(api)

    answers = [api.put("key", 6, 1), api.put("new", 6, 1), api.delete("key")]

    expect("statuses", [answer.status for answer in answers], [503] * 3)
    for answer in answers:
        expect_match("detail", answer.problem["detail"], "[Rr]edis")
    expect("capacity", json_of(api.get("key"))["capacity"], 5)
    expect("status of the new", api.get("new").status, 404)


def test_config_that_was_never_read_is_not_called_absent():
    redis = Redis()
    redis.kill()
    api = Api(serve(store=store(redis)))

    answer = api.get("key")

    expect("status", answer.status, 503)
    expect_match("detail", answer.problem["detail"], "[Rr]edis")


def test_change_is_answered_in_time_when_it_freezes():
    redis, _, api = given(5, 1)
    redis.pause()

    began = time.monotonic()
    status = api.put("key", 6, 1).status

    expect("status", status, 503)
    expect_within("seconds", time.monotonic() - began, 0, LATEST_S)
    redis.resume()


def test_reading_goes_on_while_it_is_frozen():
    redis, _, api = given(5, 1)
    redis.pause()

    began = time.monotonic()
    answer = api.get("key")

    expect("capacity", json_of(answer)["capacity"], 5)
    expect_within("seconds", time.monotonic() - began, 0, LATEST_S)
    redis.resume()


@cases({"restarted": lambda redis: (redis.kill(), redis.start()),
        "flushed": lambda redis: redis.command("FLUSHALL")})
def test_quotas_come_back_to_one_that_is_empty(make_empty):
    redis, daemon, api = given(1000, SLOW)
    etag = api.set("restored/ü", 7, 0.25, on_error="deny")
    api.check("key", 900)

    make_empty(redis)
    expect_back(api, "other")

    wait_until("its quota is there again", lambda: redis.keys("*sync*"))
    other = Api(serve(store=store(redis)))
    wait_until("another instance finds it", lambda: other.check("restored/ü", 0)["limit"] == 7,
               BACK_S)
    answer = other.get("restored/ü")
    expect("quota", json_of(answer),
           {"capacity": 7, "refill_per_second": 0.25, "on_error": "deny"})
    expect("ETag", answer.field("ETag"), etag)
    expect("remaining of a bucket that is full again", other.check("key", 0)["remaining"], 1000)
    version = api.set("restored/ü", 8, 0.25)
    expect("the version is a new one", version != etag, True)


def test_buckets_of_one_that_is_empty_are_full():
    redis, _, api = given(10, SLOW)
    api.check("key", 0)
    api.verdicts("key", 12)

    redis.kill()
    redis.start()
    check_until(api, "other", lambda verdict: not verdict["degraded"], BACK_S)

    wait_until("the bucket is full", lambda: api.check("key", 0)["remaining"] >= 9)


def test_buckets_of_one_that_kept_them_on_disk_are_as_they_were():
    redis = Redis("--appendonly", "yes", "--appendfsync", "always")
    api = Api(serve(store=store(redis, deadline=PATIENT)))
    api.set("key", 20, SLOW)
    expect("allowed", api.verdicts("key", 6), [True] * 6)

    redis.kill()
    redis.start()
    check_until(api, "other", lambda verdict: not verdict["degraded"], BACK_S)

    expect("remaining", api.check("key", 0)["remaining"], 14)


def test_quota_that_was_deleted_does_not_come_back():
    redis, daemon, api = given(5, 1, deadline=PATIENT)
    other = Api(serve(store=store(redis, deadline=PATIENT)))
    wait_until("the other knows it", lambda: other.check("key", 0)["limit"] == 5)
    expect("status", api.delete("key").status, 204)
    wait_until("the other knows it is gone", lambda: other.check("key", 0)["limit"] != 5)

    redis.command("FLUSHALL")
    api.set("marker", 6, 1)
    wait_until("the other has synchronized", lambda: other.check("marker", 0)["limit"] == 6)

    expect("status", other.get("key").status, 404)


def test_epoch_of_two_that_are_put_back_at_once_is_one():
    redis = Redis()
    apis = [Api(serve(store=store(redis))) for _ in range(3)]
    for number in range(20):
        apis[number % 3].set(f"key {number}", 200 + number, 1)
    for api in apis:
        wait_for_metric(api, 20, "store_quotas")

    redis.kill()
    redis.start()

    for api in apis:
        check_until(api, "other", lambda verdict: not verdict["degraded"], BACK_S)
    for api in apis:
        wait_until("all are there", lambda api=api: [
            api.get(f"key {number}").status for number in range(20)] == [200] * 20)
        limits = [api.check(f"key {number}", 0)["limit"] for number in range(20)]
        expect("limits", limits, list(range(200, 220)))


# --- scripts and slowness -------------------------------------------------------------------------


def test_flushed_scripts_are_loaded_again_without_a_trace():
    redis, daemon, api = given(1000, SLOW, deadline=PATIENT)
    before = api.check("key", 0)["remaining"]

    for _ in range(20):
        redis.command("SCRIPT", "FLUSH")
        expect("degraded", api.check("key")["degraded"], False)

    expect("remaining", api.check("key", 0)["remaining"], before - 20)
    expect("said of it", said_of(daemon, redis.name), [])


def test_change_survives_flushed_scripts():
    redis, _, api = given(deadline=PATIENT)

    redis.command("SCRIPT", "FLUSH")
    expect("status", api.put("after", 5, 1).status, 201)


def test_connections_that_are_closed_cost_no_answer():
    redis, daemon, api = given()

    for _ in range(3):
        redis.drop_clients()
        expect_in_time(check_until(api, "key", lambda verdict: not verdict["degraded"], BACK_S))


def test_slow_within_the_deadline_is_not_degraded():
    redis, _, api = given()
    redis.send("DEBUG", "SLEEP", "0.015")

    taken = check_for(api, "key", 0.2)

    expect_few_degraded(taken)


@cases({"paused": ("CLIENT", "PAUSE", "400", "ALL"), "asleep": ("DEBUG", "SLEEP", "0.4")})
def test_slow_beyond_the_deadline_is_not_waited_for(*words):
    redis, _, api = given()

    redis.send(*words)
    taken = check_until(api, "key", lambda verdict: verdict["degraded"])
    taken += check_for(api, "key", 0.2)

    expect_in_time(taken)
    expect_back(api)


def test_script_that_never_ends_is_not_waited_for():
    redis, _, api = given()
    redis.set("busy-reply-threshold", "10")
    redis.send("EVAL", "while true do end", "0")

    expect_degraded(api)
    redis.command("SCRIPT", "KILL")

    expect_back(api)


def test_taking_that_timed_out_is_not_sent_again():
    redis, _, api = given(100, SLOW)
    left = api.check("key", 0)["remaining"]

    redis.send("DEBUG", "SLEEP", "0.3")
    wait_until("it sleeps", lambda: api.check("key")["degraded"])
    check_until(api, "other", lambda verdict: not verdict["degraded"], BACK_S)

    taken = left - api.check("key", 0)["remaining"]
    expect_within("tokens that are gone", taken, 0, 3)


def test_deadline_is_the_file_s():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline="400ms", failures=100)))
    check_until(api, "any", lambda verdict: not verdict["degraded"])

    redis.send("DEBUG", "SLEEP", "0.2")
    taken = check_for(api, "any", 0.4)

    expect("degraded", {one.verdict["degraded"] for one in taken}, {False})
    expect("one had to wait", max(one.seconds for one in taken) > 0.1, True)


def test_garbage_is_no_answer():
    def serve_garbage(peer):
        peer.sock.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)

    garbage = Upstream(serve_garbage)

    daemon = serve(store=store(f"redis://{garbage.name}"))
    api = Api(daemon)
    taken = check_for(api, "any", 1)

    expect_in_time(taken)
    expect("degraded", {one.verdict["degraded"] for one in taken}, {True})


def test_answer_without_an_end_is_bounded():
    over = threading.Event()

    def serve_much(peer):
        peer.sock.recv(1)
        peer.sock.settimeout(1)
        while not over.is_set():
            try:
                peer.sock.send(b"*1000000\r\n" + b"$400000000\r\n" + b"x" * 60_000)
            except OSError:
                return

    much = Upstream(serve_much)
    daemon = serve(store=store(f"redis://{much.name}"))
    api = Api(daemon)
    before = daemon.resident_bytes()

    taken = check_for(api, "any", 2)
    over.set()

    latest = max(one.seconds for one in taken)
    expect_within("seconds of the slowest answer", latest, 0, 1)  # it reads tens of megabytes
    expect_within("bytes more", daemon.resident_bytes() - before, 0, 100 << 20)


def test_wrong_password_is_said_and_not_shown():
    redis = Redis(password="the-right-one")
    daemon = serve(store=store(redis.url(password="the-wrong-one")))
    api = Api(daemon)

    expect_degraded(api, "any")

    expect_match("log", daemon.log.text(), r"WRONGPASS|password")
    for secret in ("the-right-one", "the-wrong-one"):
        expect("the password is said", secret in daemon.log.text() + api.metrics().text, False)

    redis.set("requirepass", "the-wrong-one")
    expect_back(api, "any")


def test_end_is_not_held_up_by_one_that_is_frozen():
    redis, daemon, api = given()
    redis.pause()
    api.send_call("POST", "/check", {"key": "key"})

    daemon.signal(15)

    expect("exit status", daemon.wait_for_end(3), 0)
    redis.resume()


def test_lost_lease_is_not_granted_twice():
    redis = Redis()
    api = Api(serve(store=store(redis, lease=50)))
    api.set("key", 100, SLOW)
    wait_until("it is asked", lambda: not api.check("other")["degraded"])
    api.check("key")

    redis.drop_clients()
    check_until(api, "other", lambda verdict: not verdict["degraded"], BACK_S)
    got = [api.check("key") for _ in range(120)]

    granted = sum(one["allowed"] for one in got if not one["degraded"])
    expect_within("granted", granted, 49, 99)


if __name__ == "__main__":
    run_before_others()
    run_suite()
