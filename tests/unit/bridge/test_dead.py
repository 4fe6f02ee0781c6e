"""Which dead letters may be tried again: only those that something still waits for, and never on a site's word."""

from typing import Any

import msgspec
import pytest

from bridge.core import dead, planner, shelving
from bridge.core.dead import Kind, Letter
from bridge.core.planner import Step
from bridge.core.records import InstanceRecord
from bridge.operator import dead_view
from bridge.operator.output import listing, record
from proto import codec, subjects
from proto.errors import Malformed
from proto.messages import Command, Rpc
from proto.operations import OPERATIONS, Lane, Mode, Verb
from proto.sealing import PrivateKey
from proto.specs import ServerSecrets
from tests.unit.bridge.cases import UUID, pending, rpc, seen, server
from tests.unit.bridge.cases import record as settled

INTAKE = subjects.intake("paris", UUID)
HOSTS = ["paris"]


def letter(message: msgspec.Struct, subject: str = INTAKE, *, above: bool = True, number: int = 7) -> Letter:
    """A letter that a bridge wrote, or the site."""
    headers = {subjects.HEADER_DEAD_SUBJECT: subject, subjects.HEADER_DEAD_REASON: "a bug"}
    stored_on = subjects.dead_above("paris") if above else subjects.dead("paris")
    return dead.letter(number, stored_on, codec.encode(message), headers, 1_795_000_000.0)


def instance(**fields: Any) -> dict[str, Any]:
    """A row above."""
    return {"vm_state": "active", "task_state": None, "host": "paris", "deleted": False, **fields}


def command(generation: int, verb: Verb = Verb.STOP, **fields: Any) -> Command:
    """A command as it lay in COMMANDS."""
    return Command("paris", UUID, generation, fields.pop("epoch", 1), verb, 0.0, fields.pop("not_after", None), "req-1")


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_letter_says_who_wrote_it() -> None:
    assert letter(rpc()).by_bridge
    assert not letter(rpc(), above=False).by_bridge
    for subject in ("cascade.v1.dead", "cascade.v1.dead.", "cascade.v1.dead.paris.x", "cascade.v1.evt.1.paris.u", "x"):
        with pytest.raises(Malformed):
            subjects.parse_dead(subject)


def test_no_site_may_write_what_only_bridges_write() -> None:
    publish, _ = subjects.site_permissions("paris")
    assert subjects.dead("paris") in publish
    assert not {subjects.dead_above("paris"), f"{subjects.dead('paris')}.>", subjects.DEAD_FILTER} & set(publish)


@pytest.mark.parametrize(
    ("message", "subject", "kind"),
    [
        (rpc(), INTAKE, Kind.RPC),
        (command(3), subjects.command("paris", Lane.NORMAL, UUID), Kind.COMMAND),
        (seen(server()), subjects.event("paris", UUID), Kind.OBSERVATION),
    ],
)
def test_a_letter_is_what_its_subject_says(message: msgspec.Struct, subject: str, kind: Kind) -> None:
    found = letter(message, subject)
    assert found.kind is kind
    assert dead.content(found) == message


@pytest.mark.parametrize(
    "found",
    [
        letter(rpc(), subjects.event("paris", UUID)),
        letter(rpc(), subjects.intake("paris", "another")),
        letter(rpc(), subjects.intake("rome", UUID)),
        letter(command(3), subjects.command("rome", Lane.NORMAL, UUID)),
        letter(rpc(), "nonsense"),
        letter(rpc(), ""),
        letter(rpc(), subjects.query("paris", "census")),
        Letter(1, "paris", True, INTAKE, "", 0.0, b"\x93garbage"),
    ],
)
def test_what_is_not_what_its_subject_says_cannot_be_read(found: Letter) -> None:
    with pytest.raises(Malformed):
        dead.content(found)


# -- an RPC ------------------------------------------------------------------------------------------------------------


def refusal(message: Rpc, row: dict[str, Any] | None, *, above: bool = True) -> str | None:
    """Return why a letter with an RPC is not replayed."""
    return dead.rpc_refusal(letter(message, above=above), message, HOSTS, row)


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.mode is Mode.CAST], ids=lambda row: row.verb)
def test_an_rpc_is_replayed_while_its_task_state_stands(row: Any) -> None:
    vm_state = {Verb.CREATE: "building", Verb.CONFIRM_RESIZE: "resized"}.get(row.verb, "active")
    for task_state in row.begun:
        if task_state is not None:
            assert refusal(rpc(row.method), instance(vm_state=vm_state, task_state=task_state)) is None
    for task_state in ("migrating", "image_uploading", "deleting"):
        if task_state not in row.begun:
            told = refusal(rpc(row.method), instance(vm_state=vm_state, task_state=task_state))
            assert told is not None
            assert "nothing waits for" in told


