"""Subjects: stable, parsed back, and nothing foreign in a site's rights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto import subjects
from proto.errors import Malformed
from proto.operations import Lane

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
SITES = st.from_regex(subjects.SITE_NAME, fullmatch=True)


def test_the_shard_of_a_site_never_changes() -> None:
    """Messages wait under these numbers: another one would leave them behind."""
    known = {"paris": 18, "lyon": 7, "site-1": 9, "site-2": 11, "a": 7}
    assert {site: subjects.shard(site) for site in known} == known


@given(SITES)
def test_every_site_has_a_shard(site: str) -> None:
    assert 0 <= subjects.shard(site) < subjects.SHARDS


@given(SITES, st.uuids().map(str), st.sampled_from(Lane))
def test_stored_subjects_name_their_site_and_instance(site: str, uuid: str, lane: Lane) -> None:
    for subject in (subjects.intake(site, uuid), subjects.event(site, uuid), subjects.command(site, lane, uuid)):
        assert subjects.parse(subject) == subjects.Address(site, uuid)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "cascade.v1.evt.3.paris",
        f"cascade.v2.evt.3.paris.{UUID}",
        f"cascade.v1.query.3.paris.{UUID}",
        "cascade.v1.evt.3.paris.a b",
        "cascade.v1.evt.3.paris.*",
        f"cascade.v1.evt.3.PARIS.{UUID}",
        f"cascade.v1.evt.3.-paris.{UUID}",
        f"other.v1.evt.3.paris.{UUID}",
    ],
)
def test_other_subjects_are_refused(subject: str) -> None:
    with pytest.raises(Malformed):
        subjects.parse(subject)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a.b", "a b", "A", "*", ">", "a" * 33, "é"])
def test_a_site_name_is_one_plain_token(name: str) -> None:
    assert not subjects.SITE_NAME.fullmatch(name)


def test_a_command_of_either_lane_is_a_command_of_the_instance_and_of_the_site() -> None:
    for lane in Lane:
        subject = subjects.command("paris", lane, UUID)
        assert matches(subjects.commands_of_instance("paris", UUID), subject)
        assert matches(subjects.command_filter("paris", lane), subject)
        assert matches(subjects.commands_of_site("paris"), subject)
        assert not matches(subjects.commands_of_instance("paris", "other"), subject)


def test_the_lanes_do_not_overlap() -> None:
    urgent = subjects.command("paris", Lane.URGENT, UUID)
    assert not matches(subjects.command_filter("paris", Lane.NORMAL), urgent)


FOREIGN = [
    subjects.event("lyon", UUID),
    subjects.event("pari", UUID),
    subjects.event("paris2", UUID),
    subjects.status("lyon"),
    subjects.dead("lyon"),
    subjects.ask("lyon", "image_chunk"),
    subjects.intake("paris", UUID),
    subjects.command("paris", Lane.NORMAL, UUID),
    subjects.query("paris", "census"),
    "$JS.API.STREAM.MSG.GET.COMMANDS_18",
    "$JS.API.DIRECT.GET.COMMANDS_18",
    "$JS.API.STREAM.PURGE.COMMANDS_18",
    "$JS.API.CONSUMER.CREATE.COMMANDS_18",
    "$JS.API.CONSUMER.DELETE.COMMANDS_18.agent-paris-normal",
    "$JS.API.CONSUMER.MSG.NEXT.COMMANDS_18.agent-lyon-normal",
    "$JS.ACK.COMMANDS_18.agent-lyon-normal.1.2.3.4.5",
    "$JS.ACK.INTAKE_18.bridge-paris_7.1.2.3.4.5",
    "$SYS.REQ.USER.INFO",
    "_INBOX.abc",
]


@pytest.mark.parametrize("subject", FOREIGN)
def test_a_site_may_publish_nothing_foreign(subject: str) -> None:
    publish, _ = subjects.site_permissions("paris")
    assert not [allowed for allowed in publish if matches(allowed, subject)]


@pytest.mark.parametrize(
    "subject",
    [
        subjects.query("lyon", "census"),
        subjects.command("paris", Lane.NORMAL, UUID),
        subjects.event("paris", UUID),
        "_INBOX.x",
        "_INBOX_lyon.x",
        "_INBOX_paris2.x",
        "$JS.EVENT.ADVISORY.x",
    ],
)
def test_a_site_may_hear_nothing_foreign(subject: str) -> None:
    _, subscribe = subjects.site_permissions("paris")
    assert not [allowed for allowed in subscribe if matches(allowed, subject)]


@given(SITES)
def test_no_right_begins_with_a_wildcard(site: str) -> None:
    publish, subscribe = subjects.site_permissions(site)
    assert all(site in subject for subject in publish + subscribe)
    assert not [subject for subject in publish + subscribe if subject[0] in "*>"]


def test_a_site_may_do_its_work() -> None:
    publish, subscribe = subjects.site_permissions("paris")
    needed = [
        subjects.event("paris", UUID),
        subjects.status("paris"),
        subjects.dead("paris"),
        subjects.ask("paris", "image_chunk"),
    ]
    needed += [f"$JS.API.CONSUMER.MSG.NEXT.COMMANDS_18.agent-paris-{lane}" for lane in Lane]
    needed += [f"$JS.ACK.COMMANDS_18.agent-paris-{lane}.1.2.3.4.5" for lane in Lane]
    assert all(any(matches(allowed, subject) for allowed in publish) for subject in needed)
    assert any(matches(allowed, subjects.query("paris", "census")) for allowed in subscribe)


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS subject filter covers a subject."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(found) >= len(wanted) and matches(".".join(wanted[:-1]), ".".join(found[: len(wanted) - 1]))
    return len(wanted) == len(found) and all(w in ("*", f) for w, f in zip(wanted, found, strict=True))
