"""`cascade network list`: the networks in use in sites, and how many segments each has become. Reads only."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.core import keys
from bridge.core.records import SiteSpec
from bridge.core.translate_network import RESERVED_OWNER, of_instance, reserving_site
from bridge.operator.context import Context
from proto import codec

if TYPE_CHECKING:
    from bridge.edge.neutron import Port

COLUMNS = ("network", "name", "project", "sites", "mapped", "ports", "segments")


async def rows(context: Context) -> list[dict[str, Any]]:
    """Return a line for each network that a site has ports or addresses of, or that is mapped; by name."""
    from bridge.edge.neutron import Neutron

    stored, _ = await (await context.store()).list(keys.SITES)
    specs = [codec.from_json(one.value, SiteSpec) for one in stored if keys.site_of_spec(one.key)]
    hosts = {host.host: spec.site for spec in specs for host in spec.hosts}
    neutron = Neutron(await context.cloud())
    ports = [*await neutron.ports_on(hosts), *await neutron.ports(device_owner=RESERVED_OWNER)]
    maps = {spec.site: spec.networks for spec in specs}
    found = uses(ports, hosts, maps)
    networks = {network["id"]: network for network, _ in await neutron.networks(found)}
    named = [{**use, **_described(networks.get(network_id))} for network_id, use in found.items()]
    return sorted(named, key=lambda row: (row["name"], row["network"]))


def uses(
    ports: Iterable["Port"], hosts: Mapping[str, str], maps: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """Return by network: the sites that have it, what it is mapped to, its instances' ports, and its segments.

    ``hosts``: Nova host -> site; ``maps``: site -> network above -> network there. Each site's own copy is a segment;
    what is mapped is taken to be one that reaches all sites of the map.
    """
    sites: dict[str, set[str]] = {}
    number: dict[str, int] = {}
    for port in ports:
        site = reserving_site(port) or hosts.get(port.get("binding:host_id") or "")
        if site:
            sites.setdefault(port["network_id"], set()).add(site)
            number[port["network_id"]] = number.get(port["network_id"], 0) + of_instance(port)
    for site, networks in maps.items():
        for network_id in networks:
            sites.setdefault(network_id, set()).add(site)
    found = {}
    for network_id, used in sites.items():
        mapped = {site: maps[site][network_id] for site in sorted(used) if network_id in maps.get(site, {})}
        found[network_id] = {
            "network": network_id,
            "sites": sorted(used),
            "mapped": mapped,
            "ports": number.get(network_id, 0),
            "segments": len(used - mapped.keys()) + bool(mapped),
        }
    return found


def _described(network: Mapping[str, Any] | None) -> dict[str, str]:
    if network is None:
        return {"name": "(gone above)", "project": ""}
    return {"name": network.get("name") or "", "project": network.get("project_id") or ""}
