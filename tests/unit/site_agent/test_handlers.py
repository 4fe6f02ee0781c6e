"""Every verb: done once however often it is asked for, and what each refusal is."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from proto import operations
from proto.errors import Expired, FaultCode, Refused, Unavailable
from proto.messages import Command, Fault
from proto.operations import Mode, Verb
from proto.specs import ChangeSpec
from site_agent import handlers
from site_agent.core.answers import Answer
from site_agent.handlers.create import create
from site_agent.handlers.delete import delete
from site_agent.handlers.interface import LETTING_GO, attach_interface, detach_interface
from site_agent.handlers.power import SOUGHT, power
from site_agent.handlers.reboot import reboot
from site_agent.handlers.resize import confirm_resize, resize
from tests.fakes.cloud_nova import DIAGNOSTICS, SiteServer
from tests.unit.site_agent.world import FLAVOR, NETWORK, UUID, World, card, play, server_spec

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


def test_a_new_agent_finds_what_the_site_soft_deleted() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="soft-delete")
        world.restart()
        await delete(world.site, world.command(Verb.DELETE, 2), False)
        await asyncio.sleep(1)
        assert world.cloud.nova.alive() == []

    play(story)


def test_a_soft_delete_keeps_the_server_and_a_restore_starts_it() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        for generation, (verb, state) in enumerate([(Verb.SOFT_DELETE, "stopped"), (Verb.RESTORE, "active")], start=2):
            for repeated in (False, True):
                await power(world.site, world.command(verb, generation), repeated)
                await asyncio.sleep(1)
                world.cloud.nova.advance()
            assert server.vm_state == state
        assert [action["action"] for action in server.actions] == ["start", "stop"]

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


@pytest.mark.parametrize("left", ["rescue", "migrate", "shelve", "soft-delete", "pause", "suspend"])
@pytest.mark.parametrize("verb", [Verb.STOP, Verb.START])
def test_a_server_leaves_what_its_vendor_did_to_it(verb: Verb, left: str) -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.vendor(server, left)
        await asyncio.sleep(1)
        command, delivered = world.command(verb, 2), 0
        while not world.site.memory.was_carried_out(command):
            with contextlib.suppress(Unavailable):
                await power(world.site, command, delivered > 0)
            delivered += 1
            await asyncio.sleep(1)
            world.cloud.nova.advance()
        assert (server.vm_state, delivered) == (SOUGHT[verb].vm_state, 2)
        done = [action["action"] for action in server.actions if action["user_id"] == world.cloud.user_id]
        assert len(done) == len(set(done)), "each step once"

    play(story)


def test_a_step_that_the_site_cannot_take_is_told() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="shelved_offloaded")
        for repeated in (False, True):
            server.plan.clear()  # no host has room for it
            world.cloud.nova.touch(server, task_state=None)
            with pytest.raises((Unavailable, Refused)) as caught:
                await power(world.site, world.command(Verb.START, 2), repeated)
        assert isinstance(caught.value, Refused) and caught.value.code is FaultCode.SITE_FAULT
        assert [action["action"] for action in server.actions] == ["unshelve"]

    play(story)


def test_a_step_that_the_vendor_took_meanwhile_is_none_to_refuse_for() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.vendor(server, "pause")
        await asyncio.sleep(1)
        no = Answer(
            409, {"conflictingRequest": {"message": "Cannot 'unpause' instance while it is in vm_state active"}}
        )
        world.cloud.trouble(f"/servers/{server.id}/action", no)
        world.cloud.nova._plan(server, 0.2, lambda s: setattr(s, "vm_state", "active"))
        with pytest.raises(Unavailable):
            await power(world.site, world.command(Verb.STOP, 2), False)
        await power(world.site, world.command(Verb.STOP, 2), True)
        await asyncio.sleep(1)
        assert world.cloud.nova.alive()[0].vm_state == "stopped"

    play(story)


def test_a_step_that_never_ends_is_waited_for_until_the_command_expires() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="resized")
        command = world.command(Verb.STOP, 2, not_after=world.time.time() + 20)
        for repeated in (False, True):
            with pytest.raises(Unavailable):
                await power(world.site, command, repeated)
            server.plan.clear()  # the site confirms for ever
        await asyncio.sleep(30)
        with pytest.raises(Expired):
            await power(world.site, command, True)

    play(story)


@pytest.mark.parametrize("state", ["shelved", "shelved_offloaded"])
def test_a_server_that_its_vendor_shelved_is_not_started_to_be_kept(state: str) -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state=state, power_state=4)
        await power(world.site, world.command(Verb.SOFT_DELETE, 2), False)
        assert (server.vm_state, server.actions) == (state, [])
        assert state in operations.BY_VERB[Verb.SOFT_DELETE].settles_in
        assert world.observations()[-1].server is not None

    play(story)


def test_start_of_a_server_in_error_is_a_conflict_and_of_none_missing() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="error")
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


def test_an_earlier_reboot_is_not_taken_for_a_later_one_by_an_agent_that_knows_neither() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        await reboot(world.site, world.command(Verb.REBOOT, 2), False)
        await asyncio.sleep(60)
        world.restart()
        await reboot(world.site, world.command(Verb.REBOOT, 3), True)
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


LARGE = msgspec.structs.replace(FLAVOR, version=4, vcpus=4)


def test_a_resize_by_the_vendor_is_not_ours() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        world.cloud.nova.touch(server, vm_state="resized")
        for change in (ChangeSpec(flavor=LARGE), ChangeSpec()):
            error = await refusal(resize(world.site, world.command(Verb.RESIZE, 2, change=change), False))
            assert (error.code, error.message) == (FaultCode.CONFLICT, "the site is resizing it itself")
        world.cloud.nova.touch(server, vm_state="active", task_state="resize_migrating")
        await refusal(resize(world.site, world.command(Verb.RESIZE, 2, change=ChangeSpec(flavor=LARGE)), False))
        server.body["flavorRef"] = "cascade-42-v4"
        world.cloud.nova.touch(server, vm_state="resized", task_state=None)
        await resize(world.site, world.command(Verb.RESIZE, 2, change=ChangeSpec(flavor=LARGE)), False)
        assert world.site.memory.generations[UUID] == 2 and server.actions == []

    play(story)


def test_a_confirm_on_its_way_is_not_sent_again() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        await resize(world.site, world.command(Verb.RESIZE, 2, change=ChangeSpec(flavor=LARGE)), False)
        await asyncio.sleep(5)
        world.cloud.nova.step_time = 60.0
        command = world.command(Verb.CONFIRM_RESIZE, 3)
        world.cloud.trouble("POST compute /servers/srv-1/action", done=True)
        with pytest.raises(Unavailable):
            await confirm_resize(world.site, command, False)
        await confirm_resize(world.site, command, True)  # the site shows it as resized still, without a task
        await confirm_resize(world.site, command, False)
        assert [action["action"] for action in server.actions] == ["confirmResize", "resize"]

    play(story)


def attaching(world: World, **fields: Any) -> Command:
    """A command that plugs one more card in."""
    return world.command(Verb.ATTACH_INTERFACE, 2, change=ChangeSpec(port=card(2), networks=[NETWORK]), **fields)


def test_an_expired_attach_makes_nothing_unless_its_card_is_plugged() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        late = world.time.time() - 1
        with pytest.raises(Expired):
            await attach_interface(world.site, attaching(world, not_after=late), True)
        assert len(world.cloud.neutron.things["ports"]) == 1
        await attach_interface(world.site, attaching(world), False)
        world.restart()
        await attach_interface(world.site, attaching(world, not_after=late), True)
        assert world.observations()[-1].generation == 2 and len(server.ports) == 2

    play(story)


def test_an_attach_that_expired_after_it_made_its_port_leaves_none() -> None:
    async def story(world: World) -> None:
        await running(world)
        command = attaching(world, not_after=world.time.time() + 5)
        world.cloud.trouble("POST compute /servers/srv-1/os-interface")
        with pytest.raises(Unavailable):
            await attach_interface(world.site, command, False)
        assert len(world.cloud.neutron.things["ports"]) == 2
        await asyncio.sleep(10)
        with pytest.raises(Expired):
            await attach_interface(world.site, command, True)
        assert len(world.cloud.neutron.things["ports"]) == 1

    play(story)


def test_a_port_in_use_because_it_is_being_plugged_stays() -> None:
    async def story(world: World) -> None:
        server = await running(world)
        real, posts = world.cloud.nova.answer, []

        def answer(method: str, path: str, params: Any, body: Any) -> Answer:
            result = real(method, path, params, body)
            if (method, path.rpartition("/")[2]) == ("POST", "os-interface"):
                posts.append(path)
                return Answer(400, IN_USE.body)  # the first try, whose answer was lost, is done just before
            return result

        world.cloud.nova.answer = answer  # type: ignore[method-assign]
        await attach_interface(world.site, attaching(world), True)
        assert len(posts) == 1 and len(server.ports) == len(world.cloud.neutron.things["ports"]) == 2

    play(story)


def test_a_card_that_the_guest_keeps_is_told_in_the_end() -> None:
    async def story(world: World) -> None:
        await running(world)
        await attach_interface(world.site, attaching(world), False)
        command = world.command(Verb.DETACH_INTERFACE, 3, change=ChangeSpec(port=card(2)))
        world.cloud.trouble("DELETE compute /servers/srv-1/os-interface", Answer(202), times=10**9)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await detach_interface(world.site, command, False)
            await asyncio.sleep(LETTING_GO - 1)
        error = await refusal(detach_interface(world.site, command, True))
        assert (error.code, error.message) == (FaultCode.CONFLICT, "the guest does not let go of the card")
        world.cloud.troubles.clear()
        with pytest.raises(Unavailable):  # a later command has its own time
            await detach_interface(world.site, command, False)
        await detach_interface(world.site, command, True)
        assert len(world.cloud.neutron.things["ports"]) == 1

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


@pytest.mark.parametrize("verb", ["diagnostics", "instance_diagnostics"])
def test_diagnostics_are_what_the_site_measures(verb: str) -> None:
    async def story(world: World) -> None:
        world.run_agent()
        await asyncio.sleep(1)
        server = await running(world)
        assert (await world.ask(verb)).diagnostics == DIAGNOSTICS
        world.cloud.nova.admin = False
        assert (await world.ask(verb)).fault.code is FaultCode.REJECTED
        world.cloud.nova.admin = True
        world.cloud.nova.touch(server, vm_state="stopped")
        assert (await world.ask(verb)).fault.code is FaultCode.CONFLICT
        world.cloud.trouble("diagnostics", Answer(501, {"notImplemented": {"message": "Feature not supported"}}))
        assert (await world.ask(verb)).fault == Fault(FaultCode.REJECTED, "Feature not supported")

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
