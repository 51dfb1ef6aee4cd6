#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Many real TCP clients, and the server that they ask, for the tests in tests/netns.

  clients.py serve ADDRESS PORT
      Says "ready", echoes a line to each connection, and ends on SIGTERM with what
      it accepted, as JSON: whatever came out of the accept queue, asked or not.
  clients.py connect ADDRESS PORT [--count N] [--from SOURCE] [--sources N]
                                  [--at-once N] [--timeout SECONDS]
      Opens so many connections, each from the next of the sources: IPv4 addresses
      from SOURCE on, or one address in each /64 from there on. Prints, as JSON, how
      many had their line echoed in time.

Both end after a minute, whatever happens.
"""
import argparse
import asyncio
import ipaddress
import json
import signal
import time

LIFETIME_S = 60
LINE = b"hello\n"


async def serve(options):
    accepted = 0

    async def on_connection(reader, writer):
        nonlocal accepted
        accepted += 1
        try:
            writer.write(await asyncio.wait_for(reader.readline(), LIFETIME_S))
            await writer.drain()
        except (OSError, asyncio.TimeoutError):
            pass  # of a client that has gone: it is counted, and that is all
        writer.close()

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await asyncio.start_server(
        on_connection, options.address, options.port, backlog=4096
    )
    print("ready", flush=True)
    await over.wait()
    print(json.dumps({"accepted": accepted}, separators=(",", ":")), flush=True)


async def ask(options, source):
    """Seconds until the line was echoed, or None."""
    begin = time.monotonic()
    writer = None
    try:
        reader, writer = await asyncio.open_connection(
            options.address, options.port, local_addr=source and (source, 0)
        )
        writer.write(LINE)
        return time.monotonic() - begin if await reader.readline() == LINE else None
    except OSError:
        return None
    finally:
        if writer:
            writer.close()


def nth_source(options, index):
    if not options.source:
        return None
    step = 1 << 64 if options.source.version == 6 else 1
    return str(options.source + index % options.sources * step)


async def connect(options):
    took = []
    turns = iter(range(options.count))

    async def one_after_the_other():
        for index in turns:
            try:
                answer = ask(options, nth_source(options, index))
                took.append(await asyncio.wait_for(answer, options.timeout))
            except asyncio.TimeoutError:
                took.append(None)

    await asyncio.gather(*(one_after_the_other() for _ in range(options.at_once)))
    served = [seconds for seconds in took if seconds is not None]
    result = {
        "connected": len(served),
        "failed": len(took) - len(served),
        "slowest_ms": round(1000 * max(served, default=0)),
    }
    print(json.dumps(result, separators=(",", ":")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("serve", "connect"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--from", dest="source", type=ipaddress.ip_address)
    parser.add_argument("--sources", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=10)
    options = parser.parse_args()
    signal.alarm(LIFETIME_S)
    asyncio.run((serve if options.role == "serve" else connect)(options))


main()
