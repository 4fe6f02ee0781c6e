"""Runs sequences in both clouds, many at a time, and keeps each result in a file, so that a run may be cut short."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.sequences import calls
from tests.sequences.compare import Difference, Step, differences
from tests.sequences.side import Side

NETWORKED = 5  # one sequence in so many has a card; without one a boot costs half


@dataclass(frozen=True, slots=True)
class Result:
    """One sequence that was run; ``took`` in s."""

    number: int
    sequence: tuple[str, ...]
    took: float
    codes: tuple[int, ...]
    differences: list[Difference] = field(default_factory=list)


def run(
    sides: tuple[Side, Side], sequences: Mapping[int, calls.Sequence], at_once: int, until: float
) -> Iterator[Result]:
    """Yield results as they come; begins none after ``until`` (monotonic s)."""
    with ThreadPoolExecutor(at_once) as pool, ThreadPoolExecutor(2 * at_once) as runs:

        def one(number: int, sequence: calls.Sequence) -> Result | None:
            if time.monotonic() > until:
                return None
            began = time.monotonic()
            traces = [runs.submit(side.run, f"sequence-{number}", sequence, number % NETWORKED == 0) for side in sides]
            plain, cascade = (trace.result() for trace in traces)
            return _result(number, sequence, time.monotonic() - began, plain, cascade)

        begun = [pool.submit(one, number, sequence) for number, sequence in sequences.items()]
        for done in as_completed(begun):
            result = done.result()
            if result is not None:
                yield result


def _result(number: int, sequence: calls.Sequence, took: float, plain: list[Step], cascade: list[Step]) -> Result:
    return Result(number, sequence, took, tuple(step.code for step in plain), differences(plain, cascade))


def kept(file: Path) -> list[Result]:
    """Return the results of a file, the newest of each sequence; none if there is no file."""
    lines = file.read_text().splitlines() if file.exists() else []
    results = {result.number: result for result in (_read(json.loads(line)) for line in lines)}
    return [results[number] for number in sorted(results)]


def keep(file: Path, result: Result) -> None:
    """Add one result to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        out.write(json.dumps(asdict(result)) + "\n")


def _read(entry: dict[str, Any]) -> Result:
    found = [Difference(**difference) for difference in entry["differences"]]
    return Result(entry["number"], tuple(entry["sequence"]), entry["took"], tuple(entry["codes"]), found)


def left(sequences: Sequence[calls.Sequence], results: Sequence[Result], again: bool) -> dict[int, calls.Sequence]:
    """Return the sequences by number that have no result yet; with ``again`` also those that differed."""
    known = {result.number: result for result in results if not (again and result.differences)}
    done = {number for number, drawn in enumerate(sequences) if number in known and known[number].sequence == drawn}
    return {number: sequence for number, sequence in enumerate(sequences) if number not in done}
