#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
GET /metrics: text that promtool accepts, OpenMetrics for who asks for it, numbers that
follow what was done, over all workers, and nothing of a client in any label.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from api import SLOW, Api, Metrics, serve, serve_packets, wait_for_metric
from client import ask_once
from daemon import limit, new_directory, route
from support import (
    DEADLINE_S,
    cases,
    expect,
    expect_match,
    expect_within,
    fail,
    run_suite,
    wait_until,
)
from upstream import Refusing, Upstream

OPENMETRICS = "application/openmetrics-text"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def busy_daemon(**sections):
    """One that has had a bit of everything, and a connection to its API."""
    upstream, refusing = Upstream(), Refusing()
    routes = [route("/a", upstream), route("/b", upstream), route("/down", refusing)]
    daemon = serve(routes, rate_limit=limit("1/m", 6), **sections)
    for target in ("/a", "/a", "/b", "/down", "/nowhere", "/a", "/a"):
        ask_once(daemon.port, target)
    api = Api(daemon)
    api.set("busy", 3, SLOW)
    api.verdicts("busy", 5)
    api.call("POST", "/check", b"not JSON")
    api.call("GET", "/nothing")
    return daemon, api


def promtool(text):
    """What it has to say of the metrics."""
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                             capture_output=True, timeout=DEADLINE_S)
    return checked.returncode, checked.stdout + checked.stderr


def test_promtool_accepts_the_text():
    _, api = busy_daemon(server={"workers": 2})

    expect("promtool", promtool(api.metrics().text), (0, ""))


def test_promtool_accepts_the_text_of_an_idle_daemon():
    expect("promtool", promtool(Api(serve()).metrics().text), (0, ""))


def test_families_are_whole_and_told_once():
    _, api = busy_daemon()
    text = api.metrics().text

    types = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    names = [name for name, _ in types]
    expect("families told twice", sorted({n for n in names if names.count(n) > 1}), [])
    expect("each has a HELP", re.findall(r"^# HELP (\S+) .", text, re.M), names)
    expect("with the prefix", [n for n in names if not n.startswith("xdp_throttle_")], [])
    for name, kind in types:
        expect(f"{name} ends as a counter does", name.endswith("_total"), kind == "counter")
    seen = None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            seen = line.split()[2]
        elif not line.startswith("#") and not line.startswith(seen):
            fail(f"{line!r} is not of {seen}")


def test_every_family_is_in_the_manual():
    _, api = busy_daemon()
    manual = (pathlib.Path(__file__).parents[2] / "docs" / "xdp-throttle-api.7").read_text()

    names = re.findall(r"^# TYPE xdp_throttle_(\S+) ", api.metrics().text, re.M)
    expect("not in it", set(names) - set(re.findall(r"\w+", manual)), set())


def test_no_series_is_told_twice():
    _, api = busy_daemon(server={"workers": 2})
    series = [line.rpartition(" ")[0] for line in api.metrics().text.splitlines()
              if not line.startswith("#")]

    expect("told twice", sorted({s for s in series if series.count(s) > 1}), [])


