"""Streams and durable consumers as data; proto.jetstream makes them exist.

WorkQueue retention, no max_age, discard new: a full stream leaves RPCs unacknowledged and is an alarm,
while discarding old messages would lose deletes. max_deliver is unlimited on purpose: with a limit a
message that was nak'd too often stops silently.
"""

from dataclasses import dataclass

from proto import subjects
from proto.operations import Lane

ACK_WAIT_COMMANDS = 30  # s; the agent says in_progress every PROGRESS_INTERVAL while it works
PROGRESS_INTERVAL = 10  # s
ACK_WAIT_BRIDGE = 300  # s; what waits behind others comes again meanwhile and is known, what got lost on the way too
MAX_ACK_PENDING = 20_000  # far above any window: nak'd messages count
SITE_WINDOW = 256  # commands of one site that are in COMMANDS at a time
STREAM_MAX_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Stream:
    """One JetStream stream."""

    name: str
    subjects: tuple[str, ...]
    work_queue: bool = True
    max_bytes: int = STREAM_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Durable:
    """One durable pull consumer; ack_wait in s."""

    stream: str
    name: str
    filter_subject: str
    ack_wait: int


def intake(site: str) -> Stream:
    """Stream that holds the Nova RPCs of a site's shard."""
    number = subjects.shard(site)
    return Stream(f"INTAKE_{number}", (f"{subjects.PREFIX}.intake.{number}.>",))


def commands(site: str) -> Stream:
    """Stream that holds the commands of a site's shard."""
    number = subjects.shard(site)
    return Stream(f"COMMANDS_{number}", (f"{subjects.PREFIX}.cmd.{number}.>",))


def events(site: str) -> Stream:
    """Stream that holds the observations of a site's shard."""
    number = subjects.shard(site)
    return Stream(f"EVENTS_{number}", (f"{subjects.PREFIX}.evt.{number}.>",))


DEAD = Stream("DEAD", (subjects.DEAD_FILTER,), work_queue=False, max_bytes=256 * 1024**2)


def of_site(site: str) -> tuple[Stream, ...]:
    """All streams a site needs."""
    return intake(site), commands(site), events(site), DEAD


def agent_durable(site: str, lane: Lane) -> Durable:
    """The agent's consumer of one lane; made by the bridge, the agent may only pull from it."""
    return Durable(commands(site).name, f"agent-{site}-{lane}", subjects.command_filter(site, lane), ACK_WAIT_COMMANDS)


def bridge_durable_prefix(site: str) -> str:
    """Common start of the durables that all owners of a site ever made; of no other site: names have no underscore."""
    return f"bridge-{site}_"


def intake_durable(site: str, owner_revision: int) -> Durable:
    """INTAKE consumer of one ownership of a site; older ones are deleted at take-over."""
    name = f"{bridge_durable_prefix(site)}{owner_revision}"
    return Durable(intake(site).name, name, subjects.intake_filter(site), ACK_WAIT_BRIDGE)


def events_durable(site: str, owner_revision: int) -> Durable:
    """EVENTS consumer of one ownership of a site."""
    name = f"{bridge_durable_prefix(site)}{owner_revision}"
    return Durable(events(site).name, name, subjects.event_filter(site), ACK_WAIT_BRIDGE)
