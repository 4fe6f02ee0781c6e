"""Nova and Placement: versions, servers, flavors, hosts or quota, keypairs."""

import time
from typing import Any

from proto.errors import FaultCode, Refused
from site_agent.core import rights
from site_agent.core.answers import Answer, checked
from site_agent.core.quota_capacity import WHOLE_SITE, quota_capacity
from site_agent.core.rights import PROBE, Finding, Right, Verdict, works
from site_agent.core.servers import iso
from site_agent.edge.cloud import Cloud, Service
from site_agent.edge.flavors import Flavors
from site_agent.edge.hosts import HYPERVISOR_VERSION, Hosts
from site_agent.edge.quotas import Quotas

FORBIDDEN = 403
NO_SUCH_IMAGE = "00000000-0000-0000-0000-000000000000"
# The key of RFC 8032's first test vector: nobody has a use for its private half.
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


async def version(cloud: Cloud) -> list[Finding]:
    """What the age of the site's Nova costs."""
    lesser = rights.lesser_nova(cloud.microversion)
    found = f"microversion {cloud.microversion}"
    if not lesser:
        return [works("nova version", found)]
    return [Finding("nova version", Verdict.DEGRADED, f"{found}: {'; '.join(lesser)}", "a newer Nova")]


async def servers(cloud: Cloud) -> list[Finding]:
    """Finding servers by tag and by change, and creating them: asked for with a flavor that does not exist."""
    tries = {
        "os_compute_api:servers:detail": await _nova(cloud, "GET", f"/servers/detail?limit=1&tags={PROBE}"),
        "os_compute_api:servers:create": await _nova(cloud, "POST", "/servers", {"server": _impossible()}),
    }
    changes = await _nova(cloud, "GET", f"/servers/detail?limit=1&changes-since={iso(time.time())}")
    missing = [rule for rule, answer in tries.items() if answer.status == FORBIDDEN]
    if missing:
        return [rights.lacking("servers", rights.SERVERS, missing, "may not")]
    checked(tries["os_compute_api:servers:detail"])
    checked(changes)
    if tries["os_compute_api:servers:create"].status not in (400, 404):
        raise Refused(FaultCode.REJECTED, tries["os_compute_api:servers:create"].message)
    return [works("servers", "found by tag and by change, made with tags")]


async def actions(cloud: Cloud) -> list[Finding]:
    """What is done to a server that exists; looked at with one of ours, if there is one."""
    found = checked(await _nova(cloud, "GET", "/servers?limit=1"))["servers"]
    ability = "server actions"
    if not found:
        return [Finding(ability, Verdict.UNSEEN, "no server to look at; every member may by default")]
    server = found[0]["id"]
    answer = await _nova(cloud, "GET", f"/servers/{server}/os-instance-actions")
    console = await _nova(cloud, "POST", f"/servers/{server}/action", {"os-getConsoleOutput": {"length": 1}})
    tries = {"os_compute_api:os-instance-actions:list": answer, "os_compute_api:os-console-output": console}
    missing = [rule for rule, tried in tries.items() if tried.status == FORBIDDEN]
    if missing:
        return [rights.lacking(ability, rights.ACTIONS, missing, "may not")]
    return [works(ability, "actions and console can be read; stop, start, reboot and delete were not tried")]


async def flavors(cloud: Cloud) -> list[Finding]:
    """Making flavors: asked for what exists already, or for what does not exist, so that nothing comes of it."""
    known = checked(await _nova(cloud, "GET", "/flavors/detail"))["flavors"]
    absent = f"/flavors/{PROBE}"
    create, delete, specs = rights.FLAVORS.rules
    tries = {
        create: await _try_flavor(cloud, known),
        delete: await _nova(cloud, "DELETE", absent),
        specs: await _nova(cloud, "POST", f"{absent}/os-extra_specs", {"extra_specs": {"hw:cpu_policy": "shared"}}),
    }
    missing = [rule for rule, answer in tries.items() if answer.status == FORBIDDEN]
    if missing:
        return [rights.lacking("flavors", rights.FLAVORS, missing, f"{len(known)} to match, none can be made")]
    public = "" if cloud.is_admin else ", public in the site: only administrators see private ones"
    return [works("flavors", f"made for each version above{public}")]


