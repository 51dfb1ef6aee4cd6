#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Several instances and one Redis: together they grant what one would, of checks and of the
proxy's requests, whatever their clocks say; what is set at one holds at the others within
a second; and Redis is asked no more than it must be.
"""
import email.utils
import glob
import os
import threading
import time

from api import (
    SLOW,
    Api,
    api_section,
    check_for,
    etag_of,
    json_of,
    read_verdict,
    serve,
    wait_for_metric,
)
from client import ask_once
from daemon import Daemon, configuration, free_port, limit, route
from redis import PATIENT, Redis, store
from support import (
    DEADLINE_S,
    Skip,
    cases,
    expect,
    expect_match,
    expect_within,
    run_before_others,
    run_suite,
    shared,
    wait_until,
)
from upstream import Upstream

SPREAD_S = 1  # in which every instance knows of a change


def instances(count, redis, lease=0, **sections):
    """Daemons that share a Redis, and know of each other."""
    section = store(redis, deadline=PATIENT, lease=lease)
    daemons = [serve(store=section, **sections) for _ in range(count)]
    for daemon in daemons:
        wait_for_metric(Api(daemon), count, "store_instances")
    return daemons


@shared
def the_redis():
    return Redis()


@shared
def the_two():
    """Of tests that have a key of their own."""
    return instances(2, the_redis(), api={"default": {"capacity": 100, "refill_per_second": 10}})


def known_everywhere(key, capacity, refill, daemons=None, **more):
    """Connections to the instances, which all know that the key has this quota. Its capacity
    is another than that of any default, so that it can be told from it."""
    expect("capacity of the default", capacity == 100, False)
    daemons = daemons or the_two()
    apis = [Api(daemon) for daemon in daemons]
    apis[0].set(key, capacity, refill, **more)
    for daemon in daemons:
        every_worker = 1 if len(daemon.workers()) == 1 else 16  # very likely
        for api in [Api(daemon) for _ in range(every_worker)]:
            wait_until("it knows the quota", lambda api=api: api.check(key, 0)["limit"] == capacity)
    return apis


def in_threads(function, arguments):
    """What the function returned, called at the same time with each."""
    results = [None] * len(arguments)

    def run(number, argument):
        results[number] = function(argument)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(arguments)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * DEADLINE_S)
    return results


# --- one limit --------------------------------------------------------------------------------


def test_burst_is_shared():
    one, two = known_everywhere("burst", 6, SLOW)

    got = [api.check("burst") for _ in range(5) for api in (one, two)]

    expect("allowed", [verdict["allowed"] for verdict in got], [True] * 6 + [False] * 4)
    expect("remaining", [verdict["remaining"] for verdict in got], [5, 4, 3, 2, 1, 0] + [0] * 4)
    expect("degraded", {verdict["degraded"] for verdict in got}, {False})


def empty(api, key, seconds):
    """Check for so long, and on until one is denied; returns all verdicts, and when the last
    was asked for: nothing was left then."""
    verdicts = [one.verdict for one in check_for(api, key, seconds)]
    while True:
        asked = time.monotonic()
        verdicts.append(api.check(key))
        if not verdicts[-1]["allowed"]:
            return verdicts, asked


def expect_one_percent(daemons, key):
    """Under a load on all of them for some seconds, what a single bucket would grant. It holds
    what comes in those seconds, so that none is lost when the machine stands still."""
    seconds, refill = 4, 500
    capacity = seconds * refill
    apis = known_everywhere(key, capacity, refill, daemons)
    apis += [Api(daemon) for daemon in daemons]
    wait_until("the bucket is full", lambda: apis[0].check(key, 0)["remaining"] == capacity)

    before = time.monotonic()
    verdicts, last = [apis[0].check(key)], 0
    began = time.monotonic()
    for run, asked in in_threads(lambda api: empty(api, key, seconds), apis):
        verdicts, last = verdicts + run, max(last, asked)
    end = time.monotonic()

    allowed = sum(verdict["allowed"] for verdict in verdicts)
    expect("degraded", {verdict["degraded"] for verdict in verdicts}, {False})
    least, most = (capacity + refill * length for length in (last - began, end - before))
    expect_within("allowed", allowed, 0.99 * least, most + 1)


def test_steady_load_on_two_gets_what_one_bucket_grants():
    expect_one_percent(the_two(), "steady")


def test_steady_load_on_three_with_two_workers_each():
    expect_one_percent(instances(3, Redis(), server={"workers": 2}), "steady")


def test_costs_are_shared():
    one, two = known_everywhere("costs", 10, SLOW)

    expect("remaining", one.check("costs", 7)["remaining"], 3)
    expect("of too much", two.check("costs", 4)["allowed"], False)
    expect("of what is left", two.check("costs", 3)["remaining"], 0)
    expect("seen at the first", one.check("costs", 0)["remaining"], 0)


def test_standing_is_that_of_the_shared_bucket():
    one, two = known_everywhere("standing", 4, 0.1)
    one.check("standing", 3)

    verdict = two.check("standing", 2)

    expect("remaining", verdict["remaining"], 1)
    expect_within("reset_after_ms", verdict["reset_after_ms"], 20_000, 30_000)
    expect_within("retry_after_ms", verdict["retry_after_ms"], 1_000, 10_000)


def test_batch_spends_in_order():
    one, two = known_everywhere("batch", 3, SLOW)
    two.check("batch")

    results = one.checks(("batch", 1), ("other", 1), ("batch", 2), ("batch", 1), ("batch", 0))

    expect("allowed", [result["allowed"] for result in results], [True, True, False, True, False])
    expect("remaining", [result["remaining"] for result in results], [1, 99, 1, 0, 0])


def test_pipelined_checks_of_one_key_are_answered_in_order():
    api = known_everywhere("pipelined", 50, SLOW)[0]

    for _ in range(80):
        api.send_call("POST", "/check", {"key": "pipelined"})
    verdicts = [read_verdict(api.read_answer()) for _ in range(80)]

    expect("allowed", [verdict["allowed"] for verdict in verdicts], [True] * 50 + [False] * 30)
    left = [verdict["remaining"] for verdict in verdicts[:50]]
    expect("remaining", left, list(range(49, -1, -1)))


def test_many_connections_take_exactly_the_burst():
    daemons = the_two()
    known_everywhere("crowd", 300, SLOW)

    got = in_threads(lambda number: Api(daemons[number % 2]).verdicts("crowd", 25), range(16))

    expect("allowed", sum(run.count(True) for run in got), 300)


def test_instance_that_does_not_know_a_quota_yet_keeps_what_is_owed():
    redis = Redis()
    first = Api(serve(store=store(redis, deadline=PATIENT)))
    first.set("owed", 5, SLOW)
    first.check("owed", 4)

    second = Api(serve(store=store(redis, deadline=PATIENT)))
    second.check("owed")

    expect_within("remaining", first.check("owed", 0)["remaining"], 0, 1)


def test_instance_that_comes_later_finds_the_bucket_and_the_quota():
    redis = Redis()
    first = Api(serve(store=store(redis, deadline=PATIENT)))
    first.set("late", 5, SLOW)
    first.check("late", 4)

    second = Api(serve(store=store(redis, deadline=PATIENT)))

    wait_until("it knows the quota", lambda: second.check("late", 0)["limit"] == 5)
    expect("remaining", second.check("late", 0)["remaining"], 1)


def test_buckets_survive_a_restart_of_the_daemon():
    config = configuration([], api=api_section(), store=store(Redis(), deadline=PATIENT))
    daemon = Daemon(config)
    api = Api(daemon)
    api.set("kept", 5, SLOW)
    api.check("kept", 4)
    daemon.stop()

    api = Api(Daemon(config))

    wait_until("it knows the quota", lambda: api.check("kept", 0)["limit"] == 5)
    expect("remaining", api.check("kept", 0)["remaining"], 1)


# --- quotas -----------------------------------------------------------------------------------


def seconds_until(what, is_so):
    began = time.monotonic()
    wait_until(what, is_so)
    return time.monotonic() - began


def test_put_reaches_the_other_within_a_second():
    one, two = [Api(daemon) for daemon in the_two()]
    for number in range(5):
        one.set("spread", 200 + number, 1)

        took = seconds_until("the other knows",
                             lambda: two.check("spread", 0)["limit"] == 200 + number)

        expect_within("seconds", took, 0, SPREAD_S)


def test_delete_reaches_the_other_within_a_second():
    one, two = known_everywhere("spread-delete", 7, 1)

    expect("status", one.delete("spread-delete").status, 204)

    took = seconds_until("the other knows", lambda: two.check("spread-delete", 0)["limit"] == 100)
    expect_within("seconds", took, 0, SPREAD_S)
    expect("status at the other", two.get("spread-delete").status, 404)


def test_default_reaches_the_other_within_a_second():
    one, two = [Api(daemon) for daemon in instances(2, Redis())]
    one.set("default", 33, 1)

    took = seconds_until("the other knows", lambda: two.check("any", 0)["limit"] == 33)

    expect_within("seconds", took, 0, SPREAD_S)


def test_every_worker_knows_within_a_second():
    daemon = serve(store=store(Redis(), deadline=PATIENT), server={"workers": 2})
    apis = [Api(daemon) for _ in range(8)]
    apis[0].set("workers", 44, 1)

    took = seconds_until("all know",
                         lambda: {api.check("workers", 0)["limit"] for api in apis} == {44})

    expect_within("seconds", took, 0, SPREAD_S)


def test_who_put_it_knows_at_once():
    one, _ = [Api(daemon) for daemon in the_two()]

    for number in range(20):
        one.set("own-put", 10 + number, 1)
        expect("limit", one.check("own-put", 0)["limit"], 10 + number)


def test_conditions_hold_across_instances():
    one, two = [Api(daemon) for daemon in the_two()]
    old = one.set("guarded", 5, 1)

    expect("second creation", two.put("guarded", 6, 1, "If-None-Match: *").status, 412)
    new = etag_of(two.put("guarded", 7, 1, f"If-Match: {old}"))
    expect("by the old version", one.put("guarded", 8, 1, f"If-Match: {old}").status, 412)
    expect("by the new version", one.delete("guarded", f"If-Match: {new}").status, 204)
    expect("of what is gone", two.put("guarded", 9, 1, f"If-Match: {new}").status, 412)


def test_of_concurrent_creations_one_is_done():
    one, two = [Api(daemon) for daemon in the_two()]

    for number in range(10):
        body = {"capacity": 5, "refill_per_second": 1}
        for api in (one, two):
            api.send_call("PUT", f"/config/raced{number}", body, "If-None-Match: *")
        statuses = sorted(api.read_answer("PUT").status for api in (one, two))
        expect("statuses", statuses, [201, 412])


def test_quota_is_read_as_it_was_put():
    one, two = [Api(daemon) for daemon in the_two()]
    etag = one.set("exact/ü", 12345, 0.123456789, on_error="deny")

    answer = two.get("exact/ü")

    expect("quota", json_of(answer),
           {"capacity": 12345, "refill_per_second": 0.123456789, "on_error": "deny"})
    expect("ETag", answer.field("ETag"), etag)


def test_as_many_as_the_file_allows_in_all():
    one, two = [Api(daemon) for daemon in instances(2, Redis(), api={"max_configs": 3})]
    for api, key in ((one, "a"), (two, "b"), (one, "c")):
        api.set(key, 5, 1)

    expect("status of a fourth", two.put("d", 5, 1).status, 507)
    expect("status of replacing", two.put("a", 6, 1).status, 204)


def test_new_quota_holds_for_the_shared_bucket():
    """Also where the other instance has kept in mind that nothing is left."""
    one, two = known_everywhere("raised", 2, SLOW)
    for api in (one, two):
        api.verdicts("raised", 3)

    one.set("raised", 1000, 1000)

    for api in (one, two):
        took = seconds_until("more is allowed", lambda api=api: api.check("raised")["allowed"])
        expect_within("seconds", took, 0, SPREAD_S + 1)


# --- clocks -----------------------------------------------------------------------------------


def faked_time(offset):
    """The environment of a program that sees another time of day."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not libraries:
        raise Skip("needs the package faketime")
    return {
        "LD_PRELOAD": libraries[0],
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # the same, to libraries of before
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
    }


