"""Our notifications beside those that Nova's own functions make of the same instance: types, publishers, payloads."""

from typing import Any

import pytest

from bridge.core.audit_period import AuditPeriod, current, last_completed
from bridge.core.notices import EXISTS, FAILED, KINDS, Kind, Phase, legacy_type, versioned_type
from bridge.core.notification_payload import Subject, legacy_payload
from bridge.core.versioned_payload import VERSIONS, versioned_payload
from bridge.edge.nova_objects import parse_timestamp, unwrap
from tests.contract.nova_python import ask_nova

IMAGE = "0ecd81e9-1111-4222-8333-444455556666"
OTHER_IMAGE = "1ecd81e9-1111-4222-8333-444455556666"
PERIODS = ["hour", "hour@30", "day", "day@18", "month", "month@15", "year", "year@3"]

NOVA = """
import datetime
import nova.conf
from nova import rpc
from nova.compute import utils as compute_utils
from nova.image import glance
from nova.network import model


CONF = nova.conf.CONF
CONF([], project="nova", default_config_files=[])
CONF.set_override("notification_format", "both", group="notifications")
glance.API.generate_image_url = staticmethod(lambda ref, context: "http://glance/images/%s" % ref)
sent = []

class Notifier:
    def __init__(self, versioned, publisher_id=None):
        self.versioned, self.publisher_id = versioned, publisher_id
        for priority in ("info", "error"):
            setattr(self, priority, lambda context, event_type, payload, priority=priority: sent.append(
                {"versioned": versioned, "publisher": self.publisher_id, "type": event_type, "priority": priority,
                 "payload": rpc.JsonPayloadSerializer().serialize_entity(context, payload)}))
    def prepare(self, publisher_id):
        return Notifier(self.versioned, publisher_id)
    def is_enabled(self):
        return True

rpc.LEGACY_NOTIFIER, rpc.NOTIFIER = Notifier(False), Notifier(True)
rpc.LegacyValidatingNotifier.fatal = True
notifier = rpc.get_notifier("compute", "paris")
ctx = context.RequestContext.from_dict(question["context"])
moment = datetime.datetime(2026, 11, 22, 16, 26, 43, tzinfo=datetime.timezone.utc)
flavor = objects.Flavor(id=1, name="m1.tiny", memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=2, flavorid="42",
    swap=0, rxtx_factor=1.0, vcpu_weight=None, disabled=False, is_public=True, extra_specs={"a": "b"}, description=None)
larger = objects.Flavor(**{**{f: getattr(flavor, f) for f in flavor.fields if flavor.obj_attr_is_set(f)},
    "id": 2, "name": "m1.small"})
network = model.Network(id="net-1", label="demo-net", bridge="br-int", subnets=[model.Subnet(cidr="10.0.0.0/24",
    ips=[model.FixedIP(address="10.0.0.5", version=4, type="fixed")], version=4)])
vif = model.VIF(id="ecd0a7f0-1111-4222-8333-444455556666", address="fa:16:3e:00:00:01", network=network,
    type="ovs", devname="tapecd0a7f0-11")
UUID = "b3fe5a0c-1111-4222-8333-444455556666"
instance = objects.Instance(context=ctx, id=17, uuid=UUID, user_id="u", project_id="p",
    image_ref=question["image"], kernel_id="", ramdisk_id="", hostname="guest", launch_index=0, key_name="key",
    key_data=None, power_state=question["power_state"], vm_state="active", task_state="rebooting",
    services=objects.ServiceList(),
    memory_mb=128, vcpus=1, root_gb=1, ephemeral_gb=2, ephemeral_key_uuid=None, host="paris", node="paris-node",
    compute_id=3, instance_type_id=1, user_data=None, reservation_id="r-1", launched_at=moment, terminated_at=None,
    availability_zone="az-paris", display_name="guest", display_description="what it is", launched_on="paris",
    locked=True, locked_by="owner", os_type=None, architecture="x86_64", vm_mode=None, root_device_name="/dev/vda",
    default_ephemeral_device=None, default_swap_device=None, config_drive="",
    access_ip_v4="10.1.1.1", access_ip_v6=None,
    auto_disk_config=question["auto_disk_config"], progress=question["progress"], shutdown_terminate=False,
    disable_terminate=False, cell_name=None, metadata={"purpose": "test"}, cleaned=False, hidden=False, deleted=False,
    created_at=moment, updated_at=None, deleted_at=question["deleted"] and moment or None,
    system_metadata={"image_base_image_ref": "x", "image_min_disk": "1", "boot_roles": "r", "locked_reason": "why"},
    info_cache=objects.InstanceInfoCache(network_info=model.NetworkInfo([vif]), instance_uuid=UUID),
    flavor=flavor, new_flavor=None, old_flavor=None, trusted_certs=None,
    tags=objects.TagList(objects=[objects.Tag(tag="mine")]),
    keypairs=objects.KeyPairList(objects=[
        objects.KeyPair(id=1, name="key", user_id="u", fingerprint="aa", public_key="ssh", type="ssh")]))
primitive = instance.obj_to_primitive()
no_bdms = objects.BlockDeviceMappingList(objects=[])

def failure():
    try:
        raise Exception("why it failed")
    except Exception as error:
        return error

def tell(case):
    phase, action, payload = case["phase"], case["action"], case["payload"]
    fault = failure() if phase == "error" else None
    bdms = no_bdms if case["block_devices"] else None
    if payload == "InstanceExistsPayload":
        return compute_utils.notify_usage_exists(notifier, ctx, instance, "paris", current_period=True)
    if case["legacy"]:
        info = instance.get_network_info() if case["addresses"] else None
        compute_utils.notify_about_instance_usage(notifier, ctx, instance, "%s.%s" % (case["legacy"], phase),
            network_info=info, fault=fault)
    if not action:
        return
    common = {"phase": phase}
    if payload == "InstanceCreatePayload":
        compute_utils.notify_about_instance_create(ctx, instance, "paris", exception=fault, bdms=bdms, **common)
    elif payload == "InstanceActionRebuildPayload":
        compute_utils.notify_about_instance_rebuild(ctx, instance, "paris", exception=fault, bdms=bdms, **common)
    elif payload == "InstanceActionRescuePayload":
        compute_utils.notify_about_instance_rescue_action(ctx, instance, "paris", question["other_image"], **common)
    elif payload == "InstanceActionSnapshotPayload":
        compute_utils.notify_about_instance_snapshot(
            ctx, instance, "paris", snapshot_image_id=question["other_image"], **common)
    elif payload == "InstanceActionResizePrepPayload":
        compute_utils.notify_about_resize_prep_instance(ctx, instance, "paris", phase, larger)
    else:
        compute_utils.notify_about_instance_action(
            ctx, instance, "paris", action=action, exception=fault, bdms=bdms, **common)

for case in question["cases"]:
    tell(case)
answer({"instance": primitive, "flavor": larger.obj_to_primitive(), "sent": sent})
"""
PERIOD = """
import datetime
from nova import utils
before = datetime.datetime.fromisoformat(question["now"])
answer([[str(moment) for moment in utils.last_completed_audit_period(unit, before)] for unit in question["units"]])
"""
CONTEXT = {"request_id": "req-b3fe5a0c-1111-4222-8333-444455556666", "user_id": "u2", "project_id": "p2", "roles": []}
# Nova's host adds to some unversioned payloads what its helper function is only given: tests/unit has these.
ADDED = {"image_name", "message", "rescue_image_name", "new_instance_type", "new_instance_type_id", "exception", "code"}


