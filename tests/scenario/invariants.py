"""What must hold whatever happens: no instance lost, doubled, or deleted without being asked."""

from collections import Counter
from collections.abc import Iterator

from site_agent.core import identity
from tests.scenario.world import World

AGREED = {"active": "active", "stopped": "stopped", "error": "error"}


def check(world: World) -> None:
    """Raise AssertionError for what must hold at any moment."""
    broken = [*_doubled(world), *_deleted_unasked(world), *_lost(world)]
    assert not broken, broken


def check_settled(world: World) -> None:
    """Raise AssertionError for what must hold once everything runs again and had time."""
    check(world)
    broken = [*_unfinished(world), *_disagreeing(world), *_left_behind(world)]
    assert not broken, broken


def _doubled(world: World) -> Iterator[str]:
    counts = Counter(
        uuid for site, server in world.servers() if _its_own(world, uuid := identity.uuid_of(server.tags), site)
    )
    yield from (f"{uuid} has {number} servers" for uuid, number in counts.items() if uuid and number > 1)


def _its_own(world: World, uuid: str, site: str) -> bool:
    """Whether the top calls a server of this site the instance's: not where it was evacuated from."""
    host = world.above.conductor.instances.get(uuid, {}).get("host")
    return uuid not in world.asked.evacuated or host in [entry.host for entry in world.sites[site].bundle.hosts]


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
        if row["deleted"] and uuid not in world.asked.deleted:
            yield f"{uuid} was deleted above, and nobody asked for it"
    asked = world.asked.deleted | world.asked.shelved | world.asked.evacuated
    for site in world.sites.values():
        for server in site.cloud.nova.servers.values():
            uuid = identity.uuid_of(server.body["tags"])
            shown = world.above.conductor.instances.get(uuid, {}).get("launched_at")  # a boot that failed is cleaned up
            if shown and server.launched and server.vm_state == "deleted" and uuid not in asked:
                yield f"{server.id} of {uuid} was deleted in {site.name}, and nobody asked for it"


def _unfinished(world: World) -> Iterator[str]:
    for uuid, row in world.above.conductor.instances.items():
        if not row["deleted"] and (row["task_state"] or row["vm_state"] == "building"):
            yield f"{uuid} hangs in {row['vm_state']}/{row['task_state']}"
        if not row["deleted"] and uuid in world.asked.deleted:
            yield f"{uuid} should be deleted"
    yield from (f"{record.uuid} has a pending {record.pending.verb}" for _, record in world.records() if record.pending)
    yield from (f"a message waits on {subject}" for subject in world.waiting())


def _disagreeing(world: World) -> Iterator[str]:
    for uuid, row in world.above.conductor.instances.items():
        below = [server.vm_state for site, server in world.servers(uuid) if _its_own(world, uuid, site)]
        if row["deleted"]:
            continue
        if row["vm_state"] in ("active", "stopped", "resized", "rescued") and below != [row["vm_state"]]:
            yield f"{uuid} is {row['vm_state']} above, {below or 'absent'} in the site"
        if row["vm_state"] == "error" and not world.above.conductor.faults.get(uuid):
            yield f"{uuid} is in ERROR without a reason"


def _left_behind(world: World) -> Iterator[str]:
    rows = world.above.conductor.instances
    for site, server in world.servers():
        uuid = identity.uuid_of(server.tags)
        if uuid in rows and (rows[uuid]["deleted"] or rows[uuid]["host"] is None):
            yield f"{server.id} is left of {uuid} in {site}"
    for port in world.above.neutron.made.values():
        row = rows.get(port.get("device_id", ""))
        if row is not None and row["deleted"]:
            yield f"{port['id']} is left of {row['uuid']} above"
    moves = {move["uuid"]: move for move in world.above.conductor.migrations.values()}
    for consumer in world.above.placement.allocations:
        row = rows[moves[consumer]["instance"]] if consumer in moves else rows[consumer]
        offloaded = row["vm_state"] == "shelved_offloaded" and row["task_state"] is None
        if row["deleted"] or offloaded or (consumer in moves and row["vm_state"] != "resized"):
            yield f"an allocation is left of {consumer}: {moves.get(consumer)}"
