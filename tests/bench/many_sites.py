"""What one bridge costs with many sites: memory, threads, AMQP connections, and what it costs to do nothing."""

import json
import shutil
import time

from deploy.demo.stack import SITES, Stack, wait
from tests.bench import processes

SETTLE = 600.0  # s for all sites to be registered
IDLE = 10.0  # s of idling measured


def measure(stack: Stack, sizes: list[int]) -> list[tuple[str, str]]:
    """Enrol sites that have no agent until there are as many as each size says; they are removed again."""
    directory = stack.directory / "bench-bundles"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    port = json.loads((stack.state / "clouds" / "top" / "cloud.json").read_text())["rabbit"]["port"]
    extra: list[str] = []
    figures: list[tuple[str, str]] = []
    base = 0.0
    try:
        for size in sizes:
            while len(extra) + len(SITES) < size:
                name = f"bench-{len(extra):03}"
                stack.cascade("site", "add", name, "--availability-zone", "bench", "--bundle", str(directory / name))
                extra.append(name)
            wait(lambda: registered(stack) >= len(extra) + len(SITES), SETTLE, "the sites are not all registered")
            pid = processes.daemon(stack, "bridge")
            memory = processes.rss(pid)
            base = base or memory
            shown = max(size, len(SITES))
            figures.append((f"RSS of the bridge with {shown} sites", f"{memory:.0f} MiB ({memory - base:+.0f})"))
            figures.append((f"threads with {shown} sites", str(processes.threads(pid))))
            figures.append((f"AMQP connections with {shown} sites", str(processes.connections(pid, port))))
            figures.append((f"idle CPU with {shown} sites", f"{idle(pid):.1%} of a core"))
    finally:
        for name in extra:
            stack.cascade("site", "remove", name)
    return figures


def registered(stack: Stack) -> int:
    """Return how many sites have an owner and a compute host above."""
    services = json.loads(stack.client("top", "compute", "service", "list", "--service", "nova-compute", "-f", "json"))
    return len(services)


def idle(pid: int) -> float:
    """Return the share of a core a process uses while nothing is asked of it."""
    before = processes.cpu(pid)
    time.sleep(IDLE)
    return (processes.cpu(pid) - before) / IDLE
