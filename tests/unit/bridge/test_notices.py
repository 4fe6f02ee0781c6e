"""Which notifications follow from an action event, and what Nova's host adds to some of them."""

import datetime
from typing import Any

import pytest

from bridge.core.audit_period import AuditPeriod, parse
from bridge.core.notices import (
    CREATE,
    EXISTS,
    KINDS,
    REBUILD,
    RESCUE,
    RESIZE_PREP,
    ActionEvent,
    Phase,
    legacy_type,
    notices,
    versioned_type,
)
from bridge.core.notification_payload import Subject, legacy_payload
from bridge.core.versioned_payload import versioned_payload
from proto.errors import Malformed
from proto.operations import OPERATIONS, Mode

FLAVOR = {"id": 1, "name": "m1.tiny", "flavorid": "42", "memory_mb": 128, "vcpus": 1, "root_gb": 1, "ephemeral_gb": 2}
INSTANCE: dict[str, Any] = {"id": 17, "uuid": "u-1", "flavor": FLAVOR, "image_ref": "img-1"}
SILENT = {"compute_set_admin_password", ""}  # Nova's host tells nobody of these


def told(name: str, began: bool, error: str | None = None) -> list[str | None]:
    """The unversioned event types of an action event, or the versioned ones where there are no others."""
    found = notices(ActionEvent({}, "u-1", name, "paris", began, error))
    return [legacy_type(kind, phase) or versioned_type(kind, phase) for kind, phase in found]


def extra(kind: Any, phase: Phase | None, **about: Any) -> dict[str, Any]:
    """What a payload has beyond those of other kinds."""
    plain = legacy_payload(KINDS["compute_pause_instance"][0], Phase.START, Subject(INSTANCE, {}))
    payload = legacy_payload(kind, phase, Subject(INSTANCE, {}, **about))
    return {name: value for name, value in payload.items() if name not in plain}


def test_every_operation_is_told_unless_nova_tells_nobody() -> None:
    assert {row.event for row in OPERATIONS if row.mode is not Mode.QUERY} <= KINDS.keys() | SILENT


def test_what_begins_first_ends_last() -> None:
    prefix = "compute.instance."
    assert told("compute_terminate_instance", True) == [f"{prefix}delete.start", f"{prefix}shutdown.start"]
    assert told("compute_terminate_instance", False) == [f"{prefix}shutdown.end", f"{prefix}delete.end"]


def test_usage_is_told_before_it_changes() -> None:
    prefix = "compute.instance."
    assert told("compute_prep_resize", True) == [f"{prefix}exists", f"{prefix}resize.prep.start"]
    assert told("compute_prep_resize", False) == [f"{prefix}resize.prep.end"]
    assert told("compute_rescue_instance", False) == [f"{prefix}exists", f"{prefix}rescue.end"]


def test_a_shelve_ends_with_its_offload() -> None:
    ends = told("compute_shelve_instance", False)
    assert ends == [f"compute.instance.{name}" for name in ("shelve.end", "shelve_offload.start", "shelve_offload.end")]


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("compute__do_build_and_run_instance", ["compute.instance.create.error"]),
        ("compute_prep_resize", ["compute.instance.resize.error", "compute.instance.resize.prep.end"]),
        ("compute_attach_interface", ["instance.interface_attach.error"]),
        ("compute_stop_instance", []),
        ("compute_terminate_instance", []),
    ],
)
def test_a_failure_is_told_where_nova_tells_it(name: str, types: list[str]) -> None:
    assert told(name, False, "the site refused") == types


def test_what_the_host_adds() -> None:
    addresses: dict[str, Any] = {"fixed_ips": []}
    flavor = {"id": 2, "name": "m1.large"}
    assert extra(CREATE, Phase.START, image_name="cirros") == {"image_name": "cirros"}
    assert extra(CREATE, Phase.END) == {"message": "Success", **addresses}
    failed = {"exception": "full", "message": "full", "code": 500}
    assert extra(CREATE, Phase.ERROR, error="full") == failed
    assert extra(REBUILD, Phase.START, image_name="cirros") == {"image_name": "cirros"}
    assert extra(RESCUE, Phase.START, image_name="cirros") == {"rescue_image_name": "cirros", **addresses}
    assert extra(RESIZE_PREP, Phase.START, args={"flavor": flavor}) == {}
    assert extra(RESIZE_PREP, Phase.END, args={"flavor": flavor}) == {
        "new_instance_type": "m1.large",
        "new_instance_type_id": 2,
    }
    period = AuditPeriod(datetime.datetime(2026, 10, 1), datetime.datetime(2026, 11, 1))
    assert extra(EXISTS, None, period=period) == {
        "audit_period_beginning": "2026-10-01 00:00:00",
        "audit_period_ending": "2026-11-01 00:00:00",
    }


def test_a_request_of_nobody_has_no_request_id() -> None:
    data = versioned_payload(CREATE, Phase.START, Subject(INSTANCE, {"request_id": "req-1"}))["nova_object.data"]
    assert (data["request_id"], data["action_initiator_user"]) == (None, None)


@pytest.mark.parametrize("unit", ["week", "day@24", "month@31", "hour@x", ""])
def test_a_period_that_nova_does_not_know(unit: str) -> None:
    with pytest.raises(Malformed):
        parse(unit)
