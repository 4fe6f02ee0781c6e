"""The payload of Nova's versioned notifications, without Nova: the objects of Nova 34's notifications/objects. Pure."""

import datetime
from collections.abc import Callable
from typing import Any

from bridge.core.audit_period import AuditPeriod
from bridge.core.notices import Kind, Phase
from bridge.core.notification_payload import Plain, Subject
from bridge.core.translate import network_info

VERSIONS: dict[str, str] = {
    "AuditPeriodPayload": "1.0",
    "ExceptionPayload": "1.1",
    "FlavorPayload": "1.4",
    "InstanceActionPayload": "1.9",
    "InstanceActionRebuildPayload": "1.10",
    "InstanceActionRescuePayload": "1.4",
    "InstanceActionResizePrepPayload": "1.4",
    "InstanceActionSnapshotPayload": "1.10",
    "InstanceCreatePayload": "1.13",
    "InstanceExistsPayload": "2.1",
    "IpPayload": "1.0",
    "KeypairPayload": "1.0",
}
# Payload fields that are called and hold what the instance's own do.
SAME_FIELDS = (
    "uuid", "user_id", "reservation_id", "display_name", "display_description", "host", "node", "os_type",
    "architecture", "availability_zone", "key_name", "kernel_id", "ramdisk_id", "created_at", "launched_at",
    "terminated_at", "deleted_at", "updated_at", "task_state", "progress",
)  # fmt: skip
RENAMED_FIELDS = {"tenant_id": "project_id", "host_name": "hostname", "image_uuid": "image_ref", "state": "vm_state"}
FLAVOR_FIELDS = (
    "flavorid", "memory_mb", "vcpus", "root_gb", "ephemeral_gb", "name", "swap", "rxtx_factor", "vcpu_weight",
    "disabled", "is_public", "extra_specs", "projects", "description",
)  # fmt: skip
POWER_STATES = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
INSTANCE_NAME = "instance-%08x"  # Nova's default of instance_name_template


def versioned_payload(kind: Kind, phase: Phase | None, subject: Subject) -> dict[str, Any]:
    """Return the primitive of the payload object that this notification carries."""
    data = _instance(subject, kind.block_devices)
    if kind.payload != "InstanceExistsPayload":
        data["fault"] = _fault(subject) if phase is Phase.ERROR else None
    more = _MORE.get(kind.payload)
    return _object(kind.payload, data | more(subject) if more is not None else data)


def _instance(subject: Subject, block_devices: bool) -> dict[str, Any]:
    instance, context = subject.instance, subject.context
    by_tenant = context.get("project_id") and context.get("user_id")
    return {
        **{name: instance.get(name) for name in SAME_FIELDS},
        **{name: instance.get(source) for name, source in RENAMED_FIELDS.items()},
        "power_state": POWER_STATES.get(int(instance.get("power_state") or 0)),
        "metadata": dict(instance.get("metadata") or {}),
        "locked": bool(instance.get("locked")),
        "locked_reason": (instance.get("system_metadata") or {}).get("locked_reason"),
        "auto_disk_config": "AUTO" if instance.get("auto_disk_config") else "MANUAL",
        "flavor": _flavor(instance["flavor"]),
        "ip_addresses": _addresses(instance),
        "block_devices": [] if block_devices else None,
        "shares": None,
        "request_id": context.get("request_id") if by_tenant else None,
        "action_initiator_user": context.get("user_id"),
        "action_initiator_project": context.get("project_id"),
    }


def _created(subject: Subject) -> dict[str, Any]:
    instance = subject.instance
    fields = ("user_id", "name", "fingerprint", "public_key", "type")
    return {
        "keypairs": [
            _object("KeypairPayload", {name: keypair.get(name) for name in fields})
            for keypair in instance.get("keypairs") or []
        ],
        "tags": [tag["tag"] for tag in instance.get("tags") or []],
        "trusted_image_certificates": _certificates(instance),
        "instance_name": INSTANCE_NAME % instance["id"],
    }


def _prepared(subject: Subject) -> dict[str, Any]:
    flavor = subject.args.get("flavor")
    return {"new_flavor": _flavor(flavor) if flavor else None}


def _existing(subject: Subject) -> dict[str, Any]:
    return {"audit_period": _period(subject.period)} if subject.period is not None else {}


_MORE: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "InstanceCreatePayload": _created,
    "InstanceActionRebuildPayload": lambda subject: {"trusted_image_certificates": _certificates(subject.instance)},
    "InstanceActionRescuePayload": lambda subject: {"rescue_image_ref": subject.args.get("rescue_image_ref")},
    "InstanceActionResizePrepPayload": _prepared,
    "InstanceActionSnapshotPayload": lambda subject: {"snapshot_image_id": subject.args.get("image_id")},
    "InstanceExistsPayload": _existing,
}


def _flavor(flavor: Plain) -> dict[str, Any]:
    return _object("FlavorPayload", {name: flavor.get(name) for name in FLAVOR_FIELDS})


def _addresses(instance: Plain) -> list[dict[str, Any]]:
    return [
        _object(
            "IpPayload",
            {
                "label": vif["network"].get("label"),
                "mac": vif["address"],
                "meta": vif.get("meta") or {},
                "port_uuid": vif["id"],
                "version": address.get("version"),
                "address": address["address"],
                "device_name": vif.get("devname"),
            },
        )
        for vif in network_info(instance)
        for subnet in vif["network"].get("subnets") or []
        for address in subnet.get("ips") or []
    ]


def _fault(subject: Subject) -> dict[str, Any]:
    """Return why the site did not carry it out: there is no traceback of ours to show."""
    return _object(
        "ExceptionPayload",
        {
            "module_name": "proto.errors",
            "function_name": "carry_out",
            "exception": "Refused",
            "exception_message": subject.error or "",
            "traceback": "",
        },
    )


def _period(period: AuditPeriod) -> dict[str, Any]:
    return _object(
        "AuditPeriodPayload",
        {"audit_period_beginning": _iso(period.beginning), "audit_period_ending": _iso(period.ending)},
    )


def _certificates(instance: Plain) -> list[str] | None:
    certificates = instance.get("trusted_certs")
    return certificates.get("ids") if certificates else None


def _iso(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _object(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": VERSIONS[name],
        "nova_object.data": data,
    }
