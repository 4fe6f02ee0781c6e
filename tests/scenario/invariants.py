"""What must hold whatever happens: no instance lost, doubled, or deleted without being asked."""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

from site_agent.core import identity
from tests.scenario.world import ONCE, World


class Kind(StrEnum):
    """What can be wrong; the words `make chaos` counts under."""

    DOUBLED = "doubled"
    LOST = "lost"
    UNASKED = "deleted unasked"
    ORPHAN = "orphans"
    STALE = "stale shown as fresh"
    UNSETTLED = "not settled"


class Violated(AssertionError):
    """``found``: each thing that is wrong, in words, with its kind."""

    def __init__(self, found: list[tuple[Kind, str]]) -> None:
        super().__init__("; ".join(f"{kind}: {text}" for kind, text in found))
        self.found = found


def check(world: World) -> None:
    """Raise Violated for what must hold at any moment."""
    rows = world.above.conductor.instances.items()
    world.asked.launched.update(uuid for uuid, row in rows if row.get("launched_at"))
    doubled = [*_doubled(world), *_done_again(world)]
    _hold({Kind.DOUBLED: doubled, Kind.UNASKED: _deleted_unasked(world), Kind.LOST: _lost(world)})


def check_settled(world: World) -> None:
    """Raise Violated for what must hold once everything runs again and had time."""
    check(world)
    unsettled = [*_unfinished(world), *_disagreeing(world)]
    _hold({Kind.UNSETTLED: unsettled, Kind.ORPHAN: _left_behind(world)})


def _hold(wrong: dict[Kind, Iterable[str]]) -> None:
    found = [(kind, text) for kind, texts in wrong.items() for text in texts]
    if found:
        raise Violated(found)


def _doubled(world: World) -> Iterator[str]:
    counts = Counter(
        uuid for site, server in world.servers() if _its_own(world, uuid := identity.uuid_of(server.tags), site)
    )
    yield from (f"{uuid} has {number} servers" for uuid, number in counts.items() if uuid and number > 1)


def _its_own(world: World, uuid: str, site: str) -> bool:
    """Whether the top calls a server of this site the instance's: not where it was evacuated from."""
    host = world.above.conductor.instances.get(uuid, {}).get("host")
    return uuid not in world.asked.evacuated or host in [entry.host for entry in world.sites[site].bundle.hosts]


def _done_again(world: World) -> Iterator[str]:
    """A verb that repeats badly is done as often as its tenant, or the site's own people, asked for it."""
    for site in world.sites.values():
        for server in site.cloud.nova.servers.values():
            uuid = identity.uuid_of(server.body["tags"])
            for deed, times in Counter(server.deeds).items():
                asked = world.asked.deeds[uuid, deed]
                if deed in ONCE.values() and times > asked:
                    yield f"{deed} of {uuid} was done {times} times, and asked for {asked} times"


def _lost(world: World) -> Iterator[str]:
    """A shelved instance must be whole in an image above or still in the site; a tenant may delete neither here."""
    for uuid, row in world.above.conductor.instances.items():
        if row["deleted"] or row["vm_state"] not in ("shelved", "shelved_offloaded") or uuid in world.asked.deleted:
            continue
        image = world.above.glance.images.get(row["system_metadata"].get("shelved_image_id"))
        if not world.servers(uuid) and (image is None or image["status"] != "active"):
            yield f"{uuid} is {row['vm_state']}, but neither in a site nor in an image"


def _deleted_unasked(world: World) -> Iterator[str]:
    for uuid, row in world.above.conductor.instances.items():
        if row["deleted"] and uuid not in world.asked.deleted | world.asked.restored:
            yield f"{uuid} was deleted above, and nobody asked for it"
    asked = world.asked.deleted | world.asked.shelved | world.asked.evacuated
    for site in world.sites.values():
        for server in site.cloud.nova.servers.values():
            uuid = identity.uuid_of(server.body["tags"])
            shown = uuid in world.asked.launched  # a boot that failed is cleaned up
            if shown and server.launched and server.vm_state == "deleted" and uuid not in asked:
                yield f"{server.id} of {uuid} was deleted in {site.name}, and nobody asked for it"


def _unfinished(world: World) -> Iterator[str]:
    for uuid, row in world.above.conductor.instances.items():
        if not row["deleted"] and (row["task_state"] or row["vm_state"] == "building"):
            yield f"{uuid} hangs in {row['vm_state']}/{row['task_state']}"
        if not row["deleted"] and uuid in world.asked.deleted - world.asked.restored:
            yield f"{uuid} should be deleted"
    yield from (f"{record.uuid} has a pending {record.pending.verb}" for _, record in world.records() if record.pending)
    yield from (f"a message waits on {subject}" for subject in world.waiting())
    yield from (f"a cast waits in RabbitMQ for {host}" for host, casts in world.above.rabbit.queues.items() if casts)
    yield from (f"{process.name} does not run" for process in world.programs() if not process.alive)


def _disagreeing(world: World) -> Iterator[str]:
    for uuid, row in world.above.conductor.instances.items():
        below = [server.vm_state for site, server in world.servers(uuid) if _its_own(world, uuid, site)]
        if row["deleted"] or uuid in world.asked.restored:
            continue
        if row["vm_state"] in ("active", "stopped", "resized", "rescued") and below != [row["vm_state"]]:
            yield f"{uuid} is {row['vm_state']} above, {below or 'absent'} in the site"
        if row["vm_state"] == "error" and not world.above.conductor.faults.get(uuid):
            yield f"{uuid} is in ERROR without a reason"


def _left_behind(world: World) -> Iterator[str]:
    rows = world.above.conductor.instances
    for site, server in world.servers():
        uuid = identity.uuid_of(server.tags)
        if uuid in world.asked.restored:
            continue  # what the top does not know any more is its operator's to decide
        if uuid in rows and (rows[uuid]["deleted"] or rows[uuid]["host"] is None):
            yield f"{server.id} is left of {uuid} in {site}"
    for port in world.above.neutron.made.values():
        row = rows.get(port.get("device_id", ""))
        if row is not None and row["deleted"]:
            yield f"{port['id']} is left of {row['uuid']} above"
    moves = {move["uuid"]: move for move in world.above.conductor.migrations.values()}
    for consumer in world.above.placement.allocations:
        instance = moves[consumer]["instance"] if consumer in moves else consumer
        if instance in world.asked.restored or instance not in rows:
            continue
        row = rows[moves[consumer]["instance"]] if consumer in moves else rows[consumer]
        offloaded = row["vm_state"] == "shelved_offloaded" and row["task_state"] is None
        if row["deleted"] or offloaded or (consumer in moves and row["vm_state"] != "resized"):
            yield f"an allocation is left of {consumer}: {moves.get(consumer)}"
