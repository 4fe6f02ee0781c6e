"""What the bridge believes that a site holds: its records, and where these are silent, what a census told. Pure.

A belief only saves bytes: where it is wrong, the digests differ and the site tells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.core.records import InstanceRecord
from proto.messages import CensusEntry, ServerState

Servers = tuple[CensusEntry, ...]  # of one instance; more than one only after a race of two creates


def recorded(record: InstanceRecord | None) -> Servers:
    """Return what a record says that the site's listing shows of its instance."""
    if record is None or record.deleted_at is not None or not record.server_id or not record.vm_state:
        return ()
    state = ServerState(record.server_id, record.vm_state, None, record.power_state or 0, "")
    return (CensusEntry(record.uuid, record.created, state),)


def standing_for(servers: Iterable[CensusEntry], record: InstanceRecord | None) -> CensusEntry:
    """Return which of several servers of one instance stands for it: the latest made, then the one that is recorded."""
    known = record.server_id if record is not None else None
    return max(servers, key=lambda entry: (entry.generation, entry.server.server_id == known, entry.server.server_id))


@dataclass(frozen=True, slots=True)
class _Told:
    """What a census told of an instance, for as long as its record says what it said then."""

    recorded: Servers
    listed: Servers


class Beliefs:
    """What a site's listing should show, by instance. What was told of it is in memory only."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def of(self, records: Mapping[str, InstanceRecord]) -> dict[str, Servers]:
        """Return what each instance is believed to show; what was told holds until its record changes."""
        found = {uuid: recorded(record) for uuid, record in records.items()}
        for uuid, told in list(self._told.items()):
            if found.get(uuid, ()) == told.recorded:
                found[uuid] = told.listed
            else:
                del self._told[uuid]
        return found

    def learn(self, uuid: str, record: InstanceRecord | None, listed: Servers) -> None:
        """A census told what the listing shows of an instance, while its record was ``record``."""
        said = recorded(record)
        if said == listed:
            self._told.pop(uuid, None)
        else:
            self._told[uuid] = _Told(said, listed)
