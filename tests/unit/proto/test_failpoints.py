"""Failpoints kill the process exactly where and when they are asked to, and do nothing otherwise."""

import os
import signal
import subprocess
import sys

import pytest

from proto import failpoints

PROGRAM = """
from proto import failpoints
for _ in range(5):
    failpoints.reach(failpoints.STORED)
    print("passed", flush=True)
    failpoints.reach(failpoints.CREATED)
"""


def run(failpoint: str | None) -> tuple[int, int]:
    """Return how the program ended and how often it passed the first point."""
    environment = {key: value for key, value in os.environ.items() if key != "CASCADE_FAILPOINT"}
    if failpoint is not None:
        environment["CASCADE_FAILPOINT"] = failpoint
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, timeout=30, text=True)
    return done.returncode, done.stdout.count("passed")


@pytest.mark.parametrize(
    ("failpoint", "end"),
    [
        (None, (0, 5)),
        ("", (0, 5)),
        ("bridge.unknown", (0, 5)),
        (failpoints.STORED, (-signal.SIGKILL, 0)),
        (f"{failpoints.STORED}:3", (-signal.SIGKILL, 2)),
        (failpoints.CREATED, (-signal.SIGKILL, 1)),
        (f"{failpoints.CREATED}:9", (0, 5)),
    ],
)
def test_it_dies_where_it_is_asked_to(failpoint: str | None, end: tuple[int, int]) -> None:
    assert run(failpoint) == end


def test_it_tells_whether_it_will_die_there_later() -> None:
    program = "from proto import failpoints as f; print(f.reach(f.STORED), f.reach(f.ACCEPTED), flush=True)"
    environment = {**os.environ, "CASCADE_FAILPOINT": f"{failpoints.ACCEPTED}:2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=30, text=True)
    assert done.stdout.split() == ["False", "True"] and done.returncode == 0


def test_every_point_has_a_name_of_its_own() -> None:
    names = [value for key, value in vars(failpoints).items() if key.isupper() and not key.startswith("_")]
    assert len(names) == len(set(names)) == 6
    assert all(name.startswith(("bridge.", "agent.")) for name in names)
