#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Header fields: what the proxy takes out, leaves, and writes itself, for clients and
for trusted proxies in front of it.
"""
import email.utils
import time

from daemon import start
from message import request, response
from support import cases, expect, expect_match, expect_within, run_suite, shared
from upstream import Upstream, answering

UNTRUSTED = "127.0.0.1"
TRUSTED = "127.0.0.9"


@shared
def proxied():
    upstream = Upstream()
    return start({"/": upstream}, trusted_proxies=[TRUSTED]), upstream


def forwarded(*fields, source=UNTRUSTED, method="GET", target="/", **more):
    """The request as the upstream gets it."""
    proxy, upstream = proxied()
    upstream.forget()
    answer = proxy.connect(source).ask(method, target, *fields, **more)
    expect("status", answer.status, 200)
    [message] = upstream.requests
    return message


def returned(*fields, asked=(), **more):
    """The response as the client gets it."""
    upstream = Upstream(answering(response(b"ok", *fields, **more)))
    return start({"/": upstream}).connect().ask("GET", "/", *asked)


def pairs(forwarded_field):
    """The elements of a Forwarded field as dictionaries, in their order."""
    return [
        {name.lower(): value.strip('"') for name, _, value in
         (pair.partition("=") for pair in element.strip().split(";"))}
        for element in forwarded_field.split(",")
    ]


# --- requests -----------------------------------------------------------------------


def test_fields_of_the_client_are_kept_in_order_and_to_the_byte():
    fields = ["X-Two: b", "Accept: */*", "x-one:  a\tb ", "X-Two: c", "Cookie: k=v; l=w",
              "X-Latin: caf\xe9", "X-Empty:", "User-Agent: a, b", "Authorization: Basic eDp5"]

    message = forwarded(*fields)

    names = {line.partition(":")[0] for line in fields}
    got = [(name, value.strip()) for name, value in message.fields if name in names]
    wanted = [(line.partition(":")[0], line.partition(":")[2].strip(" \t")) for line in fields]
    expect("fields", got, wanted)


def test_host_is_first_and_as_sent():
    message = forwarded("X-First: a", host="Site.Test:8080")

    expect("first field", message.fields[0], ("Host", "Site.Test:8080"))


def test_request_line_is_http_1_1_for_a_1_0_client():
    expect("request line", forwarded(version="HTTP/1.0").start, "GET / HTTP/1.1")


HOP_BY_HOP = {
    "connection_close": ["Connection: close"],
    "connection_keep_alive": ["Connection: keep-alive", "Keep-Alive: timeout=5"],
    "keep_alive": ["Keep-Alive: timeout=5"],
    "proxy_connection": ["Proxy-Connection: keep-alive"],
    "te": ["TE: trailers, deflate"],
    "upgrade_without_connection": ["Upgrade: websocket"],
    "upgrade_h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                    "HTTP2-Settings: AAMAAABk"],
    "nominated": ["Connection: close, X-Secret, x-other", "X-Secret: 1", "X-Other: 2"],
    "nominated_before": ["X-Secret: 1", "Connection: X-Secret"],
    "nominated_in_another_line": ["Connection: close", "Connection: X-Secret", "X-Secret: 1"],
}


@cases({name: (fields,) for name, fields in HOP_BY_HOP.items()})
def test_request_loses(fields):
    message = forwarded("X-Kept: 1", *fields)

    for line in fields:
        expect(line, message.all(line.partition(":")[0]), [])
    expect("X-Kept", message.field("X-Kept"), "1")


def test_connection_cannot_nominate_what_frames_the_body():
    message = forwarded("Connection: Content-Length", method="POST", body=b"hello")

    expect("Content-Length", message.field("Content-Length"), "5")
    expect("body", message.body, b"hello")


@cases(
    {
        "x_forwarded_for": "X-Forwarded-For",
        "host": "Host",
        "via": "Via",
        "x_request_id": "X-Request-Id",
    }
)
def test_connection_cannot_nominate_what_the_proxy_writes(name):
    message = forwarded(f"Connection: {name}")

    expect(name, len(message.all(name)), 1)


# --- who asked ------------------------------------------------------------------------

SPOOFED = [
    "X-Forwarded-For: 203.0.113.7, 203.0.113.8",
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.test",
    "Forwarded: for=203.0.113.7;proto=https",
    "Via: 1.1 inner",
]


def test_what_an_untrusted_peer_says_is_replaced():
    message = forwarded(*SPOOFED)

    expect("X-Forwarded-For", message.field("X-Forwarded-For"), UNTRUSTED)
    expect("X-Forwarded-Proto", message.field("X-Forwarded-Proto"), "http")
    expect("X-Forwarded-Host", message.field("X-Forwarded-Host"), "site.test")
    expect("Forwarded", pairs(message.field("Forwarded")),
           [{"for": UNTRUSTED, "host": "site.test", "proto": "http"}])
    expect("Via", message.field("Via"), "1.1 xdp-throttle")


def test_what_a_trusted_peer_says_is_continued():
    message = forwarded(*SPOOFED, source=TRUSTED)

    expect("X-Forwarded-For", message.field("X-Forwarded-For").replace(" ", ""),
           f"203.0.113.7,203.0.113.8,203.0.113.9,{TRUSTED}")
    expect("X-Forwarded-Proto", message.field("X-Forwarded-Proto"), "https")
    expect("X-Forwarded-Host", message.field("X-Forwarded-Host"), "shop.test")
    first, second = pairs(message.field("Forwarded"))
    expect("first of Forwarded", first, {"for": "203.0.113.7", "proto": "https"})
    expect("second of Forwarded", second["for"], TRUSTED)
    expect("Via", message.field("Via"), "1.1 inner, 1.1 xdp-throttle")


def test_what_a_trusted_peer_does_not_say_is_written():
    message = forwarded(source=TRUSTED)

    expect("X-Forwarded-For", message.field("X-Forwarded-For"), TRUSTED)
    expect("X-Forwarded-Proto", message.field("X-Forwarded-Proto"), "http")
    expect("X-Forwarded-Host", message.field("X-Forwarded-Host"), "site.test")


TWINS = ["X_Forwarded_For", "X-Forwarded_Proto", "x_forwarded_host", "Content_Length",
         "Transfer_Encoding", "X_Request_Id", "X_Request-ID"]


@cases({"untrusted": UNTRUSTED, "trusted": TRUSTED})
def test_fields_that_cgi_takes_for_those_of_the_proxy_are_left_out(source):
    message = forwarded(*(f"{name}: 7" for name in TWINS), "X_Custom: 1", source=source)

    expect("twins", [name for name, _ in message.fields if name in TWINS], [])
    expect("X_Custom", message.field("X_Custom"), "1")
    expect("X-Forwarded-For", message.field("X-Forwarded-For"), source)


def test_forwarded_quotes_a_host_with_a_port():
    message = forwarded(host="site.test:8080")

    expect_match("Forwarded", message.field("Forwarded"), r'host="site\.test:8080"')


def test_via_names_the_version_of_a_1_0_client():
    expect("Via", forwarded(version="HTTP/1.0").field("Via"), "1.0 xdp-throttle")


def test_request_id_is_passed():
    expect("X-Request-Id", forwarded("X-Request-Id: a-B_3.:/+=@").field("X-Request-Id"),
           "a-B_3.:/+=@")


@cases(
    {
        "none": ([],),
        "unfit_bytes": (["X-Request-Id: a b"],),
        "too_long": (["X-Request-Id: " + "a" * 129],),
        "empty": (["X-Request-Id:"],),
        "two": (["X-Request-Id: a", "X-Request-Id: b"],),
    }
)
def test_request_id_is_made_for(fields):
    made = {forwarded(*fields).field("X-Request-Id") for _ in range(3)}

    expect("different ids", len(made), 3)
    for identifier in made:
        expect_match("X-Request-Id", identifier, r"^[A-Za-z0-9._-]{8,128}$")


# --- responses ------------------------------------------------------------------------


def test_response_is_kept_in_order_and_to_the_byte():
    fields = ["X-Two: b", "Set-Cookie: a=1", "Set-Cookie: b=2", "Server: x/1", "X-Latin: caf\xe9"]

    answer = returned(*fields, status="207 Quite \xe9 Odd")

    expect("status line", answer.start, "HTTP/1.1 207 Quite \xe9 Odd")
    names = {line.partition(":")[0] for line in fields}
    got = [f"{name}: {value}" for name, value in answer.fields if name in names]
    expect("fields", got, fields)


def test_empty_reason_is_kept():
    upstream = Upstream(answering(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"))

    expect("status line", start({"/": upstream}).connect().ask().start, "HTTP/1.1 200 ")


@cases(
    {
        "keep_alive": (["Keep-Alive: timeout=5"],),
        "proxy_connection": (["Proxy-Connection: close"],),
        "upgrade": (["Upgrade: h2c"],),
        "nominated": (["Connection: X-Secret", "X-Secret: 1"],),
    }
)
def test_response_loses(fields):
    answer = returned("X-Kept: 1", *fields)

    for line in fields:
        expect(line, answer.all(line.partition(":")[0]), [])
    expect("X-Kept", answer.field("X-Kept"), "1")


def test_connection_close_of_the_upstream_is_not_the_clients():
    upstream = Upstream(
        lambda peer: peer.next_request() and peer.send(response(b"ok", "Connection: close"))
    )
    client = start({"/": upstream}).connect()

    for _ in range(3):
        answer = client.ask()
        expect("Connection", answer.field("Connection"), None)
        expect("body", answer.body, b"ok")


def test_via_of_a_response_is_continued():
    expect("Via", returned("Via: 1.1 inner").field("Via"), "1.1 inner, 1.1 xdp-throttle")


def test_date_is_kept():
    date = "Sun, 06 Nov 1994 08:49:37 GMT"

    expect("Date", returned(f"Date: {date}").field("Date"), date)


def test_date_is_written_where_there_is_none():
    date = returned().field("Date")

    expect_match("Date", date, r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
    off = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    expect_within("seconds off", off, -5, 5)


def test_pipelined_answers_do_not_mix_their_fields():
    upstream = Upstream(answering(lambda m: response(b"ok", f"X-For: {m.target}")))
    client = start({"/": upstream}).connect()

    client.send(b"".join(request("GET", f"/{i}") for i in range(10)))

    got = [client.read_response().field("X-For") for _ in range(10)]
    expect("X-For", got, [f"/{i}" for i in range(10)])


if __name__ == "__main__":
    run_suite()
