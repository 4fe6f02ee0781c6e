"""`make mutants`: plants each mutant by itself and runs the test that must catch it; not 0 if one survives.

Each runs in a process forked from one that has imported everything but our own code. ``--find`` runs the fast suites
instead and prints which test notices a mutant first: for a new one, or one whose test is gone.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.plant import NotFound, plant, planted

FAST = ("tests/scenario", "tests/unit", "tests/contract")
FOREIGN = ("hypothesis", "msgspec", "nats", "openstack", "oslo_messaging", "oslo_config.cfg", "opentelemetry.sdk.trace")
QUIETLY = (
    "-q",
    "-x",
    "-p",
    "no:cacheprovider",
    "--tb=no",
    "--no-header",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
TIMEOUT = 120.0  # s of one test run
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """Try the mutants and print what came of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only mutants whose name holds one of these")
    parser.add_argument("--find", action="store_true", help="look through the fast suites for the test that notices it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    chosen = [one for one in MUTANTS if not asked.names or any(name in one.name for name in asked.names)]
    began = time.monotonic()
    stale = list(unplantable(chosen))
    print(*stale, sep="\n", end="\n" if stale else "")
    _import_the_others_code()
    with ThreadPoolExecutor(asked.processes) as pool:
        survived = 0
        for one, (code, output) in zip(chosen, pool.map(lambda one: tried(one, asked.find), chosen), strict=True):
            notice = FAILED.search(output)
            caught = code == pytest.ExitCode.TESTS_FAILED and notice is not None
            survived += not caught
            print(
                f"{'caught' if caught else 'SURVIVED'}  {one.name}: {notice[1] if notice else output[-1500:]}",
                flush=True,
            )
    counts = f"{len(chosen) - survived} caught, {survived} survived, {len(stale)} without their text"
    print(f"{len(chosen)} mutants, {counts}, {time.monotonic() - began:.0f} s")
    return int(bool(survived or stale))


def unplantable(mutants: list[Mutant]) -> Iterator[str]:
    """Yield the mutants whose text is not in the code any more."""
    for one in mutants:
        try:
            planted(one.file, one.old, one.new)
        except NotFound as error:
            yield f"NO TEXT  {one.name}: {error}"


def tried(one: Mutant, find: bool) -> tuple[int, str]:
    """Return pytest's exit code and output with a mutant planted."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_run, args=(theirs, one, FAST if find else (one.caught_by,))
    )
    child.start()
    theirs.close()
    found = ours.recv() if ours.poll(TIMEOUT) else (-1, "timed out")
    child.kill()
    child.join()
    return found  # type: ignore[no-any-return]


def _run(told: Connection, one: Mutant, tests: tuple[str, ...]) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            plant(one.file, one.old, one.new)
            code = int(pytest.main([*QUIETLY, *tests]))
        except (NotFound, AssertionError):
            code = -1
            traceback.print_exc()
    told.send((code, output.getvalue()))
    os._exit(0)


def _import_the_others_code() -> None:
    """What every test imports first; the tests' own modules, and what they test, are left to each child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in FOREIGN:
            __import__(name)
    assert not {"bridge", "site_agent", "proto"} & sys.modules.keys()


if __name__ == "__main__":
    sys.exit(main())