@cases({"fast": "+1h", "slow": "-1h", "years": "+3650d"})
def test_wrong_clock_of_an_instance_changes_nothing(offset):
    redis = Redis()
    right = serve(store=store(redis, deadline=PATIENT))
    wrong = serve(store=store(redis, deadline=PATIENT), environment=faked_time(offset))
    date = Api(wrong).call("GET", "/health").field("Date")
    off_s = abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    expect("its clock is wrong", off_s > 3000, True)
    for daemon in (right, wrong):
        wait_for_metric(Api(daemon), 2, "store_instances")
    apis = known_everywhere("clocks", 10, SLOW, [wrong, right])

    got = [api.check("clocks")["allowed"] for _ in range(7) for api in apis]
    expect("allowed", got, [True] * 10 + [False] * 4)

    expect_one_percent([right, wrong], "clocks-steady")


# --- leases -----------------------------------------------------------------------------------


def leasing(lease):
    redis = Redis()
    return redis, instances(2, redis, lease)


def test_leases_grant_no_more():
    _, daemons = leasing(20)

    expect_one_percent(daemons, "leased")


def test_leases_spare_calls():
    redis, daemons = leasing(100)
    apis = known_everywhere("spared", 1_000_000, 1_000_000, daemons)
    before = redis.calls()
    began = time.monotonic()

    for _ in range(500):
        for api in apis:
            expect("allowed", api.check("spared")["allowed"], True)

    others = (time.monotonic() - began) * 10
    expect_within("calls for 1000 checks", redis.calls() - before, 2, 100 + others)


