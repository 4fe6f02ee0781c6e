"""Nova's versioned objects as plain primitives, without Nova: writes the versions of Zed, reads any.

A conductor answers an object newer than its own by calling itself for ever, so we never send one: newer fields travel
as extra data under the old version, which a newer class takes and an older one drops (tested on Nova 26 and 34).
"""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proto.errors import Malformed
from proto.messages import Fault

Primitive = dict[str, Any]

NAME = "nova_object.name"
NAMESPACE = "nova_object.namespace"
VERSION = "nova_object.version"
DATA = "nova_object.data"
CHANGES = "nova_object.changes"

# Nova 26 (Zed), the oldest release we serve. Up to Nova 34 only Instance (2.8), Migration (1.8), RequestSpec (1.15)
# and ImageMetaProps (1.44) went on; tests/contract compares with the installed Nova.
VERSIONS: dict[str, str] = {
    "BlockDeviceMapping": "1.21",
    "BlockDeviceMappingList": "1.18",
    "ComputeNode": "1.19",
    "ComputeNodeList": "1.17",
    "CpuDiagnostics": "1.0",
    "Destination": "1.4",
    "Diagnostics": "1.0",
    "DiskDiagnostics": "1.0",
    "Flavor": "1.2",
    "HVSpec": "1.2",
    "ImageMetaProps": "1.34",
    "Instance": "2.7",
    "InstanceAction": "1.2",
    "InstanceActionEvent": "1.4",
    "InstanceFault": "1.2",
    "InstanceGroup": "1.11",
    "InstanceInfoCache": "1.5",
    "InstanceList": "2.6",
    "KeyPair": "1.4",
    "KeyPairList": "1.3",
    "MemoryDiagnostics": "1.0",
    "Migration": "1.7",
    "MigrationList": "1.5",
    "MigrationContext": "1.2",
    "NicDiagnostics": "1.0",
    "RequestSpec": "1.14",
    "Service": "1.22",
    "ServiceList": "1.19",
    "Tag": "1.1",
    "TagList": "1.1",
    "TaskLog": "1.0",
    "VirtualInterface": "1.3",
}
_MEMBERS = {
    "BlockDeviceMappingList": ("BlockDeviceMapping",),
    "ComputeNodeList": ("ComputeNode", "HVSpec"),
    "ComputeNode": ("HVSpec",),
    "Instance": ("Flavor", "InstanceInfoCache", "KeyPairList", "KeyPair", "TagList", "Tag", "MigrationContext"),
    "InstanceList": ("Instance", "Flavor", "InstanceInfoCache"),
    "MigrationList": ("Migration",),
    "ServiceList": ("Service",),
}
# What a class-method call says we understand; must name the class itself (else KeyError in the conductor).
MANIFESTS = {name: {item: VERSIONS[item] for item in (name, *_MEMBERS.get(name, ()))} for name in VERSIONS}

FLAVORS = ("flavor", "old_flavor", "new_flavor")
_OBJECT_FIELDS = dict.fromkeys(FLAVORS, "Flavor") | {"migration_context": "MigrationContext"}
_MAX_INTEGER = 2**31 - 1  # columns of compute_nodes are 32 bit
_MAX_MESSAGE = 255  # characters of instance_faults.message


def primitive(name: str, data: Mapping[str, Any], changes: Iterable[str] | None = None) -> Primitive:
    """Return an object at our version; ``changes`` are the fields to write, by default all of ``data``."""
    return {
        NAME: name,
        NAMESPACE: "nova",
        VERSION: VERSIONS[name],
        DATA: {field: _plain(value) for field, value in data.items()},
        CHANGES: list(data if changes is None else changes),
    }