@cases(
    {
        "nothing": ((), TEXT),
        "anything": (("Accept: */*",), TEXT),
        "text": (("Accept: text/plain",), TEXT),
        "openmetrics": ((f"Accept: {OPENMETRICS}",), OPENMETRICS),
        "version_1": ((f"Accept: {OPENMETRICS}; version=1.0.0; charset=utf-8",), OPENMETRICS),
        "prometheus": (
            (
                f"Accept: {OPENMETRICS};version=1.0.0,{OPENMETRICS};version=0.0.1;q=0.75,"
                "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            OPENMETRICS,
        ),
        "text_rather": ((f"Accept: {OPENMETRICS};q=0.2, text/plain;q=0.9",), TEXT),
        "openmetrics_never": ((f"Accept: {OPENMETRICS};q=0, */*",), TEXT),
        "json": (("Accept: application/json",), TEXT),
    }
)
def test_format_is_what_is_accepted(fields, wanted):
    answer = Api(serve()).call("GET", "/metrics", None, *fields)

    expect("status", answer.status, 200)
    if wanted == TEXT:
        expect("Content-Type", answer.field("Content-Type"), TEXT)
    else:
        expect_match("Content-Type", answer.field("Content-Type"),
                     rf"^{OPENMETRICS}; ?version=1\.0\.0; ?charset=utf-8$")
    expect("it ends with EOF", answer.body.endswith(b"# EOF\n"), wanted == OPENMETRICS)


def test_openmetrics_says_the_same():
    _, api = busy_daemon()
    text = api.metrics().text
    answer = api.call("GET", "/metrics", None, f"Accept: {OPENMETRICS}")

    open_text = answer.body.decode().removesuffix("# EOF\n")
    expect("EOF once", open_text.count("# EOF"), 0)

    def families(of):
        return [name.removesuffix("_total") for name in re.findall(r"^# TYPE (\S+)", of, re.M)]

    expect("families", families(open_text), families(text))
    for name in re.findall(r"^# TYPE (\S+) counter$", open_text, re.M):
        if name.endswith("_total"):
            fail(f"the family of a counter is {name}")
    for name, series in Metrics(text).series.items():
        expect(f"series of {name}", [labels for labels, _ in Metrics(open_text).series[name]],
               [labels for labels, _ in series])


def test_histograms_add_up():
    _, api = busy_daemon()
    text = api.metrics().text

    names = re.findall(r"^# TYPE (\S+) histogram$", text, re.M)
    expect("some are there", {"xdp_throttle_http_request_duration_seconds",
                              "xdp_throttle_check_duration_seconds"} <= set(names), True)
    metrics = Metrics(text)
    for name in names:
        runs = {}
        for labels, value in metrics.series.get(name + "_bucket", []):
            rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
            runs.setdefault(rest, []).append((float(labels["le"]), value))
        for rest, run in runs.items():
            expect(f"bounds of {name}", run, sorted(run))
            counts = [count for _, count in run]
            expect(f"counts of {name}", counts, sorted(counts))
            expect(f"last bound of {name}", run[-1][0], float("inf"))
            total = metrics.value(name.removeprefix("xdp_throttle_") + "_count", **dict(rest))
            expect(f"count of {name}", run[-1][1], total)


# --- numbers that follow ------------------------------------------------------------------


def test_checks_are_counted_by_verdict():
    daemon = serve(server={"workers": 2})
    Api(daemon).set("counted", 30, SLOW)
    for _ in range(10):
        Api(daemon).verdicts("counted", 5)
    api = Api(daemon)
    api.check("counted", 0)

    metrics = api.metrics()

    expect("allowed", metrics.value("checks_total", verdict="allowed"), 30)
    expect("denied", metrics.value("checks_total", verdict="denied"), 20)


def test_batch_counts_each_of_its_checks():
    api = Api(serve())
    api.set("batch", 3, SLOW)

    api.checks(*[("batch", 1)] * 5)

    metrics = api.metrics()
    expect("allowed", metrics.value("checks_total", verdict="allowed"), 3)
    expect("denied", metrics.value("checks_total", verdict="denied"), 2)
    expect("requests", metrics.value("api_requests_total", call="check"), 1)
    expect("durations", metrics.value("check_duration_seconds_count"), 1)


def test_requests_are_counted_by_route_status_and_verdict():
    daemon, api = busy_daemon()

    metrics = api.metrics()

    def count(**labels):
        return metrics.value("http_requests_total", **labels)

    expect("of /a", count(route="/a", status="2xx", verdict="allowed"), 3)
    expect("of /b", count(route="/b", status="2xx", verdict="allowed"), 1)
    expect("of the target that is down", count(route="/down", status="5xx"), 1)
    expect("of no route", count(route="", status="4xx"), 1)
    expect("limited", count(verdict="limited", status="4xx"), 1)
    expect("durations of /a",
           metrics.value("http_request_duration_seconds_count", route="/a"), 4)
    expect_within("errors of targets", metrics.value("http_upstream_errors_total"), 1, 10)


def test_api_counts_its_own():
    daemon, api = busy_daemon()
    before = api.metrics()

    Api(daemon).call("GET", "/health")
    Api(daemon).put("more", 5, 1)
    Api(daemon).call("GET", "/nothing")

    def grown(name, **labels):
        return (metrics.value(name, **labels) or 0) - (before.value(name, **labels) or 0)

    metrics = api.metrics()
    expect("of health", grown("api_requests_total", call="health"), 1)
    expect("of config", grown("api_requests_total", call="config"), 1)
    expect("4xx", grown("api_responses_total", status="4xx"), 1)


def test_connections_are_counted_while_they_are_open():
    daemon = serve([route("/", Upstream())])
    api = Api(daemon)
    wait_for_metric(api, 1, "api_connections")
    clients = [daemon.connect() for _ in range(5)]
    others = [Api(daemon) for _ in range(3)]
    for client in clients:
        client.ask()
    for other in others:
        other.call("GET", "/health")

    metrics = api.metrics()
    expect("of the proxy", metrics.value("http_connections"), 5)
    expect("of the API", metrics.value("api_connections"), 4)
    for client in clients + others:
        client.close()

    wait_for_metric(api, 0, "http_connections")
    wait_for_metric(api, 1, "api_connections")


def test_room_for_connections_is_told():
    daemon = serve(server={"workers": 2, "max_connections": 100})
    expect("room", Api(daemon).metrics().value("http_connections_max"), 100)

    daemon.reload(daemon.file.read_text().replace("connections: 100", "connections: 200"))

    expect("room after a reload", Api(daemon).metrics().value("http_connections_max"), 200)


def test_refused_tokens_and_requests_are_counted():
    file = new_directory() / "token"
    file.write_text("a-token-of-some-length")
    file.chmod(0o600)
    daemon = serve(api={"token_file": str(file),
                        "rate_limit": {"requests_per_minute": 1, "burst": 20}})
    for _ in range(3):
        Api(daemon).call("GET", "/ready")
    good = Api(daemon, "127.0.0.2", token="a-token-of-some-length")
    for _ in range(25):
        Api(daemon, "127.0.0.3").call("GET", "/ready")

    metrics = good.metrics()
    expect("unauthorized", metrics.value("api_unauthorized_total"), 23)
    expect("limited", metrics.value("api_rate_limited_total"), 5)


def test_workers_and_their_deaths_are_told():
    daemon = serve(server={"workers": 2})
    daemon.may_lose_workers = True
    api = Api(daemon)
    expect("workers", api.metrics().value("workers"), 2)
    expect("restarts", api.metrics().value("worker_restarts_total"), 0)

    since = len(daemon.log.lines)
    workers = daemon.workers()
    os.kill(workers[0], signal.SIGKILL)
    daemon.log.wait_for("worker", since)
    wait_until("another worker",
               lambda: len(daemon.workers()) == 2 and workers[0] not in daemon.workers())

    wait_until("a restart is counted",
               lambda: Api(daemon).metrics().value("worker_restarts_total") == 1)


def test_cpu_time_is_that_of_all_processes_that_were():
    daemon = serve(server={"workers": 2})
    daemon.may_lose_workers = True
    api = Api(daemon)

    def spent():
        return Api(daemon).metrics().value("cpu_seconds_total")

    before = spent()
    api.verdicts("busy", 1000)
    wait_until("the work is told", lambda: spent() > before)
    before = spent()
    for worker in daemon.workers():
        os.kill(worker, signal.SIGKILL)
    wait_until("they were restarted",
               lambda: Api(daemon).metrics().value("worker_restarts_total") == 2)

    expect("it goes on", spent() >= before > 0, True)


def test_counters_survive_a_worker_and_a_reload():
    daemon = serve()
    daemon.may_lose_workers = True
    api = Api(daemon)
    api.verdicts("kept", 5)
    [worker] = daemon.workers()

    daemon.reload(daemon.file.read_text())
    os.kill(worker, signal.SIGKILL)
    wait_until("another worker", lambda: daemon.workers() not in ([], [worker]))

    expect("allowed", Api(daemon).metrics().value("checks_total", verdict="allowed"), 5)


def test_reloads_are_counted_by_result():
    daemon = serve()
    good = daemon.file.read_text()
    api = Api(daemon)
    before = api.metrics()
    expect("successful", before.value("config_last_reload_successful"), 1)

    daemon.reload(good)
    daemon.reload(good)
    daemon.reload("no: good")

    wait_until("a refused one is counted",
               lambda: Api(daemon).metrics().value("reloads_total", result="refused") == 1)
    metrics = Api(daemon).metrics()
    expect("done", metrics.value("reloads_total", result="ok"), 2)
    expect("successful", metrics.value("config_last_reload_successful"), 0)
    expect_within("timestamp", metrics.value("config_last_reload_timestamp_seconds"),
                  time.time() - 60, time.time() + 1)


def test_program_tells_its_version_and_start():
    metrics = Api(serve()).metrics()

    [(labels, value)] = metrics.series["xdp_throttle_build_info"]
    expect("value", value, 1)
    expect_match("version", labels["version"], r"^\d+\.\d+\.\d+")
    expect_within("start", metrics.value("start_time_seconds"), time.time() - 60, time.time() + 1)


def test_memory_table_is_told():
    api = Api(serve(store={"memory": {"max_keys": 1000}}))
    api.verdicts("a", 3)

    metrics = api.metrics()
    expect_within("cells", metrics.value("memory_cells"), 1000, 100_000)
    expect("takings", metrics.value("memory_takings_total", place="own"), 3)
    expect("cells in use", metrics.value("memory_cells_used"), 1)
    expect("quotas", metrics.value("store_quotas"), 0)
    api.set("a", 5, 1)
    expect("quotas", api.metrics().value("store_quotas"), 1)


# --- what must not be there -----------------------------------------------------------------


def test_labels_name_no_key_and_no_client():
    upstream = Upstream()
    daemon = serve([route("/", upstream)], rate_limit=limit("1/s", 5),
                   trusted_proxies=["127.0.0.1"])
    api = Api(daemon, "127.0.0.77")
    for number in range(100):
        api.check(f"customer-{number}")
        ask_once(daemon.port, f"/path-{number}?q={number}", f"X-Forwarded-For: 192.0.2.{number}")
    api.set("customer-quota", 5, 1)

    metrics = api.metrics()

    for word in ("customer", "192.0.2", "127.0.0.77", "path-"):
        if word in metrics.text:
            fail(f"{word} is in:\n{metrics.text}")
    names = {name for series in metrics.series.values() for labels, _ in series for name in labels}
    known = {"route", "status", "verdict", "le", "call", "version", "kind", "place", "result",
             "reason", "target", "degraded", "state"}
    expect("labels that nobody knows", names - known, set())


def test_three_thousand_routes_are_told():
    upstream = Upstream()
    daemon = serve([route(f"/r{number}", upstream) for number in range(3000)])
    for number in range(0, 3000, 10):
        ask_once(daemon.port, f"/r{number}")
    api = Api(daemon)

    api.sock.settimeout(DEADLINE_S)
    metrics = api.metrics()

    expect("of the last", metrics.value("http_requests_total", route="/r2990"), 1)
    expect("in all", metrics.value("http_requests_total"), 300)


def test_reader_that_stops_keeps_nobody_waiting():
    upstream = Upstream()
    daemon = serve([route(f"/route-number-{number:04d}", upstream) for number in range(1000)])
    for number in range(300):
        ask_once(daemon.port, f"/route-number-{number:04d}")
    stuck = Api(daemon)
    for _ in range(50):
        stuck.send_call("GET", "/metrics")

    expect("status of another", Api(daemon).call("GET", "/health").status, 200)
    for _ in range(50):
        expect("status", stuck.read_answer().status, 200)


def test_head_has_no_body():
    api = Api(serve())

    expect("status", api.call("HEAD", "/metrics").status, 200)
    expect("status of the next", api.call("GET", "/health").status, 200)


# --- the packet layer -------------------------------------------------------------------------


SEND_SYNS = """
import socket, struct
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("there", 0))
ip = bytes.fromhex("4500002800000000400600000a4d01020a4d0101")
for port in range(100):
    tcp = struct.pack("!HHIIBBHHH", 1024 + port, 80, 1, 0, 0x50, 2, 1024, 0, 0)
    sock.send(b"\\xff" * 6 + b"\\x02\\0\\0\\0\\0\\1" + b"\\x08\\0" + ip + tcp)
"""


def in_network_of(daemon, *command):
    subprocess.run(["nsenter", f"--net=/proc/{daemon.pid}/ns/net", *command], check=True,
                   timeout=DEADLINE_S)


def test_packets_are_told_where_the_layer_is():
    daemon = serve_packets()
    api = Api(daemon)

    in_network_of(daemon, sys.executable, "-c", SEND_SYNS)

    wait_for_metric(api, 80, "packets_total", verdict="dropped")
    metrics = api.metrics()
    expect_within("passed", metrics.value("packets_total", verdict="passed"), 20, 200)
    expect("by reasons", metrics.value("packet_reasons_total"), metrics.value("packets_total"))
    expect("promtool", promtool(metrics.text), (0, ""))


def test_interface_that_lost_the_throttle_is_told():
    daemon = serve_packets()
    api = Api(daemon)
    wait_for_metric(api, 1, "packet_interfaces")

    in_network_of(daemon, "ip", "link", "set", "dev", "here", "xdp", "off")

    wait_for_metric(api, 0, "packet_interfaces")
    metrics = api.metrics()
    expect("configured", metrics.value("packet_interfaces_configured"), 1)
    expect("packets that nobody counts", metrics.value("packets_total"), None)
    expect("promtool", promtool(metrics.text), (0, ""))


if __name__ == "__main__":
    run_suite()
