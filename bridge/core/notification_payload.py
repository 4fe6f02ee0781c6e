"""The payload of Nova's unversioned notifications (Nova 34, notifications/base.py info_from_instance). Pure."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.core.audit_period import AuditPeriod
from bridge.core.notices import CREATE, EXISTS, REBUILD, RESCUE, RESIZE_PREP, Kind, Phase
from bridge.core.translate import network_info

Plain = Mapping[str, Any]

IMAGE_PREFIX = "image_"  # of what an instance's system_metadata says of its image
FAULT_CODE = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What one notification is about. Objects of Nova's are flattened, as nova_objects.unwrap returns them."""

    instance: Plain  # with flavor, metadata, system_metadata and info_cache; for a boot with keypairs and tags
    context: Plain  # of the request
    args: Plain = field(default_factory=dict)  # of the RPC, where it is known
    error: str | None = None  # why it failed
    glance_url: str = ""  # Glance's address above, without a version
    image_name: str = ""  # of the image that the operation is about
    period: AuditPeriod | None = None  # only with ``exists``


def legacy_payload(kind: Kind, phase: Phase | None, subject: Subject) -> dict[str, Any]:
    """Return what Ceilometer, Designate's sink and others read."""
    payload = _instance(subject)
    if phase in kind.addresses:
        payload["fixed_ips"] = _fixed_ips(subject.instance)
    return payload | _extra(kind, phase, subject)


def _instance(subject: Subject) -> dict[str, Any]:
    instance = subject.instance
    flavor = instance["flavor"]
    return {
        "tenant_id": instance.get("project_id"),
        "user_id": instance.get("user_id"),
        "instance_id": instance["uuid"],
        "display_name": instance.get("display_name"),
        "reservation_id": instance.get("reservation_id"),
        "hostname": instance.get("hostname"),
        "instance_type": flavor["name"],
        "instance_type_id": instance.get("instance_type_id"),
        "instance_flavor_id": flavor["flavorid"],
        "architecture": instance.get("architecture"),
        "memory_mb": flavor["memory_mb"],
        "disk_gb": flavor["root_gb"] + flavor["ephemeral_gb"],
        "vcpus": flavor["vcpus"],
        "root_gb": flavor["root_gb"],
        "ephemeral_gb": flavor["ephemeral_gb"],
        "host": instance.get("host"),
        "node": instance.get("node"),
        "availability_zone": instance.get("availability_zone"),
        "cell_name": "",
        "created_at": str(_moment(instance.get("created_at"))),
        "terminated_at": _time(instance.get("terminated_at")),
        "deleted_at": _time(instance.get("deleted_at")),
        "launched_at": _time(instance.get("launched_at")),
        "image_ref_url": f"{subject.glance_url}/images/{instance.get('image_ref') or ''}",
        "os_type": instance.get("os_type"),
        "kernel_id": instance.get("kernel_id"),
        "ramdisk_id": instance.get("ramdisk_id"),
        "state": instance.get("vm_state"),
        "state_description": instance.get("task_state") or "",
        "progress": instance.get("progress") or "",
        "access_ip_v4": _text(instance.get("access_ip_v4")),
        "access_ip_v6": _text(instance.get("access_ip_v6")),
        "image_meta": _image_meta(instance),
        "metadata": dict(instance.get("metadata") or {}),
    }


def _extra(kind: Kind, phase: Phase | None, subject: Subject) -> dict[str, Any]:
    """Return what Nova's host adds to some of them."""
    if phase is Phase.ERROR:
        return {"exception": subject.error, "message": subject.error, "code": FAULT_CODE}
    if kind is EXISTS and subject.period is not None:
        period = subject.period
        return {"audit_period_beginning": str(period.beginning), "audit_period_ending": str(period.ending)}
    if kind is CREATE:
        return {"message": "Success"} if phase is Phase.END else {"image_name": subject.image_name}
    if kind is REBUILD:
        return {"image_name": subject.image_name}
    if kind is RESCUE:
        return {"rescue_image_name": subject.image_name}
    if kind is RESIZE_PREP and phase is Phase.END:
        flavor = subject.args.get("flavor") or {}
        return {"new_instance_type": flavor.get("name"), "new_instance_type_id": flavor.get("id")}
    return {}


def _image_meta(instance: Plain) -> dict[str, Any]:
    kept = instance.get("system_metadata") or {}
    return {key.removeprefix(IMAGE_PREFIX): value for key, value in kept.items() if key.startswith(IMAGE_PREFIX)}


def _fixed_ips(instance: Plain) -> list[dict[str, Any]]:
    return [
        {**address, "label": vif["network"].get("label"), "vif_mac": vif["address"]}
        for vif in network_info(instance)
        for subnet in vif["network"].get("subnets") or []
        for address in subnet.get("ips") or []
    ]


def _moment(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    moment = datetime.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _time(text: str | None) -> str:
    moment = _moment(text)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") if moment else ""


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
