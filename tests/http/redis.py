# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A real redis-server of the test, on a free port of 127.0.0.1 and a Unix socket, with
nothing on disk; a cluster of them; and certificates by the openssl command.

The test's own connection goes over the Unix socket, also where the daemon's goes over
TLS, so that what it asks is what no daemon is in the way of.
"""
import binascii
import pathlib
import signal
import socket
import subprocess

from daemon import free_port, new_directory
from support import DEADLINE_S, check_after_each_test, defer, expect, fail, wait_until

SLOTS = 16384
PATIENT = "2s"


class RedisError(Exception):
    """An error reply."""


class Connection:
    """RESP2, one command at a time."""

    def __init__(self, path):
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(DEADLINE_S)
        self._sock.connect(str(path))
        self._file = self._sock.makefile("rb")

    def close(self):
        self._file.close()
        self._sock.close()

    def command(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self._sock.sendall(b"*%d\r\n" % len(words) + parts)
        return self._reply()

    def _reply(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2].decode(
                "utf-8", "backslashreplace")
        return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]


class Redis:
    """`options` are more of redis-server's; `certificates` makes its port one of TLS."""

    def __init__(self, *options, certificates=None, password=None):
        self.directory = new_directory()
        self.port = free_port()
        self.socket = self.directory / "redis.sock"
        self.certificates, self.password = certificates, password
        self._options = [str(option) for option in options]
        self._process = self._connection = None
        self._may_be_gone = False
        defer(self.stop)
        self.start()
        check_after_each_test(self.check)

    @property
    def name(self):
        return f"127.0.0.1:{self.port}"

    def url(self, user="", password="", database=None):
        """As the configuration wants it."""
        scheme = "rediss" if self.certificates else "redis"
        who = f"{user}:{password}@" if password else ""
        return f"{scheme}://{who}{self.name}" + ("" if database is None else f"/{database}")

    # its process

    def start(self):
        """Start it, empty, or again."""
        port = ["--port", 0 if self.certificates else self.port]
        if self.certificates:
            port += ["--tls-port", self.port,
                     "--tls-cert-file", self.certificates.server_cert,
                     "--tls-key-file", self.certificates.server_key,
                     "--tls-ca-cert-file", self.certificates.ca]
        words = ["redis-server", *port, "--bind", "127.0.0.1", "--unixsocket", self.socket,
                 "--dir", self.directory, "--save", "", "--appendonly", "no",
                 "--enable-debug-command", "yes", "--logfile", self.directory / "redis.log"]
        if self.password:
            words += ["--requirepass", self.password]
        self._process = subprocess.Popen([str(word) for word in words] + self._options,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        self._may_be_gone = False
        wait_until("the Redis server answers", self._answers)

    def _answers(self):
        if self._process.poll() is not None:
            log = self.directory / "redis.log"
            fail("redis-server ended: " + (log.read_text() if log.exists() else "no log"))
        try:
            return self.command("PING") == "PONG"
        except (OSError, RedisError):
            self._forget_connection()
            return False

    def check(self):
        if not self._may_be_gone and self._process.poll() is not None:
            fail(f"redis-server ended by itself, status {self._process.returncode}")

    def kill(self):
        """It is gone, and what it held with it; start() brings it back empty."""
        self._may_be_gone = True
        self._forget_connection()
        self._process.kill()  # also one that is stopped
        self._process.wait()
        self.socket.unlink(missing_ok=True)

    def pause(self):
        """It stands still: connections are taken by its kernel, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self._process.pid}/stat")
        wait_until("it is stopped",
                   lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process and self._process.poll() is None:
            self.kill()

    # what it is told and asked

    def command(self, *words):
        if not self._connection:
            self._connection = Connection(self.socket)
            if self.password:
                self._connection.command("AUTH", self.password)
        return self._connection.command(*words)

    def send(self, *words):
        """A command that is not waited for, on a connection of its own."""
        connection = Connection(self.socket)
        defer(connection.close)
        if self.password:
            connection.command("AUTH", self.password)
        words = [str(word).encode() for word in words]
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        connection._sock.sendall(b"*%d\r\n" % len(words) + parts)

    def set(self, name, value):
        """Of its configuration."""
        expect(f"CONFIG SET {name}", self.command("CONFIG", "SET", name, value), "OK")

    def keys(self, pattern="*"):
        return sorted(self.command("KEYS", pattern))

    def calls(self, *commands):
        """How often the commands were called: by default those that run scripts."""
        text = self.command("INFO", "commandstats")
        wanted = {f"cmdstat_{name}" for name in commands or ("eval", "evalsha")}
        return sum(int(line.split("calls=")[1].split(",")[0])
                   for line in text.split("\r\n") if line.split(":")[0] in wanted)

    def clients(self):
        """Connections that are not the test's."""
        return [line for line in self.command("CLIENT", "LIST").splitlines()
                if "redis.sock" not in line]

    def drop_clients(self):
        """Close the connections of daemons."""
        self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _forget_connection(self):
        if self._connection:
            self._connection.close()
            self._connection = None


def store(redis, on_error=None, **more):
    """The section of a configuration: buckets in this server, or behind this URL. Where it is
    not the deadline that is tested, one that a busy machine keeps: deadline=PATIENT."""
    url = redis if isinstance(redis, str) else redis.url()
    section = {"backend": "redis", "redis": {"url": f'"{url}"', **more}}
    return section | ({"on_error": on_error} if on_error else {})


def said_of(daemon, name="redis "):
    """The lines of its log about a server, but for the one that names the store in use."""
    return [line for line in daemon.log.lines if name in line and "ready: " not in line]


# --- certificates -----------------------------------------------------------------------


class Certificates:
    """An authority, a server's certificate for `name` (an entry of subjectAltName) and a
    client's. They are files; those of `ca` alone are what a client needs."""

    def __init__(self, name="IP:127.0.0.1"):
        self._directory = new_directory()
        self.ca, self._ca_key = self._path("ca.pem"), self._path("ca.key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-days", "2", "-subj", "/CN=authority of a test",
                      "-keyout", self._ca_key, "-out", self.ca)
        self.server_cert, self.server_key = self._make("server", name)
        self.client_cert, self.client_key = self._make("client", "DNS:client.test")

    def _path(self, name):
        return str(self._directory / name)

    def _make(self, name, alternative):
        request, key = self._path(f"{name}.csr"), self._path(f"{name}.key")
        certificate, extensions = self._path(f"{name}.pem"), self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", f"/CN={name} of a test", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key,
                      "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    @staticmethod
    def _openssl(*words):
        made = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=DEADLINE_S)
        if made.returncode:
            fail(f"openssl {words[0]}: {made.stderr}")


