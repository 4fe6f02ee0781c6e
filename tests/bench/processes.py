"""What /proc tells of a process."""

import os
from pathlib import Path

from deploy.demo.stack import Stack
from deploy.devcloud import process

TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Return user and system seconds of a process."""
    fields = process.read_stat(pid)
    assert fields is not None, f"process {pid} is gone"
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> float:
    """Return resident MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def threads(pid: int) -> int:
    """Return how many threads it has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def connections(pid: int, port: int) -> int:
    """Return how many established TCP connections to a local port it has."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            established = fields[3] == "01"
            count += established and int(fields[2].rsplit(":", 1)[1], 16) == port and fields[9] in sockets
    return count


def daemon(stack: Stack, name: str) -> int:
    """Return the pid of the bridge or an agent."""
    found = process.find(stack.pid_file(name))
    assert found is not None, f"{name} does not run"
    return found.pid


def compute(stack: Stack, site: str) -> list[int]:
    """Return the pids of a site's stock nova-compute processes."""
    found = [
        process.find(file) for file in (stack.state / "clouds" / site / "pids").iterdir() if "compute" in file.name
    ]
    return [one.pid for one in found if one is not None]
