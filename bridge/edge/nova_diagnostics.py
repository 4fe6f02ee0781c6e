"""Nova's versioned Diagnostics, made of what a site's API shows of a server (microversion 2.48)."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from bridge.edge.nova_objects import Primitive, primitive
from proto.errors import Malformed

# Nova 34, objects/diagnostics.py and objects/fields.py: nova-api takes nothing else.
STATES = frozenset({"pending", "running", "paused", "shutdown", "crashed", "suspended"})
DRIVERS = frozenset({"libvirt", "xenapi", "vmwareapi", "ironic", "hyperv"})
_TRAFFIC = tuple(f"{way}_{what}" for way in ("rx", "tx") for what in ("octets", "errors", "drop", "packets", "rate"))
_Mac = Annotated[str, msgspec.Meta(pattern="^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$")]
_MEMORY = ("maximum", "used")
_DEVICES = {
    "cpu": ("CpuDiagnostics", ("id", "time", "utilisation")),
    "nic": ("NicDiagnostics", _TRAFFIC),
    "disk": ("DiskDiagnostics", ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count")),
}


def diagnostics(shown: Mapping[str, Any]) -> Primitive:
    """Return the object that nova-api reads; Malformed if a site shows anything that no Nova does."""
    try:
        data = _of_the_server(shown)
        for device, (name, fields) in _DEVICES.items():
            found = msgspec.convert(shown.get(f"{device}_details") or [], list[dict[str, Any]])
            data[f"{device}_details"] = [primitive(name, _measured(entry, fields), ()) for entry in found]
            data[f"num_{device}s"] = len(found)
    except msgspec.ValidationError as error:
        raise Malformed(f"diagnostics that no Nova shows: {error}") from error
    return primitive("Diagnostics", data, ())


def _of_the_server(shown: Mapping[str, Any]) -> dict[str, Any]:
    if shown.get("state") not in STATES or shown.get("driver") not in DRIVERS:
        raise Malformed(f"diagnostics of the driver {shown.get('driver')!r} in the state {shown.get('state')!r}")
    memory = msgspec.convert(shown.get("memory_details") or {}, dict[str, Any])
    return {
        "state": shown["state"],
        "driver": shown["driver"],
        "hypervisor": msgspec.convert(shown.get("hypervisor"), str | None),
        "hypervisor_os": msgspec.convert(shown.get("hypervisor_os"), str | None),
        "uptime": msgspec.convert(shown.get("uptime"), int | None),
        "config_drive": bool(shown.get("config_drive")),
        "memory_details": primitive("MemoryDiagnostics", _measured(memory, _MEMORY), ()),
    }


def _measured(entry: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    data: dict[str, Any] = {field: msgspec.convert(entry.get(field), int | None) for field in fields}
    if fields is _TRAFFIC:
        data["mac_address"] = msgspec.convert(entry.get("mac_address"), _Mac | None)
    return data
