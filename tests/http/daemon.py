# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
`xdp-throttle run` with a configuration of the test, on a free port of 127.0.0.1.

Every daemon must end well: by SIGTERM, in time, with status 0, without a word of
a sanitizer, and without a worker that died unless the test killed it. What it
wrote to standard error is part of the message when a test fails.
"""
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from client import Client
from message import request
from support import (
    DEADLINE_S,
    Skip,
    check_after_each_test,
    defer,
    expect,
    expect_match,
    fail,
    wait_until,
)

PROGRAM = pathlib.Path(os.environ.get("B", "build")).absolute() / "xdp-throttle"
GRAVE = re.compile(r"Sanitizer:|runtime error:|Assertion .* failed|stack smashing")
DIED = re.compile(r"worker \d+ (ended by|takes no messages|did not answer)")
_handed_out = set()  # ports


def free_port():
    """Below the ports that the kernel hands out, so that no connection takes it; and no port
    twice, for it may not be listened on yet."""
    while True:
        port = random.randrange(20000, 32000)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                _handed_out.add(port)
                return port
            except OSError:
                continue


def to_yaml(value, indent=""):
    """Mappings, lists of plain values or mappings, and plain values."""
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            nested = isinstance(item, (dict, list))
            text = "\n" + to_yaml(item, indent + "  ") if nested else " " + to_yaml(item) + "\n"
            lines.append(f"{indent}{key}:{text}")
        return "".join(lines)
    if isinstance(value, list):
        items = (to_yaml(item, indent + "  ") for item in value)
        return "".join(f"{indent}- {item.removeprefix(indent + '  ').rstrip()}\n" for item in items)
    return str(value).lower() if isinstance(value, bool) else str(value)


def route(path, targets, **more):
    """An entry of `routes`: to an upstream, or a list of them."""
    targets = targets if isinstance(targets, list) else [targets]
    return {"path": path, "targets": [target.url for target in targets], **more}


def limit(rate, burst):
    """A rate_limit of "30/m" or "5/s"."""
    count, unit = rate.split("/")
    return {
        {"s": "requests_per_second", "m": "requests_per_minute"}[unit]: int(count),
        "burst": burst,
    }


class Lines:
    """The lines that come out of a pipe, read by a thread as they come."""

    def __init__(self, pipe):
        self.lines = []
        self._pipe = pipe
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._pipe:
            with self._changed:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, pattern, since=0, count=1):
        """The first `count` lines from number `since` on that match, one or a list."""

        def found():
            matching = [line for line in self.lines[since:] if re.search(pattern, line)]
            return matching[:count] if len(matching) >= count else None

        with self._changed:
            if not self._changed.wait_for(found, DEADLINE_S):
                fail(f"no {count} lines {pattern!r} in {DEADLINE_S} s; there are:\n{self.text()}")
            return found()[0] if count == 1 else found()

    def text(self):
        return "\n".join(self.lines)

    def end(self):
        self._thread.join(DEADLINE_S)


def is_alive(pid):
    """Whether the process runs; one that nobody has waited for does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def with_files(directory, files):
    """The beginning of a command that runs with these texts as files of /etc."""
    if os.geteuid() != 0:
        raise Skip("needs root, to have its own /etc")
    with open("/proc/self/mountinfo", encoding="ascii") as mounts:
        if not any(line.split()[4] == "/" for line in mounts):
            raise Skip("/ is not a mount point here, as in a plain chroot: no /etc of its own")
    script = ""
    for name, text in files.items():
        path = directory / name
        path.write_text(text)
        path.chmod(0o644)
        script += f"mount --bind {path} /etc/{name} && "
    return ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh"]


