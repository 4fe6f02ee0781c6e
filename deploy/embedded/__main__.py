"""`python -m deploy.embedded up|down|status`: NATS and etcd on this machine, for the demo."""

import argparse
import json
import sys
from pathlib import Path

from deploy.devcloud.errors import DevcloudError
from deploy.embedded import servers
from deploy.embedded.middle import NAMES, Middle
from proto.errors import CascadeError


def main() -> int:
    """Run one command; exit code 1 if it failed, or for status if something is down."""
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "start", "stop", "status"])
    parser.add_argument("server", nargs="?", choices=NAMES, help="only this one (for fault tests)")
    parser.add_argument("--state-dir", type=Path, help="default: $CASCADE_STATE_DIR or .state of the repository")
    args = parser.parse_args()
    middle = Middle(args.state_dir.resolve() / "middle") if args.state_dir else Middle.default()
    names = (args.server,) if args.server else NAMES
    try:
        if args.command in ("up", "start"):
            middle.up(names)
        elif args.command in ("down", "stop"):
            middle.down(names)
        return _status(middle, must_run=args.command in ("up", "start", "status"), names=names)
    except (CascadeError, DevcloudError, OSError) as error:
        print(f"deploy.embedded: {error}", file=sys.stderr)
        return 1


def _status(middle: Middle, must_run: bool, names: tuple[str, ...]) -> int:
    """Print one JSON object: url and pid of each server, and the files a bridge needs."""
    if not middle.directory.exists():
        print(json.dumps({name: {"running": False} for name in names}))
        return int(must_run)
    report: dict[str, object] = {"config_file": str(middle.config)}
    alive = []
    for name in names:
        server = middle.server(name)
        found = servers.running(server)
        alive.append(found is not None)
        report[name] = {"url": server.url, "running": found is not None, "pid": found.pid if found else None}
    print(json.dumps(report, indent=2))
    return int(must_run and not all(alive))


if __name__ == "__main__":
    sys.exit(main())
