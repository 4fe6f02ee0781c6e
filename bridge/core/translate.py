"""Nova's and Neutron's words above into the contract's, and Neutron's ports into Nova's network info. Pure.

The inputs are foreign formats: Nova objects flattened to plain dicts and Neutron or Glance REST bodies.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proto.specs import (
    DiskSpec,
    FlavorSpec,
    ImageSpec,
    KeypairSpec,
    NetworkSpec,
    PortSpec,
    Sealed,
    SecurityGroupSpec,
    ServerGroupSpec,
    ServerSpec,
)

Plain = Mapping[str, Any]

# Image fields of Glance that are not properties (Glance v2 image schema).
IMAGE_FIELDS = frozenset(
    "checksum container_format created_at deleted deleted_at direct_url disk_format file id locations min_disk "
    "min_ram name os_hash_algo os_hash_value os_hidden owner protected schema self size status stores tags "
    "updated_at virtual_size visibility".split()
)
CREATED_MARK = "cascade_created"  # in binding:profile of ports the bridge made, which it therefore deletes


def flavor_spec(flavor: Plain, version: int) -> FlavorSpec:
    """Return the contract's flavor from a flattened Nova Flavor."""
    return FlavorSpec(
        flavor_id=str(flavor["flavorid"]),
        name=str(flavor["name"]),
        version=version,
        vcpus=int(flavor["vcpus"]),
        ram=int(flavor["memory_mb"]),
        disk=int(flavor["root_gb"]),
        ephemeral=int(flavor.get("ephemeral_gb") or 0),
        swap=int(flavor.get("swap") or 0),
        extra_specs={str(k): str(v) for k, v in (flavor.get("extra_specs") or {}).items()},
    )


def image_spec(image: Plain) -> ImageSpec:
    """Return the contract's image from a Glance v2 image."""
    properties = {k: v for k, v in image.items() if k not in IMAGE_FIELDS and isinstance(v, str)}
    return ImageSpec(
        image_id=str(image["id"]),
        name=str(image.get("name") or image["id"]),
        size=int(image.get("size") or 0),
        hash_algo=str(image.get("os_hash_algo") or ""),
        hash_value=str(image.get("os_hash_value") or ""),
        disk_format=str(image["disk_format"]),
        container_format=str(image["container_format"]),
        min_disk=int(image.get("min_disk") or 0),
        min_ram=int(image.get("min_ram") or 0),
        properties=properties,
    )


def keypair_spec(instance: Plain) -> KeypairSpec | None:
    """Return the instance's keypair, None without one."""
    name = instance.get("key_name")
    if not name:
        return None
    for keypair in instance.get("keypairs") or []:
        if keypair["name"] == name:
            return KeypairSpec(name, keypair["public_key"], keypair["fingerprint"], keypair.get("type") or "ssh")
    return None


def server_spec(
    instance: Plain,
    request_spec: Plain,
    flavor: FlavorSpec,
    image: ImageSpec | None,
    networks: list[NetworkSpec],
    ports: list[PortSpec],
    availability_zone: str | None,
    secrets: Sealed | None,
    disks: list[DiskSpec],
    security_groups: list[SecurityGroupSpec],
) -> ServerSpec:
    """Return all a site needs from a flattened Instance and RequestSpec and what was made ready for it."""
    hints = request_spec.get("scheduler_hints") or {}
    return ServerSpec(
        name=str(instance.get("display_name") or instance["uuid"]),
        description=instance.get("display_description"),
        project_id=str(instance["project_id"]),
        user_id=str(instance.get("user_id") or ""),
        flavor=flavor,
        image=image,
        networks=networks,
        ports=ports,
        keypair=keypair_spec(instance),
        metadata={str(k): str(v) for k, v in (instance.get("metadata") or {}).items()},
        config_drive=str(instance.get("config_drive") or "").lower() in ("true", "1", "yes", "on"),
        availability_zone=availability_zone,
        scheduler_hints=dict(hints),
        secrets=secrets,
        hostname=instance.get("hostname"),
        disk_config=_disk_config(instance),
        disks=disks,
        security_groups=security_groups,
        group=server_group(request_spec),
    )