# --- a cluster --------------------------------------------------------------------------


def slot_of(key):
    """CRC16 of the key, or of its part in braces."""
    key = key.encode()
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


class Cluster:
    """Three nodes with a third of the slots each. One that is down takes its slots with it
    and no others."""

    def __init__(self, *options, **more):
        self.nodes = [self._make_node(*options, **more) for _ in range(3)]
        bounds = [0, 5461, 10923, SLOTS]
        for node, first, after in zip(self.nodes, bounds, bounds[1:]):
            node.command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for epoch, node in enumerate(self.nodes, 1):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            node.id = node.command("CLUSTER", "MYID")
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port,
                         self.nodes[0].bus_port)
        wait_until("the cluster is whole", self._is_whole)

    @staticmethod
    def _make_node(*options, **more):
        bus_port = free_port()
        node = Redis("--cluster-enabled", "yes", "--cluster-port", bus_port,
                     "--cluster-node-timeout", 1000, "--cluster-require-full-coverage", "no",
                     "--cluster-config-file", f"nodes-{bus_port}.conf", *options, **more)
        node.bus_port = bus_port
        return node

    def _is_whole(self):
        for node in self.nodes:
            info = node.command("CLUSTER", "INFO")
            if "cluster_state:ok" not in info or "cluster_known_nodes:3" not in info:
                return False
            if "cluster_slots_assigned:16384" not in info:
                return False
        return True

    def node_of(self, slot):
        """The node that says that the slot is its own."""
        for node in self.nodes:
            for first, last, master, *_ in node.command("CLUSTER", "SLOTS"):
                if first <= slot <= last and master[2] == node.id:
                    return node
        return fail(f"no node has slot {slot}")

    def begin_migration(self, slot, to):
        """Keys that are not there any more are asked for at `to`."""
        source = self.node_of(slot)
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)

    def move_keys(self, slot, to):
        source = self.node_of(slot)
        for key in source.command("CLUSTER", "GETKEYSINSLOT", slot, 1000):
            source.command("MIGRATE", "127.0.0.1", to.port, key, 0, 5000)

    def end_migration(self, slot, to):
        source = self.node_of(slot)
        for node in [to, source] + [n for n in self.nodes if n not in (to, source)]:
            node.command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
        wait_until("the slot has moved", lambda: self.node_of(slot) is to)

    def keys(self, pattern="*"):
        """Of each node."""
        return [node.keys(pattern) for node in self.nodes]