def cases() -> list[tuple[Kind, Phase | None]]:
    """Return everything that is ever told."""
    started = [(kind, phase) for kinds in KINDS.values() for kind in kinds for phase in (Phase.START, Phase.END)]
    failed = [told for several in FAILED.values() for told in several if told[1] is Phase.ERROR]
    return [*dict.fromkeys([*started, *failed]), (EXISTS, None)]


@pytest.mark.parametrize(
    "row",
    [
        {"power_state": 1, "auto_disk_config": True, "progress": 0, "deleted": False},
        {"power_state": 4, "auto_disk_config": False, "progress": 70, "deleted": True},
    ],
)
def test_what_is_told_is_what_nova_tells_of_the_same_instance(row: dict[str, Any]) -> None:
    asked = [
        {
            "legacy": kind.legacy,
            "action": kind.action,
            "phase": phase,
            "payload": kind.payload,
            "addresses": phase in kind.addresses,
            "block_devices": kind.block_devices,
        }
        for kind, phase in cases()
    ]
    question = {**row, "cases": asked, "context": CONTEXT, "image": IMAGE, "other_image": OTHER_IMAGE}
    found = ask_nova("installed", NOVA, question)
    theirs = {item["type"]: item for item in found["sent"]}
    args = {"rescue_image_ref": OTHER_IMAGE, "image_id": OTHER_IMAGE, "flavor": unwrap(found["flavor"])}
    told = set()
    for kind, phase in cases():
        error = "why it failed" if phase is Phase.ERROR else None
        period = _period(theirs["instance.exists"]) if kind is EXISTS else None
        subject = Subject(unwrap(found["instance"]), CONTEXT, args, error, "http://glance", "", period)
        if (name := legacy_type(kind, phase)) is not None:
            told.add(name)
            _same_legacy(theirs[name], legacy_payload(kind, phase, subject), phase)
        if (name := versioned_type(kind, phase)) is not None:
            told.add(name)
            _same_versioned(theirs[name], versioned_payload(kind, phase, subject), phase)
    assert told == theirs.keys()


