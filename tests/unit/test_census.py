"""A census by digest finds exactly what differs, costs little while nothing does, and calls nothing absent too soon."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.census import LOOKS
from proto import codec
from proto.census import BUCKETS, DIGEST_BYTES, PARTS, Parts, differing, part_of
from proto.errors import Unavailable
from proto.messages import CensusEntry, Query, Reply, ServerState
from site_agent import listings, queries, site
from tests.fakes.census import Meeting
from tests.fakes.clock import Clock, run

SERVER = ServerState("srv-1", "active", None, 1, "ACTIVE")
Play = Callable[[Meeting], Awaitable[None]]


def uuid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def play(story: Play, meeting: Meeting | None = None) -> Meeting:
    """Run a story on virtual time."""
    found = meeting or Meeting()

    async def main() -> None:
        await story(found)

    run(Clock(), main)
    return found


def looked(meeting: Meeting) -> dict[str, str]:
    """Return instance -> vm_state of what one census tells."""
    found: dict[str, str] = {}

    async def story(meeting: Meeting) -> None:
        found.update({name: entry.server.vm_state for name, entry in (await meeting.census.look()).items()})

    play(story, meeting)
    return found


# -- digests -------------------------------------------------------------------------------------------------------


def test_where_a_server_belongs_never_changes() -> None:
    assert part_of("6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01") == 3175
    assert {part_of(uuid(number)) // PARTS for number in range(4000)} == set(range(BUCKETS))


def test_digests_are_the_same_in_every_release() -> None:
    parts = Parts([CensusEntry(uuid(1), 7, SERVER)])
    assert parts.digest(part_of(uuid(1))).hex() == "5477a72af0d309c4"


def test_the_order_of_a_listing_does_not_matter() -> None:
    entries = [CensusEntry(uuid(1), 1, SERVER), CensusEntry(uuid(1), 2, SERVER), CensusEntry(uuid(2), 2, SERVER)]
    assert Parts(entries).bucket_digests() == Parts(reversed(entries)).bucket_digests()
    assert len(Parts(entries).bucket_digests()) == BUCKETS * DIGEST_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"server_id": "srv-2"}, {"vm_state": "stopped"}, {"task_state": "rebooting"}, {"power_state": 4},
        {"fault": "broken"}, {"locked": True},
    ],
)  # fmt: skip
def test_whatever_healing_decides_by_is_digested(change: dict[str, Any]) -> None:
    before = CensusEntry(uuid(1), 1, SERVER)
    after = CensusEntry(uuid(1), 1, msgspec.structs.replace(SERVER, **change))
    assert len(differing(Parts([before]).bucket_digests(), Parts([after]).bucket_digests())) == 1


def test_times_and_status_are_not() -> None:
    after = msgspec.structs.replace(SERVER, launched_at=1.0, updated_at=2.0, status="")
    assert (
        Parts([CensusEntry(uuid(1), 1, SERVER)]).bucket_digests()
        == Parts([CensusEntry(uuid(1), 1, after)]).bucket_digests()
    )


# -- any two sides ---------------------------------------------------------------------------------------------------

STATES = st.sampled_from(["active", "stopped", "error"])
SIDE = st.dictionaries(st.integers(0, 60), st.tuples(STATES, st.integers(1, 2)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(SIDE, SIDE)
def test_a_census_tells_what_the_site_holds_whatever_the_records_say(
    here: dict[int, tuple[str, int]], above: dict[int, tuple[str, int]]
) -> None:
    meeting = Meeting()
    for number, (state, generation) in here.items():
        meeting.add_server(uuid(number), vm_state=state, generation=generation)
    for number, (state, generation) in above.items():
        meeting.add_record(uuid(number), vm_state=state, generation=generation)
    true = {uuid(number): state for number, (state, _) in here.items()}
    assert looked(meeting) == true
    differ = {number for number in here.keys() | above.keys() if here.get(number) != above.get(number)}
    assert meeting.figures is not None
    assert meeting.figures.parts == len({part_of(uuid(number)) for number in differ})
    told = {name for query in meeting.asked if query.verb == "census_parts" for name in query.buckets}
    assert told == {part_of(uuid(number)) for number in differ}
    assert looked(meeting) == true
    assert meeting.figures.parts == 0, "what was told once is told again"


# -- rounds --------------------------------------------------------------------------------------------------------


def test_ten_thousand_servers_in_agreement_cost_less_than_4_kib() -> None:
    meeting = Meeting()
    for number in range(10_000):
        meeting.add(uuid(number))
    assert len(looked(meeting)) == 10_000
    assert meeting.figures is not None
    assert meeting.figures.parts == 0
    assert meeting.figures.bytes < 4096
    assert [query.verb for query in meeting.asked] == ["census_digest"]


def test_an_older_agent_is_asked_page_by_page() -> None:
    meeting = Meeting(old=True)
    for number in range(1200):
        meeting.add_server(uuid(number))
    assert len(looked(meeting)) == 1200
    assert meeting.figures is not None
    assert meeting.figures.parts is None


def test_a_tombstones_server_is_looked_for_by_itself() -> None:
    for old in (False, True):
        meeting = Meeting(old=old)
        for number in range(3):
            meeting.add(uuid(number))

        async def story(meeting: Meeting) -> None:
            del meeting.cloud.nova.servers[f"srv-{uuid(1)}"]
            found = await meeting.census.find([uuid(0), uuid(1)])
            assert list(found) == [uuid(0)]

        play(story, meeting)


def test_a_server_that_came_while_the_site_was_listed_is_not_absent() -> None:
    meeting = Meeting()
    meeting.add(uuid(1))

    def boots_meanwhile(query: Query) -> None:
        if query.verb == "census_parts":
            meeting.add(uuid(2))

    meeting.add_server(uuid(3))  # so that something is told
    meeting.before_answer = boots_meanwhile
    assert set(looked(meeting)) == {uuid(1), uuid(2), uuid(3)}


def test_a_server_whose_tag_was_taken_away_is_known_by_its_id() -> None:
    meeting = Meeting()
    meeting.add(uuid(1))
    meeting.cloud.nova.servers[f"srv-{uuid(1)}"].body["tags"] = []
    for _ in range(2):
        assert looked(meeting) == {uuid(1): "active"}


def test_another_instances_server_is_not_taken_for_it() -> None:
    meeting = Meeting()
    meeting.add_server(uuid(2), server_id="srv-x")
    meeting.add_record(uuid(1), server_id="srv-x")
    assert looked(meeting) == {uuid(2): "active"}


def test_absence_is_looked_at_once_and_a_return_is_seen() -> None:
    meeting = Meeting()
    for number in range(LOOKS + 5):
        meeting.add_record(uuid(number))
    assert looked(meeting) == {}
    assert [len(query.sought) for query in meeting.asked if query.verb == "census_look"] == [LOOKS, 5]
    meeting.asked.clear()
    assert looked(meeting) == {}
    assert [query.verb for query in meeting.asked] == ["census_digest"]
    meeting.add_server(uuid(7))
    assert looked(meeting) == {uuid(7): "active"}


def test_while_a_cell_is_down_nothing_is_told_at_all() -> None:
    meeting = Meeting()
    meeting.add(uuid(1))
    meeting.cloud.nova.servers[f"srv-{uuid(1)}"].in_down_cell = True
    with pytest.raises(Unavailable, match="a cell of the site does not answer"):
        looked(meeting)

    async def story(meeting: Meeting) -> None:
        with pytest.raises(Unavailable, match="a cell of the site does not answer"):
            await meeting.census.find([uuid(1)])

    play(story, meeting)


def test_of_two_servers_of_one_instance_the_later_one_stands_for_it() -> None:
    meeting = Meeting()
    meeting.add_server(uuid(1), server_id="a", generation=5)
    meeting.add_server(uuid(1), server_id="b", generation=9)
    meeting.add_record(uuid(1), server_id="a", generation=5)

    async def story(meeting: Meeting) -> None:
        assert (await meeting.census.look())[uuid(1)].server.server_id == "b"

    play(story, meeting)


# -- the listing -----------------------------------------------------------------------------------------------------


def test_a_listing_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting()
    for number in range(1100):
        meeting.add(uuid(number))
    request = meeting.cloud.request

    async def slow(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(40)
        return await request(*args, **kwargs)

    monkeypatch.setattr(meeting.cloud, "request", slow)
    assert len(looked(meeting)) == 1100
    assert {query.verb for query in meeting.asked} == {"census_digest"}
    assert len({query.snapshot for query in meeting.asked}) == 2  # none, and then the one it was given
    assert len(meeting.asked) == 4


def test_a_listing_begins_anew_when_the_server_a_page_ended_at_is_gone() -> None:
    meeting = Meeting()
    for number in range(1500):
        meeting.add(uuid(number))
    listed = meeting.cloud.nova.page
    request = meeting.cloud.request
    deleted = list(meeting.cloud.nova.servers)[listed - 1]

    async def story(meeting: Meeting) -> None:
        async def deletes(*args: Any, **kwargs: Any) -> Any:
            answer = await request(*args, **kwargs)
            meeting.cloud.nova.servers.pop(deleted, None)
            return answer

        meeting.cloud.request = deletes  # type: ignore[method-assign]
        assert len(await meeting.census.look()) == 1499

    play(story, meeting)


def test_only_the_agent_that_listed_answers_about_its_listing() -> None:
    meeting = Meeting(agents=2)
    meeting.add_server(uuid(1))
    assert looked(meeting) == {uuid(1): "active"}


def test_a_listing_is_kept_no_longer_than_it_is_needed() -> None:
    async def story(meeting: Meeting) -> None:
        await meeting.census.look()
        agent = meeting.agents[0]
        await asyncio.sleep(listings.LIFE + 1)
        assert not agent.listings._tasks
        for _ in range(listings.AT_ONCE):
            agent.listings.begin(agent.servers)
        with pytest.raises(Unavailable, match="for others"):
            agent.listings.begin(agent.servers)

    play(story)


# -- a site that lies ------------------------------------------------------------------------------------------------


def lying(meeting: Meeting, **replies: Reply) -> None:
    """Have the site's agent answer so, by verb."""
    honest = meeting.request

    async def request(subject: str, data: bytes, timeout: float) -> bytes:
        verb = codec.decode(data, Query).verb
        return codec.encode(replies[verb]) if verb in replies else await honest(subject, data, timeout)

    meeting.census._road.request = request  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "replies",
    [
        {"census_digest": Reply(snapshot="x", digests=b"short")},
        {"census_digest": Reply()},
        {"census_parts": Reply()},
        {"census_parts": Reply(marker="99999")},
        {"census_parts": Reply(marker="-1")},
    ],
)
def test_an_answer_that_is_none_is_no_census(replies: dict[str, Reply]) -> None:
    meeting = Meeting()
    meeting.add_server(uuid(1))
    lying(meeting, **replies)
    with pytest.raises(Unavailable):
        looked(meeting)


