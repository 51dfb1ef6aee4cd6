#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Redis Cluster, three nodes: the daemon is told of one. Buckets are spread over all, slots
that move are followed, and a node that is down costs its own keys only.
"""
import threading

from api import SLOW, Api, check_for, check_until, serve
from redis import PATIENT, SLOTS, Certificates, Cluster, said_of, slot_of, store
from support import (
    cases,
    expect,
    expect_match,
    expect_within,
    fail,
    run_before_others,
    run_suite,
    shared,
    wait_until,
)

LATEST_S = 0.150
PREFIX = "xdp-throttle:check:"


@shared
def the_cluster():
    return Cluster()


def given(cluster=None, url=None, deadline=PATIENT, **more):
    cluster = cluster or the_cluster()
    daemon = serve(store=store(url or cluster.nodes[0], deadline=deadline, **more))
    api = Api(daemon)
    for node in cluster.nodes:
        key = key_at(cluster, node)
        check_until(api, key, lambda verdict: not verdict["degraded"])
    return cluster, daemon, api


def key_at(cluster, node, number=0):
    """A key of the API whose bucket is at the node."""
    slots = {slot for first, last, master, *_ in node.command("CLUSTER", "SLOTS")
             if master[2] == node.id for slot in (range(first, last + 1))}
    found = (key for key in (f"user:{i}" for i in range(100_000)) if slot_of(PREFIX + key) in slots)
    for _ in range(number):
        next(found)
    return next(found)


def others(cluster, node):
    return [other for other in cluster.nodes if other is not node]


def test_slots_of_the_test_are_redis_s():
    for key in ("foo", "xdp-throttle:check:user:42", "a{b}c", "{}a", "a{b", "ü", "{{x}}"):
        expect(f"slot of {key}", slot_of(key),
               the_cluster().nodes[0].command("CLUSTER", "KEYSLOT", key))


def test_keys_are_spread_over_the_nodes():
    cluster, _, api = given()
    api.set("default", 5, SLOW)

    for number in range(60):
        expect("degraded", api.check(f"spread:{number}")["degraded"], False)

    counts = [len([key for key in keys if "spread:" in key]) for keys in cluster.keys()]
    expect("keys", sum(counts), 60)
    expect("each node has some", min(counts) > 5, True)
    api.delete("default")


def test_batch_over_all_nodes_is_answered_in_order():
    cluster, _, api = given()
    keys = [key_at(cluster, node, 50) for node in cluster.nodes]
    for key in keys:
        api.set(key, 3, SLOW)

    results = api.checks(*((key, 1) for _ in range(4) for key in keys))

    expect("allowed", [result["allowed"] for result in results], [True] * 9 + [False] * 3)
    expect("degraded", {result["degraded"] for result in results}, {False})


def test_two_instances_share_a_limit():
    cluster, _, one = given()
    two = Api(serve(store=store(cluster.nodes[2], deadline=PATIENT)))
    key = key_at(cluster, cluster.nodes[1], 60)
    one.set(key, 10, SLOW)
    wait_until("the other knows", lambda: two.check(key, 0)["limit"] == 10)

    got = [api.check(key)["allowed"] for _ in range(8) for api in (one, two)]

    expect("allowed", got, [True] * 10 + [False] * 6)


def test_quotas_live_in_one_slot():
    cluster, _, api = given()

    for number in range(30):
        api.set(f"quota:{number}", 5 + number, 1)

    slots = {slot_of(key) for keys in cluster.keys("*{sync}*") for key in keys}
    expect("slots", len(slots), 1)
    expect("limit", api.check("quota:29", 0)["limit"], 34)


def test_learning_the_slots_takes_few_calls():
    """Once it knows them, no call is sent to a node that only says where to go."""
    cluster, _, api = given()
    keys = [key_at(cluster, node, 70) for node in cluster.nodes]
    api.checks(*((key, 1) for key in keys))
    before = [moved(node) for node in cluster.nodes]

    for _ in range(20):
        api.checks(*((key, 1) for key in keys))

    expect("calls that were sent on", [moved(node) for node in cluster.nodes], before)


def moved(node):
    """How often the node said MOVED."""
    text = node.command("INFO", "errorstats")
    return sum(int(line.split("count=")[1]) for line in text.split("\r\n")
               if line.startswith("errorstat_MOVED"))


def test_slot_that_has_moved_is_followed():
    cluster, daemon, api = given(Cluster())
    key = key_at(cluster, cluster.nodes[0], 5)
    slot = slot_of(PREFIX + key)
    api.set(key, 10, SLOW)
    expect("before", api.verdicts(key, 4), [True] * 4)

    to = cluster.nodes[1]
    cluster.begin_migration(slot, to)
    cluster.move_keys(slot, to)
    cluster.end_migration(slot, to)

    got = [api.check(key) for _ in range(8)]
    expect("allowed", [verdict["allowed"] for verdict in got], [True] * 6 + [False] * 2)
    expect("degraded", {verdict["degraded"] for verdict in got}, {False})
    expect("its node has it", to.keys(f"*{key}"), [PREFIX + key])
    expect("said of it", said_of(daemon), [])


def test_slot_that_moves_is_asked_for_at_both():
    cluster, _, api = given(Cluster())
    key = key_at(cluster, cluster.nodes[0], 5)
    slot = slot_of(PREFIX + key)
    api.set(key, 10, SLOW)
    to = cluster.nodes[2]

    cluster.begin_migration(slot, to)
    got = [api.check(key) for _ in range(2)]  # it is at neither: made at the new one
    expect("at the new one", to.keys(f"*{key}"), [PREFIX + key])
    got += [api.check(key) for _ in range(4)]
    cluster.move_keys(slot, to)
    got += [api.check(key) for _ in range(2)]
    cluster.end_migration(slot, to)
    got += [api.check(key) for _ in range(4)]

    expect("allowed", [verdict["allowed"] for verdict in got], [True] * 10 + [False] * 2)
    expect("degraded", {verdict["degraded"] for verdict in got}, {False})


def test_bucket_that_moves_keeps_its_debt():
    cluster, _, api = given(Cluster())
    key = key_at(cluster, cluster.nodes[0], 5)
    slot = slot_of(PREFIX + key)
    api.set(key, 10, SLOW)
    api.check(key, 6)
    to = cluster.nodes[2]

    cluster.begin_migration(slot, to)
    expect("remaining before", api.check(key)["remaining"], 3)
    cluster.move_keys(slot, to)
    expect("remaining amid", api.check(key)["remaining"], 2)
    cluster.end_migration(slot, to)
    expect("remaining after", api.check(key)["remaining"], 1)


def test_slot_moves_under_load():
    cluster, daemon, api = given(Cluster())
    key = key_at(cluster, cluster.nodes[0], 5)
    slot, to = slot_of(PREFIX + key), cluster.nodes[1]
    api.set(key, 500, SLOW)
    moved_on, got = threading.Event(), []

    def ask():
        mine = Api(daemon)
        while not moved_on.is_set() or got[-1]["allowed"]:
            got.append(mine.check(key))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until("some were asked", lambda: len(got) > 50)
    cluster.begin_migration(slot, to)
    cluster.move_keys(slot, to)
    cluster.end_migration(slot, to)
    moved_on.set()
    for thread in threads:
        thread.join()

    expect("allowed", sum(verdict["allowed"] for verdict in got), 500)
    expect("degraded", {verdict["degraded"] for verdict in got}, {False})


def test_slot_of_the_quotas_may_move():
    cluster, _, api = given(Cluster())
    api.set("moved", 7, 1)
    [key] = {key for keys in cluster.keys("*{sync}*") for key in keys[:1]}
    slot = slot_of(key)
    to = others(cluster, cluster.node_of(slot))[0]

    cluster.begin_migration(slot, to)
    cluster.move_keys(slot, to)
    cluster.end_migration(slot, to)

    wait_until("quotas can be put", lambda: api.put("moved", 8, 1).status == 204)
    other = Api(serve(store=store(cluster.nodes[1])))
    wait_until("another instance finds it", lambda: other.check("moved", 0)["limit"] == 8)


def test_node_that_is_down_costs_its_own_keys_only():
    cluster, daemon, api = given(Cluster(), deadline="50ms")
    down = next(node for node in cluster.nodes
                if node is not cluster.node_of(slot_of("xdp-throttle:{sync}:")))
    key, up = key_at(cluster, down, 5), [key_at(cluster, node, 5) for node in others(cluster, down)]

    down.kill()

    taken = check_until(api, key, lambda verdict: verdict["degraded"])
    taken += check_for(api, key, 0.3)
    expect_within("seconds of the slowest answer", max(one.seconds for one in taken), 0, LATEST_S)
    for other in up:
        for one in check_for(api, other, 0.3):
            expect("degraded", one.verdict["degraded"], False)
            expect_within("seconds", one.seconds, 0, LATEST_S)
    said = said_of(daemon, down.name)
    if len(said) != 1:
        fail(f"not one line: {said}")
    expect_match("the line", said[0], "warning")

    down.start()
    check_until(api, key, lambda verdict: not verdict["degraded"], 5)


def test_node_that_the_file_names_may_be_down():
    cluster, daemon, api = given(Cluster())
    named = cluster.nodes[0]
    up = [key_at(cluster, node, 5) for node in others(cluster, named)]

    named.kill()
    check_for(api, up[0], 0.5)

    for other in up:
        degraded = {one.verdict["degraded"] for one in check_for(api, other, 0.3)}
        expect("degraded", degraded, {False})


def test_scripts_are_loaded_at_every_node():
    cluster, _, api = given()
    keys = [key_at(cluster, node, 80) for node in cluster.nodes]

    for _ in range(5):
        for node in cluster.nodes:
            node.command("SCRIPT", "FLUSH")
        results = api.checks(*((key, 1) for key in keys))
        expect("degraded", {result["degraded"] for result in results}, {False})


def test_every_slot_is_reached():
    cluster, _, api = given()
    api.set("default", 1, SLOW)
    keys, seen = [], set()
    for number in range(SLOTS):
        slot = slot_of(f"{PREFIX}all:{number}") >> 5  # one of 32 is enough
        if slot not in seen:
            seen.add(slot)
            keys.append(f"all:{number}")

    for start in range(0, len(keys), 128):
        results = api.checks(*((key, 1) for key in keys[start : start + 128]))
        expect("allowed", {result["allowed"] for result in results}, {True})
        expect("degraded", {result["degraded"] for result in results}, {False})

    expect("keys", sum(len([k for k in node if ":all:" in k]) for node in cluster.keys()),
           len(keys))
    api.delete("default")


@cases({"by_their_names": ("hostname", "localhost"), "by_no_address": ("unknown-endpoint", "")})
def test_nodes_are_told(kind, name):
    cluster, daemon, _ = given(Cluster("--cluster-announce-hostname", name or "localhost",
                                       "--cluster-preferred-endpoint-type", kind))

    told = {master[0] or "" for _, _, master, *_ in cluster.nodes[0].command("CLUSTER", "SLOTS")}
    expect("told", told, {name})
    expect("said of it", said_of(daemon), [])


def test_cluster_by_tls_with_a_user():
    """Given at the first node, they are for all; certificates are for the names it tells."""
    certificates = Certificates("DNS:localhost")
    cluster = Cluster("--tls-cluster", "yes", "--tls-auth-clients", "no",
                      "--cluster-announce-hostname", "localhost",
                      "--cluster-preferred-endpoint-type", "hostname", certificates=certificates)
    for node in cluster.nodes:
        node.command("ACL", "SETUSER", "throttle", "on", ">of-the-user", "~xdp-throttle:*", "+@all",
                     "-@admin", "-@dangerous")

    _, daemon, _ = given(cluster, ca_file=certificates.ca,
                         url=f"rediss://throttle:of-the-user@localhost:{cluster.nodes[0].port}")

    expect("said of it", said_of(daemon), [])
    for node in cluster.nodes:
        expect("refused by its ACL", node.command("ACL", "LOG"), [])


def test_database_that_a_cluster_does_not_have_is_said():
    daemon = serve(store=store(the_cluster().nodes[0].url(database=5)))

    daemon.log.wait_for(r"redis 127\.0\.0\.1:\d+: SELECT: .*cluster mode: not asked until")


if __name__ == "__main__":
    run_before_others()
    run_suite()
