"""Lines of stories about healing: what an operator chooses and orders, and what comes back from a backup."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bridge.core import keys
from bridge.core.records import Quarantined, SiteSpec
from proto import codec, subjects
from proto.messages import Query, Reply
from proto.queries import QueryName
from tests.fakes.process import Process
from tests.scenario.world import World

ORDERS = {
    "heal": QueryName.HEAL,
    "approve": QueryName.HEAL_APPROVE,
    "adopt": QueryName.QUARANTINE_ADOPT,
    "return": QueryName.QUARANTINE_RETURN,
    "purge": QueryName.QUARANTINE_PURGE,
}
DATABASE = ("instances", "faults", "vifs", "migrations")  # of nova-conductor


def _policy(world: World, site: str, name: str, choice: str) -> None:
    """`cascade site set SITE --policy NAME=CHOICE`."""
    stored = world.etcd.keys[keys.spec(site)]
    spec = msgspec.structs.replace(codec.from_json(stored.value, SiteSpec), **{name: choice})
    world.etcd.write(keys.spec(site), codec.to_json(spec), 0)


async def _plan(world: World, site: str) -> None:
    """`cascade heal SITE --dry-run`."""
    await _order(world, Query(site, QueryName.HEAL, dry_run=True))


async def _heal(world: World, what: str, site: str) -> None:
    """`cascade heal SITE` and `cascade heal approve SITE`."""
    await _order(world, Query(site, ORDERS[what]))


async def _decide(world: World, what: str, name: str, site: str) -> None:
    """`cascade quarantine adopt`, `return` and `purge`."""
    await _order(world, Query(site, ORDERS[what], server_id=world.uuid(name), asked_by="operator"))


async def _order(world: World, query: Query) -> None:
    operator: Any = world.road.link(Process("operator"))
    data = await operator.request(subjects.order(query.site, query.verb), codec.encode(query), 60)
    reply = codec.decode(data, Reply)
    if reply.fault is not None or reply.text:
        world.teller.say("cli", reply.fault.message if reply.fault is not None else reply.text)
    for step in reply.steps:
        held = " (held back)" if step.braked else ""
        world.teller.say("cli", f"{step.uuid} {step.action}{held}: {step.why}")


def _show_quarantine(world: World) -> None:
    for site in world.sites:
        for key, stored in sorted(world.etcd.keys.items()):
            if key.startswith(keys.quarantine(site)):
                entry = codec.from_json(stored.value, Quarantined)
                world.teller.say(site, f"{entry.server.server_id} of {entry.uuid} is held: {entry.why}")


def _back_up(world: World, what: str) -> None:
    if what == "etcd":
        world.backups[what] = dict(world.etcd.keys)
    else:
        world.backups[what] = copy.deepcopy({name: getattr(world.above.conductor, name) for name in DATABASE})


def _restore(world: World, what: str) -> None:
    if what == "etcd":
        _lose_etcd(world)
        for key, stored in world.backups[what].items():
            if not stored.lease:
                world.etcd.write(key, stored.value, 0)
        return
    before, after = world.above.conductor.instances, world.backups[what]["instances"]
    world.asked.restored |= {uuid for uuid in {*before, *after} if before.get(uuid) != after.get(uuid)}
    for name, content in copy.deepcopy(world.backups[what]).items():
        setattr(world.above.conductor, name, content)


def _lose_etcd(world: World) -> None:
    for lease in list(world.etcd.leases.values()):
        lease.expire()
    world.etcd.remove(list(world.etcd.keys))


def _lose_etcd_and_enrol(world: World) -> None:
    """All of it is gone, and the operator adds the sites again."""
    specs = {key: stored.value for key, stored in world.etcd.keys.items() if keys.site_of_spec(key)}
    _lose_etcd(world)
    for key, value in specs.items():
        world.etcd.write(key, value, 0)


HEALING: list[tuple[str, Callable[..., Awaitable[None] | None]]] = [
    (r"policy of (\w+) is (\w+)=(\w+)", _policy),
    (r"plan for (\w+)", _plan),
    (r"(heal|approve) (\w+)", _heal),
    (r"(adopt|return|purge) (i\d+) in (\w+)", _decide),
    (r"show quarantine", _show_quarantine),
    (r"(etcd|nova) is backed up", _back_up),
    (r"(etcd|nova) is restored", _restore),
    (r"etcd is lost", _lose_etcd_and_enrol),
]