def test_servers_that_were_not_asked_for_are_left_out() -> None:
    meeting = Meeting()
    meeting.add(uuid(1))
    meeting.add_server(uuid(2))
    told = [CensusEntry(name, 1, SERVER) for name in (uuid(2), uuid(3), "paris.>", "*", "")]
    lying(meeting, census_parts=Reply(servers=told, marker="1"))
    assert set(looked(meeting)) == {uuid(1), uuid(2)}


@pytest.mark.parametrize("old", [False, True])
def test_a_site_cannot_tell_of_servers_without_end(old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.census.MOST", 5)
    meeting = Meeting(old=old)
    for number in range(6):
        meeting.add_server(uuid(number))
    with pytest.raises(Unavailable, match="more than 5 servers"):
        looked(meeting)


def test_nor_keep_a_census_for_ever() -> None:
    meeting = Meeting(old=True)
    numbers = itertools.count()
    request = meeting.census._road.request

    async def endless(subject: str, data: bytes, timeout: float) -> bytes:
        await asyncio.sleep(10)
        if codec.decode(data, Query).verb != "census":
            return await request(subject, data, timeout)
        return codec.encode(Reply(marker=f"srv-{next(numbers)}"))

    meeting.census._road.request = endless  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="comes to no end"):
        looked(meeting)


def test_wrong_digests_cost_bytes_and_are_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Meeting()
    meeting.add(uuid(1))
    answer = queries.answer

    async def wrong(agent: site.Site, query: Query) -> Reply | None:
        reply = await answer(agent, query)
        assert reply is not None
        return msgspec.structs.replace(reply, digests=bytes(len(reply.digests)))

    with monkeypatch.context() as patched:
        patched.setattr(queries, "answer", wrong)
        assert looked(meeting) == {uuid(1): "active"}
    assert "4096 digests are not those of the servers told" in caplog.text
