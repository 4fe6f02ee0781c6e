"""Runs tests class by class in a few workers at once; each class is recorded when it ends, so a run can go on."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tempest import results

RUNNER = Path(__file__).with_name("runner.py")
CLASS_TIMEOUT = 1200.0  # s for all tests of one class; the slowest took 400 s on a busy machine


@dataclass(frozen=True, slots=True)
class Place:
    """Where the runs against one cloud are kept, and the Python that has Tempest."""

    directory: Path
    python: Path

    @property
    def configuration(self) -> Path:
        """tempest.conf."""
        return self.directory / "tempest.conf"

    @property
    def recorded(self) -> Path:
        """One line for each class that has ended."""
        return self.directory / "results.jsonl"

    def results(self) -> dict[str, results.Result]:
        """Return all results recorded so far."""
        return results.read(self.recorded.read_text()) if self.recorded.exists() else {}

    @property
    def began(self) -> Path:
        """When the first test of this run began, ISO 8601."""
        return self.directory / "began"

    def begin(self) -> None:
        """Keep the time if this is a run's first shard."""
        if not self.began.exists():
            self.began.write_text(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def forget(self) -> None:
        """Drop what earlier shards recorded."""
        for file in (self.recorded, self.began):
            file.unlink(missing_ok=True)

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the runner: nothing of the caller's OpenStack settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
        return {**kept, "TEMPEST_CONFIG_DIR": str(self.directory), "TEMPEST_CONFIG": self.configuration.name}


def listed(place: Place) -> list[str]:
    """Return the names of all tests of tempest.api.compute."""
    command = [str(place.python), "-W", "ignore", str(RUNNER), "list"]
    done = subprocess.run(command, env=place.environment(), cwd=place.directory, capture_output=True, check=True)
    return done.stdout.decode().split()


def run(
    place: Place,
    names: Sequence[str],
    workers: int,
    minutes: float,
    told: Callable[[results.Result], None] = lambda _: None,
) -> None:
    """Run tests and record each class. No class begins after ``minutes``: what is left is for the next call.

    ``told`` hears each result, from any worker's thread. A worker that dies or does not come to an end with a class
    has its tests recorded as failed; another takes its place.
    """
    waiting: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for group in results.by_class(names):
        waiting.put(group)
    place.begin()
    deadline = time.monotonic() + minutes * 60
    recording = threading.Lock()

    def serve() -> None:
        runner = _Runner(place)
        try:
            while time.monotonic() < deadline:
                answers = runner.run(waiting.get_nowait())
                with recording, place.recorded.open("a") as file:
                    file.write(results.record(answers))
                for answer in answers:
                    told(results.Result(*answer))
        except queue.Empty:
            pass
        finally:
            runner.close()

    threads = [threading.Thread(target=serve) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Runner:
    """One process that runs a class at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: subprocess.Popen[str] | None = None

    def run(self, names: list[str]) -> list[tuple[str, str, float, str]]:
        """Return (name, outcome, seconds, reason) of each test."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        watch = threading.Timer(CLASS_TIMEOUT, process.kill)
        watch.start()
        try:
            process.stdin.write(json.dumps(names) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            watch.cancel()
        if answer.endswith("\n"):
            return [tuple(row) for row in json.loads(answer)]
        self.close()
        reason = f"the runner died, or took longer than {CLASS_TIMEOUT:.0f} s; see {self._place.directory}/runner.log"
        return [(name, results.FAILED, 0.0, reason) for name in names]

    def _start(self) -> subprocess.Popen[str]:
        command = [str(self._place.python), "-W", "ignore", str(RUNNER), "run"]
        with (self._place.directory / "runner.log").open("a") as log:
            return subprocess.Popen(
                command, env=self._place.environment(), cwd=self._place.directory, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def close(self) -> None:
        """End the process: it has nothing more to do, or is stuck."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