async def capacity(cloud: Cloud) -> list[Finding]:
    """Hosts and Placement, else the quota; refused if neither bounds what the site can hold."""
    missing = [(rights.HOSTS, rule) for rule in await _missing_in_nova(cloud)]
    if cloud.offers(Service.PLACEMENT):
        missing += [(rights.PROVIDERS, rule) for rule in await _missing_in_placement(cloud)]
        reason = "hosts and Placement may not be read"
    else:
        reason = "the catalogue names no Placement"
    if not missing and cloud.offers(Service.PLACEMENT):
        zones = set((await Hosts(cloud).zones()).values())
        return [works("capacity", f"of hosts and Placement; zones {', '.join(sorted(zones)) or 'none'}")]
    by_service = {right.service: right for right, _ in missing}
    mend = "; ".join(
        f"{service}'s policy.yaml: {', '.join(rule for right, rule in missing if right.service == service)}"
        for service in by_service
    )
    quotas = Quotas(cloud)
    found = quota_capacity(await quotas.quota(), await Flavors(cloud).list(), await quotas.zones(), time.time())
    if WHOLE_SITE not in found:
        text = f"{reason}, and no quota bounds what the project may use"
        return [Finding("capacity", Verdict.REFUSED, text, f"set a quota for project {cloud.project_id}, or {mend}")]
    most = found[WHOLE_SITE]
    text = f"{reason}: the quota counts, {most.vcpus} VCPUs, {most.memory_mb} MiB, {most.disk_gb} GiB"
    return [Finding("capacity", Verdict.DEGRADED, text, mend or None)]


async def keypairs(cloud: Cloud) -> list[Finding]:
    """Importing a public key and removing it again."""
    await _nova(cloud, "DELETE", f"/os-keypairs/{PROBE}")
    pair = {"name": PROBE, "public_key": PUBLIC_KEY, "type": "ssh"}
    made = await _nova(cloud, "POST", "/os-keypairs", {"keypair": pair})
    if made.status == FORBIDDEN:
        return [rights.lacking("keypairs", rights.KEYPAIRS, ["os_compute_api:os-keypairs:create"], "may not")]
    checked(made)
    checked(await _nova(cloud, "DELETE", f"/os-keypairs/{PROBE}"))
    return [works("keypairs", "imported")]


async def _try_flavor(cloud: Cloud, known: list[dict[str, Any]]) -> Answer:
    """Ask for a flavor that exists: 409 if it might be made. Without any, make one for a moment."""
    taken = known[0] if known else {"id": PROBE, "name": PROBE}
    flavor = {"id": taken["id"], "name": taken["name"], "vcpus": 1, "ram": 64, "disk": 0}
    answer = await _nova(cloud, "POST", "/flavors", {"flavor": {**flavor, "os-flavor-access:is_public": False}})
    if answer.ok:
        checked(await _nova(cloud, "DELETE", f"/flavors/{PROBE}"))
    return answer


async def _missing_in_nova(cloud: Cloud) -> list[str]:
    paths = ("/os-services?binary=nova-compute", "/os-hypervisors/detail")
    return await _forbidden(cloud, Service.COMPUTE, rights.HOSTS, paths, HYPERVISOR_VERSION)


async def _missing_in_placement(cloud: Cloud) -> list[str]:
    """Rules that refuse; those about one provider show only where the list does not refuse."""
    missing = await _forbidden(cloud, Service.PLACEMENT, rights.PROVIDERS, ("/resource_providers",), None)
    if missing:
        return list(rights.PROVIDERS.rules)
    providers = await Hosts(cloud).providers()
    if not providers:
        return []
    one = f"/resource_providers/{providers[0].uuid}"
    of_one = Right("placement", rights.PROVIDERS.rules[1:])
    paths = tuple(f"{one}/{part}" for part in ("inventories", "allocations", "traits"))
    return await _forbidden(cloud, Service.PLACEMENT, of_one, paths, None)


async def _forbidden(
    cloud: Cloud, service: Service, right: Right, paths: tuple[str, ...], microversion: str | None
) -> list[str]:
    """Return the rules, in the order of the paths they are asked for, that refuse."""
    missing = []
    for rule, path in zip(right.rules, paths, strict=False):
        answer = await cloud.request(service, "GET", path, microversion=microversion)
        if answer.status == FORBIDDEN:
            missing.append(rule)
        else:
            checked(answer)
    return missing


def _impossible() -> dict[str, Any]:
    return {"name": PROBE, "flavorRef": PROBE, "imageRef": NO_SUCH_IMAGE, "networks": "none", "tags": [PROBE]}


async def _nova(cloud: Cloud, method: str, path: str, body: Any = None) -> Answer:
    return await cloud.request(Service.COMPUTE, method, path, json=body)
