#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The PROXY protocol, versions 1 and 2, before the first request of a connection."""
import ipaddress
import struct

from daemon import limit, start
from message import Closed, request
from support import cases, expect, fail, run_suite, shared
from upstream import Upstream

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(source, command=1, family=None, tail=b"", destination_port=80):
    address = ipaddress.ip_address(source)
    addresses = address.packed + address.packed + struct.pack("!HH", 4711, destination_port) + tail
    family = family or (0x11 if address.version == 4 else 0x21)
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


@shared
def proxied():
    upstream = Upstream()
    return start({"/": upstream}, server={"proxy_protocol": True}), upstream


def forwarded_for(*parts):
    """What the upstream is told of the client, when a connection begins with the parts."""
    proxy, upstream = proxied()
    upstream.forget()
    client = proxy.connect()
    client.send_in_parts(*parts[:-1], parts[-1] + request("GET", "/"))
    expect("status", client.read_response().status, 200)
    return upstream.requests[0].field("X-Forwarded-For")


SAME = "127.0.0.1"  # the socket's peer
HEADERS = {
    "v1_ipv4": (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", "192.0.2.1"),
    "v1_ipv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n", "2001:db8::1"),
    "v1_unknown": (b"PROXY UNKNOWN\r\n", SAME),
    "v1_unknown_and_more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", SAME),
    "v2_ipv4": (version_2("192.0.2.1"), "192.0.2.1"),
    "v2_ipv6": (version_2("2001:db8::1"), "2001:db8::1"),
    "v2_local": (version_2("192.0.2.1", command=0), SAME),
    "v2_unspecified": (SIGNATURE + b"\x21\x00\x00\x00", SAME),
    "v2_tlvs": (version_2("192.0.2.1", tail=b"\x04\x00\x03abc"), "192.0.2.1"),
}


@cases(HEADERS)
def test_accepted(header, source):
    expect("X-Forwarded-For", forwarded_for(header).strip('"[]'), source)


@cases({name: HEADERS[name] for name in ("v1_ipv4", "v2_ipv6", "v2_tlvs")})
def test_accepted_at_every_split(header, source):
    for at in range(1, len(header)):
        got = forwarded_for(header[:at], header[at:])
        expect(f"X-Forwarded-For with a split at {at}", got.strip('"[]'), source)


BAD = {
    "none": b"",
    "v1_small": b"proxy TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
    "v1_two_spaces": b"PROXY  TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
    "v1_other_family": b"PROXY TCP4 2001:db8::1 2001:db8::2 4711 80\r\n",
    "v1_no_address": b"PROXY TCP4 192.0.2.256 192.0.2.2 4711 80\r\n",
    "v1_no_port": b"PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
    "v1_port_out_of_range": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
    "v1_leading_zero": b"PROXY TCP4 192.0.2.1 192.0.2.2 04711 80\r\n",
    "v1_lf": b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\n",
    "v1_udp": b"PROXY UDP4 192.0.2.1 192.0.2.2 4711 80\r\n",
    "v1_too_long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "v2_version_3": b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c" + b"\0" * 12,
    "v2_bad_command": version_2("192.0.2.1", command=2),
    "v2_too_short": SIGNATURE + b"\x21\x11\x00\x04\0\0\0\0",
    "v2_too_long": SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 65535,
    "v2_bad_signature": b"\r\n\r\n\0\r\nQUIX\n\x21\x11\x00\x0c" + b"\0" * 12,
}


@cases(BAD)
def test_refused(header):
    proxy, upstream = proxied()
    upstream.forget()
    client = proxy.connect()

    try:
        client.send(header + request("GET", "/"))
        rest = client.read_to_end()
    except Closed:
        rest = client.unread()

    expect("answer", rest, b"")
    expect("requests at the upstream", upstream.requests, [])


@cases({name: HEADERS[name][0] for name in ("v1_ipv4", "v2_ipv4")})
def test_not_configured_is_malformed(header):
    upstream = Upstream()
    client = start({"/": upstream}).connect()

    client.send(header + request("GET", "/"))

    expect("status", client.read_response().status, 400)
    client.expect_closed()
    expect("requests at the upstream", upstream.requests, [])


def test_second_header_is_malformed():
    client = proxied()[0].connect()
    header = HEADERS["v1_ipv4"][0]

    client.send(header + request("GET", "/") + header + request("GET", "/"))

    expect("statuses", [client.read_response().status for _ in range(2)], [200, 400])


def test_limit_is_of_the_client_that_is_named():
    proxy = start({"/": Upstream()}, server={"proxy_protocol": True}, rate_limit=limit("1/m", 1))

    def status(source):
        client = proxy.connect()
        client.send(version_2(source) + request("GET", "/"))
        return client.read_response().status

    expect("statuses", [status(s) for s in ("192.0.2.1", "192.0.2.1", "192.0.2.2")],
           [200, 429, 200])


def test_named_peer_is_trusted_only_when_it_is_listed():
    upstream = Upstream()
    proxy = start({"/": upstream}, server={"proxy_protocol": True}, trusted_proxies=["192.0.2.1"])

    for source in ("192.0.2.1", "192.0.2.9"):
        client = proxy.connect()
        client.send(version_2(source) + request("GET", "/", "X-Forwarded-For: 203.0.113.1"))
        client.read_response()

    first, second = (m.field("X-Forwarded-For").replace(" ", "") for m in upstream.requests)
    expect("of the listed one", first, "203.0.113.1,192.0.2.1")
    expect("of another", second, "192.0.2.9")


def test_header_that_never_ends_is_closed():
    proxy = start({"/": Upstream()}, server={"proxy_protocol": True, "header_timeout": "200ms"})
    client = proxy.connect()

    client.send(b"PROXY TCP4 ")

    client.expect_closed()
    if client.unread():
        fail("it was answered")


if __name__ == "__main__":
    run_suite()
