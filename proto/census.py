"""How both sides of a census compare what they know of a site's servers: parts, buckets of parts, and digests. Pure.

A server belongs to a part by a hash of its instance's uuid. Each side digests its parts by itself; only parts whose
digests differ are told server by server. What is computed here is part of the wire: to change it takes other queries.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from proto.messages import CensusEntry

BUCKETS = 128
PARTS = 32  # of one bucket
DIGEST_BYTES = 8
_PART_BITS = 12  # BUCKETS * PARTS = 2 ** 12


def part_of(uuid: str) -> int:
    """Return the part an instance above belongs to, 0 .. BUCKETS * PARTS - 1; the bucket is the part // PARTS."""
    return int.from_bytes(blake2b(uuid.encode(), digest_size=2).digest(), "big") >> (16 - _PART_BITS)


class Parts:
    """Servers by part, with the digests of what both sides know of them by themselves. Does not change."""

    def __init__(self, entries: Iterable[CensusEntry]) -> None:
        self._entries: defaultdict[int, list[CensusEntry]] = defaultdict(list)
        for entry in entries:
            self._entries[part_of(entry.uuid)].append(entry)
        self._digests = {part: _digest(sorted(map(_line, found))) for part, found in self._entries.items()}

    def __iter__(self) -> Iterator[CensusEntry]:
        """Yield every server."""
        return (entry for found in self._entries.values() for entry in found)

    def entries(self, part: int) -> list[CensusEntry]:
        """Return the servers of one part."""
        return self._entries.get(part, [])

    def digest(self, part: int) -> bytes:
        """Return the digest of one part."""
        return self._digests.get(part, _NOTHING)

    def part_digests(self, bucket: int) -> bytes:
        """Return the digests of a bucket's parts, one after the other."""
        return b"".join(self.digest(bucket * PARTS + number) for number in range(PARTS))

    def bucket_digests(self) -> bytes:
        """Return the digests of all buckets, one after the other."""
        return b"".join(_digest([self.part_digests(bucket)]) for bucket in range(BUCKETS))


def differing(one: bytes, other: bytes) -> list[int]:
    """Return the places at which two rows of digests differ; both must be of the same length."""
    places = range(0, len(one), DIGEST_BYTES)
    ends = ((place, place + DIGEST_BYTES) for place in places)
    return [begin // DIGEST_BYTES for begin, end in ends if one[begin:end] != other[begin:end]]


def _line(entry: CensusEntry) -> bytes:
    """Return what is digested of a server: no times, and no status, which follows from the two states."""
    server = entry.server
    state = (server.vm_state, server.task_state, server.power_state, server.fault, server.locked)
    return msgspec.msgpack.encode((entry.uuid, entry.generation, server.server_id, *state))


def _digest(lines: list[bytes]) -> bytes:
    return blake2b(b"".join(lines), digest_size=DIGEST_BYTES).digest()


_NOTHING = _digest([])
