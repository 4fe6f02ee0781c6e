"""The part of `cascade check` about the cascading cloud's APIs."""

from typing import Any

from bridge.core.inventory import OURS
from bridge.core.records import SiteSpec
from bridge.edge.cloud_session import CloudSession
from bridge.edge.nova_api import MICROVERSION, NovaApi, Service
from bridge.operator.context import Context
from bridge.operator.finding import Finding, ok, warning, wrong
from proto.errors import FaultCode, Refused
from proto.messages import SiteHost

OLDEST = (2, 93)  # Nova 26, Zed
SERVICES = ("compute", "placement", "network", "image")
DISCOVER = "nova-manage cell_v2 discover_hosts; [scheduler] discover_hosts_in_cells_interval = 60 does it by itself"


async def cloud(context: Context, sites: list[SiteSpec]) -> list[Finding]:
    """Look at what the administrator of [cascading] cloud may see. Changes nothing."""
    session = await context.cloud()
    await session.check(*SERVICES)
    findings = [ok("cascading cloud", f"token and catalogue of {context.conf.cascading.cloud!r}")]
    findings.append(await _version(session))
    answer = await session.call("compute", "GET", "/os-services", microversion=MICROVERSION)
    if not answer.ok:
        mend = "openstack role add --user USER --project PROJECT admin"
        return [*findings, wrong("administrator", answer.message(), mend)]
    findings.append(ok("administrator", "may see Nova's services"))
    findings += _controllers(answer.body["services"])
    findings.append(await _service_role(context, session))
    hosts = [host for site in sites for host in site.hosts]
    findings += await _hosts(session, hosts)
    findings += await _zones(session, hosts)
    findings += await _ports(session, hosts)
    return findings


async def _version(session: CloudSession) -> Finding:
    found = str((await _get(session, "compute", "/")).get("version", {}).get("version") or "0.0")
    number = tuple(int(part) for part in found.split("."))
    if number < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        return wrong("nova version", f"microversion {found}, needed {oldest}", "Nova 26 (Zed) or newer above")
    return ok("nova version", f"microversion {found}")


def _controllers(services: list[dict[str, Any]]) -> list[Finding]:
    findings = []
    for binary in ("nova-conductor", "nova-scheduler"):
        alive = [raw["host"] for raw in services if raw["binary"] == binary and raw["state"] == "up"]
        found = f"up on {', '.join(sorted(alive))}"
        findings.append(ok(binary, found) if alive else wrong(binary, "none is up", f"systemctl start {binary}"))
    return findings


async def _service_role(context: Context, session: CloudSession) -> Finding:
    """Cinder and Neutron trust a token for internal calls only if it carries the role ``service``."""
    from bridge.edge import clouds_yaml

    check, mend = "role service", "openstack role add --user {user} --project {project} service"
    auth = clouds_yaml.entry(context.conf.cascading.cloud).get("auth") or {}
    name, project = auth.get("username"), auth.get("project_name", "PROJECT")
    users = (await _get(session, "identity", "/users", name=name))["users"] if name else []
    if not users:
        return warning(check, "cannot tell the roles of this credential", mend.format(user="USER", project=project))
    query = {"user.id": users[0]["id"], "effective": "true", "include_names": "true"}
    found = await _get(session, "identity", "/role_assignments", **query)
    roles = sorted({raw["role"]["name"] for raw in found["role_assignments"]})
    if "service" in roles:
        return ok(check, f"{name} has {', '.join(roles)}")
    return warning(
        check, f"{name} has only {', '.join(roles)}: volumes need it", mend.format(user=name, project=project)
    )


async def _hosts(session: CloudSession, hosts: list[SiteHost]) -> list[Finding]:
    nova = NovaApi(session)
    services = {service.host: service for service in await nova.services()}
    findings = []
    for host in hosts:
        check, service = f"host {host.host}", services.get(host.host)
        if service is None:
            findings.append(wrong(check, "is not registered", "a running bridge registers it: see its log"))
        elif not await nova.mapped(host.host):
            findings.append(wrong(check, "is not mapped to its cell: nothing can be built on it", DISCOVER))
        else:
            findings.append(_service(check, service))
    return findings


def _service(check: str, service: Service) -> Finding:
    enable = f"openstack compute service set --enable {service.host} nova-compute"
    if service.forced_down:
        return warning(check, "is forced down", f"openstack compute service set --up {service.host} nova-compute")
    if not service.up:
        mend = "a running bridge beats for it; if one does: [servicegroup] driver = db in nova.conf"
        return wrong(check, "is down", mend)
    if service.disabled and (service.disabled_reason or "").startswith(OURS):
        return warning(check, f"is disabled: {service.disabled_reason}", "by itself, when the site is back")
    if service.disabled:
        reason = service.disabled_reason or "no reason; [DEFAULT] enable_new_services = false?"
        return warning(check, f"is disabled by an operator: {reason}", enable)
    return ok(check, "is up and enabled")


async def _zones(session: CloudSession, hosts: list[SiteHost]) -> list[Finding]:
    """A real compute host in a site's zone would take its servers without Cascade."""
    ours = {host.host for host in hosts}
    aggregates = (await _get(session, "compute", "/os-aggregates"))["aggregates"]
    findings = []
    for zone in sorted({host.availability_zone for host in hosts}):
        inside = {
            name for raw in aggregates if raw["metadata"].get("availability_zone") == zone for name in raw["hosts"]
        }
        strangers = sorted(inside - ours)
        if strangers:
            mend = f"openstack aggregate remove host AGGREGATE {strangers[0]}, unless it is meant"
            findings.append(warning(f"zone {zone}", f"has hosts that are no site: {', '.join(strangers)}", mend))
        elif not inside:
            findings.append(wrong(f"zone {zone}", "has no host yet", DISCOVER))
        else:
            findings.append(ok(f"zone {zone}", f"is {', '.join(sorted(inside))}"))
    return findings


async def _ports(session: CloudSession, hosts: list[SiteHost]) -> list[Finding]:
    unbound = 0
    for host in hosts:
        query = {"binding:host_id": host.host, "fields": "binding:vif_type"}
        found = (await _get(session, "network", "/ports", **query))["ports"]
        unbound += sum(port.get("binding:vif_type") == "binding_failed" for port in found)
    if unbound:
        mend = "install deploy/neutron and add its driver to [ml2] mechanism_drivers (optional: servers work)"
        return [warning("port binding", f"{unbound} ports of our hosts show binding_failed", mend)]
    return [ok("port binding", "no port of our hosts failed to bind")]


async def _get(session: CloudSession, service: str, path: str, **query: Any) -> Any:
    microversion = MICROVERSION if service == "compute" else None
    answer = await session.call(service, "GET", path, query=query, microversion=microversion)
    if not answer.ok:
        raise Refused(FaultCode.REJECTED, f"GET {service} {path}: {answer.message()}")
    return answer.body
