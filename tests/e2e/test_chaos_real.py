"""Every process of the stack killed and paused in turn while tenants boot and delete: nothing lost, doubled or left.

CASCADE_E2E_STRIKES says how many strikes: 20 in CI (each process once by SIGKILL and once by SIGSTOP), 200 with
`make chaos-real`. Counted is what both clouds hold, deleted servers too.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from deploy.demo.stack import Stack
from tests.chaos.real.load import Load
from tests.chaos.real.truth import Truth
from tests.chaos.real.victims import victims
from tests.e2e.clouds import eventually

STRIKES = int(os.environ.get("CASCADE_E2E_STRIKES", "20"))
FULL = STRIKES > 20
PAUSE = 20.0 if FULL else 4.0  # s that a process is stopped for; the bridge's lease is 15 s
BETWEEN = 6.0 if FULL else 2.0  # s
PACE = 2.5  # s between two requests of the tenants
CONVERGED = 300.0  # s


@pytest.fixture
def load(stack: Stack) -> Iterator[Load]:
    """Tenants at work."""
    stack.wait_online()
    working = Load(stack, PACE)
    working.start()
    yield working
    working.end()
    working.clean()


def test_nothing_comes_of_killed_and_paused_processes(stack: Stack, load: Load) -> None:
    struck: Counter[str] = Counter()
    chosen = victims(stack)
    for number in range(STRIKES):
        victim = chosen[number % len(chosen)]
        if (number // len(chosen)) % 2:
            victim.pause(PAUSE)
        else:
            victim.kill()
        struck[victim.name] += 1
        time.sleep(BETWEEN)
    load.end()
    truth, began = Truth(stack), time.monotonic()
    eventually(lambda: not truth.unsettled(load.asked), CONVERGED, "not everything is settled")
    settled = time.monotonic() - began
    eventually(lambda: not list(truth.wrong(load.asked)), CONVERGED, f"wrong: {list(truth.wrong(load.asked))}")
    found = Counter(str(kind) for kind, _ in truth.wrong(load.asked))
    errors = truth.errors(load.asked)
    kinds = ("doubled", "lost", "orphans", "deleted unasked")
    deletes = sum(one.delete for one in load.asked)
    print(f"\n{sum(struck.values())} strikes: {', '.join(f'{name} {times}' for name, times in struck.items())}")
    print(f"{len(load.asked)} boots, {deletes} deletes, {load.refused} requests not taken by nova-api itself")
    print(f"{', '.join(f'{kind} {found[kind]}' for kind in kinds)}; settled {settled:.0f} s after the last strike")
    print(f"{len(errors)} ended in ERROR with a reason: {sorted(set(errors))}")
    assert not found and len(load.asked) >= STRIKES // 2
