# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
HTTP/1.1 messages as bytes: built by hand, sent over raw sockets, and read back
without any repair. The reading side asserts that what it reads is exactly what
RFC 9112 asks a sender for, so every test that reads a message checks that too.
"""
import dataclasses
import fcntl
import json
import re
import socket
import struct
import termios
import zlib

from support import DEADLINE_S, expect, fail, wait_until

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
READ_BYTES = 1 << 16


class Closed(Exception):
    """The other side closed, or reset, the connection before what was to be read."""

    def __init__(self, reset):
        super().__init__("the connection was " + ("reset" if reset else "closed"))
        self.reset = reset


# --- building ---------------------------------------------------------------------


def request(method, target, *fields, host="site.test", body=b"", version="HTTP/1.1"):
    """A request; `body` gets a Content-Length, `host` None leaves the field out."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1") + body


def response(body=b"ok", *fields, status="200 OK", version="HTTP/1.1"):
    """A response with a Content-Length; None: no body and no length."""
    lines = [f"{version} {status}", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1") + (body or b"")


CHUNKED = "Transfer-Encoding: chunked"


def chunked(*chunks, trailers=()):
    """A body in the chunked coding, to follow request(..., CHUNKED) or response(None, CHUNKED)."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return body + b"0\r\n" + "".join(f"{line}\r\n" for line in [*trailers, ""]).encode("latin-1")


# --- reading ----------------------------------------------------------------------


@dataclasses.dataclass
class Message:
    head: bytes  # as it came, the empty line included
    start: str  # its first line
    fields: list  # of (name, value)
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    framing: str = ""  # "", "length", "chunked", "close"

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def problem(self):
        """The body as problem details, RFC 9457."""
        expect("Content-Type", self.field("Content-Type"), "application/problem+json")
        return json.loads(self.body)

    def all(self, name):
        """The values of a field, in their order."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def field(self, name):
        """The value of a field that is given once, or None."""
        values = self.all(name)
        if len(values) > 1:
            fail(f"{name} is given {len(values)} times: {values}")
        return values[0] if values else None


def parse_fields(lines):
    fields = []
    for line in lines:
        if not (match := re.fullmatch(rf"({TOKEN}): ?([^\x00-\x08\x0a-\x1f\x7f]*?)", line)):
            fail(f"not a field line: {line!r}")
        fields.append(match.groups())
    return fields


class Stream:
    """A connected socket, and what was received on it."""

    def __init__(self, sock):
        self.sock = sock
        self.received = bytearray()  # all of it, but for what count() took
        self.read_bytes = 0  # of it, by what is below
        sock.settimeout(DEADLINE_S)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # sending

    def send(self, data):
        """Send it all. Raises Closed when the other side is gone."""
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            raise Closed(reset=True) from None
        except TimeoutError:
            fail(f"{len(data)} bytes could not be sent within {DEADLINE_S} s")

    def send_in_parts(self, *parts):
        """Send each part when the other side's program has read the one before."""
        for number, part in enumerate(parts):
            if number:
                wait_until("the first part is read", lambda: unread_bytes(self.sock) in (0, None))
            self.send(part)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with a RST in the place of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # receiving

    def _receive(self):
        try:
            data = self.sock.recv(READ_BYTES)
        except (ConnectionResetError, BrokenPipeError):
            raise Closed(reset=True) from None
        except TimeoutError:
            fail(f"nothing came within {self.sock.gettimeout()} s after {self.unread()[-200:]!r}")
        if not data:
            raise Closed(reset=False)
        self.received += data

    def unread(self):
        return bytes(self.received[self.read_bytes :])

    def read_exactly(self, count):
        while len(self.received) - self.read_bytes < count:
            self._receive()
        self.read_bytes += count
        return bytes(self.received[self.read_bytes - count : self.read_bytes])

    def read_until(self, mark):
        """Up to and with `mark`."""
        while (at := self.received.find(mark, self.read_bytes)) < 0:
            self._receive()
        return self.read_exactly(at + len(mark) - self.read_bytes)

    def read_to_end(self):
        """All that comes until a close in good order."""
        try:
            while True:
                self._receive()
        except Closed as closed:
            if closed.reset:
                raise
            return self.read_exactly(len(self.received) - self.read_bytes)

    def count(self, length):
        """Read `length` bytes without keeping them; returns their CRC-32."""
        room = memoryview(bytearray(1 << 20))
        early = self.read_exactly(min(length, len(self.received) - self.read_bytes))
        crc, length = zlib.crc32(early), length - len(early)
        while length:
            got = self.sock.recv_into(room, min(length, len(room)))
            if not got:
                raise Closed(reset=False)
            crc, length = zlib.crc32(room[:got], crc), length - got
        return crc

    def expect_closed(self):
        """The other side closes, in good order or not, and sends nothing before; then
        this side does."""
        try:
            rest = self.read_to_end()
        except Closed:
            rest = self.unread()
        self.close()
        expect("bytes before the end of the connection", rest, b"")

    # messages

    def read_head(self):
        head = self.read_until(b"\r\n\r\n")
        lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        return Message(head, lines[0], parse_fields(lines[1:]))

    def read_body(self, message, at_end):
        """Read the body of `message`; `at_end` is how one without a length ends."""
        length = message.field("Content-Length")
        coding = message.field("Transfer-Encoding")
        if length is not None and coding is not None:
            fail(f"both lengths: {message.head!r}")
        if coding is not None:
            expect("Transfer-Encoding", coding, "chunked")
            message.framing = "chunked"
            message.body, message.trailers = self._read_chunks()
        elif length is not None:
            message.framing = "length"
            message.body = self.read_exactly(int(length))
        elif at_end == "close":
            message.framing = "close"
            message.body = self.read_to_end()
        return message

    def _read_chunks(self):
        body = bytearray()
        while True:
            line = self.read_until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]{1,16}\r\n", line):
                fail(f"not a chunk line: {line!r}")
            if not (size := int(line, 16)):
                break
            body += self.read_exactly(size)
            expect("end of a chunk", self.read_exactly(2), b"\r\n")
        trailers = []
        while line := self.read_until(b"\r\n")[:-2]:
            trailers.append(line.decode("latin-1"))
        return bytes(body), parse_fields(trailers)


# --- what the kernel holds --------------------------------------------------------


def _queues_of_the_other_end(sock):
    """Bytes (not acknowledged, not read) of the other end of a connection over IPv4 on
    this machine; None when there is no such end."""

    def name(address):
        host, port = address
        return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"

    wanted = f" {name(sock.getpeername())} {name(sock.getsockname())} ".encode()
    with open("/proc/net/tcp", "rb") as table:
        for line in table:
            if wanted in line:
                return tuple(int(queue, 16) for queue in line.split()[4].split(b":"))
    return None


def unread_bytes(sock):
    """Bytes that have come to the other end and that its program has not read; None
    when there is no such end."""
    queues = _queues_of_the_other_end(sock)
    return queues and queues[1]


def coming_bytes(sock):
    """At least the bytes that the other end's program has sent and this one has not
    read: those that are here and not acknowledged are counted twice."""
    here = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))[0]
    queues = _queues_of_the_other_end(sock)
    return here + (queues[0] if queues else 0)


def unsent_bytes(sock):
    """Bytes that were sent and are not acknowledged by the other end."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def make_narrow(sock):
    """Of what is sent to this socket, or to those that it accepts, and not read, the
    kernel takes less than 60,000 bytes in all: by small segments the sender's kernel
    concludes that little room will do, also where it remembers (ip tcp_metrics) that
    the way to this address wants more. To be called before it connects or accepts."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 200)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
