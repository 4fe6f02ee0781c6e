"""Boots through the top: our own time, how soon ACTIVE shows, and CPU beside stock nova-compute's for the same VMs."""

import datetime
import re
import statistics
from pathlib import Path

from deploy.demo.stack import SITES, Stack
from tests.bench import processes
from tests.e2e.clouds import Tenant, User
from tests.e2e.conftest import tagged

AT_ONCE = 4
OWN = re.compile(r"instance=(\S+) .*create settled, own=(\d+) ms")
SETTLED = re.compile(r"^(\S+ \S+) .*instance=(\S+) .*create settled, own")
EXECUTED = re.compile(r"instance=(\S+) .*create done .*own=(\d+) ms")
BUILT = re.compile(r"^(\S+ \S+) .*\[instance: (\S+)\] Took [\d.]+ seconds to build instance")


def measure(stack: Stack, count: int) -> list[tuple[str, str]]:
    """Boot ``count`` servers, half of them beside the other half's, and return the figures."""
    tenant = Tenant(stack)
    sites = {site: User(stack, f"{site}-agent") for site in SITES}
    pids = {
        "bridge": [processes.daemon(stack, "bridge")],
        "agents": [processes.daemon(stack, site) for site in SITES],
        "stock nova-compute": [pid for site in SITES for pid in processes.compute(stack, site)],
    }
    halves: list[dict[str, float]] = []
    uuids: list[str] = []
    for half in range(2):
        before = {name: sum(map(processes.cpu, group)) for name, group in pids.items()}
        uuids += boot(tenant, count // 2, f"bench-{half}")
        halves.append({name: sum(map(processes.cpu, group)) - before[name] for name, group in pids.items()})
    servers = {server["id"]: uuid for uuid in uuids for site in sites.values() for server in tagged(site, uuid)}
    own, late = own_times(stack, uuids), delays(stack, servers)
    tenant.delete(*uuids)
    return [
        (f"own time per boot, p50 / max of {len(own)}", f"{statistics.median(own):.0f} / {max(own):.0f} ms"),
        ("site ACTIVE to ACTIVE above, p50 / max", f"{statistics.median(late):.2f} / {max(late):.2f} s"),
        *[
            (
                f"CPU per boot, {name}: first / second {count // 2} boots",
                " / ".join(f"{half[name] / (count // 2):.3f}" for half in halves) + " s",
            )
            for name in pids
        ],
    ]


def boot(tenant: Tenant, count: int, prefix: str) -> list[str]:
    """Boot servers, AT_ONCE at a time, in both zones, and return their ids once all are ACTIVE."""
    uuids: list[str] = []
    for first in range(0, count, AT_ONCE):
        group = [
            tenant.boot(f"{prefix}-{number}", f"az-{SITES[number % len(SITES)]}")
            for number in range(first, min(first + AT_ONCE, count))
        ]
        for uuid in group:
            tenant.wait_status(uuid, "ACTIVE")
        uuids += group
    return uuids


def own_times(stack: Stack, uuids: list[str]) -> list[float]:
    """Return ms of bridge and agent together for each boot, from their logs."""
    sums: dict[str, float] = dict.fromkeys(uuids, 0.0)
    for name, pattern in (("bridge", OWN), *((site, EXECUTED) for site in SITES)):
        for found in map(pattern.search, stack.log(name).read_text().splitlines()):
            if found and found[1] in sums:
                sums[found[1]] += float(found[2])
    return list(sums.values())


def delays(stack: Stack, servers: dict[str, str]) -> list[float]:
    """Return the s from nova-compute's "took ... to build" in the site to the bridge's "settled", for each boot."""
    built: dict[str, datetime.datetime] = {}
    for site in SITES:
        for log in (stack.state / "clouds" / site / "log").glob("*compute*"):
            built |= {servers[m[2]]: at(m[1]) for m in matches(BUILT, log) if m[2] in servers}
    settled = {m[2]: at(m[1]) for m in matches(SETTLED, stack.log("bridge"))}
    return [(settled[uuid] - when).total_seconds() for uuid, when in built.items() if uuid in settled]


def matches(pattern: re.Pattern[str], log: Path) -> list[re.Match[str]]:
    """Return the lines of a log that match."""
    return [found for found in map(pattern.search, log.read_text(errors="replace").splitlines()) if found]


def at(text: str) -> datetime.datetime:
    """Return the time of a log line."""
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f")
