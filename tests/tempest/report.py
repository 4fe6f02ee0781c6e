"""What a run comes to: the lines at its end, and the committed page docs/tempest.md."""

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from tests.tempest import results
from tests.tempest.results import Difference, Result

HERE = Path(__file__).parent
BASELINE, REASONS = HERE / "baseline.txt", HERE / "reasons.txt"
PAGE = HERE.parents[1] / "docs" / "tempest.md"
DONE = """## What the sites did

How often each action was asked for above, and by Nova in the sites of the servers that stand for these instances, as
`os-instance-actions` of both tells, deleted ones included; *unequal*: instances for which the two numbers differ. They
must where one action is made of others: a backup of the site's createImage; a shelve of its stop, createImage and
delete, an unshelve of a new create; lock, unlock and resetState concern the cloud above alone. Of two instances of one
name, which one test makes, each shows the deeds of both."""
LEFT = """## What is left

Everything that is above, in the sites, in etcd and in NATS after the run."""
NO_REASON = "**not explained yet**"


def baseline() -> dict[str, str]:
    """Return the committed outcomes of the plain cloud; empty if there are none."""
    return results.read_baseline(BASELINE.read_text()) if BASELINE.exists() else {}


def summary(known: Mapping[str, Result], plain: Mapping[str, str], of: int) -> str:
    """PURE: the counts, and a line for each failed test with what the plain cloud says of it."""
    lines = [_counts(known, of)]
    for one in results.differences(known, plain):
        lines.append(f"{one.result.outcome}, {one.baseline} on a plain cloud: {one.result.name}")
        lines.append(f"    {one.result.cause[:300]}")
    return "\n".join(lines)


def _counts(known: Mapping[str, Result], of: int) -> str:
    counted = results.count(known.values())
    return f"{', '.join(f'{number} {outcome}' for outcome, number in counted.items())}, {of - len(known)} not run yet"


def write(known: Mapping[str, Result], plain: Mapping[str, str], of: int, done: str, left: str) -> None:
    """Write the page; ``of``: how many tests there are; ``done``, ``left``: tables of `actions.py`, `leftovers.py`."""
    reasons = results.read_reasons(REASONS.read_text())
    when = f"{time.strftime('%Y-%m-%d', time.gmtime())}, {_machine()}"
    PAGE.write_text(f"{page(known, plain, of, reasons, when)}\n{DONE}\n\n{done}\n\n{LEFT}\n\n{left}\n")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.machine()}"


def page(
    known: Mapping[str, Result], plain: Mapping[str, str], of: int, reasons: list[tuple[str, str]], when: str
) -> str:
    """PURE: the text of the page."""
    above, below = results.count(known.values()), _baseline_counts(plain)
    both = sum(1 for name, outcome in plain.items() if outcome == results.PASSED and _passed(known.get(name)))
    rows = [_row(one, reasons) for one in results.differences(known, plain)]
    return f"""# Tempest

Written by `make tempest` on {when}.
Tempest 47.0.0, `tempest.api.compute`, no test left out, no guest ssh. The cascading cloud's only hosts are two sites
behind the bridge; the plain cloud (`make tempest-baseline`, `tests/tempest/baseline.txt`) is a Nova 34 with two fake
computes and Cinder.

| | passed | failed | skipped | not run |
|---|---|---|---|---|
| cascading cloud | {_numbers(above)} | {of - len(known)} |
| plain cloud | {_numbers(below)} | {of - len(plain)} |

{both} of the {below[results.PASSED]} tests that the plain cloud passes pass through the cascade. Every test that
failed, and every other one that only the plain cloud passes, with its true reason:

| test (`tempest.api.compute.`) | here | plain | reason |
|---|---|---|---|
{chr(10).join(rows)}
"""


def _numbers(counted: Mapping[str, int]) -> str:
    return " | ".join(str(counted[outcome]) for outcome in (results.PASSED, results.FAILED, results.SKIPPED))


def _baseline_counts(plain: Mapping[str, str]) -> dict[str, int]:
    return results.count(Result(name, outcome) for name, outcome in plain.items())


def _passed(result: Result | None) -> bool:
    return result is not None and result.outcome == results.PASSED


def _row(one: Difference, reasons: list[tuple[str, str]]) -> str:
    name = one.result.name.removeprefix("tempest.api.compute.")
    reason = results.reason_of(name, reasons) or NO_REASON
    return f"| `{name}` | {one.result.outcome} | {one.baseline} | {reason} |"