def test_half_of_what_is_left_is_for_the_others():
    _, daemons = leasing(1000)
    one, two = known_everywhere("halved", 90, SLOW, daemons)

    one.check("halved")

    expect("allowed at the other", two.verdicts("halved", 40).count(True), 40)


def test_leased_tokens_are_in_the_burst():
    _, daemons = leasing(10)
    one, two = known_everywhere("counted", 110, SLOW, daemons)

    got = [api.check("counted")["allowed"] for _ in range(100) for api in (one, two)]

    expect_within("allowed", got.count(True), 100, 110)


def test_unused_tokens_come_back():
    _, daemons = leasing(50)
    one, two = known_everywhere("returned", 110, SLOW, daemons)
    one.check("returned")

    wait_until("the other has them", lambda: two.check("returned", 0)["remaining"] >= 108)

    expect("remaining", two.check("returned", 0)["remaining"], 109)
    expect("remaining at the first", one.check("returned", 0)["remaining"], 109)


def test_tokens_of_an_instance_that_ends_come_back_or_are_lost():
    """They are never granted twice."""
    _, daemons = leasing(50)
    one, two = known_everywhere("ended", 110, SLOW, daemons)
    one.check("ended")

    daemons[0].stop()

    expect_within("allowed", two.verdicts("ended", 120).count(True), 59, 109)


