#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Random mixes of valid, malformed and excess requests over several connections at a
time: the requests that the upstream saw are those that were accepted, no more and no
less, each once, with its own body; and every response goes to who asked.

The seed is fixed; TEST_SEED sets another.
"""
import os
import random
import threading

from daemon import limit, start
from message import CHUNKED, Closed, chunked, request, response
from support import DEADLINE_S, expect, run_suite
from upstream import Upstream, answering

SEED = int(os.environ.get("TEST_SEED", "20261121"))

MALFORMED = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /bad path HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
    b"POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    b"POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET /bad HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    b"GET /bad HTTP/1.1\nHost: a\n\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
]
# Found out when the request is under way: it costs a token.
MALFORMED_BODY = [
    b"POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    b"POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
]


class Session:
    """What one client does over connections of its own, and what came of it."""

    def __init__(self, name, proxy, malformed):
        self.random, self.name = random.Random(f"{SEED} {name}"), name
        self.proxy, self.choice_of_malformed = proxy, malformed
        self.accepted, self.limited, self.malformed, self.error = [], 0, 0, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            for connection in range(12):
                self._connection(connection)
        except Exception as error:  # shown by the test
            self.error = error

    def _connection(self, number):
        client = self.proxy.connect()
        for batch in range(self.random.randrange(1, 6)):
            sent, asked = b"", []
            for position in range(self.random.randrange(1, 8)):
                name = f"/{self.name}/{number}/{batch}/{position}"
                sent += self._request(name, asked)
                if asked[-1] is None:
                    break
            self._send(client, sent)
            for item in asked:
                if not self._read(client, item):
                    client.close()
                    return
        client.close()

    def _request(self, target, asked):
        """A request as bytes; adds (target, body) to `asked`, None when it is malformed."""
        kind = self.random.randrange(12)
        body = self.random.randbytes(self.random.choice([1, 5, 100, 5000]))
        if kind == 0:
            asked.append(None)
            return self.random.choice(self.choice_of_malformed)
        if kind < 6:
            asked.append((target, b""))
            return request("GET", target)
        asked.append((target, body))
        if kind < 9:
            return request("POST", target, body=body)
        cut = self.random.randrange(1, len(body) + 1)
        chunks = [piece for piece in (body[:cut], body[cut:]) if piece]
        return request("PUT", target, CHUNKED) + chunked(*chunks)

    def _send(self, client, sent):
        at = 0
        while at < len(sent):
            length = self.random.choice([1, 10, 1000, 100_000])
            try:
                client.send(sent[at : at + length])
            except Closed:
                return  # what was refused closes; what is answered is read all the same
            at += length

    def _read(self, client, item):
        """Read one answer; False when the connection is over."""
        answer = client.read_response()
        if item is None:
            if answer.status in (400, 501):
                self.malformed += 1
            else:
                raise AssertionError(f"malformed, but answered {answer.status}")
            client.expect_closed()
            return False
        if answer.status == 429:
            self.limited += 1
        else:
            target, body = item
            expect("answer", (answer.status, answer.body), (200, target.encode() + body))
            self.accepted.append(item)
        return answer.field("Connection") != "close"


def run_mix(malformed, **sections):
    upstream = Upstream(answering(lambda m: response(m.target.encode() + m.body)))
    proxy = start({"/": upstream}, server={"workers": 2}, **sections)
    sessions = [Session(f"s{i}", proxy, malformed) for i in range(6)]
    for session in sessions:
        session.thread.join(3 * DEADLINE_S)
        if session.error:
            raise AssertionError(f"seed {SEED}, session {session.name}") from session.error
        expect(f"session {session.name} is over", session.thread.is_alive(), False)
    accepted = sorted(item for session in sessions for item in session.accepted)
    seen = sorted((message.target, message.body) for message in upstream.requests)
    expect("requests accepted and not seen", [i for i in accepted if i not in seen][:3], [])
    expect("requests seen and not accepted", [i for i in seen if i not in accepted][:3], [])
    expect("number of requests", len(seen), len(accepted))
    return sessions


def test_without_a_limit():
    sessions = run_mix(MALFORMED + MALFORMED_BODY)

    expect("limited", sum(session.limited for session in sessions), 0)
    expect("some were malformed", sum(session.malformed for session in sessions) > 0, True)


def test_with_a_limit():
    sessions = run_mix(MALFORMED, rate_limit=limit("1/m", 100))

    expect("accepted", sum(len(session.accepted) for session in sessions), 100)
    expect("some were limited", sum(session.limited for session in sessions) > 0, True)


if __name__ == "__main__":
    run_suite()
