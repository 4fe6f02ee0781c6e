"""What becomes of each command that is delivered."""

import asyncio
from typing import Any

import msgspec
import pytest

from proto import codec, subjects
from proto.errors import FaultCode, Unavailable
from proto.messages import Outcome
from proto.operations import Lane, Verb
from site_agent import handlers
from site_agent.core.answers import Answer
from site_agent.resources.image import ensure_image
from tests.unit.site_agent.world import IMAGE, OTHER, PARIS, UUID, World, card, play, server_spec


def test_a_life_from_create_to_delete() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(5)
        await world.send(world.command(Verb.STOP, 2))
        await asyncio.sleep(3)
        await world.send(world.command(Verb.DELETE, 3))
        await asyncio.sleep(5)
        assert world.pending() == 0
        told = [(o.generation, o.server.status if o.server else o.absent) for o in world.observations()]
        assert told[-1] == (3, True)
        assert (1, "ACTIVE") in told
        assert (2, "SHUTOFF") in told
        assert world.cloud.nova.alive() == []
        assert world.cloud.neutron.things["ports"] == {}

    play(story)


def test_what_is_no_command_is_put_aside() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        subject = subjects.command(PARIS, Lane.NORMAL, UUID)
        await world.bridge.publish(subject, b"rubbish")
        await world.bridge.publish(subject, codec.encode(world.command(Verb.STOP, uuid=OTHER)))  # not its subject
        await asyncio.sleep(1)
        assert world.pending() == 0
        assert world.dead()[0].data == b"rubbish"
        assert world.dead()[0].headers[subjects.HEADER_DEAD_SUBJECT] == subject
        assert len(world.dead()) == 2

    play(story)


def test_a_verb_of_a_newer_bridge_is_refused_and_told() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        body = {**msgspec.to_builtins(world.command(Verb.STOP, 2)), "verb": "crash_dump"}
        data = msgspec.msgpack.encode({"v": 1, "kind": "Command", "body": body})
        await world.bridge.publish(subjects.command(PARIS, Lane.NORMAL, UUID), data)
        await asyncio.sleep(1)
        [told] = world.observations()
        assert (told.outcome, told.generation, told.fault.code) == (Outcome.REFUSED, 2, FaultCode.UNSUPPORTED)
        assert (world.pending(), world.dead()) == (0, [])

    play(story)


def test_a_command_of_an_earlier_life_of_the_site_is_dropped_and_one_of_a_later_life_begins_that() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE, epoch=1))
        await asyncio.sleep(10)
        assert (world.cloud.nova.alive(), world.observations(), world.pending()) == ([], [], 0)
        await world.send(world.command(Verb.CREATE, epoch=3, uuid=OTHER, server=server_spec(ports=[card(2)])))
        await asyncio.sleep(10)
        await world.send(world.command(Verb.STOP, 2, uuid=OTHER))
        await asyncio.sleep(10)
        assert [server.vm_state for server in world.cloud.nova.alive()] == ["active"]
        assert (world.site.epoch.number, world.pending()) == (3, 0)

    play(story)


def test_an_expired_command_is_told() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE, not_after=world.time.time() - 1))
        await asyncio.sleep(1)
        [told] = world.observations()
        assert (told.outcome, told.fault.code, world.pending()) == (Outcome.EXPIRED, FaultCode.EXPIRED, 0)

    play(story)


def test_a_refusal_is_told_with_its_reason() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        over = Answer(403, {"forbidden": {"message": "Quota exceeded for cores"}})
        world.cloud.trouble("POST compute /servers", over)
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(1)
        [told] = world.observations()
        assert (told.outcome, told.generation, told.fault.code) == (Outcome.REFUSED, 1, FaultCode.QUOTA)
        assert world.pending() == 0

    play(story)


def test_an_api_that_is_away_is_tried_for_ever_and_told() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        world.cloud.trouble("GET compute /servers/detail", Unavailable("refused"), times=10_000)
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(300)
        told = world.observations()
        attempts = [o.attempt for o in told if o.fault]
        assert attempts == sorted(attempts)
        assert len(attempts) > 5
        assert all(o.outcome is Outcome.RETRYING for o in told)
        assert "refused" in world.site.problems.summary()
        world.cloud.troubles.clear()
        await asyncio.sleep(70)
        assert world.pending() == 0
        assert world.observations()[-1].server.status == "ACTIVE"
        assert world.site.problems.summary() is None

    play(story)


