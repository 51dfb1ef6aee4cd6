#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients that go on over their limits, where there is no packet layer to block them: what
is refused of a configuration, and that a refusal costs nobody more than a refusal."""
import re

from api import Api, serve
from daemon import configuration, expect_refused, limit, route, start
from support import cases, expect, run_suite
from upstream import Upstream

BLOCK = {"refusals_per_minute": 5}


@cases(
    {
        "without_an_xdp_section": {},
        "with_an_xdp_section": {"xdp": {"per_source": {"connections_per_second": 10}}},
    }
)
def test_block_is_refused_without_interfaces(more):
    config = configuration({"/": Upstream()}, **more)
    config["rate_limit"] = limit("1/m", 1) | {"block": BLOCK}

    expect_refused(config, r"rate_limit\.block needs the packet layer: write xdp\.interfaces")


def test_client_over_its_limit_keeps_its_connection_without_block():
    proxy = start({"/": Upstream()}, rate_limit=limit("1/m", 1))
    client = proxy.connect()

    statuses = [client.ask("GET", "/").status for _ in range(100)]

    expect("statuses", statuses, [200] + 99 * [429])


def test_metrics_say_nothing_of_clients_without_the_packet_layer():
    daemon = serve([route("/", Upstream())])
    expect("status", daemon.connect().ask("GET", "/").status, 200)

    text = Api(daemon).metrics().text

    expect("families", re.findall(r"^xdp_throttle_(?:verified|blocked|notes)\S*", text, re.M), [])
    expect("those of the proxy are there", "xdp_throttle_http_requests_total" in text, True)


if __name__ == "__main__":
    run_suite()
