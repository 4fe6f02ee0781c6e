"""The lines a story may use, each one regular expression and one function. Programs: ``bridge``, ``agent <site>``."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bridge.__main__ import site_of
from bridge.core import keys
from bridge.core.records import CensusFigures, SiteSpec
from bridge.edge.nova_rpc import IncomingRpc
from bridge.intake import split
from bridge.notifications import Telling
from proto import codec, streams, subjects
from proto.errors import Unavailable
from proto.messages import Command, Query, Reply
from proto.operations import Lane, Verb
from proto.queries import QueryName
from site_agent.core import identity
from site_agent.core.answers import Answer
from tests.fakes.cloud_nova import SiteServer
from tests.fakes.notifications import FakeSender
from tests.fakes.nova import Refused
from tests.fakes.process import Process
from tests.scenario import telling
from tests.scenario.faults import FAULTS
from tests.scenario.healing_steps import HEALING
from tests.scenario.world import BRIDGE_KEY, ONCE, World

UNTIL_ONLINE = 20.0  # virtual s
SECONDS = {"s": 1, "min": 60, "h": 3600}
Step = Callable[..., Awaitable[None] | None]


def _notifications_on(world: World) -> None:
    sender: Any = FakeSender(world.teller.say)
    world.above.telling = Telling(sender, "http://glance")


async def _sites(world: World, names: str) -> None:
    for name in names.split():
        world.add_site(name, [name])
        world.start_agent(f"agent {name}")
    if not world.bridges:
        world.start_bridge()
    await asyncio.sleep(UNTIL_ONLINE)


async def _site_of_hosts(world: World, name: str, hosts: str) -> None:
    world.add_site(name, hosts.split())
    world.start_agent(f"agent {name}")
    world.start_bridge()
    await asyncio.sleep(UNTIL_ONLINE)


def _build(world: World, name: str, hosts: str) -> None:
    uuid = world.uuid(name)
    world.asked.built.append(uuid)
    world.nova.build(uuid, name, hosts.split(" or "))


def _group(world: World, name: str, policy: str) -> None:
    world.nova.group(world.uuid(name), policy)


def _ask(world: World, what: str, name: str) -> None:
    uuid = world.uuid(name)
    if what == "delete":
        _drop_shelved(world, uuid)
    try:
        if what == "snapshot":
            world.nova.snapshot(uuid, world.above.glance.begin_snapshot(uuid))
        elif what == "shelve":
            world.nova.shelve(uuid, world.above.glance.begin_snapshot(uuid))
        elif what == "backup":
            glance = world.above.glance
            world.nova.backup(uuid, glance.begin_snapshot(uuid, image_type="backup", backup_type="daily"))
        elif what == "hard reboot":
            world.nova.reboot(uuid, "HARD")
        else:
            getattr(world.nova, what)(uuid)
    except Refused as error:
        world.teller.say("api", f"409: {error}")
        return
    if what in ONCE:
        world.asked.deeds[uuid, ONCE[what]] += 1
    if what in ("delete", "soft_delete"):
        world.asked.deleted.add(uuid)
    elif what == "restore":
        world.asked.deleted.discard(uuid)
    elif what in ("shelve", "offload"):
        world.asked.shelved.add(uuid)


def _drop_shelved(world: World, uuid: str) -> None:
    """nova-api itself deletes the image of a shelved instance that is deleted."""
    row = world.above.conductor.instances.get(uuid)
    if row is not None and row["vm_state"] in ("shelved", "shelved_offloaded"):
        world.above.glance.images.pop(row["system_metadata"].get("shelved_image_id"), None)


def _resize_on(world: World, name: str, host: str) -> None:
    world.nova.resize(world.uuid(name), host)
    world.asked.deeds[world.uuid(name), "resize"] += 1


def _unshelve(world: World, name: str, host: str) -> None:
    try:
        world.nova.unshelve(world.uuid(name), host)
    except Refused as error:
        world.teller.say("api", f"409: {error}")


def _force(world: World, host: str, how: str) -> None:
    try:
        world.nova.force_down(host, how == "down")
    except Refused as error:
        world.teller.say("api", f"400: {error}")


def _drain(world: World, how: str, site: str, reason: str | None) -> None:
    """`cascade site disable` and `enable`."""
    key = keys.spec(site)
    spec = codec.from_json(world.etcd.keys[key].value, SiteSpec)
    draining = how == "drain"
    spec = msgspec.structs.replace(spec, draining=draining, drain_reason=(reason or "") if draining else "")
    world.etcd.write(key, codec.to_json(spec), 0)


def _disable(world: World, host: str, reason: str) -> None:
    world.above.conductor.services[host] |= {"disabled": True, "disabled_reason": reason}


def _evacuate(world: World, name: str, host: str, stopped: str | None) -> None:
    try:
        world.nova.evacuate(world.uuid(name), host, "stopped" if stopped else None)
        world.asked.evacuated.add(world.uuid(name))
    except Refused as error:
        world.teller.say("api", f"400: {error}")


def _fail_resizes(world: World, site: str) -> None:
    world.sites[site].cloud.nova.fail_resizes = True


def _redeliver(world: World, name: str, method: str) -> None:
    world.nova.redeliver(world.uuid(name), method)


def _arm(world: World, how: str, program: str, when: str, what: str) -> None:
    for name in re.findall(r"\bi\d+\b", what):
        what = what.replace(name, world.uuid(name))
    process = world.process(program)
    (process.crash_at if how == "crash" else process.freeze_at)(when, what)


async def _kill(world: World, program: str) -> None:
    process = world.process(program)
    process.kill()
    await process.ended()


async def _start(world: World, program: str) -> None:
    if program in {process.name for process in world.programs()}:
        await world.process(program).ended()
    world.start(program)


async def _restart(world: World, program: str) -> None:
    await _kill(world, program)
    world.start(program)


def _freeze(world: World, program: str) -> None:
    world.process(program).freeze()


def _thaw(world: World, program: str) -> None:
    world.process(program).thaw()


def _cut(world: World, program: str) -> None:
    world.road.cut.add(program)


def _mend(world: World, program: str) -> None:
    world.road.cut.discard(program)


async def _wait(world: World, number: str, unit: str) -> None:
    await asyncio.sleep(float(number) * SECONDS[unit])


def _refuses(world: World, site: str, what: str, status: str, message: str) -> None:
    answer = Answer(int(status), {"error": {"message": message}})
    world.sites[site].cloud.trouble(what, answer)


def _busy(world: World, site: str, what: str) -> None:
    world.sites[site].cloud.trouble(what, Unavailable("the site answers 503: try later"), times=2)


def _nonsense(world: World, site: str, what: str) -> None:
    world.sites[site].cloud.trouble(what, Answer(200, {"nonsense": True}), times=9)


def _loses(world: World, site: str, what: str) -> None:
    world.sites[site].cloud.trouble(what, done=True)


def _fails_builds(world: World, site: str, message: str) -> None:
    world.sites[site].cloud.nova.fail_builds = message


def _fails_snapshots(world: World, site: str) -> None:
    world.sites[site].cloud.nova.fail_snapshots = True


def _delete_image(world: World, image_id: str) -> None:
    del world.above.glance.images[image_id]


def _builds(world: World, site: str) -> None:
    world.sites[site].cloud.nova.fail_builds = None


def _build_time(world: World, site: str, number: str, unit: str) -> None:
    world.sites[site].cloud.nova.build_time = float(number) * SECONDS[unit]


def _vendor(world: World, site: str, action: str, name: str) -> None:
    ((_, server),) = [found for found in world.servers(world.uuid(name)) if found[0] == site]
    if action == "delete":
        world.asked.deleted.add(world.uuid(name))
    for deed in (ONCE.get(action, action), *(["confirmResize"] if action == "migrate" else [])):  # the way back
        world.asked.deeds[world.uuid(name), deed] += 1
    world.sites[site].cloud.nova.vendor(server, action)


def _stranger(world: World, site: str, name: str) -> None:
    nova, tags = world.sites[site].cloud.nova, [identity.tag(world.uuid(name)), identity.generation_tag(1)]
    now = world.clock.time()
    body: dict[str, Any] = {"name": name, "tags": tags, "networks": "none"}
    nova.servers[f"srv-{name}"] = SiteServer(f"srv-{name}", body, now, now, "active", None, 1, launched=now)


def _garbage(world: World, kind: str, site: str, name: str) -> None:
    subject = {
        "command": subjects.command(site, Lane.NORMAL, world.uuid(name)),
        "observation": subjects.event(site, world.uuid(name)),
        "RPC": subjects.intake(site, world.uuid(name)),
    }[kind]
    _store(world, subject, b"\x93garbage")


def _late_command(world: World, verb: str, site: str, name: str, generation: str) -> None:
    command = Command(site, world.uuid(name), int(generation), 1, Verb(verb), world.clock.time(), None, "req-0")
    _store(world, subjects.command(site, Lane.NORMAL, command.uuid), codec.encode(command))


def _store(world: World, subject: str, data: bytes) -> None:
    world.road.queue_of(subject).store(subject, data, {}, None, world.clock.seconds)
    world.teller.road("stored", subject, data)
    world.road.notify()


def _put_aside(world: World, what: str, name: str) -> None:
    """Ask for something above, whose RPC no bridge could use."""
    caught: list[IncomingRpc] = []
    rabbit: Any = world.nova.rabbit
    cast, rabbit.cast = rabbit.cast, caught.append
    try:
        _ask(world, what, name)
    finally:
        rabbit.cast = cast
    for rpc in (rpc for incoming in caught for rpc in split(incoming, BRIDGE_KEY.public(), world.clock.time())):
        subject = subjects.dead_above(site_of(rpc.host))
        former = subjects.intake(site_of(rpc.host), rpc.uuid)
        headers = {subjects.HEADER_DEAD_REASON: "of a newer release", subjects.HEADER_DEAD_SUBJECT: former}
        world.road.queue_of(subject).store(subject, codec.encode(rpc), headers, None, world.clock.seconds)


async def _replay(world: World, number: str, site: str) -> None:
    """`cascade dead replay`."""
    operator = world.road.link(Process("operator"))
    query = Query(site, QueryName.DEAD_REPLAY, marker=number, asked_by="operator")
    data = await operator.request(subjects.order(site, query.verb), codec.encode(query), 60)
    reply = codec.decode(data, Reply)
    world.teller.say("cli", reply.fault.message if reply.fault else re.sub(r"dead-\S+", "...", reply.text))


def _show_census(world: World) -> None:
    for site in world.sites:
        figures = codec.from_json(world.etcd.keys[keys.census(site)].value, CensusFigures)
        parts = "in agreement" if figures.parts == 0 else f"{figures.parts} parts differed"
        world.teller.say(site, f"census of {figures.servers} servers: {parts}")


def _away(world: World, what: str, state: str) -> None:
    outside = {"etcd": world.etcd, "nova": world.above.conductor, "neutron": world.above.neutron}
    outside[what].away = state == "away"  # type: ignore[attr-defined]


def _show(world: World) -> None:
    say = world.teller.say
    for uuid, row in world.above.conductor.instances.items():
        faults = world.above.conductor.faults.get(uuid)
        shown = "deleted" if row["deleted"] else telling.row(row)
        say("above", f"{uuid} {shown}{f'; fault: {faults[-1]}' if faults else ''}")
    for _, record in world.records():
        say("etcd", telling.record(record))
    for site, server in world.servers():
        task = f"/{server.task_state}" if server.task_state else ""
        say(site, f"{server.id} {identity.uuid_of(server.tags)} {server.vm_state}{task}")
    for image in world.above.glance.images.values():
        if "image_type" in image:
            say("glance", f"{image['id']} of {image['instance_uuid']} {image['status']}")
    waiting = [" ".join((s.split(".")[2], s.split(".")[4], s.split(".")[-1])) for s in world.waiting()]
    say("bus", ", ".join(waiting) or "nothing waits")
    if world.dead():
        say("dead", f"{world.dead()} put aside")


def _purge(world: World, site: str) -> None:
    for stream in (streams.intake(site), streams.commands(site), streams.events(site)):
        world.road.queues[stream.name].messages.clear()


def _flavor(world: World, vcpus: str) -> None:
    world.above.flavors.change(int(vcpus))
    world.nova.flavor["vcpus"] = int(vcpus)


def _rename(world: World, name: str, called: str) -> None:
    world.above.conductor.change(world.uuid(name), display_name=called)


def _metadata(world: World, name: str, key: str, value: str) -> None:
    world.above.conductor.change(world.uuid(name), metadata={key: value})


def _no_flavor(world: World) -> None:
    world.above.flavors.listed.clear()


def _show_flavors(world: World) -> None:
    for site, here in world.sites.items():
        world.teller.say(site, ", ".join(sorted(here.cloud.nova.flavors)) or "no flavors")


ASKED = (
    "delete", "stop", "start", "reboot", "hard reboot", "pause", "unpause", "suspend", "resume", "rebuild", "rescue",
    "unrescue", "password", "resize", "confirm", "revert", "attach", "detach", "shelve", "offload", "snapshot",
    "backup", "soft_delete", "restore", "crash_dump", "add_address", "remove_address",
)  # fmt: skip
STEPS: list[tuple[str, Step]] = [
    (r"flavor of (\d+) vcpus", _flavor),
    (r"flavor deleted", _no_flavor),
    (r"rename (i\d+) to (\w+)", _rename),
    (r"metadata of (i\d+) is (\w+)=(\w+)", _metadata),
    (r"show flavors", _show_flavors),
    (r"notifications are on", _notifications_on),
    (r"sites (.+)", _sites),
    (r"site (\w+) with hosts (.+)", _site_of_hosts),
    (r"build (i\d+) on (.+)", _build),
    (r"(i\d+) joins an? (\S+) group", _group),
    (rf"({'|'.join(ASKED)}) (i\d+)", _ask),
    (r"unshelve (i\d+) on (\w+)", _unshelve),
    (r"resize (i\d+) on (\w+)", _resize_on),
    (r"force (\S+) (down|up)", _force),
    (r"(drain|undrain) (\w+)(?:: (.+))?", _drain),
    (r"an operator disables (\w+): (.+)", _disable),
    (r"evacuate (i\d+) to (\w+)(, stopped)?", _evacuate),
    (r"redeliver (i\d+) (\w+)", _redeliver),
    (r"(crash|freeze) (bridge\d?|agent\d? \w+) (before|after) (.+)", _arm),
    (r"kill (bridge\d?|agent\d? \w+)", _kill),
    (r"start (bridge\d?|agent\d? \w+)", _start),
    (r"restart (bridge\d?|agent\d? \w+)", _restart),
    (r"freeze (bridge\d?|agent\d? \w+)", _freeze),
    (r"thaw (bridge\d?|agent\d? \w+)", _thaw),
    (r"cut (bridge\d?|agent\d? \w+)", _cut),
    (r"mend (bridge\d?|agent\d? \w+)", _mend),
    (r"wait ([\d.]+) (s|min|h)", _wait),
    (r"(\w+) fails snapshots", _fails_snapshots),
    (r"delete image (snap-\d+)", _delete_image),
    (r"(\w+) refuses (.+) with (\d+) (.+)", _refuses),
    (r"(\w+) answers 503 to (.+)", _busy),
    (r"(\w+) answers nonsense to (.+)", _nonsense),
    (r"(\w+) loses the answer to (.+)", _loses),
    (r"(\w+) fails builds: (.+)", _fails_builds),
    (r"(\w+) builds again", _builds),
    (r"(\w+) builds in ([\d.]+) (s|min|h)", _build_time),
    (r"(\w+) fails resizes", _fail_resizes),
    (r"(\w+) itself does ([\w-]+) (i\d+)", _vendor),
    (r"(\w+) has a stranger (i\d+)", _stranger),
    (r"garbage as a (command|observation|RPC) of (\w+) (i\d+)", _garbage),
    (r"somebody repeats (\w+) of (\w+) (i\d+):(\d+)", _late_command),
    (r"(etcd|nova|neutron) is (away|back)", _away),
    (r"all streams of (\w+) are lost", _purge),
    (rf"nobody can use the RPC of ({'|'.join(ASKED)}) (i\d+)", _put_aside),
    (r"replay dead letter (\d+) of (\w+)", _replay),
    (r"show census", _show_census),
    *HEALING,
    (r"show", _show),
]


async def do(world: World, line: str) -> None:
    """Carry one line out; ValueError if nobody knows it."""
    for pattern, step in (*FAULTS, *STEPS):
        match = re.fullmatch(pattern, line)
        if match:
            result = step(world, *match.groups())
            if result is not None:
                await result
            return
    raise ValueError(f"no step is called {line!r}")