def instance_patch(uuid: str, changes: Mapping[str, Any]) -> Primitive:
    """Return the Instance whose save() writes ``changes`` and nothing else.

    Dicts (metadata, system_metadata) replace what is there. The three flavors are one column: Malformed unless all of
    FLAVORS are given together; they and migration_context are plain dicts as ``unwrap`` returns them, or None.
    ``node`` wants ``compute_id`` beside it.
    """
    if any(field in changes for field in FLAVORS) and not all(field in changes for field in FLAVORS):
        raise Malformed(f"{', '.join(FLAVORS)} are one column of Nova's and can only be saved together")
    data: dict[str, Any] = {"uuid": uuid}
    for field, value in changes.items():
        data[field] = primitive(_OBJECT_FIELDS[field], value, ()) if value and field in _OBJECT_FIELDS else value
    return primitive("Instance", data, changes)


def compute_node(fields: Mapping[str, Any]) -> Primitive:
    """Return a ComputeNode that writes ``fields``; numbers are cut to what the database holds.

    supported_hv_specs is a list of (arch, hv_type, vm_mode).
    """
    data = dict(fields)
    for field, value in fields.items():
        if type(value) is int:
            data[field] = min(value, _MAX_INTEGER)
    if "supported_hv_specs" in data:
        data["supported_hv_specs"] = [
            primitive("HVSpec", {"arch": arch, "hv_type": hv_type, "vm_mode": vm_mode}, ())
            for arch, hv_type, vm_mode in data["supported_hv_specs"]
        ]
    return primitive("ComputeNode", data, (field for field in data if field != "id"))


def fault(uuid: str, host: str, shown: Fault) -> Primitive:
    """Return the InstanceFault that ``openstack server show`` displays; only admins see the details."""
    data = {
        "instance_uuid": uuid,
        "host": host,
        "code": 500,
        "message": shown.message[:_MAX_MESSAGE],
        "details": f"{host}: {shown.code}: {shown.message}",
    }
    return primitive("InstanceFault", data)


def info_cache(uuid: str, network_info: list[dict[str, Any]]) -> Primitive:
    """Return the cache from which every API answer takes an instance's addresses."""
    return primitive(
        "InstanceInfoCache", {"instance_uuid": uuid, "network_info": msgspec.json.encode(network_info).decode()}
    )


def virtual_interface(uuid: str, port_id: str, mac: str, tag: str | None) -> Primitive:
    """Return the row that device tagging and Nova's heal need; its address must be unique in the whole cell."""
    return primitive(
        "VirtualInterface", {"address": f"{mac}/{port_id}", "instance_uuid": uuid, "uuid": port_id, "tag": tag}
    )


def timestamp(moment: float | datetime.datetime) -> str:
    """Return epoch seconds or a time zone aware datetime as Nova's objects carry it."""
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str | None) -> datetime.datetime | None:
    """Return the time in an object's field; those of Nova's objects are UTC, with or without saying so."""
    if text is None:
        return None
    moment = datetime.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def unwrap(value: Any) -> Any:
    """Return plain dicts and lists for a primitive of any object and version; list objects become lists."""
    if isinstance(value, dict):
        if DATA in value:
            data = value[DATA]
            if isinstance(data.get("objects"), list):
                return [unwrap(item) for item in data["objects"]]
            return {field: unwrap(item) for field, item in data.items()}
        return {field: unwrap(item) for field, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value


def network_info(instance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the VIFs in the info cache of an unwrapped instance; empty if it was not loaded."""
    cache = instance.get("info_cache") or {}
    return msgspec.json.decode(cache.get("network_info") or "[]")


def at_our_versions(value: Any) -> Any:
    """Return a received primitive relabelled so that it may be passed on to any conductor; fields stay as extras."""
    if isinstance(value, dict):
        copy = {field: at_our_versions(item) for field, item in value.items()}
        ours = VERSIONS.get(copy.get(NAME, ""))
        if ours and _numbers(copy[VERSION]) > _numbers(ours):
            copy[VERSION] = ours
        return copy
    if isinstance(value, list):
        return [at_our_versions(item) for item in value]
    return value


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _plain(value: Any) -> Any:
    return timestamp(value) if isinstance(value, datetime.datetime) else value
