# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
The runner of a suite in tests/http, and what its tests expect things with.

A suite is a script of functions test_*, which it hands to run_suite(). A test
reads top to bottom as given, when, then, and has no clean-up of its own: what it
makes (a daemon, an upstream, a client) is undone when it ends, newest first.
What all tests of a suite use is made by a function marked @shared.

Nothing here sleeps so that something else may happen meanwhile: tests wait for
events, for DEADLINE_S at most, and wait_until() polls where there is no event.
"""
import contextlib
import fnmatch
import functools
import os
import re
import signal
import sys
import time
import traceback

DEADLINE_S = 10  # for anything that a test waits for
TEST_S = 60  # for a whole test


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


_suite = contextlib.ExitStack()  # what lives as long as the suite
_current = _suite  # what the next defer() goes to
_checks = []  # called after every test: what is shared must still be well


def defer(function, *arguments):
    """Call the function when the running test, or the suite, ends."""
    _current.callback(function, *arguments)


def check_after_each_test(function):
    """For what must be seen by the test that caused it; until the owner is undone."""
    _checks.append(function)
    defer(_checks.remove, function)


def shared(make):
    """Decorate a function whose result is made once and kept for the suite."""

    @functools.cache
    def wrapper():
        global _current
        _current, saved = _suite, _current
        try:
            return make()
        finally:
            _current = saved

    return wrapper


def cases(table):
    """Make a test of each entry of `table`: {name: argument, or a tuple of them}."""

    def decorate(function):
        function.cases = table
        return function

    return decorate


# --- expecting --------------------------------------------------------------------


def fail(text):
    raise AssertionError(text)


def expect(what, got, wanted):
    if got != wanted:
        fail(f"{what}: got {got!r}, wanted {wanted!r}")


def expect_match(what, got, pattern):
    if not re.search(pattern, got):
        fail(f"{what}: {got!r} does not match {pattern!r}")


def expect_within(what, got, least, most):
    if not least <= got <= most:
        fail(f"{what}: got {got}, wanted {least} to {most}")


def wait_until(what, is_so, deadline_s=DEADLINE_S):
    """Poll until is_so() is true, and return what it returned."""
    end = time.monotonic() + deadline_s
    while not (result := is_so()):
        if time.monotonic() > end:
            fail(f"not within {deadline_s} s: {what}")
        time.sleep(0.002)  # of another process, which gives no event: polled under the deadline
    return result


def run_before_others():
    """For suites that measure what the program does, and not what else the machine does
    meanwhile. Needs privilege, and does without."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


# --- running ----------------------------------------------------------------------


def run_suite():
    """Run the tests of the script that match its argument; TAP on standard output."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, _too_late)
    pattern = sys.argv[1] if len(sys.argv) > 1 else "*"
    tests = [test for test in _tests() if fnmatch.fnmatchcase(test[0], pattern)]
    failures = 0
    print(f"1..{len(tests)}", flush=True)
    try:
        for number, (name, function) in enumerate(tests, 1):
            failures += not _run_test(number, name, function)
    finally:
        _suite.close()
    sys.exit(1 if failures else 0)


def _tests():
    for name, function in vars(sys.modules["__main__"]).items():
        if not name.startswith("test_"):
            continue
        name = name.removeprefix("test_")
        if not hasattr(function, "cases"):
            yield name, function
            continue
        for case, argument in function.cases.items():
            arguments = argument if isinstance(argument, tuple) else (argument,)
            yield f"{name}_{case}", functools.partial(function, *arguments)


def _run_test(number, name, function):
    global _current
    try:
        with contextlib.ExitStack() as stack:
            _current = stack
            signal.alarm(TEST_S)
            function()
            for check in list(_checks):
                check()
        verdict, notes = f"ok {number} - {name}", []
    except Skip as reason:
        verdict, notes = f"ok {number} - {name} # SKIP {reason}", []
    except Exception as error:  # whatever it is, it is this test's
        verdict, notes = f"not ok {number} - {name}", _explain(error)
    finally:
        signal.alarm(0)
        _current = _suite
    print(verdict, *(f"# {note}" for note in notes), sep="\n", flush=True)
    return verdict.startswith("ok")


def _too_late(*_):
    fail(f"the test took more than {TEST_S} s")


def _explain(error):
    """The error, and the lines of this directory that led to it."""
    lines = []
    while error:
        lines += f"{type(error).__name__}: {error}".splitlines()
        for frame in traceback.extract_tb(error.__traceback__):
            if "/tests/http/" in frame.filename and "/support.py" not in frame.filename:
                lines.append(f"  {frame.filename.rpartition('/')[2]}:{frame.lineno}: {frame.line}")
        error = error.__context__
    return lines
