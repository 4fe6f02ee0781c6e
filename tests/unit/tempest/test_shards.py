"""Workers run class by class and record each; what stands for Tempest is a small program."""

import sys
from pathlib import Path

import pytest

from tests.tempest import results, shards
from tests.tempest.results import FAILED, PASSED
from tests.tempest.shards import Place

NAMES = ["m.A.test_one", "m.A.test_two", "m.B.test_dies", "m.C.test_three"]
PROGRAM = """
import json, sys
for line in sys.stdin:
    names = json.loads(line)
    if "dies" in names[0]:
        sys.exit(3)
    print(json.dumps([[name, "passed", 0.1, ""] for name in names]), flush=True)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A run whose tests pass, but for one that ends its process."""
    runner = tmp_path / "runner.py"
    runner.write_text(PROGRAM)
    monkeypatch.setattr(shards, "RUNNER", runner)
    return Place(tmp_path, Path(sys.executable))


def test_every_class_is_recorded_and_a_dead_worker_is_replaced(place: Place) -> None:
    shards.run(place, NAMES, workers=1, minutes=1)
    outcomes = {name: result.outcome for name, result in place.results().items()}
    assert outcomes == dict.fromkeys(NAMES, PASSED) | {"m.B.test_dies": FAILED}
    assert "the runner died" in place.results()["m.B.test_dies"].reason


def test_a_run_that_was_cut_goes_on_with_what_is_left(place: Place) -> None:
    shards.run(place, NAMES[:2], workers=2, minutes=1)
    left = results.pending(NAMES, place.results())
    assert left == NAMES[2:]
    began = place.began.read_text()
    shards.run(place, left, workers=2, minutes=1)
    assert not results.pending(NAMES, place.results()) and place.began.read_text() == began


def test_no_class_begins_after_its_time(place: Place) -> None:
    shards.run(place, NAMES, workers=2, minutes=0)
    assert place.results() == {}


def test_forgetting_begins_anew(place: Place) -> None:
    shards.run(place, NAMES[:1], workers=1, minutes=1)
    place.forget()
    place.forget()
    assert place.results() == {} and not place.began.exists()
