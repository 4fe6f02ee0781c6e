"""The ``cascade`` command: one clear line and exit code 1 for what went wrong, 2 for wrong usage."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes its own lines to stderr when etcd is away

from bridge.operator.arguments import parser
from bridge.operator.context import Context
from proto.errors import CascadeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsing = parser()
    args = parsing.parse_args(arguments)
    try:
        return asyncio.run(_run(args, parsing))
    except CascadeError as error:
        print(f"cascade: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = None  # type: ignore[assignment]  # the reader, such as head, has gone
        return 1
    except Exception as error:
        if args.debug:
            raise
        print(f"cascade: unexpected {error!r}; --debug shows where", file=sys.stderr)
        return 1


async def _run(args: argparse.Namespace, parsing: argparse.ArgumentParser) -> int:
    async with Context(args.config_file) as context:
        match args.command:
            case "site add":
                return await _site_add(args, parsing, context)
            case other:
                raise NotImplementedError(other)


async def _site_add(args: argparse.Namespace, parsing: argparse.ArgumentParser, context: Context) -> int:
    from bridge.operator import site_add
    from bridge.operator.output import record

    try:
        hosts = site_add.parse_hosts(args.site, args.availability_zone)
        servers = site_add.check_servers(args.nats_server or list(context.conf.nats.servers))
    except site_add.UsageError as error:
        parsing.error(str(error))
    bundle = args.bundle or Path(f"{args.site}.bundle")
    added = await site_add.add(context, args.site, hosts, bundle, servers)
    fields = {
        "site": args.site,
        "hosts": [host.host for host in hosts],
        "availability_zones": [host.availability_zone for host in hosts],
        "nats_servers": servers,
        "bundle": str(added.bundle),
    }
    print(record(fields, args.format), flush=True)
    if site_add.only_loopback(servers):
        print("cascade: only an agent on this machine can reach that NATS server; see --nats-server", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
