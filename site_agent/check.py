"""`cascade-agent check`: logs in as the agent, tries each ability, prints a line each. Changes nothing that stays."""

import argparse
import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import yaml

from proto import streams
from proto.errors import CascadeError, Refused
from proto.operations import Lane
from site_agent import settings
from site_agent.checks import compute, image, network
from site_agent.core import rights
from site_agent.core.rights import COLUMNS, Finding, Verdict, works
from site_agent.edge.cloud import Cloud
from site_agent.road import connected

THREADS = 4
FORMATS = ("table", "json", "yaml")
_CHECKS: dict[str, Callable[[Cloud], Awaitable[list[Finding]]]] = {
    "nova version": compute.version,
    "servers": compute.servers,
    "server actions": compute.actions,
    "flavors": compute.flavors,
    "capacity": compute.capacity,
    "keypairs": compute.keypairs,
    "networks": network.networks,
    "security groups": network.security_groups,
    "extensions": network.extensions,
    "images": image.images,
}


def main(arguments: Sequence[str]) -> int:
    """Run `cascade-agent check` and print what it finds; 1 if the agent could not serve the site.

    Raises Misconfigured for a setting that is wrong. All options but the format are those of the agent.
    """
    parser = argparse.ArgumentParser("cascade-agent check", description=__doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("-f", "--format", choices=FORMATS, default="table")
    chosen, rest = parser.parse_known_args(arguments)
    loaded = settings.load(rest)
    logging.getLogger().setLevel(logging.ERROR)
    findings = asyncio.run(run(loaded))
    print(shown(findings, chosen.format))
    return int(rights.failed(findings))


async def run(chosen: settings.Settings) -> list[Finding]:
    """Return every finding; a part that cannot be looked at is itself one."""
    findings = [await nats(chosen)]
    try:
        cloud = await Cloud.connect(chosen.cloud, chosen.request_timeout, THREADS)
    except CascadeError as error:
        return [*findings, Finding("login", Verdict.REFUSED, str(error), "see the message")]
    try:
        findings += [works("login", f"project {cloud.project_id}"), clock(cloud.clock_offset)]
        for ability, check in _CHECKS.items():
            findings += await _tried(ability, check(cloud))
    finally:
        cloud.close()
    return findings


async def nats(chosen: settings.Settings) -> Finding:
    """Whether the bundle opens the way to the bridge, and whether the site's commands wait there."""
    site = chosen.bundle.site
    try:
        async with connected(chosen) as road:
            for lane in Lane:
                await road.must_serve(streams.agent_durable(site, lane))
    except CascadeError as error:
        mend = f"the way to {', '.join(chosen.servers)}; is a bridge serving {site}? has its bundle been replaced?"
        return Finding("nats", Verdict.REFUSED, str(error), mend)
    return works("nats", f"{', '.join(chosen.servers)}; the site's commands can be pulled")


def clock(offset: float) -> Finding:
    """How far the site's clock is from ours; ``offset`` in s, at least."""
    found = f"the site's clock is {offset:+.1f} s from this machine's"
    if abs(offset) <= rights.LARGEST_OFFSET:
        return works("clock", found)
    text = f"{found}: changes are seen late, commands expire early or late"
    return Finding("clock", Verdict.DEGRADED, text, "run NTP on both")


def shown(findings: Sequence[Finding], form: str) -> str:
    """Return the findings as text; JSON and YAML are lists of the same lines."""
    rows = [finding.row() for finding in findings]
    if form == "json":
        return json.dumps(rows, indent=2)
    if form == "yaml":
        return str(yaml.safe_dump(rows, sort_keys=False, allow_unicode=True)).rstrip()
    return _aligned([list(COLUMNS), *([row[column] or "-" for column in COLUMNS] for row in rows)])


async def _tried(ability: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await check
    except Refused as error:
        return [Finding(ability, Verdict.REFUSED, error.message, "see the message")]
    except CascadeError as error:
        return [Finding(ability, Verdict.REFUSED, str(error), "is the service up? run the check again")]


def _aligned(cells: Sequence[Sequence[Any]]) -> str:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)
