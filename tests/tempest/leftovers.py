"""Counts what is left above and below after a run, and says of each thing why it may be there."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from deploy.demo.stack import SITES, TOP, Stack
from tests.e2e.clouds import User
from tests.e2e.counting import messages
from tests.tempest import contents

Thing = dict[str, Any]
INSTALLED = {"cirros", "vendor-linux", "demo-net", "demo-net2", "vendor-net", "vm-paris", "vm-oslo"}
"""What devcloud and the demo make, by name."""
OURS = {*contents.IMAGES, contents.PUBLIC, contents.POOL, *(str(flavor["name"]) for flavor in contents.FLAVORS)}


@dataclass(frozen=True, slots=True)
class Left:
    """One thing that is there. ``kept``: why it may stay, or an empty string."""

    where: str
    kind: str
    name: str
    kept: str


def why(kind: str, thing: Thing, networks: frozenset[str]) -> str:
    """PURE: return why a thing may stay. ``networks``: ids of the networks that may."""
    name = str(thing.get("name") or "")
    if kind == "image" and thing.get("cascade_image_id"):
        return "a carried image, kept `[bridge] image_keep` days"
    if name in INSTALLED:
        return "of the demo"
    if name in OURS:
        return "made for Tempest"
    if kind == "port" and str(thing.get("device_owner", "")).startswith("network:") and thing["network_id"] in networks:
        return "the network's own"
    if kind == "keypair":
        return "a carried key, collected 10 min after its last server" if name.startswith("cascade") else ""
    return ""


def count(stack: Stack) -> list[Left]:
    """Return all instances, servers, ports, networks, images, keypairs, allocations, records and messages there are."""
    found = [left for where in (TOP, *SITES) for left in _cloud(stack, where)]
    demo = {server["id"] for server in User(stack, TOP).get("compute", "/servers", all_tenants=1)["servers"]
            if server["name"] in INSTALLED}  # fmt: skip
    for site in SITES:
        records = json.loads(stack.cascade("instance", "list", "--site", site, "-f", "json"))
        for record in records:
            kept = "of the demo" if record["uuid"] in demo else ""
            found.append(Left("etcd", "record", f"{record['uuid']} in {site}", kept))
        found += [Left("NATS", "message", site, "")] * asyncio.run(messages(stack, site))
    return found


def _cloud(stack: Stack, where: str) -> Iterator[Left]:
    admin = User(stack, where)
    listed = admin.get("network", "/networks")["networks"]
    networks = frozenset(one["id"] for one in listed if why("network", one, frozenset()))
    things: dict[str, Callable[[], Iterable[Thing]]] = {
        "server": lambda: admin.get("compute", "/servers/detail", all_tenants=1)["servers"],
        "port": admin.ports,
        "network": lambda: listed,
        "image": lambda: admin.get("image", "/images", limit=1000)["images"],
        "keypair": lambda: _keypairs(stack, where),
        "allocation": lambda: _allocations(admin),
    }
    kept: set[str] = set()
    for kind, look in things.items():
        for thing in look():
            reason = why(kind, thing, networks) or ("of the demo" if thing.get("device_id") in kept else "")
            if reason and kind == "server":
                kept.add(thing["id"])
            yield Left(where, kind, str(thing.get("name") or thing.get("id")), reason)


def _keypairs(stack: Stack, where: str) -> list[Thing]:
    """Return the keypairs of the user that the bridge's instances have in this cloud."""
    user = User(stack, f"{where}-agent" if where in SITES else f"{where}-demo")
    return [entry["keypair"] for entry in user.get("compute", "/os-keypairs")["keypairs"]]


def _allocations(admin: User) -> Iterator[Thing]:
    placement = admin.connection.placement
    for provider in placement.get("/resource_providers").json()["resource_providers"]:
        found = placement.get(f"/resource_providers/{provider['uuid']}/allocations").json()["allocations"]
        yield from ({"id": consumer, "device_id": consumer} for consumer in found)


def table(found: list[Left]) -> str:
    """PURE: return a Markdown table: what is left for no reason, and what is kept for which."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for left in found:
        groups.setdefault((left.where, left.kind, left.kept), []).append(left.name)
    rows = [
        f"| {where} | {len(names)} {kind}(s) | {kept or '**left**'} | {', '.join(sorted(names)[:5])} |"
        for (where, kind, kept), names in groups.items()
    ]
    return "\n".join(["| where | what | why | for instance |", "|---|---|---|---|", *rows])
