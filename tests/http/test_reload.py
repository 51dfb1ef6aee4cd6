#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""SIGHUP: the new configuration holds, and no request, connection or bucket is lost."""
import os
import socket
import subprocess
import threading

from api import Api, json_of
from client import Client, Load, ask_once
from daemon import PROGRAM, Daemon, configuration, free_port, limit, new_directory, to_yaml
from message import response
from support import (
    DEADLINE_S,
    Skip,
    cases,
    expect,
    expect_match,
    run_suite,
    shared,
    wait_until,
)
from upstream import Upstream, answering
from websocket import echo_frames, upgrade


def is_refused(port):
    try:
        Client(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_under_load_no_request_fails():
    upstream = Upstream()
    config = configuration({"/": upstream}, server={"workers": 2})
    proxy = Daemon(config)
    load = Load(proxy.port, kept=4, anew=4)
    load.wait_for(50)

    for round_number in range(8):
        config["rate_limit"] = limit("1000000/s", 1_000_000 + round_number)
        expect_match("log", proxy.reload(config), "reloaded: ")
        load.wait_for(50)

    load.expect_no_failure()
    expect("statuses", set(load.statuses), {200})


def test_new_routes_hold_for_new_and_kept_connections():
    old, new = Upstream(answering(response(b"old"))), Upstream(answering(response(b"new")))
    config = configuration({"/": old})
    proxy = Daemon(config)
    client = proxy.connect()
    expect("body", client.ask().body, b"old")

    config["routes"] = configuration({"/": new})["routes"]
    proxy.reload(config)

    wait_until("the kept connection is served by the new one", lambda: client.ask().body == b"new")
    expect("body on a new one", ask_once(proxy.port).body, b"new")


def test_request_in_flight_ends_by_what_it_began_with():
    may_answer = threading.Event()

    def serve(peer):
        peer.next_request()
        may_answer.wait(DEADLINE_S)
        peer.send(response(b"old"))

    old = Upstream(serve)
    config = configuration({"/": old})
    proxy = Daemon(config)
    client = proxy.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n")
    old.wait_for_requests(1)

    config["routes"] = configuration({"/": Upstream(answering(response(b"new")))})["routes"]
    proxy.reload(config)
    may_answer.set()

    expect("body", client.read_response().body, b"old")
    wait_until("the next is served by the new one", lambda: client.ask().body == b"new")


def test_packet_section_without_interfaces_is_warned_of():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)

    config["xdp"] = {"per_source": {"connections_per_second": 20}}

    expect_match("log", proxy.reload(config), "warning.*xdp.interfaces is not written: ")
    check = subprocess.run([PROGRAM, "check", "-c", proxy.file], capture_output=True, text=True)
    expect("exit status", check.returncode, 0)
    expect_match("standard error", check.stderr, "warning: xdp.interfaces is not written: ")


def test_user_that_does_not_exist_is_refused():
    if os.geteuid() != 0:
        raise Skip("needs root, whose workers run as server.user")
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)

    config["server"]["user"] = "no-such-user"
    log = proxy.reload(config)

    expect_match("log", log, "server.user no-such-user: no such user.*nothing changed")


def test_buckets_are_kept():
    config = configuration({"/": Upstream()}, rate_limit=limit("1/m", 3))
    proxy = Daemon(config)
    client = proxy.connect()
    expect("statuses", [client.ask().status for _ in range(4)], [200] * 3 + [429])

    proxy.reload(config)

    expect("status", client.ask().status, 429)


def test_new_limit_holds():
    config = configuration({"/": Upstream()}, rate_limit=limit("1/m", 2))
    proxy = Daemon(config)
    client = proxy.connect()
    expect("statuses", [client.ask().status for _ in range(3)], [200, 200, 429])

    config["rate_limit"] = limit("1000/s", 100)
    proxy.reload(config)

    wait_until("requests are admitted", lambda: client.ask().status == 200)
    policy = client.ask().field("RateLimit-Policy")
    expect_match("RateLimit-Policy", policy, "q=100;")


def test_new_limit_of_heads_holds_for_one_that_has_begun():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)
    client = proxy.connect()
    client.send_in_parts(b"GET / HTTP/1.1\r\nHost: site.test\r\nX-A: " + b"b" * 2000, b"b")

    config["server"]["max_header_bytes"] = 1024
    proxy.reload(config)
    large = "X-A: " + "b" * 2000
    wait_until("the new limit holds", lambda: ask_once(proxy.port, "/", large).status == 431)
    client.send(b"b")  # no line ends, and no more is needed to tell

    expect("status", client.read_response().status, 431)
    client.expect_closed()


@cases(
    {
        "unknown_key": ("server:\n  prot: 80\n", r":2:3: .*prot"),
        "bad_value": ("server:\n  port: none\n", r":2:9: "),
        "no_routes": ("log: {level: info}\n", r":\d+:\d+: |routes"),
        "not_yaml": ("server: [\n", r":\d+:\d+: "),
        "empty": ("", r"test.yaml"),
    }
)
def test_bad_file_changes_nothing(text, place):
    proxy = Daemon(configuration({"/": Upstream(answering(response(b"old")))}))
    client = proxy.connect()
    client.ask()

    said = proxy.reload(text)

    expect_match("log", said, "reload (was )?refused")
    expect_match("log", said, place)
    expect("body on a kept connection", client.ask().body, b"old")
    expect("body on a new one", ask_once(proxy.port).body, b"old")


