"""`make bench`: prints the figures of one run on this machine; `--write` puts them into docs/benchmarks.md too."""

import argparse
import datetime
import os
import platform
import sys
from pathlib import Path

import bridge.settings  # noqa: F401 - first: it silences what oslo.messaging's import of eventlet says
from deploy.demo import steps
from deploy.demo.stack import SITES, TOP, Stack
from deploy.devcloud.errors import DevcloudError
from proto.errors import CascadeError
from tests.bench import boots, census, many_sites, throughput

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
Figures = list[tuple[str, str]]


def main() -> int:
    """Measure on the demo's stack, which is brought up if it is down and left running."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--boots", type=int, default=40, help="servers booted, half of them after the other half")
    parser.add_argument("--messages", type=int, default=2000, help="RPCs for the rates")
    parser.add_argument("--sites", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    args = parser.parse_args()
    stack = Stack.default()
    try:
        stack.devcloud("up", TOP, "--role", "cascading")
        stack.devcloud("up", *SITES)
        steps.serve(stack, "each")
        figures: Figures = []
        for title, measure in (
            ("boots", lambda: boots.measure(stack, args.boots)),
            ("rates", lambda: throughput.measure(stack, args.messages)),
            ("many sites", lambda: many_sites.measure(stack, args.sites)),
        ):
            print(f"== {title}", flush=True)
            found = measure()
            for name, value in found:
                print(f"{name:<75} {value}", flush=True)
            figures += found
        if args.write:
            PAGE.write_text(page(figures))
    except (CascadeError, DevcloudError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def page(figures: Figures) -> str:
    """Return docs/benchmarks.md."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**3
    machine = (
        f"{os.cpu_count()} cores, {memory} GiB, {platform.platform(terse=True)}, Python {platform.python_version()}"
    )
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures)
    return f"""# Benchmarks

Written by `make bench` on {today}: {machine}. Three real clouds, RabbitMQ, NATS, etcd, the bridge and
both agents share these cores, and so does whatever else the machine does: read ratios inside this one run, not
absolutes.

| what | figure |
|---|---|
{rows}

*Own time* is the time in which a boot moves through bridge and agent, less what they wait for OpenStack's APIs and for
nova-conductor. CPU is user and system time of the process over all boots of the run, divided by them.

A NATS server that stands alone flushes its disk for every message, so the disk sets that rate; the members of a
cluster of three need not, as two others have the message before it is acknowledged. The line without a flush shows
what the bridge itself can do.

{census.section()}
"""


if __name__ == "__main__":
    sys.exit(main())
