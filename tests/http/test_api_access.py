#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Who may use the API: the token, the Unix socket, the limit of requests, the addresses that
it may listen on; and that nothing secret is said anywhere.
"""
import os
import pathlib
import signal
import socket
import stat

from api import SLOW, Api, api_section, serve
from client import Client
from daemon import Daemon, configuration, expect_refused, free_port, new_directory, route
from message import request
from support import (
    cases,
    expect,
    expect_match,
    expect_within,
    fail,
    run_suite,
    wait_until,
)
from upstream import Upstream

TOKEN = "correct-horse-battery-staple"


def token_file(text=TOKEN + "\n", mode=0o600):
    file = new_directory() / "token"
    file.write_text(text)
    file.chmod(mode)
    return file


def guarded(**api):
    return serve(api={"token_file": str(token_file()), **api})


# --- the token ------------------------------------------------------------------------------


@cases(
    {
        "check": ("POST", "/check", {"key": "a"}),
        "config": ("PUT", "/config/a", {"capacity": 5, "refill_per_second": 1}),
        "list": ("GET", "/config", None),
        "metrics": ("GET", "/metrics", None),
        "ready": ("GET", "/ready", None),
        "what_is_not_there": ("GET", "/nothing", None),
    }
)
def test_token_is_needed_for(method, target, body):
    daemon = guarded()

    answer = Api(daemon).call(method, target, body)

    expect("status", answer.status, 401)
    expect_match("type", answer.problem["type"], "unauthorized$")
    expect_match("WWW-Authenticate", answer.field("WWW-Authenticate"), "^Bearer")
    allowed = Api(daemon, token=TOKEN).call(method, target, body).status
    expect("refused with the token", allowed == 401, False)


def test_health_needs_no_token():
    expect("status", Api(guarded()).call("GET", "/health").status, 200)


@cases(
    {
        "wrong": f"Authorization: Bearer {TOKEN}x",
        "shorter": f"Authorization: Bearer {TOKEN[:-1]}",
        "other_case": f"Authorization: Bearer {TOKEN.upper()}",
        "empty": "Authorization: Bearer ",
        "scheme_alone": "Authorization: Bearer",
        "basic": f"Authorization: Basic {TOKEN}",
        "no_scheme": f"Authorization: {TOKEN}",
        "twice": f"Authorization: Bearer {TOKEN} {TOKEN}",
        "long": "Authorization: Bearer " + "x" * 4000,
    }
)
def test_token_is_refused(field):
    api = Api(guarded())

    answer = api.call("GET", "/ready", None, field)

    expect("status", answer.status, 401)
    expect("status of the next", api.call("GET", "/health").status, 200)


def test_two_tokens_are_refused():
    api = Api(guarded())
    field = f"Authorization: Bearer {TOKEN}"

    expect("status", api.call("GET", "/ready", None, field, field).status, 400)


@cases({"lower": "bearer", "upper": "BEARER"})
def test_scheme_may_be_written(scheme):
    answer = Api(guarded()).call("GET", "/ready", None, f"Authorization: {scheme} {TOKEN}")

    expect("status", answer.status, 200)


def test_refused_check_takes_nothing():
    daemon = guarded()
    api = Api(daemon, token=TOKEN)
    api.set("guarded", 5, 0.001)

    for _ in range(10):
        expect("status", Api(daemon).call("POST", "/check", {"key": "guarded"}).status, 401)

    expect("remaining", api.check("guarded", 0)["remaining"], 5)


def test_refused_put_with_a_body_goes_on():
    api = Api(guarded())

    answer = api.put("a", 5, 1)
    expect("status", answer.status, 401)
    if answer.field("Connection") != "close":
        expect("status of the next", api.call("GET", "/health").status, 200)


def test_new_token_holds_after_a_reload():
    file = token_file()
    config = configuration([], api=api_section(token_file=str(file)))
    daemon = Daemon(config)

    file.write_text("another-token-of-length\n")
    daemon.reload(config)

    wait_until("the new one holds",
               lambda: Api(daemon, token="another-token-of-length").is_ready())
    expect("status with the old", Api(daemon, token=TOKEN).call("GET", "/ready").status, 401)


@cases(
    {
        "empty": ("", r"token"),
        "blank": ("\n", r"token"),
        "short": ("fifteen-bytes!!\n", r"token.*\b16\b"),
        "long": ("x" * 4097, r"token.*\b4096\b"),
    }
)
def test_token_that_is_none_is_refused(text, pattern):
    config = configuration([], api=api_section(token_file=str(token_file(text))))

    expect_refused(config, pattern, commands=("run",))


def test_token_file_that_is_not_there_is_refused():
    file = token_file()
    file.unlink()
    config = configuration([], api=api_section(token_file=str(file)))

    expect_refused(config, f"{file}: .*", commands=("run",))


def test_reload_with_a_token_file_that_is_gone_changes_nothing():
    file = token_file()
    config = configuration([], api=api_section(token_file=str(file)))
    daemon = Daemon(config)

    file.unlink()
    said = daemon.reload(config)

    expect_match("log", said, "refused")
    expect("status", Api(daemon, token=TOKEN).call("GET", "/ready").status, 200)


def test_token_file_that_others_can_read_is_warned_of():
    daemon = serve(api={"token_file": str(token_file(mode=0o644))})

    expect_match("log", daemon.log.text(), r"warning.*token")


# --- addresses --------------------------------------------------------------------------------


@cases(
    {
        "every_address": "0.0.0.0",
        "every_address_of_ipv6": "[::]",
        "other": "192.0.2.1",
    }
)
def test_address_that_others_reach_needs_a_token(address):
    config = configuration([], api={"listen": f'"{address}:{free_port()}"'})

    expect_refused(config, r"api.*token_file.*127\.0\.0\.1|token_file")


def test_address_that_others_reach_is_served_with_a_token():
    port = free_port()
    config = configuration([], api={"listen": f"0.0.0.0:{port}", "token_file": str(token_file())})
    daemon = Daemon(config)

    expect("status", Api(daemon, token=TOKEN).call("GET", "/ready").status, 200)
    client = Client(port, to="127.0.0.3")
    expect("status of another address", client.ask("GET", "/health").status, 200)


def test_loopback_of_ipv6_needs_none():
    port = free_port()
    daemon = Daemon(configuration([], api={"listen": f'"[::1]:{port}"'}))
    client = Client(port, to="::1")

    expect("status", client.ask("GET", "/health").status, 200)
    expect("ready says the address", f"[::1]:{port}" in daemon.log.text(), True)


def test_port_of_the_proxy_is_refused():
    config = configuration([route("/", Upstream())])
    config["api"] = {"listen": f"127.0.0.1:{config['server']['port']}"}

    expect_refused(config, r"api.*port|port.*api")


def test_new_address_is_served_after_a_reload():
    config = configuration([], api=api_section())
    daemon = Daemon(config)
    kept = Api(daemon)
    old = daemon.api_listen

    config["api"] = api_section()
    daemon.reload(config)

    daemon.api_listen = config["api"]["listen"]
    wait_until("the new one is served", lambda: is_served(daemon.api_listen))
    wait_until("the old one is closed", lambda: not is_served(old))
    expect("status on a connection from before", kept.call("GET", "/health").status, 200)


def is_served(listen):
    port = int(listen.rpartition(":")[2])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_section_that_goes_by_a_reload_is_no_longer_served():
    config = configuration([route("/", Upstream())], api=api_section())
    daemon = Daemon(config)
    expect("status", Api(daemon).call("GET", "/health").status, 200)

    del config["api"]
    daemon.reload(config)

    wait_until("it is closed", lambda: not is_served(daemon.api_listen))
    expect("status of the proxy", daemon.connect().ask().status, 200)


# --- the Unix socket --------------------------------------------------------------------------


def on_a_socket(**sections):
    path = new_directory() / "api.sock"
    config = configuration([], api={"listen": str(path)}, **sections)
    return path, config


def test_socket_serves():
    path, config = on_a_socket(server={"workers": 2})
    daemon = Daemon(config)

    Api(daemon).set("of a socket", 100, SLOW)
    for _ in range(20):
        expect("allowed", Api(daemon).check("of a socket")["allowed"], True)
    expect("remaining", Api(daemon).check("of a socket", 0)["remaining"], 80)


def test_socket_is_for_its_owner_and_group():
    path, config = on_a_socket()
    Daemon(config)

    expect("it is a socket", stat.S_ISSOCK(path.stat().st_mode), True)
    expect("mode", oct(path.stat().st_mode & 0o777), "0o660")


def test_socket_is_gone_at_the_end():
    path, config = on_a_socket()
    daemon = Daemon(config)

    daemon.stop()

    expect("it is there", path.exists(), False)


def test_socket_that_nobody_serves_is_replaced():
    path, config = on_a_socket()
    daemon = Daemon(config)
    daemon.may_lose_workers = True
    daemon.kill()
    expect("it is there", path.exists(), True)

    expect("status", Api(Daemon(config)).call("GET", "/health").status, 200)


def test_socket_of_another_is_not_taken():
    path, config = on_a_socket()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        expect_refused(config, f"{path}.*in use|{path}.*other", commands=("run",))
        inode = path.stat().st_ino

    expect("it is still there", path.stat().st_ino, inode)


def test_file_in_the_place_of_the_socket_is_kept():
    path, config = on_a_socket()
    path.write_text("mine")

    expect_refused(config, str(path), commands=("run",))

    expect("its text", path.read_text(), "mine")


def test_socket_survives_a_reload():
    path, config = on_a_socket()
    daemon = Daemon(config)
    kept = Api(daemon)

    for _ in range(3):
        daemon.reload(config)

    expect("status on the old connection", kept.call("GET", "/health").status, 200)
    expect("status on a new one", Api(daemon).call("GET", "/health").status, 200)


# --- the limit of requests --------------------------------------------------------------------


def test_requests_of_a_peer_are_limited():
    daemon = serve(api={"rate_limit": {"requests_per_minute": 1, "burst": 3}})
    api = Api(daemon)

    answers = [api.call("GET", "/ready") for _ in range(5)]

    expect("statuses", [answer.status for answer in answers], [200] * 3 + [429] * 2)
    expect_match("type", answers[4].problem["type"], "api-rate-limit$")
    expect_within("Retry-After", int(answers[4].field("Retry-After")), 50, 60)


def test_peers_have_limits_of_their_own():
    daemon = serve(api={"rate_limit": {"requests_per_minute": 1, "burst": 2}})

    for source in ("127.0.0.1", "127.0.0.2"):
        api = Api(daemon, source)
        statuses = [api.call("GET", "/ready").status for _ in range(3)]
        expect(f"statuses of {source}", statuses, [200, 200, 429])


def test_connections_of_a_peer_share_its_limit():
    daemon = serve(api={"rate_limit": {"requests_per_minute": 1, "burst": 3}},
                   server={"workers": 2})

    statuses = [Api(daemon).call("GET", "/ready").status for _ in range(6)]

    expect("statuses", statuses, [200] * 3 + [429] * 3)


def test_guesses_of_the_token_are_limited():
    daemon = guarded(rate_limit={"requests_per_minute": 1, "burst": 3})
    api = Api(daemon, token="a-wrong-token-of-length")

    statuses = [api.call("GET", "/ready").status for _ in range(5)]

    expect("statuses", statuses, [401] * 3 + [429] * 2)


def test_health_is_not_limited():
    daemon = serve(api={"rate_limit": {"requests_per_minute": 1, "burst": 1}})
    api = Api(daemon)
    api.call("GET", "/ready")

    expect("statuses", {api.call("GET", "/health").status for _ in range(20)}, {200})


def test_limit_of_requests_is_not_a_check_s():
    """Loopback has none unless the file says so."""
    api = Api(serve(api={"default": {"capacity": 100_000, "refill_per_second": 1}}))

    expect("allowed", set(api.verdicts("many", 2000)), {True})


# --- secrets ----------------------------------------------------------------------------------


def test_nothing_secret_is_said():
    config = configuration([route("/", Upstream())], api=api_section(token_file=str(token_file())),
                           log={"level": "debug"})
    daemon = Daemon(config)
    api = Api(daemon, token=TOKEN)
    api.set("customer-4711", 5, 1)
    api.check("customer-4711")
    api.check("visitor-0815")
    Api(daemon, token=TOKEN + "-wrong").call("POST", "/check", {"key": "intruder-17"})
    api.call("GET", f"/{TOKEN}")
    api.send(request("GET", "/health", "X-Bad\0: " + TOKEN))
    api.read_answer()
    daemon.reload(config)

    text = Api(daemon, token=TOKEN).metrics().text + daemon.log.text() + daemon.requests.text()
    for secret in (TOKEN, "customer-4711", "visitor-0815", "intruder-17"):
        if secret in text:
            fail(f"{secret} is in the log or the metrics:\n{text}")


def test_no_process_can_be_asked_for_the_token():
    daemon = guarded()

    for pid in [daemon.pid, *daemon.workers()]:
        for name in ("cmdline", "environ"):
            text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
            expect(f"the token is in {name}", TOKEN.encode() in text, False)


def test_token_is_not_needed_where_none_is_set():
    expect("status", Api(serve()).call("GET", "/ready").status, 200)


def test_signal_to_a_daemon_on_a_socket_ends_it():
    path, config = on_a_socket()
    daemon = Daemon(config)
    idle = Api(daemon)
    idle.call("GET", "/health")

    os.kill(daemon.pid, signal.SIGTERM)

    idle.expect_closed()
    expect("exit status", daemon.wait_for_end(5), 0)


if __name__ == "__main__":
    run_suite()
