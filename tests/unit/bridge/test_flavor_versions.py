"""Versions count up with what a flavor is above; a boot of what it was before still gets its own number."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.catalog import Catalog
from bridge.core import flavor_digest, keys
from bridge.core.flavor_digest import REMEMBERED, digest, gone, is_above, numbered, seen
from bridge.core.records import FlavorVersion
from bridge.flavor_watch import FlavorWatch
from proto import codec
from proto.specs import FlavorSpec
from tests.fakes.etcd import FakeEtcd
from tests.fakes.messages import FLAVOR

NOVA = {"flavorid": "42", "name": "m1", "vcpus": 1, "memory_mb": 512, "root_gb": 1, "ephemeral_gb": 0, "swap": 0}
API = {"id": "42", "name": "m1", "vcpus": 1, "ram": 512, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 0, "swap": ""}


def of(vcpus: int) -> FlavorSpec:
    return msgspec.structs.replace(FLAVOR, vcpus=vcpus)


def test_each_change_above_gets_the_next_number() -> None:
    first = seen(None, of(1))
    second = seen(first, of(2))
    assert (first.version, second.version, second.last) == (1, 2, 2)
    assert second.definition is not None and second.definition.version == 2
    assert seen(second, of(2)) == second


def test_going_back_to_a_former_content_counts_up_too() -> None:
    record = seen(seen(seen(None, of(1)), of(2)), of(1))
    assert record.version == 3 and digest(of(1)) not in record.past


def test_a_boot_under_way_during_a_change_gets_the_number_of_its_own_content() -> None:
    record = seen(seen(None, of(1)), of(2))
    assert numbered(record, digest(of(1))) == (record, 1)
    assert numbered(record, digest(of(2))) == (record, 2)


def test_a_content_only_a_boot_has_seen_gets_a_number_and_changes_nothing_else() -> None:
    record, number = numbered(seen(None, of(1)), digest(of(9)))
    assert (number, record.version, record.definition) == (2, 1, seen(None, of(1)).definition)
    assert seen(record, of(3)).version == 3


def test_what_a_boot_brought_first_keeps_its_number_when_it_is_seen_above() -> None:
    record, number = numbered(None, digest(of(1)))
    assert not is_above(record)
    assert seen(record, of(1)).version == number == 1


def test_a_flavor_that_returns_never_gets_a_number_twice() -> None:
    record = gone(seen(None, of(1)), 5.0)
    assert not is_above(record)
    assert (seen(record, of(1)).version, seen(record, of(1)).deleted_at) == (1, None)
    assert seen(record, of(2)).version == 2


def test_a_record_of_an_earlier_release_counts_on() -> None:
    old = FlavorVersion(7, digest(of(1)))
    assert seen(old, of(1)).version == 7
    assert seen(old, of(2)).version == numbered(old, digest(of(2)))[1] == 8


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=40))
def test_a_number_stands_for_one_content_for_ever(steps: list[tuple[bool, int]]) -> None:
    record: FlavorVersion | None = None
    meaning: dict[int, str] = {}
    for above, vcpus in steps:
        content = digest(of(vcpus))
        if above:
            record = seen(record, of(vcpus))
            number = record.version
        else:
            record, number = numbered(record, content)
        assert meaning.setdefault(number, content) == content


def test_only_so_many_former_contents_are_remembered() -> None:
    record = None
    for vcpus in range(1, 200):
        record = seen(record, of(vcpus))
    assert record is not None and len(record.past) == REMEMBERED and record.version == 199


def test_the_api_and_a_boot_agree_on_the_content() -> None:
    from bridge.core.translate import flavor_spec

    assert digest(flavor_digest.of_api(API)) == digest(flavor_spec(NOVA, 0))


# -- two bridges on one etcd -------------------------------------------------------------------------------------------


class Above:
    """The flavors of the cascading Nova."""

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = [dict(API)]
        self.before_answer: Callable[[], Awaitable[Any]] | None = None

    async def flavors(self) -> list[dict[str, Any]]:
        listed = [dict(one) for one in self.listed]
        if self.before_answer is not None:
            await self.before_answer()
        return listed


def record_of(etcd: FakeEtcd) -> FlavorVersion:
    return codec.from_json(etcd.keys[keys.flavor("42")].value, FlavorVersion)


def play(story: Callable[[FakeEtcd, Above, list[FlavorWatch], list[Catalog]], Awaitable[None]]) -> None:
    async def main() -> None:
        etcd, above = FakeEtcd(), Above()
        catalogs = [Catalog(etcd.store()) for _ in range(2)]
        watches = [FlavorWatch(above, catalog) for catalog in catalogs]
        following = [asyncio.create_task(catalog.follow()) for catalog in catalogs]
        for catalog in catalogs:
            await catalog.synced.wait()
        await story(etcd, above, watches, catalogs)
        for task in following:
            task.cancel()

    asyncio.run(main())


def test_two_bridges_count_a_change_once() -> None:
    async def story(etcd: FakeEtcd, above: Above, watches: list[FlavorWatch], catalogs: list[Catalog]) -> None:
        await asyncio.gather(*(watch.look() for watch in watches))
        above.listed[0]["vcpus"] = 2
        await asyncio.gather(*(watch.look() for watch in watches))
        assert record_of(etcd).version == 2
        await asyncio.sleep(0)
        assert [catalog.versions()["42"].version for catalog in catalogs] == [2, 2]
        assert [await watch.look() for watch in watches] == [0, 0]

    play(story)


def test_a_slow_look_does_not_undo_a_newer_one() -> None:
    async def story(etcd: FakeEtcd, above: Above, watches: list[FlavorWatch], catalogs: list[Catalog]) -> None:
        await watches[0].look()
        await asyncio.sleep(0.01)

        async def another_is_faster() -> None:
            above.before_answer = None
            above.listed[0]["vcpus"] = 2
            await watches[1].look()

        above.before_answer = another_is_faster  # the slow one has read its list already
        await watches[0].look()
        assert record_of(etcd).definition is not None and record_of(etcd).definition.vcpus == 2  # type: ignore[union-attr]

    play(story)


def test_a_flavor_is_gone_only_when_two_looks_miss_it() -> None:
    async def story(etcd: FakeEtcd, above: Above, watches: list[FlavorWatch], catalogs: list[Catalog]) -> None:
        await watches[0].look()
        listed, above.listed = above.listed, []
        await watches[0].look()
        assert record_of(etcd).deleted_at is None
        await watches[0].look()
        assert record_of(etcd).deleted_at is not None
        above.listed = listed
        await watches[0].look()
        assert record_of(etcd).deleted_at is None and record_of(etcd).version == 1

    play(story)


def test_boots_in_two_bridges_get_one_number() -> None:
    async def story(etcd: FakeEtcd, above: Above, watches: list[FlavorWatch], catalogs: list[Catalog]) -> None:
        specs = await asyncio.gather(*(catalog.flavor(NOVA) for catalog in catalogs for _ in range(3)))
        assert {spec.version for spec in specs} == {1}
        await catalogs[0].raise_to("42", 7)  # a site holds version 7: etcd had lost its count
        assert (await catalogs[0].flavor({**NOVA, "vcpus": 3})).version == 9

    play(story)


def test_after_etcd_was_lost_a_present_flavor_gets_a_number_no_site_has() -> None:
    async def story(etcd: FakeEtcd, above: Above, watches: list[FlavorWatch], catalogs: list[Catalog]) -> None:
        await watches[0].look()
        await catalogs[0].raise_to("42", 5)
        assert (record_of(etcd).version, record_of(etcd).last) == (6, 6)
        assert (await catalogs[0].flavor(NOVA)).version == 6
        assert await watches[0].look() == 0

    play(story)
