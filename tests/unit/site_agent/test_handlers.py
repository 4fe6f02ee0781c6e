"""Every verb: done once however often it is asked for, and what each refusal is."""

import asyncio
from typing import Any

import msgspec
import pytest

from proto import operations
from proto.errors import Expired, FaultCode, Refused, Unavailable
from proto.operations import Mode, Verb
from site_agent import handlers
from site_agent.core.answers import Answer
from site_agent.handlers.create import create
from site_agent.handlers.delete import delete
from site_agent.handlers.power import power
from site_agent.handlers.reboot import reboot
from tests.fakes.cloud_nova import SiteServer
from tests.unit.site_agent.world import UUID, World, card, play, server_spec

IN_USE = Answer(409, {"conflictingRequest": {"message": "Port x is still in use."}})


def test_every_row_has_a_handler_and_every_handler_a_row() -> None:
    rows = {mode: {row.verb for row in operations.OPERATIONS if row.mode is mode} for mode in Mode}
    assert rows[Mode.CAST] | rows[Mode.AWAITED] == set(handlers.COMMANDS)
    assert rows[Mode.QUERY] == set(handlers.QUERIES)
    assert all(handler.__doc__ for handler in {**handlers.COMMANDS, **handlers.QUERIES}.values())


async def refusal(work: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value


async def running(world: World) -> SiteServer:
    """A server that was made by create and is active, the agent remembering it."""
    await create(world.site, world.command(Verb.CREATE), False)
    await asyncio.sleep(5)
    [server] = world.cloud.nova.alive()
    assert server.vm_state == "active"
    return server


def test_a_boot_costs_three_requests_once_the_site_knows_its_things() -> None:
    async def story(world: World) -> None:
        await create(world.site, world.command(Verb.CREATE), False)
        before = len(world.cloud.calls)
        spec = server_spec(ports=[card(2)])
        await create(world.site, world.command(Verb.CREATE, uuid="u2", server=spec), False)
        assert world.cloud.calls[before:] == [
            "GET compute /servers/detail",
            "POST network /ports",
            "POST compute /servers",
        ]

    play(story)


def test_a_create_that_is_repeated_adopts_its_server() -> None:
    async def story(world: World) -> None:
        command = world.command(Verb.CREATE, generation=4)
        await create(world.site, command, False)
        world.restart()
        await create(world.site, command, True)
        [server] = world.cloud.nova.alive()
        assert server.tags == [f"cascade:{UUID}", "cascade-generation:4"]
        assert world.site.memory.generations[UUID] == 4

    play(story)


def test_a_create_whose_answer_was_lost_looks_before_it_tries_again() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("POST compute /servers", done=True)
        await create(world.site, world.command(Verb.CREATE), False)
        assert len(world.cloud.nova.alive()) == 1
        assert world.cloud.count("POST compute /servers") == 1

    play(story)


def test_a_create_that_never_arrived_waits_before_it_tries_again() -> None:
    async def story(world: World) -> None:
        world.cloud.trouble("POST compute /servers")
        with pytest.raises(Unavailable) as caught:
            await create(world.site, world.command(Verb.CREATE), False)
        assert caught.value.retry_after >= 10

    play(story)


def test_a_port_in_use_by_the_server_of_an_earlier_try_leads_to_that_server() -> None:
    async def story(world: World) -> None:
        command = world.command(Verb.CREATE)
        await create(world.site, command, False)
        world.restart()
        hidden = Answer(200, {"servers": []})  # the look comes before Nova lists the server
        world.cloud.trouble("GET compute /servers/detail", hidden)
        world.cloud.trouble("POST compute /servers", IN_USE)
        await create(world.site, command, False)
        assert len(world.cloud.nova.alive()) == 1

    play(story)


def test_what_vanished_below_is_looked_at_anew_within_one_create() -> None:
    async def story(world: World) -> None:
        await create(world.site, world.command(Verb.CREATE), False)
        world.cloud.nova.flavors.clear()
        world.cloud.nova.keypairs.clear()
        spec = server_spec(ports=[card(2)])
        await create(world.site, world.command(Verb.CREATE, uuid="u2", server=spec), False)
        assert len(world.cloud.nova.alive()) == 2

    play(story)


def test_an_expired_create_makes_nothing_but_adopts() -> None:
    async def story(world: World) -> None:
        late = world.command(Verb.CREATE, not_after=world.time.time() - 1)
        with pytest.raises(Expired):
            await create(world.site, late, True)
        assert world.cloud.neutron.things["ports"] == {}
        await create(world.site, world.command(Verb.CREATE), False)
        await create(world.site, late, True)

    play(story)


def test_a_repeated_create_does_not_trust_a_look_while_a_cell_is_down() -> None:
    async def story(world: World) -> None:
        await create(world.site, world.command(Verb.CREATE), False)
        [server] = world.cloud.nova.alive()
        server.in_down_cell = True
        world.restart()
        with pytest.raises(Unavailable):
            await create(world.site, world.command(Verb.CREATE), True)
        with pytest.raises(Unavailable):
            await delete(world.site, world.command(Verb.DELETE, 2), False)
        assert len(world.cloud.nova.alive()) == 1

    play(story)


def test_a_create_that_another_agents_delete_overtook_is_undone() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await create(world.site, world.command(Verb.CREATE), False)  # nothing is pending: it was purged
        await asyncio.sleep(5)
        assert world.cloud.nova.alive() == []
        assert world.cloud.neutron.things["ports"] == {}
        await world.send(world.command(Verb.CREATE, 2))
        await asyncio.sleep(5)
        assert len(world.cloud.nova.alive()) == 1

    play(story, shared=True)


def test_a_create_does_not_adopt_a_server_that_is_being_deleted() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, task_state="deleting")
        with pytest.raises(Unavailable):
            await create(world.site, world.command(Verb.CREATE, 2), False)

    play(story)


