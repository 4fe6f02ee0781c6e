"""The operations whose every await point is tried: how it comes to them, what is asked, and what the site must then
have done, once each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from site_agent.core import identity
from tests.scenario.invariants import Kind
from tests.scenario.world import World


@dataclass(frozen=True, slots=True)
class Story:
    """``before`` and ``asked`` are lines of tests.scenario.steps about i1; ``deeds``: what sites then do, how often."""

    name: str
    before: tuple[str, ...]
    asked: tuple[str, ...]
    deeds: Mapping[str, int]
    vm_state: str = "active"  # above, at the end
    cards: int = 1  # of the server, at the end
    victims: tuple[str, ...] = ("bridge", "agent paris")
    images: Mapping[str, str] = field(default_factory=dict)  # above: id -> status, at the end


ONE_SITE = ("sites paris",)
BOOTED = (*ONE_SITE, "build i1 on paris", "wait 8 s")
RESIZED = (*BOOTED, "resize i1", "wait 8 s")
SHELVED = (*BOOTED, "shelve i1", "wait 30 s")
TAKEN = {"snap-1": "active"}
OFFLOAD = {"stop": 1, "createImage": 1, "delete": 1}

STORIES = (
    Story("boot", ONE_SITE, ("build i1 on paris",), {"create": 1}),
    Story(
        "boot elsewhere",
        ("sites paris lyon", "paris fails builds: No valid host was found."),
        ("build i1 on paris or lyon",),
        {"create": 2, "delete": 1},
        victims=("bridge", "agent paris", "agent lyon"),
    ),
    Story("delete", BOOTED, ("delete i1",), {"delete": 1}, "deleted", 0),
    Story(
        "delete while it boots",
        (*ONE_SITE, "paris builds in 10 s", "build i1 on paris", "wait 2 s"),
        ("delete i1",),
        {"delete": 1},
        "deleted",
        0,
    ),
    Story("stop", BOOTED, ("stop i1",), {"stop": 1}, "stopped"),
    Story("reboot", BOOTED, ("reboot i1",), {"reboot": 1}),
    Story("rebuild", BOOTED, ("rebuild i1",), {"rebuild": 1}),
    Story("snapshot", BOOTED, ("snapshot i1",), {"createImage": 1}, images=TAKEN),
    Story("resize", BOOTED, ("resize i1",), {"resize": 1}, "resized"),
    Story("confirm", RESIZED, ("confirm i1",), {"confirmResize": 1}),
    Story("revert", RESIZED, ("revert i1",), {"revertResize": 1}),
    Story("rescue", BOOTED, ("rescue i1",), {"rescue": 1}, "rescued"),
    Story("attach", BOOTED, ("attach i1",), {"attach_interface": 1}, cards=2),
    Story("detach", (*BOOTED, "attach i1", "wait 8 s"), ("detach i1",), {"detach_interface": 1}),
    Story("shelve", BOOTED, ("shelve i1",), OFFLOAD, "shelved_offloaded", 0, images=TAKEN),
    Story("unshelve", SHELVED, ("unshelve i1 on paris",), {"create": 1}),
)
BY_NAME = {story.name: story for story in STORIES}


def deeds(world: World) -> Counter[str]:
    """Return what the sites have accepted so far, of servers that are gone too."""
    servers = [server for site in world.sites.values() for server in site.cloud.nova.servers.values()]
    return Counter(deed for server in servers for deed in server.deeds)


def wrong(world: World, story: Story, done: Counter[str]) -> Iterator[tuple[Kind, str]]:
    """Yield what is not as the story ends when nothing crashes; ``done``: by the sites since it was asked."""
    for deed in sorted({*story.deeds, *done}):
        wanted = story.deeds.get(deed, 0)
        if done[deed] != wanted:
            kind = Kind.DOUBLED if done[deed] > wanted else Kind.LOST
            yield kind, f"the site did {deed} {done[deed]} times instead of {wanted}"
    uuid = world.uuid("i1")
    row = world.above.conductor.instances[uuid]
    shown = "deleted" if row["deleted"] else row["vm_state"]
    if shown != story.vm_state:
        yield Kind.LOST, f"it is {shown} above instead of {story.vm_state}: {world.above.conductor.faults.get(uuid)}"
    cards = sum(len(server.ports) for _, server in world.servers(uuid))
    above = sum(port.get("device_id") == uuid for port in world.above.neutron.made.values())
    ports = sum(
        port.get("description") == identity.tag(uuid)
        for site in world.sites.values()
        for port in site.cloud.neutron.things["ports"].values()
    )
    if (cards, ports) != (story.cards, story.cards) or (story.cards and above != story.cards):
        yield Kind.ORPHAN, f"{cards} cards, {ports} ports in the sites, {above} above, instead of {story.cards}"
    for image, status in story.images.items():
        found = world.above.glance.images.get(image, {}).get("status")
        if found != status:
            yield Kind.LOST, f"the image {image} is {found}"
    if faults := world.above.conductor.faults.get(uuid):
        yield Kind.LOST, f"a fault is shown: {faults}"
