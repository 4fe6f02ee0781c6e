"""`python -m tests.bench.census`: what a census by digest costs, in bytes and CPU time, by how much the sides differ.

Both programs' real code, joined without NATS and without HTTP: bytes are those of subjects, requests and replies.
"""

import asyncio
import time
from typing import Any

from site_agent.core.answers import Answer
from tests.fakes.census import Meeting

SERVERS = 10_000
DIFFERENCES = (0, 1, 10, 100, 1000)
INTRODUCTION = f"""\
## Census

What one round of a site of {SERVERS:,} servers costs (`python -m tests.bench.census`). *Bytes* are those of both ways
together; *differ* is how many servers are not as their records say: stopped, made or deleted by the site itself, a
third each. The agent's CPU is without what its Nova takes to list the servers, and without HTTP."""


async def measure(differences: int) -> list[str]:
    """Return the figures of one round: differences, bytes, queries, ms of the bridge, ms of the agent."""
    meeting = _meeting(differences)
    of_the_site = _timed(meeting.cloud.nova)
    began = time.process_time()
    found = await meeting.census.look()
    whole = time.process_time() - began
    assert len(found) == len(meeting.cloud.nova.alive())
    assert meeting.figures is not None
    agent = meeting.agent_seconds - sum(of_the_site)
    bridge = whole - meeting.agent_seconds
    shown = (differences, meeting.figures.bytes, len(meeting.asked), round(bridge * 1000), round(agent * 1000))
    return [f"{number:,}" for number in shown]


def _meeting(differences: int, *, old: bool = False) -> Meeting:
    meeting = Meeting(old=old)
    for number in range(SERVERS):
        uuid = f"{number:08x}-5a01-4f0e-9d0c-2f1f3f0f5a01"
        meeting.add(uuid)
        if number < differences:
            (_stop, _forget, _delete)[number % 3](meeting, uuid)
    return meeting


def _stop(meeting: Meeting, uuid: str) -> None:
    meeting.add_server(uuid, vm_state="stopped")


def _forget(meeting: Meeting, uuid: str) -> None:
    del meeting.records[uuid]


def _delete(meeting: Meeting, uuid: str) -> None:
    del meeting.cloud.nova.servers[f"srv-{uuid}"]


def _timed(nova: Any) -> list[float]:
    """Return a list that gets the s of CPU of each answer that the fake site gives."""
    seconds: list[float] = []
    answer = nova.answer

    def timed(*args: Any) -> Answer:
        began = time.process_time()
        found: Answer = answer(*args)
        seconds.append(time.process_time() - began)
        return found

    nova.answer = timed
    return seconds


async def _by_pages() -> str:
    """Return the bytes of a round with an agent that knows no digests."""
    meeting = _meeting(0, old=True)
    await meeting.census.look()
    assert meeting.figures is not None
    return f"{meeting.figures.bytes:,}"


def section() -> str:
    """Return the section of docs/benchmarks.md."""
    rows = [asyncio.run(measure(number)) for number in DIFFERENCES]
    lines = ["| differ | bytes | queries | bridge, ms of CPU | agent, ms of CPU |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    every = f"With an agent that knows no digests a round costs {asyncio.run(_by_pages())} bytes."
    return "\n".join([INTRODUCTION, "", *lines, "", every])


if __name__ == "__main__":
    print(section())