# --- what Redis is asked ----------------------------------------------------------------------


def test_what_is_known_to_be_denied_is_not_asked_for():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline=PATIENT)))
    api.set("spent", 2, SLOW)
    api.verdicts("spent", 3)
    before = redis.calls()
    began = time.monotonic()

    expect("allowed", set(api.verdicts("spent", 500)), {False})

    others = 5 + (time.monotonic() - began) * 10  # signs of life, and one look a second
    expect_within("calls", redis.calls() - before, 0, others)


def test_hot_key_of_many_connections_is_one_call_at_a_time():
    redis = Redis()
    daemon = serve(store=store(redis, deadline=PATIENT))
    Api(daemon).set("hot", 1_000_000, 1_000_000)
    apis = [Api(daemon) for _ in range(64)]
    before = redis.calls()

    for _ in range(20):
        for api in apis:
            api.send_call("POST", "/check", {"key": "hot"})
        for api in apis:
            expect("allowed", read_verdict(api.read_answer())["allowed"], True)

    expect_within("calls for 1280 checks", redis.calls() - before, 20, 640)


def test_bucket_is_gone_from_redis_when_it_is_full():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline=PATIENT)))
    api.set("short", 10, 10)
    api.check("short", 5)

    keys = redis.keys("*check:short*")
    expect("keys", keys, ["xdp-throttle:check:short"])
    expect_within("milliseconds to live", redis.command("PTTL", keys[0]), 1, 501)

    wait_until("it is gone", lambda: not redis.keys("*check:short*"))
    expect("remaining", api.check("short", 0)["remaining"], 10)


def test_peek_writes_nothing():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline=PATIENT)))

    api.check("peeked", 0)

    expect("keys", redis.keys("*peeked*"), [])


def test_prefix_of_keys_is_the_file_s():
    redis = Redis()
    one = Api(serve(store=store(redis, deadline=PATIENT, key_prefix='"one:"')))
    two = Api(serve(store=store(redis, deadline=PATIENT, key_prefix='"two:"')))
    one.set("a", 5, SLOW)
    one.check("a", 5)

    expect("keys of others", [k for k in redis.keys() if not k.startswith(("one:", "two:"))], [])
    expect("the other has a bucket of its own", two.check("a")["allowed"], True)
    expect("and quotas of its own", two.get("a").status, 404)


