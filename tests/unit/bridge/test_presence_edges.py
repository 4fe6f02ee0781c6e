"""Placement and Nova's API: conflicts are repeated, others' things are kept, refusals say why."""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.core import inventory
from bridge.edge.cloud_session import Answer
from bridge.edge.nova_api import NovaApi
from bridge.edge.placement import ATTEMPTS, Placement
from proto.errors import Refused, Unavailable
from proto.messages import Capacity, ClassCapacity

OURS = inventory.inventories(Capacity(8, 8, 8, 4, 4, 4, 1))
UUID = "11111111-1111-4111-8111-111111111111"


class Scripted:
    """A session that answers with a function of (method, path, body) and remembers what was asked."""

    def __init__(self, answer: Callable[[str, str, Any], Answer]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    async def call(self, service: str, method: str, path: str, *, body: Any = None, **_more: Any) -> Answer:
        self.asked.append((method, path, body))
        return self._answer(method, path, body)

    def sent(self, method: str) -> list[Any]:
        return [body for asked, _path, body in self.asked if asked == method]


def placement_of(answer: Callable[[str, str, Any], Answer]) -> tuple[Placement, Scripted]:
    session: Any = Scripted(answer)
    return Placement(session), session


def nova_of(answer: Callable[[str, str, Any], Answer]) -> tuple[NovaApi, Scripted]:
    session: Any = Scripted(answer)
    return NovaApi(session), session


async def test_inventories_are_written_again_after_a_conflict_and_others_are_kept() -> None:
    generation = 4
    others = {"CUSTOM_GPU": {"total": 3}}

    def answer(method: str, _path: str, body: Any) -> Answer:
        nonlocal generation
        if method == "GET":
            return Answer(200, {"resource_provider_generation": generation, "inventories": others})
        if generation == 4:
            generation += 1
            return Answer(409, None)
        return Answer(200, None)

    placement, session = placement_of(answer)
    assert await placement.set_inventories(UUID, OURS)
    assert [body["resource_provider_generation"] for body in session.sent("PUT")] == [4, 5]
    assert session.sent("PUT")[-1]["inventories"] == {**others, **OURS}


async def test_an_unchanged_inventory_is_not_written() -> None:
    placement, session = placement_of(
        lambda *_: Answer(200, {"resource_provider_generation": 1, "inventories": dict(OURS)})
    )
    assert not await placement.set_inventories(UUID, OURS)
    assert session.sent("PUT") == []


async def test_custom_classes_are_made_once_and_unknown_standard_ones_left_out() -> None:
    def answer(_method: str, path: str, _body: Any) -> Answer:
        if path == "/resource_classes":
            return Answer(200, {"resource_classes": [{"name": "VCPU"}, {"name": "PCPU"}]})
        return Answer(200, {"resource_provider_generation": 1, "inventories": {}})

    placement, session = placement_of(answer)
    site = Capacity(8, 8, 8, 4, 4, 4, 1, classes=dict.fromkeys(["CUSTOM_GPU", "PCPU", "NEW"], ClassCapacity(2, 1)))
    for _ in range(2):
        assert await placement.set_inventories(UUID, inventory.inventories(site))
    paths = [path for method, path, _body in session.asked if method == "PUT"]
    assert paths.count("/resource_classes/CUSTOM_GPU") == 1
    written = session.sent("PUT")[-1]["inventories"]
    assert set(written) == {"VCPU", "MEMORY_MB", "DISK_GB", "CUSTOM_GPU", "PCPU"}


async def test_all_flavors_are_listed_page_by_page() -> None:
    pages = {None: ["1", "2"], "2": ["3"], "3": []}

    class Paged(Scripted):
        async def call(self, *args: Any, query: Any = None, microversion: str = "", **_more: Any) -> Answer:
            assert (query["is_public"], microversion) == ("None", "2.61")
            found = pages[query.get("marker")]
            links = [{"rel": "next"}] if found else []
            return Answer(200, {"flavors": [{"id": one} for one in found], "flavors_links": links})

    session: Any = Paged(lambda *_: Answer(200, None))
    assert [one["id"] for one in await NovaApi(session).flavors()] == ["1", "2", "3"]


async def test_endless_conflicts_are_for_later() -> None:
    placement, session = placement_of(
        lambda method, *_: (
            Answer(409, None)
            if method == "PUT"
            else Answer(200, {"resource_provider_generation": 1, "inventories": {}})
        )
    )
    with pytest.raises(Unavailable):
        await placement.set_inventories(UUID, OURS)
    assert len(session.sent("PUT")) == ATTEMPTS


async def test_unknown_standard_traits_are_left_out_and_custom_ones_made() -> None:
    def answer(method: str, path: str, _body: Any) -> Answer:
        if path == "/traits":
            return Answer(200, {"traits": ["COMPUTE_NODE"]})
        return Answer(200, {"resource_provider_generation": 1, "traits": ["CUSTOM_THEIRS", "COMPUTE_STATUS_DISABLED"]})

    placement, session = placement_of(answer)
    assert await placement.set_traits(UUID, {"COMPUTE_NODE", "OWNER_NOVA", "CUSTOM_GOLD"})
    assert ("PUT", "/traits/CUSTOM_GOLD", None) in session.asked
    assert session.sent("PUT")[-1]["traits"] == ["COMPUTE_NODE", "CUSTOM_GOLD", "CUSTOM_THEIRS"]


async def test_the_disabled_trait_alone_moves_without_touching_others() -> None:
    placement, session = placement_of(
        lambda *_: Answer(200, {"resource_provider_generation": 1, "traits": ["COMPUTE_NODE"]})
    )
    assert await placement.set_disabled(UUID, True)
    assert session.sent("PUT")[-1]["traits"] == ["COMPUTE_NODE", "COMPUTE_STATUS_DISABLED"]
    assert not await placement.set_disabled(UUID, False)


async def test_a_provider_made_by_another_bridge_meanwhile_is_fine_but_a_strangers_name_is_not() -> None:
    found = [Answer(404, None), Answer(200, {"name": "h"})]
    placement, _session = placement_of(lambda method, *_: Answer(409, None) if method == "POST" else found.pop(0))
    await placement.ensure_provider(UUID, "h")
    placement, _session = placement_of(lambda method, *_: Answer(409 if method == "POST" else 404, None))
    with pytest.raises(Refused, match="another resource provider"):
        await placement.ensure_provider(UUID, "h")


async def test_allocations_that_are_gone_are_success() -> None:
    placement, _session = placement_of(lambda *_: Answer(404, None))
    await placement.delete_allocations(UUID)
    assert await placement.consumers(UUID) == []


def aggregate(number: int, name: str, zone: str, *hosts: str) -> dict[str, Any]:
    return {"id": number, "name": name, "metadata": {"availability_zone": zone}, "hosts": list(hosts)}


async def test_the_zones_own_aggregate_is_used_and_ours_preferred() -> None:
    existing = [aggregate(1, "ssd", "paris", "x"), aggregate(2, "cascade-paris", "paris"), aggregate(3, "r", "rome")]
    nova, session = nova_of(lambda *_: Answer(200, {"aggregates": existing}))
    await nova.ensure_in_zone("h", "paris")
    assert session.asked[-1] == ("POST", "/os-aggregates/2/action", {"add_host": {"host": "h"}})


async def test_a_host_in_its_zone_is_left_there() -> None:
    nova, session = nova_of(lambda *_: Answer(200, {"aggregates": [aggregate(1, "ssd", "paris", "h")]}))
    await nova.ensure_in_zone("h", "paris")
    assert session.sent("POST") == []


async def test_a_new_zone_gets_an_aggregate() -> None:
    def answer(method: str, path: str, _body: Any) -> Answer:
        if path == "/os-aggregates" and method == "POST":
            return Answer(200, {"aggregate": aggregate(9, "cascade-paris", "paris")})
        return Answer(200, {"aggregates": []})

    nova, session = nova_of(answer)
    await nova.ensure_in_zone("h", "paris")
    assert session.sent("POST") == [
        {"aggregate": {"name": "cascade-paris", "availability_zone": "paris"}},
        {"add_host": {"host": "h"}},
    ]


@pytest.mark.parametrize(("status", "error"), [(404, Unavailable), (409, Refused)])
async def test_an_unmapped_host_is_for_later_and_one_in_another_zone_is_refused(
    status: int, error: type[Exception]
) -> None:
    def answer(method: str, path: str, _body: Any) -> Answer:
        return (
            Answer(status, None) if path.endswith("/action") else Answer(200, {"aggregates": [aggregate(1, "a", "z")]})
        )

    nova, _session = nova_of(answer)
    with pytest.raises(error):
        await nova.ensure_in_zone("h", "z")


async def test_mapped_means_listed_under_exactly_this_name() -> None:
    nova, _session = nova_of(lambda *_: Answer(200, {"hypervisors": [{"hypervisor_hostname": "h-1"}]}))
    assert not await nova.mapped("h")
    assert await nova.mapped("h-1")


async def test_a_refusal_carries_novas_words() -> None:
    nova, _session = nova_of(lambda *_: Answer(403, {"forbidden": {"message": "Policy doesn't allow it"}}, {}, b"-"))
    with pytest.raises(Refused, match="Policy doesn't allow it"):
        await nova.services()
