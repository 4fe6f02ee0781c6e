"""PURE: what tests said, what is left to run, and how it compares with the baseline."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one test. ``seconds``: without its class's preparation; ``reason``: the end of what it said."""

    name: str
    outcome: str
    seconds: float = 0.0
    reason: str = ""

    @property
    def cause(self) -> str:
        """The last line it said, which names the error."""
        lines = [line.strip() for line in self.reason.splitlines() if line.strip()]
        return lines[-1] if lines else ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that the plain cloud passes, or that fails here; ``baseline`` is the plain cloud's outcome."""

    result: Result
    baseline: str


def class_of(name: str) -> str:
    """Return the class a test belongs to."""
    return name.rpartition(".")[0]


def by_class(names: Iterable[str]) -> list[list[str]]:
    """Return the tests grouped by class, in order: a class's preparation is made once for all of them."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(class_of(name), []).append(name)
    return list(groups.values())


def selected(names: Iterable[str], pattern: str) -> list[str]:
    """Return the tests whose name the regular expression finds; all for an empty one."""
    return [name for name in names if re.search(pattern, name)]


def pending(names: Iterable[str], known: Mapping[str, Result]) -> list[str]:
    """Return the tests without a result, in order: what an interrupted run has left."""
    return [name for name in names if name not in known]


def record(answers: Iterable[Sequence[object]]) -> str:
    """Return the line that records the tests of one class; ``answers`` is what the runner wrote."""
    return json.dumps([list(answer) for answer in answers]) + "\n"


def read(text: str) -> dict[str, Result]:
    """Return the last result of each test. A torn last line is what an interrupted run left; it is not counted."""
    found: dict[str, Result] = {}
    for line in text.splitlines():
        try:
            rows = json.loads(line)
        except ValueError:
            continue
        found.update({row[0]: Result(*row) for row in rows})
    return found


def count(results: Iterable[Result]) -> dict[str, int]:
    """Return how many tests have each outcome."""
    counted = dict.fromkeys((PASSED, FAILED, SKIPPED), 0)
    for result in results:
        counted[result.outcome] += 1
    return counted


def differences(results: Mapping[str, Result], baseline: Mapping[str, str]) -> list[Difference]:
    """Return each test that failed, and each that the plain cloud passes and this one does not, by name."""
    compared = [Difference(result, baseline.get(name, NOT_RUN)) for name, result in sorted(results.items())]
    return [
        one
        for one in compared
        if one.result.outcome == FAILED or (one.result.outcome != PASSED and one.baseline == PASSED)
    ]


def write_baseline(results: Mapping[str, Result]) -> str:
    """Return the text of a committed list: a line a test, its outcome first."""
    return "".join(f"{result.outcome:<8}{name}\n" for name, result in sorted(results.items()))


def read_baseline(text: str) -> dict[str, str]:
    """Return name -> outcome of a committed list."""
    rows = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {name: outcome for outcome, name in rows}


def read_names(text: str) -> list[str]:
    """Return the names of a list of tests; ``#`` begins a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_reasons(text: str) -> list[tuple[str, str]]:
    """Return (pattern, reason) of the file of reasons: a pattern of names, a colon, one sentence; ``#`` a comment."""
    lines = (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(pattern.strip(), reason.strip()) for pattern, _, reason in (line.partition(":") for line in lines)]


def reason_of(name: str, reasons: Iterable[tuple[str, str]]) -> str:
    """Return the true reason of a difference: of the first pattern that fits (shell style), else an empty string."""
    return next((reason for pattern, reason in reasons if fnmatchcase(name, pattern)), "")