# --- how it is told ---------------------------------------------------------------------------


def test_ready_names_the_store():
    answer = Api(the_two()[0]).call("GET", "/ready")

    expect("status", answer.status, 200)
    expect("body", json_of(answer),
           {"ready": True, "draining": False, "store": "redis", "degraded": False})


def test_metrics_tell_of_calls():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline=PATIENT)))
    wait_for_metric(api, 1, "store_instances")
    for number in range(10):
        api.check(f"key {number}")

    metrics = api.metrics()

    expect("calls", metrics.value("store_calls_total"), 10)
    expect("durations", metrics.value("store_call_duration_seconds_count"), 10)
    expect("breaker", metrics.value("store_breaker_state"), 0)
    expect("opened", metrics.value("store_breaker_opened_total"), 0)
    expect("takings", metrics.value("store_takings_total", verdict="allowed"), 10)
    expect("degraded", metrics.value("store_takings_total", degraded="true"), 0)
    expect("errors", metrics.value("store_call_errors_total"), 0)


def test_instance_that_ends_is_no_longer_counted():
    redis = Redis()
    daemons = instances(2, redis)

    daemons[0].stop()

    wait_for_metric(Api(daemons[1]), 1, "store_instances")


# --- by the environment, and by a reload ----------------------------------------------------------


def test_environment_alone_moves_it_to_redis():
    redis = Redis()
    config = configuration([route("/", Upstream())], api=api_section(),
                           rate_limit=limit("1/m", 4))
    second = config | {"server": config["server"] | {"port": free_port()},
                       "api": api_section()}
    environment = {"XDP_THROTTLE_STORE_BACKEND": "redis",
                   "XDP_THROTTLE_STORE_REDIS_URL": redis.url(),
                   "XDP_THROTTLE_STORE_REDIS_DEADLINE": PATIENT}
    daemons = [Daemon(one, environment=environment) for one in (config, second)]

    expect("store", json_of(Api(daemons[0]).call("GET", "/ready"))["store"], "redis")
    got = [ask_once(daemon.port).status for _ in range(4) for daemon in daemons]
    expect("statuses", got, [200] * 4 + [429] * 4)
    Api(daemons[0]).check("moved")
    expect("keys", redis.keys("*moved"), ["xdp-throttle:check:moved"])


@cases({"to_redis": True, "to_memory": False})
def test_backend_follows_a_reload(to_redis):
    redis = Redis()
    config = configuration([], api=api_section())
    memory, shared_one = config["store"], config["store"] | store(redis, deadline=PATIENT)
    config["store"] = memory if to_redis else shared_one
    daemon = Daemon(config)
    api = Api(daemon)
    expect("allowed", api.check("a")["allowed"], True)

    config["store"] = shared_one if to_redis else memory
    expect_match("log", daemon.reload(config), "reloaded: ")

    wanted = "redis" if to_redis else "memory"
    wait_until("the store is the new one",
               lambda: json_of(api.call("GET", "/ready"))["store"] == wanted)
    wait_until("it is not degraded", lambda: not api.check("a")["degraded"])
    if not to_redis:
        wait_until("connections to Redis are closed", lambda: not redis.clients())


def test_other_server_follows_a_reload_under_load():
    old, new = Redis(), Redis()
    plenty = {"capacity": 1_000_000, "refill_per_second": 1_000_000}
    config = configuration([], api=api_section(default=plenty), store=store(old, deadline=PATIENT))
    daemon = Daemon(config)
    over = threading.Event()

    def load(_):
        mine, verdicts = Api(daemon), []
        while not over.is_set():
            verdicts.append(mine.check("moving")["allowed"])
        return verdicts

    results = []
    thread = threading.Thread(target=lambda: results.extend(in_threads(load, range(4))))
    thread.start()
    try:
        for server in (new, old, new):
            config["store"] = config["store"] | store(server, deadline=PATIENT)
            daemon.reload(config)
            wait_until("the new one is asked", lambda: len(server.clients()) > 0)
    finally:
        over.set()
        thread.join(2 * DEADLINE_S)

    expect("allowed", {verdict for run in results for verdict in run}, {True})
    wait_until("connections to the old one are closed", lambda: not old.clients())


if __name__ == "__main__":
    run_before_others()
    run_suite()
