"""What a resize writes above at each of its turns."""

from typing import Any

from bridge.core import resizing

SMALL: dict[str, Any] = {"id": 1, "flavorid": "1", "vcpus": 1, "memory_mb": 128, "root_gb": 1, "ephemeral_gb": 0}
LARGE: dict[str, Any] = {"id": 2, "flavorid": "2", "vcpus": 2, "memory_mb": 512, "root_gb": 5, "ephemeral_gb": 1}
SERVER: dict[str, Any] = {
    "uuid": "u1", "vm_state": "stopped", "power_state": 4, "flavor": SMALL, "old_flavor": None, "new_flavor": None,
    "system_metadata": {"image_os": "x"},
}  # fmt: skip


def resized() -> dict[str, Any]:
    begun = {**SERVER, **resizing.begun(SERVER, LARGE, 7)}
    return {**begun, **resizing.finished(begun, 4, "now")}


def test_a_resize_shows_the_new_flavor_and_remembers_the_old() -> None:
    server = resized()
    assert (server["vm_state"], server["task_state"], server["launched_at"]) == ("resized", None, "now")
    assert (server["flavor"], server["old_flavor"], server["instance_type_id"]) == (LARGE, SMALL, 2)
    assert (server["memory_mb"], server["vcpus"], server["root_gb"], server["ephemeral_gb"]) == (512, 2, 5, 1)
    assert server["system_metadata"] == {"image_os": "x", "old_vm_state": "stopped"}
    assert server["migration_context"]["migration_id"] == 7


def test_a_confirm_forgets_the_old_flavor() -> None:
    changes = resizing.confirmed(resized(), "stopped", 4)
    assert (changes["flavor"], changes["old_flavor"], changes["new_flavor"]) == (LARGE, None, None)
    assert changes["system_metadata"] == {"image_os": "x"}


def test_a_revert_brings_the_old_flavor_back() -> None:
    changes = resizing.reverted(resized(), "stopped", 4, "later")
    assert (changes["flavor"], changes["old_flavor"], changes["instance_type_id"]) == (SMALL, None, 1)
    assert (changes["vm_state"], changes["launched_at"], changes["memory_mb"]) == ("stopped", "later", 128)


def test_a_resize_that_failed_leaves_what_was() -> None:
    begun = {**SERVER, **resizing.begun(SERVER, LARGE, 7), "vm_state": "active"}
    changes = resizing.failed(begun)
    assert (changes["vm_state"], changes["task_state"], changes["flavor"]) == ("stopped", None, SMALL)
    assert resizing.failed(SERVER)["vm_state"] == "stopped"
