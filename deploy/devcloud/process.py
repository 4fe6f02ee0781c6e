"""Starts, finds and stops processes by pid files that cannot hit a stranger.

A pid file holds "pid starttime": starttime is field 22 of /proc/PID/stat (clock ticks since boot), so a pid that the
kernel has given to another program since does not match. Every service leads a session of its own; a stop ends the
whole session, so helpers that a service forks end with it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.devcloud.errors import DevcloudError

POLL = 0.05
"""Seconds between two looks at a process that is starting or stopping."""

KILL_GRACE = 10.0
"""Seconds after SIGKILL until a process that still exists is an error."""

MARK = "CASCADE_DEVCLOUD"
"""Environment variable that every process started here carries."""


@dataclass(frozen=True, slots=True)
class Process:
    """A program started here: the pid file's content."""

    pid: int
    starttime: int


def read_stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on (state is [0], session [3], starttime [19]); None: no process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def parse_pid_file(text: str) -> Process | None:
    """What a pid file says, or None if it is torn or foreign."""
    fields = text.split()
    if len(fields) != 2 or not all(field.isdecimal() for field in fields):
        return None
    return Process(int(fields[0]), int(fields[1]))


def load(pid_file: Path) -> Process | None:
    """What a pid file says; None if there is none."""
    try:
        return parse_pid_file(pid_file.read_text())
    except OSError:
        return None


def find(pid_file: Path) -> Process | None:
    """The living process a pid file names, or None (no file, ended, or the pid is another program's now)."""
    process = load(pid_file)
    return process if process and is_alive(process) else None


def is_alive(process: Process) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    fields = read_stat(process.pid)
    return fields is not None and int(fields[19]) == process.starttime and runs(process.pid, fields)


def runs(pid: int, fields: Sequence[str]) -> bool:
    """Whether any thread of a process runs: killed, its first one may be a zombie while others still hold ports."""
    if fields[0] != "Z":
        return True
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def start(command: Sequence[str], pid_file: Path, log: Path, env: Mapping[str, str], cwd: Path) -> Process:
    """Starts a program in its own session, its output appended to `log`, and writes the pid file. Does not wait."""
    for directory in (pid_file.parent, log.parent):
        directory.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                command, env={**env, MARK: "1"}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise not_runnable(command, error) from error
    child.returncode = 0  # it is meant to outlive us: without this, Popen warns that it still runs
    fields = read_stat(child.pid)
    process = Process(child.pid, int(fields[19]) if fields else 0)
    pid_file.write_text(f"{process.pid} {process.starttime}\n")
    return process


def session_members(session: int) -> list[int]:
    """Pids of all living processes of a session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = read_stat(int(entry.name))
            if fields and int(fields[3]) == session and runs(int(entry.name), fields):
                members.append(int(entry.name))
    return members


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Sends a signal to each pid that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def family(process: Process) -> list[int]:
    """Pids of a service and its helpers; also the helpers that a leader killed with SIGKILL left behind.

    Without its leader a session number alone proves nothing, so an orphan must also carry our mark.
    """
    members = session_members(process.pid)
    if is_alive(process):
        return members
    return [] if process.pid in members else [pid for pid in members if carries_mark(pid)]


def carries_mark(pid: int) -> bool:
    """Whether a process inherited the environment that `start` gives."""
    try:
        return f"{MARK}=".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def stop(pid_files: Sequence[Path], grace: float) -> None:
    """Ends the processes of several pid files at once: SIGTERM, after `grace` seconds SIGKILL for the whole session.

    May be repeated; a pid file whose process is gone is only removed.
    """
    known = [process for process in map(load, pid_files) if process]
    send([process.pid for process in known if is_alive(process)], signal.SIGTERM)
    wait_until(lambda: not any(map(is_alive, known)), grace)
    for process in known:
        send(family(process), signal.SIGKILL)
    if not wait_until(lambda: not any(map(family, known)), KILL_GRACE):
        pids = [pid for process in known for pid in family(process)]
        raise DevcloudError(f"processes {pids} do not end on SIGKILL; look at them with ps and try again")
    for pid_file in pid_files:
        pid_file.unlink(missing_ok=True)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Looks at a condition until it holds (True) or `timeout` seconds are over (False)."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def resident_mib(process: Process) -> int:
    """Resident memory of the process and its session, MiB (shared pages counted once per process)."""
    page = os.sysconf("SC_PAGE_SIZE")
    pages = 0
    for pid in session_members(process.pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * page >> 20


def run(command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path, what: str) -> None:
    """Runs a program to its end, its output appended to `log`; raises with the log's path if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            result = subprocess.run(
                command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            )
        except OSError as error:
            raise not_runnable(command, error) from error
    if result.returncode:
        raise DevcloudError(f"{what} failed (exit code {result.returncode}); see {log}{tail(log)}")


def call(command: Sequence[str], env: Mapping[str, str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a program to its end with `text` as its input; its exit code and both outputs."""
    try:
        return subprocess.run(command, input=text, env=dict(env), capture_output=True, text=True, check=False)
    except OSError as error:
        raise not_runnable(command, error) from error


def not_runnable(command: Sequence[str], error: OSError) -> DevcloudError:
    """What to say of a program that is not there."""
    return DevcloudError(f"cannot run {command[0]}: {error.strerror}; run `python3 -m deploy.devcloud install`")


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, indented, beginning with a newline; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in text.splitlines()[-lines:])
