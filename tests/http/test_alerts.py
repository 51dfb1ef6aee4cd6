#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The rules and alerts for Prometheus, by promtool: what fires for which series, and what does not."""
import json
import pathlib
import re
import subprocess
import tempfile

from api import Api, Metrics, serve, serve_packets, wait_for_metric
from client import ask_once
from daemon import limit, route
from support import cases, defer, expect, run_suite
from upstream import Upstream

RULES = pathlib.Path(__file__).parents[2] / "configs" / "prometheus-rules.yml"
LABELS = 'job="xdp-throttle",instance="a"'
REQUESTS = f'http_requests_total{{{LABELS},route="/",status="%s",verdict="%s"}}'
TAKINGS = f'store_takings_total{{{LABELS},verdict="%s",degraded="%s"}}'
REASON = f'packet_reasons_total{{{LABELS},reason="%s"}}'


def firing(series, minute):
    """The names of the alerts that fire for series of one value a minute."""
    inputs = [
        {"series": name if name.startswith("up{") else f"xdp_throttle_{name}", "values": values}
        for name, values in series.items()
    ]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": inputs,
                "promql_expr_test": [
                    {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minute}m"}
                ],
            }
        ],
    }
    directory = tempfile.TemporaryDirectory()
    defer(directory.cleanup)
    path = pathlib.Path(directory.name) / "tests.yml"
    path.write_text(json.dumps(document))
    # None is expected, so promtool fails, and says which there are.
    result = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    output = result.stdout + result.stderr
    expect("trouble of promtool", re.findall(r"(?m)^.*(?:parse|error).*$", output), [])
    return sorted(re.findall(r'alertname="(\w+)"', output))


def test_the_rules_are_valid():
    result = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )

    expect("status of promtool", (result.returncode, result.stderr), (0, ""))


def everything_served():
    """The metrics of two daemons that have all there is between them."""
    alone = serve([route("/", Upstream())], rate_limit=limit("1/m", 1))
    for _ in range(2):
        ask_once(alone.port, "/")
    challenge = {"per_second": 1, "on_overload": "challenge"}
    shared = serve_packets(
        xdp={"services": [{"name": "web", "ports": [80], "new_sources": challenge}]},
        store={"backend": "redis", "redis": {"url": "redis://127.0.0.1:1"}},
    )
    wait_for_metric(Api(shared), 1, "packet_interfaces")
    return Metrics(Api(alone).metrics().text + Api(shared).metrics().text)


def test_rules_ask_for_what_is_served():
    rules = RULES.read_text()
    served = everything_served().series
    values = {pair for series in served.values() for labels, _ in series for pair in labels.items()}

    asked = set(re.findall(r"(?<!:)\bxdp_throttle_\w+\b(?!:)", rules))
    expect("metrics that nobody serves", asked - served.keys(), set())
    for label, wanted in re.findall(r'(\w+)=~?"([^"]+)"', rules):
        for each in wanted.split("|") if label != "job" else ():
            found = [text for name, text in values if name == label and re.fullmatch(each, text)]
            expect(f"{label} {each} is served", bool(found), True)


def test_nothing_fires_while_all_is_well():
    series = {
        f"up{{{LABELS}}}": "1x30",
        f"config_last_reload_successful{{{LABELS}}}": "1x30",
        f"store_breaker_state{{{LABELS}}}": "0x30",
        f"store_instances{{{LABELS}}}": "2x30",
        TAKINGS % ("allowed", "false"): "0+600x30",
        TAKINGS % ("denied", "true"): "0+1x30",
        f'worker_restarts_total{{{LABELS},worker="0"}}': "0x10 1x20",
        f'memory_takings_total{{{LABELS},place="own"}}': "0+600x30",
        f'memory_takings_total{{{LABELS},place="none"}}': "0x30",
        f"memory_cells{{{LABELS}}}": "1000x30",
        f"memory_cells_used{{{LABELS}}}": "700x30",
        f"workers{{{LABELS}}}": "4x30",
        f"workers_serving{{{LABELS}}}": "4x10 3 4x20",
        f"cpu_seconds_total{{{LABELS}}}": "0+120x30",
        f"http_connections_max{{{LABELS}}}": "1000x30",
        f"http_connections{{{LABELS}}}": "800x30",
        f"packet_interfaces_configured{{{LABELS}}}": "2x30",
        f"packet_interfaces{{{LABELS}}}": "2x30",
        REQUESTS % ("2xx", "allowed"): "0+600x30",
        REQUESTS % ("4xx", "limited"): "0+60x30",
        f"http_upstream_errors_total{{{LABELS}}}": "0+6x30",
        f'http_target_up{{{LABELS},target="10.0.0.1:80"}}': "1x30",
        f'packets_total{{{LABELS},verdict="dropped"}}': "0+6000x30",
        f'packets_total{{{LABELS},verdict="challenged"}}': "0+6000x30",
        f"challenge_ready{{{LABELS}}}": "1x30",
        REASON % "challenged": "0+6000x30",
        REASON % "unchallenged": "0+610x30",
        REASON % "no_own_bucket": "0+60x30",
        f"notes_dropped_total{{{LABELS}}}": "0+1x30",
        f'api_responses_total{{{LABELS},status="4xx"}}': "0+600x30",
        f'api_responses_total{{{LABELS},status="5xx"}}': "0x10 3x20",
        f"api_unauthorized_total{{{LABELS}}}": "0+1x30",
    }

    expect("alerts", firing(series, 25), [])


