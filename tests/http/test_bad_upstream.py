#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Upstreams that answer in a way that can be read in two ways, that lie about a length,
or that die at any byte. A client gets 502, or a response that is visibly cut; never
one that looks whole and is not, and never bytes of another response.
"""
import threading

from daemon import start
from message import CHUNKED, Closed, chunked, request, response
from support import cases, expect, expect_match, fail, run_suite
from upstream import Upstream, answering

OK = "HTTP/1.1 200 OK\r\n"
NO_RETRIES = {"retries": 0}


def serve_once(sent):
    """Answer one request with `sent`, and look how the proxy ends the connection."""

    def serve(peer):
        peer.next_request()
        peer.send(sent)
        peer.read_to_end()

    return serve


AMBIGUOUS = {
    "both_lengths": OK + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both_lengths_reversed": OK + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "two_lengths": OK + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two_equal_lengths": OK + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list_of_lengths": OK + "Content-Length: 5, 5\r\n\r\nhello",
    "negative_length": OK + "Content-Length: -5\r\n\r\nhello",
    "signed_length": OK + "Content-Length: +5\r\n\r\nhello",
    "hexadecimal_length": OK + "Content-Length: 0x5\r\n\r\nhello",
    "empty_length": OK + "Content-Length:\r\n\r\nhello",
    "length_overflow": OK + "Content-Length: 99999999999999999999\r\n\r\nhello",
    "coding_gzip": OK + "Transfer-Encoding: gzip\r\n\r\nhello",
    "coding_gzip_chunked": OK + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding_twice": OK + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n",
    "coding_not_last": OK + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "coding_identity": OK + "Transfer-Encoding: identity\r\n\r\nhello",
    "coding_empty": OK + "Transfer-Encoding:\r\n\r\nhello",
    "coding_in_1_0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding_in_204": "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs_fold": OK + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "fold_first": OK + " X-A: b\r\nContent-Length: 0\r\n\r\n",
    "space_before_colon": OK + "Content-Length : 0\r\n\r\n",
    "no_colon": OK + "hello\r\n\r\n",
    "empty_name": OK + ": x\r\nContent-Length: 0\r\n\r\n",
    "nul_in_value": OK + "X-A: \0\r\nContent-Length: 0\r\n\r\n",
    "control_in_value": OK + "X-A: \x01\r\nContent-Length: 0\r\n\r\n",
    "cr_in_value": OK + "X-A: b\rc\r\nContent-Length: 0\r\n\r\n",
    "lf_line_ends": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "lf_after_field": OK + "X-A: b\nContent-Length: 0\r\n\r\n",
    "junk": "hello, world\r\n\r\n",
    "http_0_9": "<html>hello</html>\r\n",
    "binary": "\x16\x03\x01\x02\x00\x01\r\n",
    "empty_line_first": "\r\n" + OK + "Content-Length: 0\r\n\r\n",
    "version_2": "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version_1_2": "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version_small": "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "two_spaces": "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n",
    "status_of_2_digits": "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status_of_4_digits": "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status_of_letters": "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "status_below_100": "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "status_above_599": "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status_negative": "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n",
    "no_status": "HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "control_in_reason": "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    "switch_that_nobody_asked_for": "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
    "Upgrade: websocket\r\n\r\n",
    "interim_with_a_coding": "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + OK,
    "head_too_large": OK + "X-A: " + "b" * 100_000 + "\r\n\r\n",
    "too_many_fields": OK + "X-A: b\r\n" * 2_000 + "\r\n",
    "a_request": "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n",
}


@cases({name: text.encode("latin-1") for name, text in AMBIGUOUS.items()})
def test_ambiguous(sent):
    upstream = Upstream(serve_once(sent))
    client = start({"/": upstream}, upstream=NO_RETRIES).connect()

    answer = client.ask()

    expect("status", answer.status, 502)
    expect("status in the problem", answer.problem["status"], 502)
    # The upstream's connection is closed, and the client's is in step.
    upstream.serve = answering(response(b"good"))
    expect("body of another", client.ask().body, b"good")
    expect("connections to the upstream", len(upstream.peers), 2)


def test_interim_response_has_no_body():
    sent = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + response(b"poison")
    client = start({"/": Upstream(serve_once(sent))}, upstream=NO_RETRIES).connect()

    answer = client.ask()
    if answer.status == 103:
        expect("Content-Length", answer.field("Content-Length"), None)
        answer = client.read_response()

    expect("status", answer.status, 502)


BAD_CHUNKS = {
    "size_0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size_negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size_overflow": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size_lf": b"5\nhello\r\n0\r\n\r\n",
    "size_space": b"5 \r\nhello\r\n0\r\n\r\n",
    "data_too_long": b"5\r\nhello!!\r\n0\r\n\r\n",
    "data_lf": b"5\r\nhello\n0\r\n\r\n",
    "extension_cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "trailer_folded": b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer_without_colon": b"5\r\nhello\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n",
    "trailers_lf": b"5\r\nhello\r\n0\r\n\n",
}


@cases(BAD_CHUNKS)
def test_bad_chunks(body):
    upstream = Upstream(serve_once(response(None, CHUNKED) + body))
    client = start({"/": upstream}, upstream=NO_RETRIES).connect()
    client.send(request("GET", "/"))

    expect_502_or_truncated(client)


@cases(BAD_CHUNKS)
def test_bad_chunks_for_a_1_0_client(body):
    upstream = Upstream(serve_once(response(None, CHUNKED) + body))
    client = start({"/": upstream}, upstream=NO_RETRIES).connect()
    client.send(request("GET", "/", version="HTTP/1.0"))

    expect_502_or_truncated(client)


def expect_502_or_truncated(client):
    try:
        answer = client.read_response()
    except Closed:
        return
    if answer.status != 502:
        fail(f"complete to the client: {answer}")


# --- more than one response -----------------------------------------------------------


@cases(
    {
        "length": (response(b"hello"), b"hello"),
        "chunked": (response(None, CHUNKED) + chunked(b"hello"), b"hello"),
        "204": (response(None, status="204 No Content"), b""),
    }
)
def test_bytes_after_a_response(sent, body):
    poison = response(b"poison")

    def serve(peer):
        peer.next_request()
        peer.send(sent + poison)
        peer.read_to_end()

    upstream = Upstream(serve)
    client = start({"/": upstream}, upstream=NO_RETRIES).connect()

    answer = client.ask()
    expect_match("status", str(answer.status), "^(200|204|502)$")
    if answer.status == 200:
        expect("body", answer.body, body)

    upstream.serve = answering(response(b"good"))
    expect("body of another", client.ask().body, b"good")


def test_bytes_on_an_idle_connection_are_not_the_next_response():
    def serve(peer):
        peer.next_request()
        poisoned.append(peer)
        peer.send(response(b"first"))
        peer.next_request()

    poisoned = []
    upstream = Upstream(serve)
    client = start({"/": upstream}).connect()
    expect("body", client.ask().body, b"first")

    upstream.serve = answering(response(b"good"))
    poisoned[0].send(response(b"poison"))

    for _ in range(3):
        expect("body", client.ask().body, b"good")


def test_body_of_head_is_not_the_next_response():
    def serve(peer):
        while message := peer.next_request():
            peer.send(response(response(b"poison")))
            if message.method == "HEAD":
                peer.read_to_end()

    client = start({"/": Upstream(serve)}, upstream=NO_RETRIES).connect()

    client.ask("HEAD")

    expect("body of the next", client.ask().body, response(b"poison"))


# --- death at every byte ----------------------------------------------------------------

WHOLE = {
    "length": response(b"hello, world", "X-A: b"),
    "chunked": response(None, CHUNKED) + chunked(b"hello,", b" world", trailers=["X-T: 1"]),
}


def die_at_every_byte(sent, how, version="HTTP/1.1"):
    """For each beginning of a response, 502 or a broken connection."""
    ends = iter(range(len(sent)))

    def serve(peer):
        while peer.next_request():
            peer.send(sent[: next(ends)])
            getattr(peer, how)()
            return

    proxy = start(
        {"/": Upstream(serve)}, upstream={"retries": 0, "max_failures": 0}
    )
    for end in range(len(sent)):
        client = proxy.connect()
        client.send(request("POST", "/", version=version))
        try:
            answer = client.read_response("POST")
        except Closed:
            continue
        finally:
            client.close()
        if answer.status != 502:
            fail(f"complete to the client after {end} of {len(sent)} bytes: {answer}")


@cases(WHOLE)
def test_upstream_closes_at_every_byte(sent):
    die_at_every_byte(sent, "close")


@cases(WHOLE)
def test_upstream_resets_at_every_byte(sent):
    die_at_every_byte(sent, "reset")


@cases(WHOLE)
def test_upstream_closes_at_every_byte_for_a_1_0_client(sent):
    die_at_every_byte(sent, "close", version="HTTP/1.0")


@cases({"1_1": "HTTP/1.1", "1_0": "HTTP/1.0"})
def test_reset_in_a_response_until_close(version):
    def serve(peer):
        peer.next_request()
        peer.send(response(None, "Connection: close") + b"hello")
        forwarded.wait(10)
        peer.reset()

    forwarded = threading.Event()
    client = start({"/": Upstream(serve)}, upstream=NO_RETRIES).connect()
    client.send(request("GET", "/", version=version))
    client.read_until(b"hello")
    client.read_bytes = 0

    forwarded.set()

    client.expect_truncated()


def test_upstream_dies_in_a_large_body():
    def serve(peer):
        peer.next_request()
        peer.send(response(None, "Content-Length: 10000000") + b"x" * 5_000_000)

    client = start({"/": Upstream(serve)}).connect()
    client.send(request("GET", "/"))

    client.expect_truncated()


def test_upstream_dies_in_the_request():
    def serve(peer):
        peer.wait_for_head()
        peer.reset()

    client = start({"/": Upstream(serve)}, upstream=NO_RETRIES).connect()
    client.send(request("POST", "/", "Content-Length: 10") + b"hello")

    expect("status", client.read_response().status, 502)


if __name__ == "__main__":
    run_suite()
