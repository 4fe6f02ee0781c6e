"""Carries one image to a site while its link is cut three times: bytes, seconds, memory and CPU of both programs.

`python -m tests.bench.image_transfer --mib 1024`, on the demo's stack, which must run.
"""

import argparse
import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import bridge.settings  # noqa: F401 - first: it silences what oslo.messaging's import of eventlet says
from deploy.demo.stack import Stack
from tests.bench import processes
from tests.bench.link import Link
from tests.e2e.clouds import Tenant, User, eventually

MIB = 1024**2
SITE = "paris"
CUTS = (0.2, 0.45, 0.7)  # of the image
CUT = 5.0  # s
LONGEST = 1800.0  # s
MOST = 1.1  # times the image's size


@dataclass
class Watch:
    """Memory (MiB) of one process, looked at twice a second, and the CPU (s) it spent."""

    pid: int
    before: float = 0.0
    highest: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to look."""
        self.before = processes.rss(self.pid)
        self.cpu = processes.cpu(self.pid)
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.ended.wait(0.5):
            self.highest = max(self.highest, processes.rss(self.pid))

    def told(self) -> str:
        """End, and return what was seen."""
        self.ended.set()
        spent = processes.cpu(self.pid) - self.cpu
        grown = self.highest - self.before
        after = processes.rss(self.pid)
        return (
            f"{self.before:.0f} MiB before, {grown:+.0f} at most, {after - self.before:+.0f} after; {spent:.1f} s CPU"
        )


def main() -> int:
    """Measure once; returns 1 if a limit is passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.image_transfer", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    stack, size = Stack.default(), parser.parse_args().mib * MIB
    tenant, link = Tenant(stack), Link(stack.middle.nats.url)
    with content(size) as (file, digest):
        image = upload(tenant, file)
    stack.stop(SITE)
    stack.start(SITE, {"OS_NATS__SERVERS": link.url})
    stack.wait_online()
    watches = {name: Watch(processes.daemon(stack, name)) for name in ("bridge", SITE)}
    for watch in watches.values():
        watch.start()
    try:
        passed, seconds = carry(stack, tenant, link, image, size)
        figures = {name: watch.told() for name, watch in watches.items()}
        [held] = User(stack, f"{SITE}-agent").get("image", "/images", cascade_image_id=image)["images"]
    finally:
        tenant.connection.image.delete(f"/images/{image}")
        stack.stop(SITE)
        stack.start(SITE)
        link.close()
    equal = held["os_hash_value"] == digest
    print(f"{size / MIB:.0f} MiB with {len(CUTS)} cuts of {CUT:.0f} s: {seconds:.0f} s, hash equal: {equal}")
    print(f"{passed / size:.3f} x its size came over the link")
    for name, told in figures.items():
        print(f"{name}: {told}")
    return int(not equal or passed > MOST * size)


def carry(stack: Stack, tenant: Tenant, link: Link, image: str, size: int) -> tuple[int, float]:
    """Boot a server of the image, cut the link meanwhile, and return the bytes that came and the seconds it took."""
    before, began = link.down, time.monotonic()
    uuid = tenant.boot("bench-image", f"az-{SITE}", imageRef=image)
    for part in CUTS:
        eventually(lambda: link.down - before > part * size, LONGEST, f"{part:.0%} did not come")  # noqa: B023
        link.cut()
        time.sleep(CUT)
        link.mend()
    tenant.wait_status(uuid, "ACTIVE", LONGEST)
    passed, seconds = link.down - before, time.monotonic() - began
    tenant.delete(uuid)
    return passed, seconds


@contextlib.contextmanager
def content(size: int) -> Iterator[tuple[BinaryIO, str]]:
    """A file of random bytes and its SHA-512."""
    digest = hashlib.sha512()
    with tempfile.TemporaryFile() as file:
        for _ in range(size // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
        file.seek(0)
        yield file, digest.hexdigest()


def upload(tenant: Tenant, file: BinaryIO) -> str:
    """Make an image above."""
    body = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
    image = str(tenant.connection.image.post("/images", json=body).json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    answer = tenant.connection.image.put(f"/images/{image}/file", data=file, headers=headers)
    assert answer.status_code == 204, answer.text
    return image


if __name__ == "__main__":
    raise SystemExit(main())
