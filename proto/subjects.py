"""Every NATS subject and header: built and parsed here and nowhere else.

Site names and instance uuids are subject tokens, so they must not contain dots, spaces or wildcards.
"""

import re
import zlib
from dataclasses import dataclass

from proto.errors import Malformed
from proto.operations import Lane
from proto.queries import FOR_ALL_AGENTS

PREFIX = "cascade.v1"
SHARDS = 20  # streams of each kind; a site's shard never changes

SITE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

HEADER_MESSAGE_ID = "Nats-Msg-Id"
HEADER_EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
HEADER_EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
HEADER_DEAD_REASON = "Cascade-Reason"
HEADER_DEAD_SUBJECT = "Cascade-Subject"


def shard(site: str) -> int:
    """Return the shard of a site: 0 .. SHARDS-1, the same in every process and release."""
    return zlib.crc32(site.encode()) % SHARDS


def intake(site: str, uuid: str) -> str:
    """Subject of one waiting Nova RPC."""
    return f"{PREFIX}.intake.{shard(site)}.{site}.{uuid}"


def intake_filter(site: str) -> str:
    """All waiting RPCs of a site."""
    return f"{PREFIX}.intake.{shard(site)}.{site}.>"


def command(site: str, lane: Lane, uuid: str) -> str:
    """Subject of one command."""
    return f"{PREFIX}.cmd.{shard(site)}.{site}.{lane}.{uuid}"


def command_filter(site: str, lane: Lane) -> str:
    """All commands of one lane of a site."""
    return f"{PREFIX}.cmd.{shard(site)}.{site}.{lane}.>"


def commands_of_instance(site: str, uuid: str) -> str:
    """Commands of one instance in either lane."""
    return f"{PREFIX}.cmd.{shard(site)}.{site}.*.{uuid}"


def commands_of_site(site: str) -> str:
    """All commands of a site."""
    return f"{PREFIX}.cmd.{shard(site)}.{site}.>"


def event(site: str, uuid: str) -> str:
    """Subject of one observation."""
    return f"{PREFIX}.evt.{shard(site)}.{site}.{uuid}"


def event_filter(site: str) -> str:
    """All observations of a site."""
    return f"{PREFIX}.evt.{shard(site)}.{site}.>"


def query(site: str, verb: str) -> str:
    """Request from the bridge to a site's agent: to one of them, or to all where all must hear it."""
    return f"{PREFIX}.query.{site}.all.{verb}" if verb in FOR_ALL_AGENTS else f"{PREFIX}.query.{site}.{verb}"


def queries_of_one_agent(site: str) -> str:
    """All requests that one agent of a site is to answer; it must not overlap what all are to answer.

    NATS counts a message that comes to a connection twice as two against its right to one reply.
    """
    return f"{PREFIX}.query.{site}.*"


def queries_of_all_agents(site: str) -> str:
    """All requests that every agent of a site is to hear."""
    return f"{PREFIX}.query.{site}.all.*"


def query_filter(site: str) -> str:
    """All requests to a site's agents."""
    return f"{PREFIX}.query.{site}.>"


def ask(site: str, verb: str) -> str:
    """Request from a site's agent to the bridge that owns it."""
    return f"{PREFIX}.ask.{site}.{verb}"


def ask_filter(site: str) -> str:
    """All requests of a site's agent."""
    return f"{PREFIX}.ask.{site}.>"


def order(site: str, verb: str) -> str:
    """Request from the ``cascade`` command to the bridge that owns a site; no site may publish or subscribe it."""
    return f"{PREFIX}.order.{site}.{verb}"


def order_filter(site: str) -> str:
    """All requests of operators about a site."""
    return f"{PREFIX}.order.{site}.>"


def status(site: str) -> str:
    """Subject of a site's SiteStatus."""
    return f"{PREFIX}.status.{site}"


DEAD_FILTER = f"{PREFIX}.dead.>"  # of all sites


def dead(site: str) -> str:
    """Subject of messages that a site's agent could not read or carry out."""
    return f"{PREFIX}.dead.{site}"


def dead_above(site: str) -> str:
    """Subject of those about a site that a bridge could not; no site may publish it, so they are what they say."""
    return f"{dead(site)}.above"


def parse_dead(subject: str) -> tuple[str, bool]:
    """Return the site of a dead letter and whether a bridge wrote it; Malformed for any other subject."""
    prefix, _, rest = subject.partition(".dead.")
    site, _, writer = rest.partition(".")
    if prefix != PREFIX or not SITE_NAME.fullmatch(site) or writer not in ("", "above"):
        raise Malformed(f"not a subject of dead letters: {subject!r}")
    return site, bool(writer)


def inbox_prefix(site: str) -> str:
    """Prefix of the reply subjects of a site's agent; only this site may subscribe it."""
    return f"_INBOX_{site}"


@dataclass(frozen=True, slots=True)
class Address:
    """Site and instance that a stored subject names."""

    site: str
    uuid: str


def parse(subject: str) -> Address:
    """Return site and instance of an intake, command or event subject; Malformed if it is none."""
    tokens = subject.split(".")
    if len(tokens) < 6 or tokens[:2] != PREFIX.split(".") or tokens[2] not in ("intake", "cmd", "evt"):
        raise Malformed(f"not a subject of ours: {subject!r}")
    site, uuid = tokens[4], tokens[-1]
    if not SITE_NAME.fullmatch(site) or not _TOKEN.fullmatch(uuid):
        raise Malformed(f"not a subject of ours: {subject!r}")
    return Address(site, uuid)


def is_token(text: str) -> bool:
    """Whether a text, such as an instance's uuid that a site tells, may stand in a subject."""
    return _TOKEN.fullmatch(text) is not None


def site_permissions(site: str) -> tuple[list[str], list[str]]:
    """Return (publish, subscribe) subjects a site may use, besides one reply to each request it received."""
    stream = f"COMMANDS_{shard(site)}"
    durables = [f"agent-{site}-{lane}" for lane in Lane]
    publish = [event(site, "*"), ask_filter(site), status(site), dead(site)]
    for durable in durables:
        publish.append(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}")
        publish.append(f"$JS.ACK.{stream}.{durable}.>")
        publish.append(f"$JS.ACK.*.*.{stream}.{durable}.>")
    return publish, [query_filter(site), f"{inbox_prefix(site)}.>"]
