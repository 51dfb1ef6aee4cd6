# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A client of the proxy that sends any bytes, and several of them as a load."""
import contextlib
import socket
import threading
import time

from message import Closed, Stream, make_narrow, request
from support import DEADLINE_S, defer, expect, fail, wait_until


class Client(Stream):
    """A connection to `port`, from `source` (an address of this machine)."""

    def __init__(
        self, port, source="127.0.0.1", to="127.0.0.1", receive_buffer=0, narrow=False
    ):
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        defer(sock.close)
        sock.settimeout(DEADLINE_S)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if narrow:
            make_narrow(sock)
        if family == socket.AF_INET:
            sock.bind((source, 0))
        sock.connect((to, port))
        super().__init__(sock)
        self.port = sock.getsockname()[1]

    def read_response(self, method="GET"):
        """The next response to a request of that method, 1xx included."""
        head = self.read_head()
        has_no_body = method == "HEAD" or head.status < 200 or head.status in (204, 304)
        return head if has_no_body else self.read_body(head, at_end="close")

    def ask(self, method="GET", target="/", *fields, **more):
        """Send a request and return the response to it."""
        self.send(request(method, target, *fields, **more))
        return self.read_response(method)

    def expect_truncated(self, method="GET"):
        """The response that comes can be told from a complete one."""
        try:
            got = self.read_response(method)
        except Closed:
            return
        fail(f"a response that was cut was complete to the client: {got}")


def ask_once(port, target="/", *fields, source="127.0.0.1", **more):
    """One request over a connection of its own; returns the response."""
    with contextlib.closing(Client(port, source)) as client:
        return client.ask("GET", target, "Connection: close", *fields, **more)


class Load:
    """Clients that ask for `target` again and again: `kept` over one connection
    each, `anew` over a new connection each time. What goes wrong is kept in
    `failures` as (port of the client, what), and the client begins anew."""

    def __init__(self, port, kept=0, anew=0, target="/"):
        self.port, self.target = port, target
        self.statuses, self.failures = {}, []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(is_kept,), daemon=True)
            for is_kept in [True] * kept + [False] * anew
        ]
        defer(self.stop)
        for thread in self._threads:
            thread.start()

    @property
    def done(self):
        """Requests that were answered."""
        with self._lock:
            return sum(self.statuses.values())

    def wait_for(self, more):
        """Until so many more requests were answered."""
        wanted = self.done + more
        wait_until(f"{more} more requests are answered", lambda: self.done >= wanted)

    def stop(self):
        """End; requests that are on their way are answered first."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE_S)
            if thread.is_alive():
                fail("a client of the load hangs")

    def _run(self, is_kept):
        while not self._is_over.is_set():
            port = 0
            try:
                with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as sock:
                    port = sock.getsockname()[1]
                    self._ask_over(Stream(sock), is_kept)
            except (AssertionError, Closed, OSError) as error:
                with self._lock:
                    self.failures.append((port, f"{type(error).__name__}: {error}"))
                time.sleep(0.01)  # so that a daemon that is gone does not make millions

    def _ask_over(self, stream, is_kept):
        fields = [] if is_kept else ["Connection: close"]
        while not self._is_over.is_set():
            stream.send(request("GET", self.target, *fields))
            answer = stream.read_body(stream.read_head(), at_end="close")
            with self._lock:
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            if not is_kept:
                stream.expect_closed()
                return

    def expect_no_failure(self):
        self.stop()
        expect("failed requests", self.failures, [])
        if not self.done:
            fail("no request was answered")
