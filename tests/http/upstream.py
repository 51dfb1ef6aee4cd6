# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A target of the proxy that keeps the exact bytes of what it is sent, and does what
the test says: a function that is run, in a thread, for each connection.

    Upstream(answering(response(b"hello")))       the same answer to every request
    Upstream(answering(lambda request: ...))      one made of the request

    def serve(peer):                              or anything else
        peer.next_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Len")
        peer.reset()
    Upstream(serve)

    upstream = Upstream(by_hand)                  or what the test does step by step
    [peer] = upstream.wait_for_peers(1)
"""
import socket
import threading

from message import Closed, Stream, make_narrow, response
from support import DEADLINE_S, check_after_each_test, defer, fail, wait_until


class Peer(Stream):
    """A connection that the proxy made."""

    def __init__(self, sock, upstream):
        super().__init__(sock)
        self.upstream = upstream

    def wait_for_head(self):
        """The head of the next request, or None when the proxy closes before it."""
        self.sock.settimeout(None)  # it may be idle for as long as the proxy likes
        try:
            if not self.unread():
                self._receive()
        except Closed:
            return None
        self.sock.settimeout(DEADLINE_S)
        return self.read_head()

    def next_request(self):
        """The next whole request, or None; a whole one is among upstream.requests."""
        if (head := self.wait_for_head()) is None:
            return None
        return self.finish(head)

    def finish(self, head):
        """Read the body of a request, which is whole then."""
        message = self.read_body(head, at_end="none")
        self.upstream.record(message)
        return message


def answering(reply=response()):
    """Serve each request of a connection with bytes, or a function of the request."""

    def serve(peer):
        while message := peer.next_request():
            peer.send(reply(message) if callable(reply) else reply)

    return serve


def by_hand(peer):
    """Leave the connection to the test."""
    threading.Event().wait()


class Upstream:
    def __init__(self, serve=answering(), port=0, address="127.0.0.1", narrow=False):
        self.serve = serve  # may be changed; holds for connections from then on
        self.requests = []  # whole ones, in the order in which they ended
        self.peers = []  # connections, in the order in which they came
        self._errors = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((address, port), backlog=128)
        if narrow:
            make_narrow(self._listener)
        self.address, self.port = self._listener.getsockname()[:2]
        self.name = f"{self.address}:{self.port}"
        self.url = f"http://{self.name}"
        threading.Thread(target=self._accept, daemon=True).start()
        defer(self.stop)
        check_after_each_test(self.check)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(sock, self)
            serve = self.serve  # before the test sees the peer, and may change it
            with self._lock:
                self.peers.append(peer)
            threading.Thread(target=self._run, args=(serve, peer), daemon=True).start()

    def _run(self, serve, peer):
        try:
            serve(peer)
        except Closed:
            pass  # the proxy's right; a test that minds sees it by itself
        except Exception as error:  # whatever it is, it is the test's
            # A socket that stop() or the test closed under the thread is not an error.
            if peer.sock.fileno() >= 0:
                self._errors.append(f"{type(error).__name__}: {error}")
        finally:
            peer.close()

    def record(self, message):
        with self._lock:
            self.requests.append(message)

    def check(self):
        if self._errors:
            fail(f"{self.name}: " + "; ".join(self._errors))

    def wait_for_requests(self, count):
        wait_until(f"{count} requests at the upstream", lambda: len(self.requests) >= count)
        return self.requests[:count]

    def wait_for_peers(self, count):
        wait_until(f"{count} connections at the upstream", lambda: len(self.peers) >= count)
        return self.peers[:count]

    def forget(self):
        """Begin the record anew; connections stay."""
        with self._lock:
            self.requests.clear()

    def refuse(self):
        """Close all connections and refuse new ones from now on."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            try:
                peer.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def stop(self):
        if self._listener.fileno() >= 0:
            self.refuse()


class Refusing:
    """A port at which connections are refused, and that nobody else gets."""

    def __init__(self):
        self._sock = socket.socket()
        defer(self._sock.close)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.name}"


class Deaf:
    """A port at which connections are neither accepted nor refused: its backlog is
    full, and SYNs are dropped."""

    def __init__(self, port=0, address="127.0.0.1"):
        self._listener = socket.create_server((address, port), backlog=0)
        defer(self._listener.close)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{address}:{self.port}"
        for _ in range(4):
            filler = socket.socket()
            defer(filler.close)
            filler.setblocking(False)
            filler.connect_ex((address, self.port))
