"""A few random sequences of API calls: a tenant sees the same through the cascade as of a plain Nova.

All 300 of them: `make sequences`, docs/sequences.md.
"""

import time

from deploy.demo.stack import Stack
from tests.sequences import calls, ground
from tests.sequences.__main__ import SEED
from tests.sequences.run import run

COUNT = 5
LIMIT = 300.0  # s until no further one is begun


def test_sequences(stack: Stack) -> None:
    drawn = dict(enumerate(calls.sequences(COUNT, SEED)))
    with ground.sides(stack) as sides:
        results = list(run(sides, drawn, COUNT, time.monotonic() + LIMIT))
    assert len(results) == COUNT
    found = [difference for result in results for difference in result.differences]
    assert not found, "\n".join(map(str, found))
