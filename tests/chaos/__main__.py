"""`make chaos N=10000`: every crash point and N random schedules on the fakes, counted; not 0 if anything was wrong."""

import argparse
import logging
import os
import secrets
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

warnings.simplefilter("ignore")

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.chaos.points import counted, crash_everywhere, failures  # noqa: E402
from tests.chaos.schedules import EVERYTHING, Steps, Told, play  # noqa: E402
from tests.chaos.stories import STORIES  # noqa: E402
from tests.scenario.invariants import Kind, Violated  # noqa: E402

SHARE = 25  # schedules that a worker plays before it tells
SHOWN = 5  # failures told in full


@dataclass(slots=True)
class Played:
    """What came of some schedules."""

    number: int = 0
    wrong: Counter[str] = field(default_factory=Counter)  # schedules, by what was found
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Played") -> None:
        """Count another's too."""
        self.number += other.number
        self.wrong += other.wrong
        self.failed += other.failed


def main() -> int:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=300, metavar="N", help="random schedules to play")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="plays the same schedules again")
    parser.add_argument("--no-points", action="store_true", help="leave the crash points out")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    points = 0 if asked.no_points else crash_points(asked.processes)
    return max(points, random_schedules(asked.schedules, asked.seed, asked.processes))


def crash_points(processes: int) -> int:
    """Crash at every point of every story; returns 1 if anything was wrong."""
    began, number, wrong = time.monotonic(), 0, Counter[str]()
    for story in STORIES:
        crashes = crash_everywhere(story, processes)
        found = counted(crashes)
        settled = sorted(crash.seconds for crash in crashes)
        line = f"  {story.name:24}{len(crashes):5} crash points"
        times = f"settled after {settled[len(settled) // 2]:.0f} s (median), {settled[-1]:.0f} s (longest)"
        print(f"{line}, {times}{_told(found)}", flush=True)
        for crash in list(failures(crashes))[:SHOWN]:
            print(f"    {crash}")
        number += len(crashes)
        wrong.update({str(kind): times for kind, times in found.items()})
    print(f"crash points run: {number} of {number}, {_counts(wrong)}, {time.monotonic() - began:.0f} s", flush=True)
    return int(bool(wrong))


def random_schedules(number: int, first: int, processes: int) -> int:
    """Play so many schedules; returns 1 if anything was wrong."""
    began, total = time.monotonic(), Played()
    shares = [min(SHARE, number - done) for done in range(0, number, SHARE)]
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        for played in pool.map(schedules_of, shares, range(first, first + len(shares))):
            for text in played.failed[: max(0, SHOWN - len(total.failed))]:
                print(text, flush=True)
            total.add(played)
    took = time.monotonic() - began
    print(f"schedules run: {total.number} (--seed {first}), {_counts(total.wrong)}, {took:.0f} s", flush=True)
    return int(bool(total.wrong))


def schedules_of(number: int, number_of_seed: int) -> Played:
    """Draw and play some schedules."""
    done = Played()
    drawn = settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @seed(number_of_seed)
    @drawn
    @given(EVERYTHING, st.integers(0, 2**16))
    def one(schedule: Steps, chance: int) -> None:
        if done.number < number:
            _play(schedule, chance, done)

    one()
    return done


def _play(schedule: Steps, chance: int, done: Played) -> None:
    told = Told()
    done.number += 1
    try:
        play(schedule, chance, told)
    except Violated as error:
        done.wrong.update(str(kind) for kind in {kind for kind, _ in error.found})
        done.failed.append(_in_words(schedule, chance, str(error), told))
    except Exception:  # noqa: BLE001 - counted as what it is
        done.wrong["broke off"] += 1
        done.failed.append(_in_words(schedule, chance, traceback.format_exc(), told))


def _in_words(schedule: Steps, chance: int, error: str, told: Told) -> str:
    return "\n".join([f"SCHEDULE {schedule!r}, {chance}", *told.lines, f"WRONG: {error}", ""])


def _counts(wrong: Counter[str]) -> str:
    return ", ".join(f"{kind} {wrong[kind]}" for kind in _kinds(wrong))


def _kinds(wrong: Counter[str]) -> Iterable[str]:
    return [*map(str, Kind), *(kind for kind in wrong if kind not in set(Kind))]


def _told(found: Counter[Kind]) -> str:
    return "".join(f", {kind} {number}" for kind, number in found.items())


if __name__ == "__main__":
    sys.exit(main())
