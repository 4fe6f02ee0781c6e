"""What tenants call their servers: read from Nova's answers, and put into messages to a site. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from proto.specs import ServerNames

MOST = 50  # servers of one message: the site looks at each
LARGEST = 400 * 1024  # bytes of one message, below what NATS takes
NO_SERVER = frozenset({"building", "deleted", "soft-delete", "shelved_offloaded"})  # none in the site, or not yet


@dataclass(frozen=True, slots=True)
class Known:
    """What one instance above is called, and which of its guests that is about.

    A boot, a rebuild or an unshelve brings a name of its own to the site, maybe an older one; each makes a guest anew.
    """

    names: ServerNames
    launched_at: str | None
    host: str  # above


@dataclass(frozen=True, slots=True)
class Look:
    """Servers above that sites have, and the cascading cloud's clock when it began to answer (epoch s)."""

    servers: list[Known]
    date: float


def of_api(document: Mapping[str, Any]) -> Known | None:
    """Return it from an entry of GET /servers/detail as administrator; None if the site has no server of it."""
    if document.get("OS-EXT-STS:vm_state") in NO_SERVER or document.get("OS-EXT-STS:task_state") == "deleting":
        return None
    names = ServerNames(
        uuid=document["id"],
        name=document["name"],
        description=document.get("description"),
        hostname=document.get("OS-EXT-SRV-ATTR:hostname"),
        metadata=dict(document.get("metadata") or {}),
    )
    return Known(names, document.get("OS-SRV-USG:launched_at"), document.get("OS-EXT-SRV-ATTR:host") or "")


def telling(known: Known, told: Known | None) -> ServerNames:
    """Return what a site is told: also which metadata the tenant removed since ``told``, what it has been told last."""
    before = told.names.metadata if told is not None else {}
    return msgspec.structs.replace(known.names, gone=sorted(before.keys() - known.names.metadata.keys()))


def portions(servers: Iterable[ServerNames]) -> Iterator[list[ServerNames]]:
    """Yield the servers in what fits into one message each."""
    portion: list[ServerNames] = []
    size = 0
    for names in servers:
        more = len(msgspec.msgpack.encode(names))
        if portion and (len(portion) == MOST or size + more > LARGEST):
            yield portion
            portion, size = [], 0
        portion.append(names)
        size += more
    if portion:
        yield portion