TROUBLES = {
    "Down": {f"up{{{LABELS}}}": "1x5 0x30"},
    "ReloadFailed": {f"config_last_reload_successful{{{LABELS}}}": "1x5 0x30"},
    "WorkersRestarting": {
        f'worker_restarts_total{{{LABELS},worker="0"}}': "0x5 2x30",
        f'worker_restarts_total{{{LABELS},worker="1"}}': "0x10 2x30",
    },
    "BreakerOpen": {f"store_breaker_state{{{LABELS}}}": "0x5 2x30"},
    "Degraded": {
        TAKINGS % ("allowed", "false"): "0+60x30",
        TAKINGS % ("allowed", "true"): "0+3x30",
        TAKINGS % ("denied", "true"): "0+3x30",
    },
    "InstancesMissing": {f"store_instances{{{LABELS}}}": "3x5 2x30"},
    "Busy": {f"workers{{{LABELS}}}": "2x30", f"cpu_seconds_total{{{LABELS}}}": "0+114x30"},
    "WorkersNotServing": {
        f"workers{{{LABELS}}}": "4x30",
        f"workers_serving{{{LABELS}}}": "4x5 3x30",
    },
    "MemoryTableFilling": {
        f"memory_cells{{{LABELS}}}": "1000x30",
        f"memory_cells_used{{{LABELS}}}": "700x5 850x30",
    },
    "ConnectionsFull": {
        f"http_connections_max{{{LABELS}}}": "1000x30",
        f"http_connections{{{LABELS}}}": "800x5 950x30",
    },
    "InterfacesMissing": {
        f"packet_interfaces_configured{{{LABELS}}}": "2x30",
        f"packet_interfaces{{{LABELS}}}": "2x5 1x30",
    },
    "ApiErrors": {f'api_responses_total{{{LABELS},status="5xx"}}': "0x5 0+5x30"},
    "MemoryTableRefusing": {
        f'memory_takings_total{{{LABELS},place="none"}}': "0x15 9x30",
    },
    "MemoryTableShared": {
        f'memory_takings_total{{{LABELS},place="own"}}': "0+60x30",
        f'memory_takings_total{{{LABELS},place="group"}}': "0+6x30",
    },
    "ManyRequestsLimited": {
        REQUESTS % ("2xx", "allowed"): "0+600x30",
        REQUESTS % ("4xx", "limited"): "0+600x30",
    },
    "UpstreamErrors": {
        REQUESTS % ("2xx", "allowed"): "0+600x30",
        f"http_upstream_errors_total{{{LABELS}}}": "0+60x30",
    },
    "TargetDown": {
        f'http_target_up{{{LABELS},target="10.0.0.1:80"}}': "1x30",
        f'http_target_up{{{LABELS},target="10.0.0.2:80"}}': "1x5 0x30",
    },
    "PacketDropsSurge": {
        f'packets_total{{{LABELS},verdict="dropped"}}': "0+6000x10 60000+600000x20",
    },
    "Unchallenged": {
        REASON % "challenged": "0+6000x30",
        REASON % "unchallenged": "0+1200x30",
    },
    "ChallengeNotReady": {f"challenge_ready{{{LABELS}}}": "1x5 0x30"},
    "NoOwnBuckets": {REASON % "no_own_bucket": "0+1200x30"},
    "NotesDropped": {f"notes_dropped_total{{{LABELS}}}": "0+600x30"},
    "Unauthorized": {f"api_unauthorized_total{{{LABELS}}}": "0+600x30"},
}


def as_case(name):
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


@cases({as_case(name): (name, series) for name, series in TROUBLES.items()})
def test_fires_for(name, series):
    expect("alerts", firing(series, 18), [f"XdpThrottle{name}"])


def test_a_breaker_that_is_probed_now_and_then_is_open():
    series = {f"store_breaker_state{{{LABELS}}}": "0x5 " + "2 1 " * 10}

    expect("alerts", firing(series, 18), ["XdpThrottleBreakerOpen"])


def test_a_target_that_is_tried_now_and_then_is_down():
    series = {f'http_target_up{{{LABELS},target="10.0.0.2:80"}}': "1x5 " + "0 0 1 " * 10}

    expect("alerts", firing(series, 18), ["XdpThrottleTargetDown"])


def test_an_instance_that_was_counted_twice_when_it_restarted_is_not_missing():
    series = {f"store_instances{{{LABELS}}}": "2x20 3 2x20"}

    expect("alerts", firing(series, 35), [])


def test_a_flood_that_is_challenged_is_a_surge():
    series = {
        f'packets_total{{{LABELS},verdict="dropped"}}': "0+6000x30",
        f'packets_total{{{LABELS},verdict="challenged"}}': "0x10 60000+600000x20",
    }

    expect("alerts", firing(series, 18), ["XdpThrottlePacketDropsSurge"])


def test_a_kernel_that_makes_no_cookies_at_all_is_told_of():
    series = {REASON % "challenged": "0x30", REASON % "unchallenged": "0+1200x30"}

    expect("alerts", firing(series, 18), ["XdpThrottleUnchallenged"])


def test_drops_that_go_on_as_ever_are_no_surge():
    series = {f'packets_total{{{LABELS},verdict="dropped"}}': "0+600000x120"}

    expect("alerts", firing(series, 110), [])


if __name__ == "__main__":
    run_suite()
