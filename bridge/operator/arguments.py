"""The command line of ``cascade``."""

import argparse
import os
from pathlib import Path

from bridge.operator.output import FORMATS

CONFIG_VARIABLE = "CASCADE_CONFIG_FILE"


def parser() -> argparse.ArgumentParser:
    """Return the parser; each leaf sets ``command`` to its name."""
    top = argparse.ArgumentParser(
        prog="cascade", description="Enrols sites, shows what they do, checks the cloud above."
    )
    default = [file for file in os.environ.get(CONFIG_VARIABLE, "").split(os.pathsep) if file]
    top.add_argument(
        "--config-file", action="append", default=default, metavar="FILE",
        help=f"the bridge's configuration file; may be repeated; default: ${CONFIG_VARIABLE}",
    )  # fmt: skip
    top.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _site(commands.add_parser("site", help="the cascaded clouds").add_subparsers(required=True, metavar="COMMAND"))
    _instance(
        commands.add_parser("instance", help="the records of instances").add_subparsers(
            required=True, metavar="COMMAND"
        )
    )
    check = _leaf(commands, "check", "check", "see whether the cascading cloud is set up for Cascade")
    _formatted(check)
    return top


def _site(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = _leaf(commands, "add", "site add", "enrol a site: writes its bundle")
    add.add_argument("site", metavar="NAME")
    add.add_argument(
        "--availability-zone", action="append", required=True, metavar="AZ[:SITE_AZ]",
        help="the zone tenants choose, and the site's own zone behind it; repeat for a site of several zones",
    )  # fmt: skip
    add.add_argument("--bundle", type=Path, metavar="FILE", help="default: ./NAME.bundle")
    add.add_argument(
        "--nats-server", action="append", metavar="URL", help="what the site connects to; default: [nats] servers"
    )
    add.add_argument(
        "--wait", type=float, metavar="SECONDS", help="until Nova can schedule to it; start its agent meanwhile"
    )
    _formatted(add)
    _formatted(_leaf(commands, "list", "site list", "all sites, and how they are"))
    show = _leaf(commands, "show", "site show", "one site")
    show.add_argument("site", metavar="NAME")
    _formatted(show)
    remove = _leaf(commands, "remove", "site remove", "give a site up: its hosts vanish above")
    remove.add_argument("site", metavar="NAME")
    remove.add_argument("--forget", action="store_true", help="although instances exist; lists what is left behind")
    _formatted(remove)


def _instance(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = _leaf(commands, "list", "instance list", "all records, or those of a site")
    listing.add_argument("--site", metavar="NAME")
    _formatted(listing)
    show = _leaf(commands, "show", "instance show", "the record of one instance")
    show.add_argument("uuid", metavar="UUID")
    _formatted(show)


def _leaf(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: str, text: str
) -> argparse.ArgumentParser:
    leaf = commands.add_parser(name, help=text, description=text)
    leaf.set_defaults(command=command)
    return leaf


def _formatted(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("-f", "--format", choices=FORMATS, default="table")
