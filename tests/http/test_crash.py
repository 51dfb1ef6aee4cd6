#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A worker, or the master, that is killed: what it costs, and how it heals."""
import os
import signal

from client import Load, ask_once
from daemon import UnreadDaemon, configuration, limit, start
from support import DEADLINE_S, Skip, expect, expect_match, run_suite, wait_until
from upstream import Upstream


def is_gone(pid):
    """It ended; what nobody has waited for yet has, too."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def crashing(workers=2, **sections):
    proxy = start({"/": Upstream()}, server={"workers": workers}, **sections)
    proxy.may_lose_workers = True
    return proxy


def wait_for_workers(proxy, count, without=()):
    def running():
        now = proxy.workers()
        return now if len(now) == count and not set(now) & set(without) else None

    return wait_until(f"{count} workers run", running)


def test_killed_worker_costs_only_its_own_connections():
    proxy = crashing(workers=2)
    load = Load(proxy.port, kept=8, anew=4)
    load.wait_for(100)

    for _ in range(3):
        victim = proxy.workers()[0]
        proxy.freeze(victim)  # so that its connections can be read in peace
        lost = proxy.client_ports_of(victim)
        earlier = len(load.failures)
        os.kill(victim, signal.SIGKILL)
        wait_for_workers(proxy, 2, without=[victim])
        load.wait_for(100)
        beyond = [failure for failure in load.failures[earlier:] if failure[0] not in lost]
        # Not even connections that waited in the dead worker's queue: the listener is
        # the master's, and another worker takes them.
        expect("failures on connections of others", beyond, [])

    load.stop()
    expect("statuses", set(load.statuses), {200})


def test_killed_worker_is_replaced_and_said():
    proxy = crashing(workers=2)
    [victim, *_] = proxy.workers()

    os.kill(victim, signal.SIGKILL)

    wait_for_workers(proxy, 2, without=[victim])
    line = proxy.log.wait_for(r"worker \d+ ended by")
    expect_match("log", line, r"(?i)signal 9|SIGKILL|killed")
    expect("status", ask_once(proxy.port).status, 200)


def test_only_worker_killed_again_and_again():
    proxy = crashing(workers=1)

    for _ in range(4):
        [victim] = wait_for_workers(proxy, 1)
        os.kill(victim, signal.SIGKILL)
        wait_until("it is gone", lambda: victim not in proxy.workers())
        expect("status", ask_once(proxy.port).status, 200)


def test_buckets_outlive_a_worker():
    proxy = crashing(workers=1, rate_limit=limit("1/m", 3))
    expect("statuses", [ask_once(proxy.port).status for _ in range(4)], [200] * 3 + [429])
    [victim] = proxy.workers()

    os.kill(victim, signal.SIGKILL)
    wait_for_workers(proxy, 1, without=[victim])

    expect("status", ask_once(proxy.port).status, 429)


def test_master_whose_log_nobody_reads_does_its_work():
    proxy = UnreadDaemon(configuration({"/": Upstream()}, server={"workers": 2}))
    # Either worker answers half of them: after 40, both serve.
    expect("statuses", {ask_once(proxy.port).status for _ in range(40)}, {200})

    for _ in range(3):
        [victim, *_] = wait_for_workers(proxy, 2)
        os.kill(victim, signal.SIGKILL)
        wait_for_workers(proxy, 2, without=[victim])
    expect("status", ask_once(proxy.port).status, 200)

    proxy.process.send_signal(signal.SIGTERM)

    expect("exit status", proxy.process.wait(DEADLINE_S), 0)


def test_workers_end_when_the_master_is_killed():
    proxy = crashing(workers=2)
    workers = proxy.workers()

    proxy.signal(signal.SIGKILL)
    proxy.wait_for_end()

    for worker in workers:
        wait_until(f"worker {worker} has ended", lambda: is_gone(worker))


def test_workers_run_without_privileges():
    if os.geteuid() != 0:
        raise Skip("needs root, whose privileges workers give up")
    for worker in crashing(workers=2).workers():
        with open(f"/proc/{worker}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        expect("root among its ids", "0" in (status["Uid"] + "\t" + status["Gid"]).split(), False)
        expect("groups", "0" in status["Groups"].split(), False)
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            expect(capabilities, int(status[capabilities], 16), 0)
        expect("no_new_privs", status["NoNewPrivs"].strip(), "1")


if __name__ == "__main__":
    run_suite()
