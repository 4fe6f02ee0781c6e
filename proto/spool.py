"""Partial files on a local disk: what was carried of a file survives the process that carried it.

Whatever touches the disk works in a thread. One process at a time holds a part; a part that nobody touched for a day
is nobody's any more.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from proto.errors import FaultCode, Refused, Unavailable

LEFTOVER = 24 * 3600.0  # s without a byte after which a part is removed
BLOCK = 1024 * 1024  # bytes read at a time when a part is hashed again
TROUBLED = 30.0  # s until a disk that is full or broken is tried again
_NAME = re.compile(r"[0-9a-f]{16,128}")


def refuse_unusable_hash(algorithm: str, value: str) -> None:
    """Raise Refused if no file can be known by such a hash (hex)."""
    if algorithm not in hashlib.algorithms_available or not _NAME.fullmatch(value):
        raise Refused(FaultCode.IMAGE, f"{algorithm or 'no'} hash {value[:20]!r} is none to know an image by")


class Spool:
    """One directory, mode 700; made when it is first needed. Disk trouble is Unavailable and says what and where."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def identity(self) -> str:
        """Return the name of this spool: the same after every restart, of no other spool."""
        return await asyncio.to_thread(self._identity)

    async def open(self, algorithm: str, value: str, size: int) -> "Part":
        """Return the part of the file of ``size`` bytes with this hash, as far as it got; close it when done.

        What is there is hashed again. Unavailable if another process holds it or there is no room for the rest.
        """
        refuse_unusable_hash(algorithm, value)
        return await asyncio.to_thread(self._open, algorithm, value, size)

    def _identity(self) -> str:
        with _translated(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / "identity"
            fresh = self._directory / f"identity.{uuid.uuid4().hex}"
            if not path.exists():
                fresh.write_text(uuid.uuid4().hex)
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, path)  # of two processes that start together one wins
                fresh.unlink()
            return path.read_text()

    def _open(self, algorithm: str, value: str, size: int) -> "Part":
        with _translated(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()
            part = Part(self._directory / f"{value}.part", algorithm, size)
            free = shutil.disk_usage(self._directory).free
            if free < size - part.offset:
                part.release()
                raise _trouble(self._directory, f"no space left on device: {size - part.offset} bytes do not fit")
            return part

    def _sweep(self) -> None:
        """Remove parts that were left behind; one that somebody holds is not."""
        for path in self._directory.glob("*.part"):
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                if time.time() - path.stat().st_mtime > LEFTOVER:
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        path.unlink()


class Part:
    """The beginning of one file, held by this process. Made by Spool.open."""

    def __init__(self, path: Path, algorithm: str, size: int) -> None:
        self._path = path
        self._readers: list[BinaryIO] = []
        self._file = _held(path)
        self._digest = hashlib.new(algorithm)
        if os.fstat(self._file.fileno()).st_size > size:
            self._file.truncate(0)
        self.offset = 0  # bytes that are there
        while block := self._file.read(BLOCK):
            self._digest.update(block)
            self.offset += len(block)
        self.resumed = self.offset > 0  # an earlier process carried the beginning

    async def append(self, data: bytes) -> None:
        """Add bytes at the end; after Unavailable none of them are there."""
        await asyncio.to_thread(self._append, data)

    def digest(self) -> str:
        """Return the hash of what is there, hex."""
        return self._digest.hexdigest()

    def reader(self) -> BinaryIO:
        """Return a file of its own to read from the beginning; ``release`` closes it."""
        reader = self._path.open("rb")
        self._readers.append(reader)
        return reader

    async def remove(self) -> None:
        """Delete it from the disk; may be repeated."""
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def release(self) -> None:
        """Let others have it; what is there stays on the disk."""
        for file in (*self._readers, self._file):
            file.close()

    def _append(self, data: bytes) -> None:
        with _translated(self._path):
            try:
                self._file.seek(self.offset)
                left = memoryview(data)
                while left:  # the last write before a disk is full may take a part only
                    left = left[self._file.write(left) :]
            except OSError:
                self._file.truncate(self.offset)
                raise
            self._digest.update(data)
            self.offset += len(data)


def _held(path: Path) -> BinaryIO:
    """Open a part for this process alone; Unavailable if another one has it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise Unavailable(f"spool: another transfer holds {path.name}", 5.0) from error
    return file


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _trouble(path, (error.strerror or repr(error)).lower()) from error


def _trouble(path: Path, what: str) -> Unavailable:
    return Unavailable(f"spool: {what} ({path})", TROUBLED)