def new_directory():
    """Gone when its owner ends; others may look into it, as workers do."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="xdp-throttle-http."))
    directory.chmod(0o755)
    defer(shutil.rmtree, directory, True)
    return directory


def _own_environment():
    return {k: v for k, v in os.environ.items() if not k.startswith("XDP_THROTTLE_")}


def expect_refused(config, pattern, commands=("check", "run")):
    """The commands refuse the configuration with a line that matches; returns what was said."""
    file = new_directory() / "test.yaml"
    file.write_text(config if isinstance(config, str) else to_yaml(config))
    said = ""
    for command in commands:
        ended = subprocess.run(
            [PROGRAM, command, "-c", file],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=_own_environment(),
        )
        expect(f"exit status of {command}", ended.returncode, 1)
        expect_match(f"what {command} says", ended.stderr, pattern)
        said += ended.stderr
    return said


def run_without_a_file(**environment):
    """`run` by the environment, which must end by itself."""
    return subprocess.run([PROGRAM, "run"], capture_output=True, text=True, timeout=DEADLINE_S,
                          env=_own_environment() | environment)


def expect_valid(config, pattern, **environment):
    """`check` takes the configuration, and says so by a line that matches."""
    file = new_directory() / "test.yaml"
    file.write_text(config if isinstance(config, str) else to_yaml(config))
    ended = subprocess.run(
        [PROGRAM, "check", "-c", file],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=_own_environment() | environment,
    )
    expect("what check has against it", ended.stderr, "")
    expect_match("what check says", ended.stdout, f"^{re.escape(str(file))}: valid {pattern}\n$")


class Daemon:
    """Use start() where nothing special is wanted. `etc` is {name: text}, of files that
    it finds in /etc; `environment` adds to its environment; `prefix` is the beginning of
    the command that starts it, and must end in it (exec)."""

    def __init__(self, config, read_stdout=True, etc=None, environment=None, prefix=()):
        self.port = config["server"]["port"]
        self.api_listen = config.get("api", {}).get("listen")
        self.may_lose_workers = False  # for tests that kill them
        self.has_ended = False
        directory = new_directory()
        self.file = directory / "test.yaml"
        self.write(config)
        if etc:
            prefix = [*prefix, *with_files(directory, etc)]
        self.process = subprocess.Popen(
            [*prefix, PROGRAM, "run", "-c", self.file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_own_environment() | (environment or {}),
        )
        self.pid = self.process.pid
        self.log = Lines(self.process.stderr)
        self.requests = Lines(self.process.stdout) if read_stdout else None
        defer(self.stop)
        wait_until("the daemon is ready, or has ended", self._is_ready_or_gone)
        self.check()
        check_after_each_test(self.check)

    def _is_ready_or_gone(self):
        return "ready: " in self.log.text() or self.process.poll() is not None

    def write(self, config):
        """Put a configuration, or a text, into the file."""
        text = config if isinstance(config, str) else to_yaml(config)
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def reload(self, config):
        """Write, SIGHUP, and wait for what comes of it; returns what the log says."""
        self.write(config)
        since = len(self.log.lines)
        self.signal(signal.SIGHUP)
        self.log.wait_for(r"reloaded: |reload (was )?refused", since)
        return "\n".join(self.log.lines[since:])

    def signal(self, number):
        os.kill(self.pid, number)

    def connect(self, source="127.0.0.1", **more):
        return Client(self.port, source, **more)

    def catch_up(self):
        """Until its only worker has dealt with all that had come by now, which it does
        before it answers what comes now."""
        client = self.connect()
        client.send(request("OPTIONS", "*"))  # which no target is asked for
        expect("status", client.read_response().status, 501)
        client.close()

    # its processes

    def workers(self):
        """Their process ids."""
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def freeze(self, worker):
        """Stop the process, and wait until none of its threads runs any more."""
        os.kill(worker, signal.SIGSTOP)

        def stands():
            threads = pathlib.Path(f"/proc/{worker}/task").glob("*/stat")
            return all(stat.read_text().rpartition(")")[2][1] == "T" for stat in threads)

        wait_until(f"worker {worker} stands still", stands)

    @contextlib.contextmanager
    def paused(self):
        """Its workers stand still: all that comes meanwhile is there when they go on."""
        workers = self.workers()
        try:
            for pid in workers:
                self.freeze(pid)
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    def client_ports_of(self, worker):
        """The ports of clients whose connections the process has."""
        sockets = set()
        for fd in pathlib.Path(f"/proc/{worker}/fd").iterdir():
            try:
                sockets.add(os.readlink(fd).removeprefix("socket:[").rstrip("]"))
            except FileNotFoundError:
                pass  # closed meanwhile
        ports = set()
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[9] in sockets and int(columns[1].split(":")[1], 16) == self.port:
                ports.add(int(columns[2].split(":")[1], 16))
        return ports

    def resident_bytes(self):
        """Of all workers together."""
        total = 0
        for worker in self.workers():
            status = pathlib.Path(f"/proc/{worker}/status").read_text()
            total += int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
        return total

    # its end

    def check(self):
        """It runs, and has said nothing that it must not say."""
        if not self.has_ended and self.process.poll() is not None:
            self._complain(f"the daemon ended by itself, status {self.process.returncode}")
        text = self.log.text()
        if GRAVE.search(text):
            self._complain("the daemon has found a fault of its own")
        if not self.may_lose_workers and DIED.search(text):
            self._complain("a worker died")

    def kill(self):
        """Of all its processes at once, as by the kernel when memory is out."""
        pids = [self.pid, *self.workers()]
        self.has_ended = True
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # a worker that went with the master
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until("its workers are gone", lambda: not any(map(is_alive, pids)))
        self.log.end()

    def wait_for_end(self, seconds=DEADLINE_S):
        """Returns the exit status."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._complain(f"the daemon did not end within {seconds} s")
        self.has_ended = True
        self.log.end()
        return self.process.returncode

    def stop(self):
        try:
            if not self.has_ended and self.process.poll() is None:
                self.signal(signal.SIGTERM)
                if status := self.wait_for_end():
                    self._complain(f"the daemon ended with status {status}")
            self.check()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def _complain(self, text):
        fail(f"{text}; it said:\n{self.log.text()}")


class UnreadDaemon:
    """One that nobody listens to: its standard error is a pipe that is full."""

    def __init__(self, config):
        read_end, write_end = os.pipe()
        defer(os.close, read_end)
        os.set_blocking(write_end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x" * 4096)
        os.set_blocking(write_end, True)
        directory = new_directory()
        file = directory / "test.yaml"
        file.write_text(to_yaml(config))
        self.port = config["server"]["port"]
        self.process = subprocess.Popen(
            [PROGRAM, "run", "-c", file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=write_end,
        )
        os.close(write_end)
        defer(self.process.wait)
        defer(self.process.kill)
        self.pid = self.process.pid
        wait_until("it listens", self._is_listening)

    def _is_listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def workers(self):
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def configuration(routes, **sections):
    """`routes` is a list of route(), or {path: upstream or list of them}, or empty; a
    section of `server` adds to what every test has. With an `api` section (see api.py)
    what is set for keys is kept in a directory of the test."""
    if isinstance(routes, dict):
        routes = [route(path, targets) for path, targets in routes.items()]
    server = {"address": "127.0.0.1", "port": free_port(), "workers": 1, "drain_timeout": "2s"}
    config = {"server": server | sections.pop("server", {}), **sections}
    if "api" in config:
        store = {**config.get("store", {})}
        state_file = str(new_directory() / "limits.json")
        store["memory"] = {"state_file": state_file} | store.get("memory", {})
        config["store"] = store
    return config | ({"routes": routes} if routes else {})


def start(routes, **sections):
    """A daemon that is ready."""
    return Daemon(configuration(routes, **sections))