@pytest.mark.parametrize(
    ("method", "row", "why"),
    [
        ("terminate_instance", instance(), "nothing waits for"),  # it was refused, and its tenant goes on using it
        ("stop_instance", instance(), "nothing waits for"),
        ("build_and_run_instance", instance(vm_state="error"), "nothing waits for"),
        ("confirm_resize", instance(), "nothing waits for"),
        ("stop_instance", instance(task_state="powering-off", host="rome"), "is on rome now"),
        ("stop_instance", instance(task_state="powering-off", deleted=True), "gone above"),
        ("stop_instance", None, "gone above"),
        ("attach_interface", instance(), "has given up waiting"),
        ("live_migration", instance(task_state="migrating"), "not supported"),
        ("get_console_output", instance(), "has given up waiting"),
    ],
)
def test_an_rpc_nothing_waits_for_is_not_replayed(method: str, row: dict[str, Any] | None, why: str) -> None:
    told = refusal(rpc(method), row)
    assert told is not None
    assert why in told


def test_what_shows_addresses_anew_is_always_welcome() -> None:
    assert refusal(rpc(planner.EXTERNAL_EVENT), instance(vm_state="stopped")) is None
    assert refusal(rpc("detach_interface"), instance()) is None


def test_a_site_cannot_have_an_rpc_of_its_own_making_carried_out() -> None:
    told = refusal(rpc(), instance(task_state="powering-off"), above=False)
    assert told is not None
    assert "not written by a bridge" in told
    stranger = msgspec.structs.replace(rpc(), host="rome")
    assert "no host of site paris" in (dead.rpc_refusal(letter(stranger), stranger, HOSTS, instance()) or "")


def test_a_replayed_rpc_is_not_taken_for_the_one_that_was_done() -> None:
    known = settled(rpc_ids=["rpc-1"])
    assert planner.step(rpc(), known) is Step.DONE
    again = dead.again(letter(rpc()), rpc())
    assert planner.step(again, known) is Step.PLAN
    assert again.redelivered, "its task_state is looked at again"
    assert again == dead.again(letter(rpc()), rpc()), "twice is once"
    assert again.rpc_id != dead.again(letter(rpc(), number=8), rpc()).rpc_id


def test_an_offload_stays_one_that_follows_a_shelve() -> None:
    following = msgspec.structs.replace(rpc("shelve_offload_instance"), rpc_id=f"rpc-1{shelving.FOLLOWING}")
    assert shelving.follows(dead.again(letter(following), following))


# -- a command, an observation ----------------------------------------------------------------------------------------


def test_only_the_command_that_is_awaited_is_published_again() -> None:
    waiting = pending(Verb.STOP)
    assert waiting.pending is not None
    awaited = command(waiting.generation)
    assert dead.command_refusal(awaited, waiting, 1, 10.0) is None
    refused: list[tuple[Command, InstanceRecord | None, int, float]] = [
        (awaited, None, 1, 10.0),
        (awaited, settled(), 1, 10.0),
        (awaited, planner.settled(waiting), 1, 10.0),
        (command(waiting.generation - 1), waiting, 1, 10.0),
        (command(waiting.generation + 1), waiting, 1, 10.0),
        (command(waiting.generation, Verb.DELETE), waiting, 1, 10.0),
        (awaited, waiting, 2, 10.0),
        (awaited, waiting, 1, 1e9),
    ]
    for case in refused:
        assert dead.command_refusal(*case) is not None, case


def test_an_observation_older_than_what_is_recorded_is_of_no_use() -> None:
    look = seen(server(), at=10.0)
    assert dead.observation_refusal(look, settled(seen_at=9.0)) is None
    assert dead.observation_refusal(look, settled(seen_at=11.0)) is not None
    assert dead.observation_refusal(look, None) is not None


# -- showing -----------------------------------------------------------------------------------------------------------


def test_no_secret_is_shown() -> None:
    sealed = PrivateKey.generate().public().seal(ServerSecrets(admin_password="hunter2"))
    secret = rpc("rebuild_instance", secrets=sealed, args={"orig_image_ref": "hunter3", "instance": {"x": "hunter4"}})
    shown = {**dead_view._row(letter(secret)), **dead_view._content(letter(secret))}
    assert shown["what"] == "rebuild_instance"
    assert shown["secrets"] == f"sealed to key {sealed.key_id}"
    assert shown["args"] == ["instance", "orig_image_ref"]
    for form in ("table", "json"):
        text = record(shown, form)
        assert "hunter" not in text
        assert repr(sealed.box)[2:20] not in text


def test_what_cannot_be_read_is_shown_by_its_size_alone() -> None:
    found = Letter(1, "paris", False, INTAKE, "hm", 0.0, b"hunter2" * 3)
    shown = {**dead_view._row(found), **dead_view._content(found)}
    assert (shown["what"], shown["size"]) == (None, 21)
    assert "not a Rpc" in shown["unreadable"]
    assert "hunter2" not in record(shown, "table")


def test_a_terminal_obeys_nothing_that_others_wrote() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\n\u202eabc\x9b31m"
    found = Letter(1, "paris", False, evil, evil, 0.0, b"x")
    for text in (listing([dead_view._row(found)], dead_view.COLUMNS, "table"), record(dead_view._row(found), "table")):
        assert not set(text) & set("\x1b\x07\r\u202e\x9b")
    assert len(listing([dead_view._row(found)], dead_view.COLUMNS, "table").splitlines()) == 2