def test_every_payload_object_is_used() -> None:
    used = {kind.payload for kind, _ in cases()}
    assert VERSIONS.keys() - used == {
        "AuditPeriodPayload", "ExceptionPayload", "FlavorPayload", "IpPayload", "KeypairPayload",
    }  # fmt: skip


@pytest.mark.parametrize("now", ["2026-11-22T16:26:43", "2026-01-01T00:00:00", "2028-03-15T18:00:00.5"])
def test_audit_periods_are_novas(now: str) -> None:
    moment = parse_timestamp(now)
    assert moment is not None
    theirs = ask_nova("installed", PERIOD, {"now": now, "units": PERIODS})
    ours = [last_completed(unit, moment.replace(tzinfo=None)) for unit in PERIODS]
    assert [[str(period.beginning), str(period.ending)] for period in ours] == theirs
    assert current("day", moment.replace(tzinfo=None)).beginning == ours[2].ending


def _same_legacy(theirs: dict[str, Any], ours: dict[str, Any], phase: Phase | None) -> None:
    assert (theirs["publisher"], theirs["priority"]) == ("compute.paris", "error" if phase is Phase.ERROR else "info")
    left = theirs["payload"]
    if phase is Phase.ERROR:
        assert {"exception", "message", "code"} <= left.keys() & ours.keys()
        left = {name: value for name, value in left.items() if name not in ADDED}
    for name in ("audit_period_beginning", "audit_period_ending"):
        assert (name in left) == (name in ours)
        left = {**left, name: ours[name]} if name in ours else left
    assert {name: value for name, value in ours.items() if name not in ADDED} == left


def _same_versioned(theirs: dict[str, Any], ours: dict[str, Any], phase: Phase | None) -> None:
    assert (theirs["publisher"], theirs["priority"]) == (
        "nova-compute:paris",
        "error" if phase is Phase.ERROR else "info",
    )
    fault, shown = theirs["payload"]["nova_object.data"].get("fault"), ours["nova_object.data"].get("fault")
    assert (fault is None) == (shown is None)
    if fault is not None:
        assert shown is not None
        assert shown["nova_object.data"].keys() == fault["nova_object.data"].keys()
        assert {**shown, "nova_object.data": None} == {**fault, "nova_object.data": None}
        ours = {**ours, "nova_object.data": {**ours["nova_object.data"], "fault": fault}}
    assert ours == theirs["payload"]


def _period(exists: dict[str, Any]) -> AuditPeriod:
    data = exists["payload"]["nova_object.data"]["audit_period"]["nova_object.data"]
    beginning, ending = (parse_timestamp(data[f"audit_period_{name}"]) for name in ("beginning", "ending"))
    assert beginning is not None
    assert ending is not None
    return AuditPeriod(beginning.replace(tzinfo=None), ending.replace(tzinfo=None))