def test_good_file_after_a_bad_one_holds():
    config = configuration({"/": Upstream(answering(response(b"old")))})
    proxy = Daemon(config)
    proxy.reload("no: good")

    config["routes"] = configuration({"/": Upstream(answering(response(b"new")))})["routes"]
    proxy.reload(config)

    wait_until("the new one serves", lambda: ask_once(proxy.port).body == b"new")


def test_file_that_is_gone_changes_nothing():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)
    since = len(proxy.log.lines)
    proxy.file.unlink()

    proxy.signal(1)

    expect_match("log", proxy.log.wait_for("test.yaml", since), "cannot be read")
    expect("status", ask_once(proxy.port).status, 200)


def test_new_port_serves_and_the_old_one_is_closed():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)
    kept = proxy.connect()
    kept.ask()
    old_port, new_port = proxy.port, free_port()

    config["server"]["port"] = proxy.port = new_port
    proxy.reload(config)

    wait_until("the new port serves", lambda: not is_refused(new_port))
    expect("status on the new port", ask_once(new_port).status, 200)
    wait_until("the old port is closed", lambda: is_refused(old_port))
    expect("status on a connection from before", kept.ask().status, 200)


def test_port_that_is_taken_changes_nothing():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)
    taken = Upstream()

    changed = to_yaml(config).replace(f"port: {proxy.port}", f"port: {taken.port}")
    said = proxy.reload(changed)

    expect_match("log", said, str(taken.port))
    expect_match("log", said, "reload (was )?refused")
    expect("status", ask_once(proxy.port).status, 200)


def test_listener_of_another_process_on_the_port_is_not_joined():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.2", proxy.port))
        other.listen()

        config["server"]["address"] = "127.0.0.2"
        said = proxy.reload(config)

        expect_match("log", said, "127.0.0.2:.* in use by another process")
        expect_match("log", said, "reload (was )?refused")
    expect("status", ask_once(proxy.port).status, 200)


def with_api(config, name):
    """The configuration with an API, and the state file of that name beside the others."""
    api = {"listen": f"127.0.0.1:{free_port()}"}
    return configuration({"/": Upstream()}, api=api, server=config["server"]) | {
        "store": {"memory": {"state_file": str(state_files() / name)}}
    }


@shared
def state_files():
    return new_directory()


def put(config):
    api = Api(config["api"]["listen"])
    return api.put("key", 5, 1).status


def test_reload_that_was_refused_leaves_the_state_file_open_to_choice():
    config = configuration({"/": Upstream()})
    daemon = Daemon(config)

    said = daemon.reload(with_api(config, "a") | {"xdp": {"interfaces": ["no-such-device"]}})
    expect_match("log", said, "no-such-device.*refused: nothing changed")
    good = with_api(config, "b")
    said = daemon.reload(good)

    expect_match("log", said, "reloaded: ")
    expect("status", put(good), 201)
    expect("a was written", (state_files() / "a").exists(), False)
    expect("b was written", (state_files() / "b").exists(), True)


def test_what_a_refused_reload_read_is_not_in_force():
    config = configuration({"/": Upstream()})
    old = with_api(config, "old")
    daemon = Daemon(old)
    expect("status", put(old), 201)
    daemon.stop()
    daemon = Daemon(config)

    daemon.reload(old | {"xdp": {"interfaces": ["no-such-device"]}})
    new = with_api(config, "new")
    expect_match("log", daemon.reload(new), "reloaded: ")

    expect("status", Api(new["api"]["listen"]).get("key").status, 404)


def test_another_state_file_is_refused():
    config = configuration({"/": Upstream()})
    first, second = with_api(config, "first"), with_api(config, "second")
    daemon = Daemon(first)

    said = daemon.reload(second)

    expect_match("log", said, f"{state_files()}/first.*{state_files()}/second.*restart.*refused")
    expect("status", put(first), 201)
    expect_match("log", daemon.reload(config), "reloaded: ")
    expect_match("log", daemon.reload(second), "restart.*refused")
    expect_match("log", daemon.reload(first), "reloaded: ")
    expect("capacity", json_of(Api(first["api"]["listen"]).get("key"))["capacity"], 5)


def test_websocket_survives():
    upstream = Upstream(echo_frames)
    config = configuration({"/": upstream})
    proxy = Daemon(config)
    client = proxy.connect()
    upgrade(client)

    config["routes"] = configuration({"/": Upstream()})["routes"]
    for _ in range(3):
        proxy.reload(config)

    client.send(b"still here")
    expect("echo", client.read_exactly(10), b"still here")


def test_thousand_reloads_of_the_signal_at_once_are_survived():
    config = configuration({"/": Upstream()})
    proxy = Daemon(config)

    for _ in range(1000):
        proxy.signal(1)

    proxy.log.wait_for("reload")
    expect("status", ask_once(proxy.port).status, 200)


if __name__ == "__main__":
    run_suite()
