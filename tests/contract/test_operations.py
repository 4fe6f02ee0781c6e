"""The table of operations and those who follow it: every row has its handler, every handler its row."""

import inspect
from pathlib import Path

import pytest

from proto.operations import BY_METHOD, BY_VERB, CALL_REFUSALS, OPERATIONS, Lane, Leaves, Mode, Operation, Repeat, Verb
from site_agent import handlers, queries
from site_agent.handlers.power import SOUGHT

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "scenario"
CASTS = [row for row in OPERATIONS if row.mode is not Mode.QUERY]
QUERIES = [row for row in OPERATIONS if row.mode is Mode.QUERY]

FREEING = {Verb.DELETE, Verb.STOP, Verb.DETACH_INTERFACE, Verb.SHELVE_OFFLOAD, Verb.SOFT_DELETE}

every_row = pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.verb)
every_cast = pytest.mark.parametrize("row", CASTS, ids=lambda row: row.verb)


def test_every_durable_row_has_a_handler_and_every_handler_a_row() -> None:
    assert set(handlers.COMMANDS) == {row.verb for row in CASTS}


def test_every_query_row_is_answered_and_every_answer_has_a_row() -> None:
    assert set(handlers.QUERIES) == {row.verb for row in QUERIES}
    assert {row.verb.value for row in QUERIES} <= set(queries.TABLE)


def test_every_verb_has_a_row_and_no_method_or_verb_has_two() -> None:
    assert set(BY_VERB) == set(Verb)
    assert len(BY_METHOD) == len(BY_VERB) == len(OPERATIONS)


@every_row
def test_a_handler_is_named_as_its_verb_and_says_how_it_knows_its_earlier_try(row: Operation) -> None:
    table = handlers.QUERIES if row.mode is Mode.QUERY else handlers.COMMANDS
    handler = table[row.verb]
    shared = {**dict.fromkeys(SOUGHT, "power"), Verb.BACKUP: "snapshot"}
    shared |= {Verb.SHELVE_OFFLOAD: "delete", Verb.UNSHELVE: "create", Verb.EVACUATE: "create"}
    assert handler.__name__ == shared.get(row.verb, row.verb)
    assert inspect.iscoroutinefunction(handler)
    text = inspect.getdoc(handler) or ""
    word = "nothing needs recognising" if row.repeat is Repeat.READ else "Knows its earlier try"
    assert word in " ".join(text.split())


@every_row
def test_no_method_is_both_carried_out_and_refused(row: Operation) -> None:
    assert row.method not in CALL_REFUSALS


@every_cast
def test_a_durable_row_is_complete(row: Operation) -> None:
    assert row.event.startswith("compute_")
    assert row.begun
    assert row.deadline > 0
    assert None in row.begun or set(row.ends_from) <= set(row.begun)


@every_cast
def test_only_what_must_happen_however_late_never_expires(row: Operation) -> None:
    assert (row.expiry is None) is (row.verb in FREEING - {Verb.STOP})
    assert row.expiry is None or row.expiry > row.deadline


@every_cast
def test_a_delete_settles_by_absence_and_nothing_else_does(row: Operation) -> None:
    assert (row.settles_in == ()) is (row.verb in (Verb.DELETE, Verb.SHELVE_OFFLOAD))


def test_what_frees_something_is_urgent() -> None:
    assert {row.verb for row in OPERATIONS if row.lane is Lane.URGENT} == FREEING


def test_a_query_changes_nothing() -> None:
    for row in QUERIES:
        assert (row.repeat, row.refusal_leaves, row.expiry) == (Repeat.READ, Leaves.UNCHANGED, None)
        assert row.begun == row.ends_from == row.settles_in == ()


@every_cast
def test_every_durable_row_has_a_story(row: Operation) -> None:
    """CONTRIBUTING.md: one row, one handler, one scenario."""
    told = "\n".join(path.read_text(encoding="utf-8") for path in STORIES.glob("*.txt"))
    assert f" {row.method}\n" in told