def server_group(request_spec: Plain) -> ServerGroupSpec | None:
    """Return the server group of a flattened RequestSpec; None without one."""
    group = request_spec.get("instance_group")
    if not group or not group.get("policy"):
        return None
    rules = {str(key): str(value) for key, value in (group.get("_rules") or {}).items()}
    return ServerGroupSpec(str(group["uuid"]), str(group["policy"]), rules)


def _disk_config(instance: Plain) -> str | None:
    automatic = instance.get("auto_disk_config")
    return None if automatic is None else "AUTO" if automatic else "MANUAL"


def vif(port: Plain, network: Plain, subnets: Iterable[Plain]) -> dict[str, Any]:
    """Return one entry of Nova's network info cache (NOVA-RPC 4.3) for a Neutron port."""
    by_id = {subnet["id"]: subnet for subnet in subnets}
    used = [by_id[fixed["subnet_id"]] for fixed in port["fixed_ips"] if fixed["subnet_id"] in by_id]
    unique = list({subnet["id"]: subnet for subnet in used}.values())
    return {
        "id": port["id"],
        "address": port["mac_address"],
        "network": {
            "id": network["id"],
            "label": network.get("name") or "",
            "bridge": "br-int",
            "subnets": [_vif_subnet(subnet, port["fixed_ips"]) for subnet in unique],
            "meta": {
                "tenant_id": network.get("project_id") or network.get("tenant_id"),
                "mtu": network.get("mtu"),
                "injected": False,
                "tunneled": False,
            },
        },
        "type": port.get("binding:vif_type"),
        "vnic_type": port.get("binding:vnic_type") or "normal",
        "details": port.get("binding:vif_details") or {},
        "profile": {},
        "devname": f"tap{port['id'][:11]}",
        "ovs_interfaceid": port["id"],
        "qbh_params": None,
        "qbg_params": None,
        "active": port.get("status") == "ACTIVE",
        "preserve_on_delete": not made_by_bridge(port),
        "delegate_create": True,
        "meta": {},
    }


def network_info(instance: Plain) -> list[dict[str, Any]]:
    """Return the network info that a flattened Instance shows, empty if it has none yet."""
    cached = (instance.get("info_cache") or {}).get("network_info") or []
    shown: list[dict[str, Any]] = msgspec.json.decode(cached) if isinstance(cached, str) else list(cached)
    return shown


def made_by_bridge(port: Plain) -> bool:
    """Whether the bridge made this port above, so that it goes with its instance; a tenant's own port stays."""
    return bool((port.get("binding:profile") or {}).get(CREATED_MARK))


def _vif_subnet(subnet: Plain, fixed_ips: Iterable[Plain]) -> dict[str, Any]:
    version = int(subnet["ip_version"])
    return {
        "cidr": subnet["cidr"],
        "version": version,
        "gateway": _ip(subnet.get("gateway_ip"), version, "gateway"),
        "dns": [_ip(address, version, "dns") for address in subnet.get("dns_nameservers") or []],
        "routes": [
            {
                "cidr": route["destination"],
                "gateway": _ip(route["nexthop"], version, "gateway"),
                "interface": None,
                "meta": {},
            }
            for route in subnet.get("host_routes") or []
        ],
        "ips": [
            {**_ip(fixed["ip_address"], version, "fixed"), "floating_ips": []}
            for fixed in fixed_ips
            if fixed["subnet_id"] == subnet["id"]
        ],
        "meta": {},
    }


def _ip(address: str | None, version: int, kind: str) -> dict[str, Any]:
    return {"address": address, "type": kind, "version": version if address else None, "meta": {}}
