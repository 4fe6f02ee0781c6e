"""`python -m tests.sequences`: runs the sequences that have no result yet, then prints docs/sequences.md."""

import argparse
import datetime
import sys
import time

from deploy.demo.stack import Stack
from tests.sequences import calls, ground, report
from tests.sequences.run import keep, kept, left, run

SEED = 20261122


def main() -> int:
    """Run them; exit code 1 if some are left or differ."""
    asked = _arguments()
    stack = Stack.default()
    file = stack.state / "sequences" / f"{asked.seed}.jsonl"
    drawn = calls.sequences(asked.count, asked.seed, frozenset(asked.without))
    todo = left(drawn, kept(file), asked.again)
    if todo:
        with ground.sides(stack) as sides:
            for result in run(sides, todo, asked.at_once, time.monotonic() + 60 * asked.minutes):
                keep(file, result)
                sequence = ", ".join(result.sequence)
                print(f"{result.number} {result.took:.0f} s {sequence}: {len(result.differences)}", file=sys.stderr)
    results = [result for result in kept(file) if result.number < asked.count]
    print(report.page(results, asked.count, asked.seed, datetime.date.today().isoformat()))
    return int(len(results) < asked.count or any(result.differences for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.sequences", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="sequences in all")
    parser.add_argument("--seed", type=int, default=SEED, help="what they are drawn from")
    parser.add_argument("--at-once", type=int, default=8, help="sequences run at a time")
    parser.add_argument("--minutes", type=float, default=240.0, help="begin none after so many; call again to go on")
    parser.add_argument("--again", action="store_true", help="also those that differed")
    parser.add_argument("--without", action="append", default=[], choices=sorted(calls.BY_NAME), help="a call to omit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
