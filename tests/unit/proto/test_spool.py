"""Partial files on a real disk."""

import errno
import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Refused, Unavailable
from proto.spool import LEFTOVER, Spool

CONTENT = os.urandom(3_000_000)
HASH = hashlib.sha512(CONTENT).hexdigest()


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_a_part_goes_on_where_its_process_ended(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    part = await spool.open("sha512", HASH, len(CONTENT))
    assert (part.offset, part.resumed) == (0, False)
    await part.append(CONTENT[:2_000_000])
    part.release()
    part = await Spool(tmp_path / "spool").open("sha512", HASH, len(CONTENT))
    assert (part.offset, part.resumed) == (2_000_000, True)
    await part.append(CONTENT[2_000_000:])
    assert part.digest() == HASH
    assert part.reader().read() == CONTENT
    [path] = (tmp_path / "spool").glob("*.part")
    assert path.stat().st_mode & 0o777 == 0o600
    await part.remove()
    await part.remove()
    part.release()
    assert not path.exists()


async def test_one_holds_a_part_at_a_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    part = await spool.open("sha512", HASH, 10)
    with pytest.raises(Unavailable, match="another transfer"):
        await spool.open("sha512", HASH, 10)
    part.release()
    (await spool.open("sha512", HASH, 10)).release()


async def test_a_part_longer_than_its_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / f"{HASH}.part").write_bytes(CONTENT)
    part = await Spool(tmp_path).open("sha512", HASH, 10)
    assert part.offset == 0
    part.release()


async def test_leftovers_go_after_a_day_but_not_those_in_use(tmp_path: Path) -> None:
    spool, old = Spool(tmp_path), time.time() - LEFTOVER - 60
    other = hashlib.sha512(b"other").hexdigest()
    in_use = await spool.open("sha512", HASH, 10)
    (await spool.open("sha512", other, 10)).release()
    for name in (HASH, other):
        os.utime(tmp_path / f"{name}.part", (old, old))
    (await spool.open("sha512", hashlib.sha512(b"new").hexdigest(), 10)).release()
    assert (tmp_path / f"{HASH}.part").exists()
    assert not (tmp_path / f"{other}.part").exists()
    in_use.release()


async def test_a_full_disk_is_told_before_and_while_writing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(Unavailable, match="spool: no space left on device"):
        await spool.open("sha512", HASH, 1 << 60)
    part = await spool.open("sha512", HASH, len(CONTENT))
    await part.append(CONTENT[:100])
    held, part._file = part._file, io.FileIO("/dev/full", "r+")  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="spool: "):
        await part.append(CONTENT[100:200])
    part._file.close()
    part._file = held
    assert part.offset == 100
    await part.append(CONTENT[100:])
    assert part.digest() == HASH
    part.release()


class Filling(io.FileIO):
    """A file on a disk that takes a part of a write, and nothing of the next one."""

    def __init__(self, name: str, room: int) -> None:
        super().__init__(name, "r+")
        self.room = room

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(memoryview(data)[: self.room])
        self.room -= taken
        return taken


async def test_a_write_that_is_short_is_no_write(tmp_path: Path) -> None:
    part = await Spool(tmp_path).open("sha512", HASH, len(CONTENT))
    path = tmp_path / f"{HASH}.part"
    held, part._file = part._file, Filling(str(path), 150)  # type: ignore[assignment]
    await part.append(CONTENT[:100])
    with pytest.raises(Unavailable, match="no space left"):
        await part.append(CONTENT[100:200])
    assert (part.offset, path.stat().st_size) == (100, 100)
    part._file.close()
    part._file = held
    await part.append(CONTENT[100:])
    assert part.digest() == HASH and part.reader().read() == CONTENT
    part.release()


async def test_a_spool_keeps_its_identity(tmp_path: Path) -> None:
    first = await Spool(tmp_path / "a").identity()
    assert first == await Spool(tmp_path / "a").identity()
    assert first != await Spool(tmp_path / "b").identity()
    assert names(tmp_path / "a") == ["identity"]


@pytest.mark.parametrize(("algorithm", "value"), [("sha512", "../../etc/passwd"), ("rot13", "0" * 64), ("md5", "")])
async def test_a_hash_that_is_none_is_refused(tmp_path: Path, algorithm: str, value: str) -> None:
    with pytest.raises(Refused):
        await Spool(tmp_path).open(algorithm, value, 10)
    assert names(tmp_path) == []
