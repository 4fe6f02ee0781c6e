"""The ``cascade`` command: one clear line and exit code 1 for what went wrong, 2 for wrong usage."""

import argparse
import asyncio
import logging
import os
import sys
import warnings
from collections.abc import Sequence

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes its own lines to stderr when etcd is away

from bridge.operator import commands, heal_commands
from bridge.operator.arguments import parser
from bridge.operator.context import Context
from proto.errors import CascadeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsing = parser()
    args = parsing.parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if args.debug else logging.CRITICAL)  # what matters comes as an error
    if not args.debug:
        warnings.simplefilter("ignore")  # libraries', about each other
    try:
        return asyncio.run(_run(args, parsing))
    except CascadeError as error:
        print(f"cascade: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = None  # the reader, such as head, has gone
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
                return await commands.site_add(args, parsing, context)
            case "site list":
                return await commands.site_list(args, context)
            case "site show":
                return await commands.site_show(args, context)
            case "site set":
                return await commands.site_set(args, parsing, context)
            case "site disable":
                return await commands.site_disable(args, context)
            case "site enable":
                return await commands.site_enable(args, context)
            case "site remove":
                return await commands.site_remove(args, context)
            case "bridge list":
                return await commands.bridge_list(args, context)
            case "dead list":
                return await commands.dead_list(args, context)
            case "dead show":
                return await commands.dead_show(args, context)
            case "dead replay":
                return await commands.dead_replay(args, context)
            case "dead drop":
                return await commands.dead_drop(args, context)
            case "heal":
                return await heal_commands.heal(args, parsing, context)
            case "quarantine list":
                return await heal_commands.quarantine_list(args, context)
            case "quarantine show":
                return await heal_commands.quarantine_show(args, context)
            case "quarantine decide":
                return await heal_commands.quarantine_decide(args, context)
            case "network list":
                return await commands.network_list(args, context)
            case "image list":
                return await commands.image_list(args, context)
            case "flavor list":
                return await commands.flavor_list(args, context)
            case "flavor plan":
                return await commands.flavor_plan(args, context)
            case "flavor sync":
                return await commands.flavor_sync(args, context)
            case "capacity":
                return await commands.capacity(args, context)
            case "instance list":
                return await commands.instance_list(args, context)
            case "instance show":
                return await commands.instance_show(args, context)
            case _:
                return await commands.check(args, context)


if __name__ == "__main__":
    sys.exit(main())
