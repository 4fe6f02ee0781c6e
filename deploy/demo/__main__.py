"""`python -m deploy.demo up|down|status`: what `make demo` and `make demo-down` run."""

import argparse
import json
import sys

from deploy.demo import steps
from deploy.demo.stack import SITES, Stack
from deploy.devcloud import process
from deploy.devcloud.errors import DevcloudError
from proto.errors import CascadeError


def main() -> int:
    """Run one command; exit code 1 with one clear line if it failed."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument(
        "--availability-zone",
        choices=["each", steps.SHARED],
        default="each",
        help="each: a zone per site; shared: both sites in one zone, so that Nova may reschedule",
    )
    args = parser.parse_args()
    stack = Stack.default()
    try:
        if args.command == "up":
            steps.up(stack, args.availability_zone)
        elif args.command == "down":
            steps.down(stack)
        else:
            _status(stack)
    except (CascadeError, DevcloudError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; run it again to go on, or `make demo-down`", file=sys.stderr)
        return 130
    return 0


def _status(stack: Stack) -> None:
    running = {name: process.find(stack.pid_file(name)) for name in ("bridge", *SITES)}
    print(json.dumps({name: found.pid if found else None for name, found in running.items()}, indent=2))


if __name__ == "__main__":
    sys.exit(main())