def test_a_bug_is_tried_three_times_then_told_and_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[bool] = []

    async def broken(_site: Any, _command: Any, repeated: bool) -> None:
        tries.append(repeated)
        raise KeyError("oops")

    monkeypatch.setattr(handlers, "COMMANDS", {Verb.STOP: broken})

    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.STOP))
        await asyncio.sleep(10)
        [told] = world.observations()
        assert (told.outcome, told.fault.code) == (Outcome.REFUSED, FaultCode.BUG)
        assert "KeyError" in world.dead()[0].headers[subjects.HEADER_DEAD_REASON]
        assert world.pending() == 0

    play(story)
    assert tries == [False, True, True]


def test_a_delete_waits_for_the_create_that_runs() -> None:
    async def story(world: World) -> None:
        entered, gate = asyncio.Event(), asyncio.Event()
        real = world.cloud.request

        async def slow(service: Any, method: str, path: str, **options: Any) -> Answer:
            if (method, path) == ("POST", "/servers"):
                entered.set()
                await gate.wait()
            return await real(service, method, path, **options)

        world.cloud.request = slow  # type: ignore[method-assign]
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await entered.wait()
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(25)  # longer than the ack wait would allow without in_progress
        assert world.pending() == 2
        gate.set()
        await asyncio.sleep(10)
        assert world.cloud.nova.alive() == []
        assert world.cloud.neutron.things["ports"] == {}
        assert world.observations()[-1].absent
        assert world.pending() == 0

    play(story)


def test_an_older_command_that_comes_late_is_dropped() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.DELETE, 2))
        await asyncio.sleep(1)
        await world.send(world.command(Verb.CREATE, 1))
        await asyncio.sleep(1)
        assert world.cloud.nova.alive() == []
        assert world.pending() == 0

    play(story)


def test_a_lane_takes_no_more_than_its_slots_and_urgent_ones_never_wait() -> None:
    async def story(world: World) -> None:
        gate = asyncio.Event()
        real = world.cloud.request

        async def slow(service: Any, method: str, path: str, **options: Any) -> Answer:
            if (method, path) == ("POST", "/servers"):
                await gate.wait()
            return await real(service, method, path, **options)

        world.cloud.request = slow  # type: ignore[method-assign]
        await ensure_image(world.site, IMAGE)  # else each lends its place while it waits for it
        world.run_agent()
        for number in range(1, 5):
            spec = server_spec(ports=[card(number)])
            await world.send(world.command(Verb.CREATE, uuid=f"u{number}", server=spec))
        await asyncio.sleep(5)
        assert world.executor.busy == 2
        await world.send(world.command(Verb.DELETE, 2, uuid=OTHER))
        await asyncio.sleep(1)
        assert world.observations(OTHER)[-1].absent
        gate.set()
        await asyncio.sleep(10)
        assert len(world.cloud.nova.alive()) == 4
        assert world.executor.busy == 0

    play(story, slots=2)


def test_stopping_gives_back_what_does_not_finish_in_time() -> None:
    async def story(world: World) -> None:
        async def stuck(*_arguments: Any, **_options: Any) -> Answer:
            await asyncio.sleep(1000)
            return Answer(200)

        puller = world.process.spawn(world.executor.pull(Lane.NORMAL))
        world.cloud.request = stuck  # type: ignore[method-assign]
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(1)
        puller.cancel()
        await world.executor.stop(grace=3.0)
        assert (world.executor.busy, world.pending()) == (0, 1)
        del world.cloud.request
        world.restart()
        world.run_agent()
        await asyncio.sleep(1)
        assert world.pending() == 0  # it came at once, not after its ack wait

    play(story)


def test_nats_away_stops_nothing_for_good() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await world.send(world.command(Verb.CREATE))
        await asyncio.sleep(0.5)
        world.road.cut.add("agent")
        await asyncio.sleep(120)
        world.road.cut.discard("agent")
        await asyncio.sleep(120)
        assert world.pending() == 0
        assert world.observations()[-1].server.status == "ACTIVE"

    play(story)


def test_a_create_of_a_boot_without_description_is_complete() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        spec = msgspec.structs.replace(server_spec(), description=None, keypair=None)
        await world.send(world.command(Verb.CREATE, server=spec))
        await asyncio.sleep(5)
        assert world.observations()[-1].server.status == "ACTIVE"

    play(story)