def test_secrets_reach_the_server_and_only_open_with_the_sites_key() -> None:
    async def story(world: World) -> None:
        spec = server_spec(secrets=world.seal(user_data="dQ==", admin_password="geheim"))
        await create(world.site, world.command(Verb.CREATE, server=spec), False)
        [server] = world.cloud.nova.alive()
        assert (server.body["user_data"], server.body["adminPass"]) == ("dQ==", "geheim")
        foreign = msgspec.structs.replace(spec, secrets=World(world.time).seal(user_data="dQ=="))
        error = await refusal(create(world.site, world.command(Verb.CREATE, uuid="u2", server=foreign), False))
        assert error.code is FaultCode.REJECTED

    play(story)


def test_a_delete_of_nothing_releases_ports_and_tells_the_absence() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.vendor(server, "delete")
        world.restart()
        await delete(world.site, world.command(Verb.DELETE, 2), False)
        assert world.cloud.neutron.things["ports"] == {}
        [told] = world.observations()
        assert (told.absent, told.generation) == (True, 2)

    play(story)


def test_a_delete_overcomes_lock_and_soft_delete() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        server.locked = True
        world.cloud.nova.reclaim = True
        await delete(world.site, world.command(Verb.DELETE, 2), False)
        await asyncio.sleep(1)
        world.cloud.nova.advance()
        assert server.vm_state == "soft-delete"
        await delete(world.site, world.command(Verb.DELETE, 2), True)
        await asyncio.sleep(1)
        assert world.cloud.nova.alive() == []

    play(story)


def test_stop_and_start_compare_the_state() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        await power(world.site, world.command(Verb.STOP, 2), False)
        await power(world.site, world.command(Verb.STOP, 2), True)  # on its way
        await asyncio.sleep(1)
        await power(world.site, world.command(Verb.STOP, 3), False)  # there already
        assert world.cloud.count(f"POST compute /servers/{server.id}/action") == 1
        assert (world.observations()[-1].generation, world.observations()[-1].server.vm_state) == (3, "stopped")
        await power(world.site, world.command(Verb.START, 4), False)
        await asyncio.sleep(1)
        world.cloud.nova.advance()
        assert server.vm_state == "active"

    play(story)


@pytest.mark.parametrize(
    ("there", "reached", "back"), [(Verb.PAUSE, "paused", Verb.UNPAUSE), (Verb.SUSPEND, "suspended", Verb.RESUME)]
)
def test_there_and_back_again(there: Verb, reached: str, back: Verb) -> None:
    async def story(world: World) -> None:
        server = await running(world)
        for generation, (verb, state) in enumerate([(there, reached), (back, "active")], start=2):
            for _ in range(2):
                await power(world.site, world.command(verb, generation), False)
                await asyncio.sleep(1)
                world.cloud.nova.advance()
            assert server.vm_state == state
        assert [action["action"] for action in server.actions[:2]] == [back, there]

    play(story)


def test_start_of_a_paused_server_is_a_conflict_and_of_none_missing() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="paused")
        assert (await refusal(power(world.site, world.command(Verb.START, 2), False))).code is FaultCode.CONFLICT
        none = world.command(Verb.START, uuid="u2")
        assert (await refusal(power(world.site, none, False))).code is FaultCode.MISSING

    play(story)


def test_a_server_busy_with_something_else_is_tried_again() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, task_state="image_snapshot")
        with pytest.raises(Unavailable):
            await power(world.site, world.command(Verb.STOP, 2), False)

    play(story)


def test_a_reboot_happens_once_whoever_repeats_it() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        first = world.command(Verb.REBOOT, 2, reboot_type="HARD")
        await reboot(world.site, first, False)
        await reboot(world.site, first, True)
        await asyncio.sleep(1)
        world.restart()
        await reboot(world.site, first, False)
        assert len(server.actions) == 1
        await reboot(world.site, world.command(Verb.REBOOT, 3), False)  # another one, within the clocks' slack
        assert len(server.actions) == 2

    play(story)


def test_a_reboot_by_the_vendor_is_not_ours() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        server.actions.insert(0, {"action": "reboot", "user_id": "vendor", "start_time": "2026-11-23T00:00:00"})
        world.restart()
        await reboot(world.site, world.command(Verb.REBOOT, 2), True)
        assert len(server.actions) == 2

    play(story)


def test_console_output() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        assert (await world.ask("console_output")).fault.code is FaultCode.MISSING
        server = await running(world)
        assert (await world.ask("console_output", length=1)).text == "login:"
        assert (await world.ask("console_output")).text == f"console of {server.id}\nlogin:"

    play(story)


def test_vnc_console_is_the_sites_own() -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        server = await running(world)
        assert (await world.ask("vnc_console", console_type="novnc")).text == f"http://console/novnc/{server.id}"
        server.vm_state = "stopped"
        assert (await world.ask("vnc_console")).fault.code is FaultCode.CONFLICT

    play(story)
