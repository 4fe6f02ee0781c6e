"""The command line of ``cascade``."""

import argparse
import os
from pathlib import Path

from bridge.core.policies import CHOICES
from bridge.core.records import CAPS
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
    bridges = commands.add_parser("bridge", help="the processes that share the sites")
    text = "live bridges, their sites, and how many sites each took, gave to others and lost"
    _formatted(_leaf(bridges.add_subparsers(required=True, metavar="COMMAND"), "list", "bridge list", text))
    images = commands.add_parser("image", help="the images in the sites")
    text = "images in the sites, and those on their way with percent and rate"
    _formatted(_leaf(images.add_subparsers(required=True, metavar="COMMAND"), "list", "image list", text))
    networks = commands.add_parser("network", help="the networks in use in the sites")
    networks_commands = networks.add_subparsers(required=True, metavar="COMMAND")
    _formatted(_leaf(networks_commands, "list", "network list", "networks with their sites; each copy is a segment"))
    flavors = commands.add_parser("flavor", help="flavors and their versions")
    _flavor(flavors.add_subparsers(required=True, metavar="COMMAND"))
    capacity = _leaf(commands, "capacity", "capacity", "what the sites hold, and how many servers of a flavor fit now")
    capacity.add_argument("flavor", nargs="?", metavar="FLAVOR", help="id or name above")
    _formatted(capacity)
    dead = commands.add_parser("dead", help="messages that nobody could read or carry out")
    _dead(dead.add_subparsers(required=True, metavar="COMMAND"))
    heal = _leaf(commands, "heal", "heal", "compare all that is known of a site, and mend what differs now")
    _heal(heal)
    quarantine = commands.add_parser("quarantine", help="servers of ours in the sites that nobody above has")
    _quarantine(quarantine.add_subparsers(required=True, metavar="COMMAND"))
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
    change = _leaf(commands, "set", "site set", "change what was said of a site")
    change.add_argument("site", metavar="NAME")
    change.add_argument(
        "--image-rate", type=_not_negative, metavar="MIB_S",
        help="MiB/s of images on its link at most, both ways together; 0: as fast as it goes",
    )  # fmt: skip
    change.add_argument(
        "--cap", type=_cap, action="append", metavar="vcpus|memory_mb|disk_gb=N|none",
        help="offer at most so much above; repeat; takes the place of all former caps, `none` lifts them",
    )  # fmt: skip
    change.add_argument(
        "--network", type=_mapping, action="append", metavar="ABOVE=SITE",
        help="use a network of the site, by id or name, in the place of the one above with this id; repeat; "
        "`ABOVE=` ends it",
    )  # fmt: skip
    change.add_argument(
        "--policy", type=_policy, action="append", metavar="NAME=CHOICE",
        help="what healing does: " + ", ".join(f"{name}={'|'.join(words)}" for name, words in CHOICES.items())
        + "; repeat",
    )  # fmt: skip
    _formatted(change)
    disable = _leaf(commands, "disable", "site disable", "drain a site: no new servers, everything else goes on")
    disable.add_argument("site", metavar="NAME")
    disable.add_argument("--reason", default="", metavar="TEXT", help="shown in Nova and in `site list`")
    _formatted(disable)
    enable = _leaf(commands, "enable", "site enable", "end the drain of a site")
    enable.add_argument("site", metavar="NAME")
    _formatted(enable)
    remove = _leaf(commands, "remove", "site remove", "give a site up: its hosts vanish above")
    remove.add_argument("site", metavar="NAME")
    remove.add_argument("--forget", action="store_true", help="although instances exist; lists what is left behind")
    _formatted(remove)


def _flavor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _formatted(_leaf(commands, "list", "flavor list", "all flavors, and how far each site is with them"))
    for name, text in (("plan", "what a sync would change; changes nothing"), ("sync", "bring sites up to date now")):
        leaf = _leaf(commands, name, f"flavor {name}", text)
        leaf.add_argument("--site", metavar="NAME")
        _formatted(leaf)


def _dead(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = _leaf(commands, "list", "dead list", "all dead letters, or those of a site")
    listing.add_argument("--site", metavar="NAME")
    _formatted(listing)
    for name, text in (
        ("show", "one dead letter; secrets stay sealed"),
        ("replay", "have it carried out after all, if it still fits"),
        ("drop", "remove it for good"),
    ):
        leaf = _leaf(commands, name, f"dead {name}", text)
        leaf.add_argument("id", type=_number, metavar="ID")
        if name == "show":
            _formatted(leaf)


def _heal(leaf: argparse.ArgumentParser) -> None:
    leaf.usage = "cascade heal [approve] SITE [--dry-run] [-f {table,json,yaml}]"
    leaf.add_argument("words", nargs="+", metavar="SITE", help="approve: do also what the brake of the last round held")
    leaf.add_argument("--dry-run", action="store_true", help="only show what would be done")
    _formatted(leaf)


def _quarantine(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = _leaf(commands, "list", "quarantine list", "all servers in quarantine, or those of a site")
    listing.add_argument("--site", metavar="NAME")
    _formatted(listing)
    for name, text in (
        ("show", "all that is known of one"),
        ("adopt", "it is the server of its instance above, as it runs"),
        ("return", "it is its site's own: our tags are taken off"),
        ("purge", "delete it in its site: the only delete that no tenant asked for"),
    ):
        leaf = _leaf(commands, name, f"quarantine {name if name == 'show' else 'decide'}", text)
        leaf.add_argument("name", metavar="UUID", help="instance above, or server in its site")
        leaf.add_argument("--site", metavar="NAME")
        if name == "show":
            _formatted(leaf)
        else:
            leaf.set_defaults(what=name)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a dead letter: see `cascade dead list`")
    return int(text)


def _policy(text: str) -> tuple[str, str]:
    name, _, choice = text.partition("=")
    if choice not in CHOICES.get(name, ()):
        known = ", ".join(f"{policy}={'|'.join(words)}" for policy, words in CHOICES.items())
        raise argparse.ArgumentTypeError(f"{text!r} is none of {known}")
    return name, choice


def _cap(text: str) -> tuple[str, int] | None:
    name, _, value = text.partition("=")
    if text == "none":
        return None
    if name not in CAPS or not value.isdecimal():
        raise argparse.ArgumentTypeError(f"not one of {', '.join(CAPS)} with a number, nor none: {text!r}")
    return name, int(value)


def _instance(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listing = _leaf(commands, "list", "instance list", "all records, or those of a site")
    listing.add_argument("--site", metavar="NAME")
    _formatted(listing)
    show = _leaf(commands, "show", "instance show", "the record of one instance")
    show.add_argument("uuid", metavar="UUID")
    _formatted(show)


def _mapping(text: str) -> tuple[str, str]:
    above, separator, here = text.partition("=")
    if not above or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form ABOVE=SITE")
    return above, here


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return number


def _leaf(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, command: str, text: str
) -> argparse.ArgumentParser:
    leaf = commands.add_parser(name, help=text, description=text)
    leaf.set_defaults(command=command)
    return leaf


def _formatted(leaf: argparse.ArgumentParser) -> None:
    leaf.add_argument("-f", "--format", choices=FORMATS, default="table")
