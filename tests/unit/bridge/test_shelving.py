"""What shelve and unshelve write above, and what is never lost by an offload."""

import asyncio
from typing import Any

import pytest

from bridge.core import shelving
from bridge.shelving import Shelving
from proto.errors import FaultCode, Refused, Stale
from proto.messages import Rpc, ServerState
from proto.operations import BY_VERB, Verb
from tests.fakes.conductor import FakeConductor, wrapped

UUID = "6b1f0b3c-8a5e-4f0e-9d0c-2f1f3f0f5a01"
INSTANCE: dict[str, Any] = {"vm_state": "active", "system_metadata": {"image_base_image_ref": "img-1"}}


def rpc(method: str = "shelve_instance", **args: Any) -> Rpc:
    instance = wrapped("Instance", uuid=UUID, project_id="project-1")
    return Rpc("rpc-1", "paris", method, UUID, {"request_id": "req-1"}, {"instance": instance, **args}, 1.0)


def test_a_shelved_instance_says_where_when_and_in_what_it_was_shelved() -> None:
    changes = shelving.shelved(INSTANCE, "snap-1", "paris", 0.0)
    assert (changes["vm_state"], changes["task_state"], changes["power_state"]) == ("shelved", "shelving_offloading", 4)
    assert changes["system_metadata"] == {
        "image_base_image_ref": "img-1",
        "shelved_at": "1970-01-01T00:00:00",
        "shelved_image_id": "snap-1",
        "shelved_host": "paris",
    }
    assert shelving.is_shelved({**INSTANCE, **changes}, "snap-1")
    assert not shelving.is_shelved({**INSTANCE, **changes}, "snap-2") and not shelving.is_shelved(INSTANCE, "snap-1")


def test_an_unshelved_one_forgets_it() -> None:
    instance = {**INSTANCE, **shelving.shelved(INSTANCE, "snap-1", "paris", 0.0)}
    changes = shelving.unshelved(instance, ServerState("srv-1", "active", None, 1, "ACTIVE"), "now")
    assert (changes["vm_state"], changes["task_state"], changes["launched_at"]) == ("active", None, "now")
    assert changes["system_metadata"] == INSTANCE["system_metadata"]


def test_the_offload_that_follows_has_one_id_and_ends_the_event_of_its_shelve() -> None:
    first, second = (shelving.following(rpc(image_id="snap-1"), now) for now in (1.0, 2.0))
    assert first.rpc_id == second.rpc_id != "rpc-1"
    assert (first.method, first.host, first.context) == ("shelve_offload_instance", "paris", {"request_id": "req-1"})
    assert shelving.event_of(first) == BY_VERB[Verb.SHELVE].event
    assert shelving.event_of(rpc("shelve_offload_instance")) == BY_VERB[Verb.SHELVE_OFFLOAD].event
    assert shelving.event_of(rpc("trigger_crash_dump")) == "compute_trigger_crash_dump"


class Uploads:
    """Tells whether the image above is whole."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole

    async def finished(self, image_id: str) -> bool:
        return self.whole


def begin_offload(vm_state: str, task_state: str | None, image: str | None, whole: bool, again: bool = False) -> None:
    conductor = FakeConductor(lambda: 0.0)
    metadata = {"shelved_image_id": image} if image else {}
    conductor.add(UUID, vm_state=vm_state, task_state=task_state, host="paris", system_metadata=metadata)
    nothing: Any = None
    uploads: Any = Uploads(whole)
    here = Shelving("paris", nothing, conductor, nothing, uploads, nothing, nothing, nothing)  # type: ignore[arg-type]
    asyncio.run(here.begin_offload(rpc("shelve_offload_instance"), again))


def test_an_offload_begins_once_the_image_above_is_whole() -> None:
    begin_offload("shelved", "shelving_offloading", "snap-1", whole=True)


@pytest.mark.parametrize(("image", "whole"), [("snap-1", False), (None, True)])
def test_a_server_without_a_whole_image_above_stays_in_its_site(image: str | None, whole: bool) -> None:
    with pytest.raises(Refused) as refused:
        begin_offload("shelved", "shelving_offloading", image, whole)
    assert refused.value.code is FaultCode.IMAGE


@pytest.mark.parametrize(
    ("vm_state", "task_state"),
    [("active", None), ("active", "spawning"), ("shelved", None), ("shelved", "deleting"), ("shelved_offloaded", None)],
)
def test_an_offload_of_what_is_not_being_offloaded_is_pointless(vm_state: str, task_state: str | None) -> None:
    with pytest.raises(Stale):
        begin_offload(vm_state, task_state, "snap-1", whole=True)


def test_an_offload_that_is_half_shown_goes_on() -> None:
    begin_offload("shelved_offloaded", None, "snap-1", whole=True, again=True)
