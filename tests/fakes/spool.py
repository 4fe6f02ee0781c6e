"""The disk of one machine, with the interface of proto.spool: what is on it outlives the process that wrote it."""

import hashlib
import io
from dataclasses import dataclass, field
from typing import BinaryIO

from proto.errors import Unavailable
from proto.spool import refuse_unusable_hash


@dataclass(slots=True)
class Disk:
    """Files by name; ``room``: bytes that still fit."""

    name: str = "spool-1"
    files: dict[str, bytearray] = field(default_factory=dict)
    room: int = 1 << 40


class FakeSpool:
    """proto.spool.Spool on a Disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    async def identity(self) -> str:
        """Return the disk's name."""
        return self.disk.name

    async def open(self, algorithm: str, value: str, size: int) -> "FakePart":
        """Return a part as far as it got."""
        refuse_unusable_hash(algorithm, value)
        if self.disk.room < size - len(self.disk.files.get(value, b"")):
            raise Unavailable("spool: no space left on device")
        return FakePart(self.disk, algorithm, value)


class FakePart:
    """proto.spool.Part on a Disk."""

    def __init__(self, disk: Disk, algorithm: str, value: str) -> None:
        self._disk, self._value = disk, value
        self._content = disk.files.setdefault(value, bytearray())
        self._digest = hashlib.new(algorithm, self._content)
        self.resumed = bool(self._content)

    @property
    def offset(self) -> int:
        """Bytes that are there."""
        return len(self._content)

    async def append(self, data: bytes) -> None:
        """Add bytes."""
        self._content += data
        self._digest.update(data)

    def digest(self) -> str:
        """Hash of what is there."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """Read from the beginning."""
        return io.BytesIO(bytes(self._content))

    async def remove(self) -> None:
        """Delete it."""
        self._disk.files.pop(self._value, None)

    def release(self) -> None:
        """Nobody else asks for it here."""
