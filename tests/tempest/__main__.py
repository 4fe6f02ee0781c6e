"""`python -m tests.tempest run|baseline|...`: what `make tempest` and `make tempest-baseline` run."""

import argparse
import sys

from deploy.demo.stack import Stack
from deploy.devcloud.errors import DevcloudError
from proto.errors import CascadeError
from tests.tempest import actions, leftovers, report, results, shards
from tests.tempest.shards import Place
from tests.tempest.targets import BASELINE, CASCADE, Target, bring_up, prepare

WHOLE_RUN = 24 * 60.0  # min


def main() -> int:
    """Run one command. Exit code 1 if a test failed that the plain cloud does not fail, or nothing could be run."""
    args = _parser().parse_args()
    stack = Stack.default()
    try:
        return int(args.command(stack, args))
    except (CascadeError, DevcloudError, OSError) as error:
        print(f"tempest: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tempest: interrupted; run it again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.tempest", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("run", _run, "run the suite against the cascading cloud and write docs/tempest.md"),
        ("baseline", _baseline, "run it against a plain cloud and write tests/tempest/baseline.txt"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(command=command)
        one.add_argument("--regex", default="", help="only tests whose name this finds; each is run again")
        one.add_argument("--again", action="store_true", help="forget what an earlier run recorded")
        one.add_argument("--failed", action="store_true", help="run again what failed")
        one.add_argument("--minutes", type=float, default=WHOLE_RUN, help="begin no class of tests after so many")
        one.add_argument("--workers", type=int, default=2, help="classes at once (2)")
    text = "write docs/tempest.md from what is recorded"
    commands.add_parser("report", help=text, description=text).set_defaults(command=_report)
    text = "count what is above and below; exit code 1 if something is there for no reason"
    commands.add_parser("left", help=text, description=text).set_defaults(command=_left)
    return parser


def _run(stack: Stack, args: argparse.Namespace) -> int:
    place, names = _suite(stack, CASCADE, args)
    known, baseline = place.results(), report.baseline()
    if not results.pending(names, known):
        _write_page(stack, place)
    shown = {name: known[name] for name in results.selected(known, args.regex)}
    print(report.summary(shown, baseline, len(results.selected(names, args.regex))))
    return int(any(one.baseline != results.FAILED for one in results.differences(shown, baseline)))


def _report(stack: Stack, _: argparse.Namespace) -> int:
    _write_page(stack, prepare(stack, CASCADE))
    return 0


def _left(stack: Stack, _: argparse.Namespace) -> int:
    found = leftovers.count(stack)
    print(leftovers.table(found))
    return int(any(not one.kept for one in found))


def _write_page(stack: Stack, place: Place) -> None:
    done = actions.collect(stack, place.began.read_text())
    left = leftovers.table(leftovers.count(stack))
    of = len(shards.listed(place))
    report.write(place.results(), report.baseline(), of, actions.table(done), left)
    print(f"written: {report.PAGE}")


def _baseline(stack: Stack, args: argparse.Namespace) -> int:
    place, names = _suite(stack, BASELINE, args)
    known = place.results()
    if not results.pending(names, known):
        report.BASELINE.write_text(results.write_baseline(known))
    print(report.summary(known, {}, len(names)))
    return 0


def _suite(stack: Stack, target: Target, args: argparse.Namespace) -> tuple[Place, list[str]]:
    """Run what the arguments choose and is not recorded yet; return all tests there are."""
    bring_up(stack, target)
    place = prepare(stack, target)
    names = shards.listed(place)
    if args.again and not args.regex:
        place.forget()
    known = place.results()
    chosen = results.selected(names, args.regex)
    if args.failed:
        chosen = [name for name in chosen if name in known and known[name].outcome == results.FAILED]
    elif not args.regex:
        chosen = results.pending(chosen, known)
    print(f"{len(chosen)} of {len(names)} tests against {target.cloud}", flush=True)
    shards.run(place, chosen, args.workers, args.minutes, _tell)
    return place, names


def _tell(result: results.Result) -> None:
    print(f"{result.outcome:<8}{result.seconds:6.1f} s  {result.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
