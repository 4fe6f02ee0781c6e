"""Compares what was done to each instance above with what its site did: the work really happened below."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deploy.demo.stack import SITES, TOP, Stack
from tests.e2e.clouds import User

PAGE = 1000  # Nova's own limit
PREFIX = "tempest"  # Tempest's names begin with it


@dataclass(frozen=True, slots=True)
class Deeds:
    """The actions of one instance and of its servers; ``below`` is None if no site has had a server of that name."""

    name: str
    uuid: str
    above: Counter[str]
    below: Counter[str] | None


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of action: how often done above and below, to how many instances not equally often, one of them."""

    action: str
    above: int
    below: int
    unequal: int
    example: str


def compare(deeds: Iterable[Deeds]) -> list[Row]:
    """PURE: return a row for each kind of action that was done above or below, for the instances that had a server."""
    known = [one for one in deeds if one.below is not None]
    actions = sorted({action for one in known for action in (*one.above, *(one.below or ()))})
    return [_row(action, known) for action in actions]


def _row(action: str, known: list[Deeds]) -> Row:
    below = [(one.below or Counter())[action] for one in known]
    unequal = [one for one, times in zip(known, below, strict=True) if one.above[action] != times]
    example = f"{unequal[0].name} ({unequal[0].uuid})" if unequal else ""
    return Row(action, sum(one.above[action] for one in known), sum(below), len(unequal), example)


def collect(stack: Stack, since: str) -> list[Deeds]:
    """Return what was done to every instance since an ISO 8601 time, deleted ones too.

    A tag is gone with its server, so a server is found by its name: the agent names it as its instance, and Tempest's
    names are random. An instance that was shelved and unshelved has had several servers; their deeds are added up.
    """
    users = {cloud: User(stack, cloud) for cloud in (TOP, *SITES)}
    servers: dict[str, list[tuple[str, str]]] = {}
    for site in SITES:
        for server in listed(users[site], since):
            servers.setdefault(server["name"], []).append((site, server["id"]))
    found = []
    for instance in listed(users[TOP], since):
        if not instance["name"].startswith(PREFIX):
            continue
        below = [actions(users[site], server) for site, server in servers.get(instance["name"], [])]
        done = sum(below, Counter()) if below else None
        found.append(Deeds(instance["name"], instance["id"], actions(users[TOP], instance["id"]), done))
    return found


def listed(user: User, since: str) -> list[dict[str, Any]]:
    """Return all servers of a cloud changed since then, deleted ones too."""
    query = {"all_tenants": 1, "changes-since": since, "limit": PAGE}
    found: list[dict[str, Any]] = user.get("compute", "/servers/detail", **query)["servers"]
    return found


def actions(user: User, server_id: str) -> Counter[str]:
    """Return how often each action was asked for."""
    found = user.get("compute", f"/servers/{server_id}/os-instance-actions")["instanceActions"]
    return Counter(str(action["action"]) for action in found)


def table(deeds: list[Deeds]) -> str:
    """PURE: return a Markdown table, and the instances that no site has had a server for."""
    rows = [f"| {row.action} | {row.above} | {row.below} | {row.unequal} | {row.example} |" for row in compare(deeds)]
    without = sorted(one.name for one in deeds if one.below is None)
    told = f"{len(deeds) - len(without)} instances had a server of their name in a site, {len(without)} had none"
    names = f": {', '.join(without)}" if without else ""
    head = ["| action | above | below | unequal | for instance |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"{told}{names}."])
