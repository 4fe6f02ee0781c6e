"""The cascading Nova's REST API, as far as making a site's host known needs it. Administrator rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.edge.cloud_session import Answer, CloudSession
from proto.errors import FaultCode, Refused, Unavailable

MICROVERSION = "2.53"  # services and hypervisors by uuid
FLAVOR_MICROVERSION = "2.61"  # flavors with their extra specs in one listing
FLAVOR_PAGE = 1000  # Nova gives at most osapi_max_limit
BINARY = "nova-compute"


@dataclass(frozen=True, slots=True)
class Service:
    """One nova-compute service as the API shows it."""

    uuid: str
    host: str
    up: bool
    disabled: bool
    disabled_reason: str | None
    forced_down: bool


class NovaApi:
    """All may be repeated. Services are switched through nova-conductor instead: the API would call the host back."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session

    async def services(self, host: str | None = None) -> list[Service]:
        """Return the nova-compute services, or that of one host."""
        query = {"binary": BINARY} | ({"host": host} if host else {})
        return [_service(raw) for raw in (await self._call("GET", "/os-services", query=query)).body["services"]]

    async def force_down(self, service: str, forced: bool) -> None:
        """Declare a service down at once, or take that back: an operator gives the site up."""
        await self._call("PUT", f"/os-services/{service}", body={"forced_down": forced})

    async def confirm_resize(self, uuid: str) -> bool:
        """Ask for a resize to be confirmed, as a tenant does; False if the instance is gone or in no state for it."""
        answer = await self._call("POST", f"/servers/{uuid}/action", body={"confirmResize": None}, expect=(404, 409))
        return answer.ok

    async def flavors(self) -> list[dict[str, Any]]:
        """Return every flavor, public or private, with its extra specs.

        Unavailable if the list changed under our feet: the flavor a page ended with was deleted.
        """
        found: list[dict[str, Any]] = []
        while True:
            query = {"is_public": "None", "limit": str(FLAVOR_PAGE)} | ({"marker": found[-1]["id"]} if found else {})
            answer = await self._session.call(
                "compute", "GET", "/flavors/detail", query=query, microversion=FLAVOR_MICROVERSION
            )
            if not answer.ok:
                raise Unavailable(f"GET compute /flavors/detail: {answer.message()}")
            page = answer.body["flavors"]
            found += page
            if not page or not answer.body.get("flavors_links"):
                return found

    async def remove_service(self, service: str) -> bool:
        """Remove a host altogether (service, compute node, provider, mapping, aggregates); False if it is gone already.

        Refused while instances or migrations are on it.
        """
        return (await self._call("DELETE", f"/os-services/{service}", expect=(404,))).ok

    async def mapped(self, host: str) -> bool:
        """Return whether Nova has mapped the host to its cell; before that no server can be built on it.

        The hypervisor list leaves out hosts without a mapping. Only nova-manage discover_hosts or the scheduler's
        interval can make one.
        """
        query = {"hypervisor_hostname_pattern": host}
        answer = await self._call("GET", "/os-hypervisors", query=query, expect=(404,))
        return answer.ok and any(raw["hypervisor_hostname"] == host for raw in answer.body["hypervisors"])

    async def ensure_in_zone(self, host: str, zone: str) -> None:
        """Put the host into the aggregate of an availability zone, making one if there is none.

        Service, compute node and provider must exist. Unavailable while the host is not mapped to its cell; Refused
        if it is in another zone.
        """
        aggregates = await self._aggregates(zone)
        if any(host in aggregate["hosts"] for aggregate in aggregates):
            return
        aggregate = _best(aggregates, zone) or await self._create_aggregate(zone)
        answer = await self._act(aggregate, "add_host", host, expect=(404, 409))
        if answer.ok or any(host in found["hosts"] for found in await self._aggregates(zone)):
            return
        if answer.status == 404:
            raise Unavailable(
                f"Nova has not mapped host {host} to its cell (discover_hosts_in_cells_interval, "
                f"or nova-manage cell_v2 discover_hosts): {answer.message()}",
                retry_after=5.0,
            )
        raise Refused(FaultCode.CONFLICT, f"host {host} cannot join availability zone {zone}: {answer.message()}")

    async def leave_zone(self, host: str, zone: str) -> None:
        """Take the host out of every aggregate of a zone; Refused while it has instances."""
        for aggregate in await self._aggregates(zone):
            if host in aggregate["hosts"]:
                await self._act(aggregate, "remove_host", host, expect=(404,))

    async def _aggregates(self, zone: str) -> list[dict[str, Any]]:
        found = (await self._call("GET", "/os-aggregates")).body["aggregates"]
        return [raw for raw in found if raw["metadata"].get("availability_zone") == zone]

    async def _create_aggregate(self, zone: str) -> dict[str, Any]:
        body = {"aggregate": {"name": aggregate_name(zone), "availability_zone": zone}}
        answer = await self._call("POST", "/os-aggregates", body=body, expect=(409,))
        if answer.ok:
            created: dict[str, Any] = answer.body["aggregate"]
            return created
        # another bridge was faster, or the name is taken without that zone
        found = _best(await self._aggregates(zone), zone)
        if found is None:
            raise Refused(
                FaultCode.CONFLICT, f"the aggregate {aggregate_name(zone)} exists without availability_zone={zone}"
            )
        return found

    async def _act(self, aggregate: Mapping[str, Any], action: str, host: str, expect: tuple[int, ...]) -> Answer:
        return await self._call(
            "POST", f"/os-aggregates/{aggregate['id']}/action", body={action: {"host": host}}, expect=expect
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        expect: tuple[int, ...] = (),
    ) -> Answer:
        """Return the answer if it is a 2xx or expected; Refused for any other."""
        answer = await self._session.call("compute", method, path, body=body, query=query, microversion=MICROVERSION)
        if not answer.ok and answer.status not in expect:
            raise Refused(FaultCode.REJECTED, f"{method} compute {path}: {answer.message()}")
        return answer


def aggregate_name(zone: str) -> str:
    """Return the name of the aggregate we make for a zone."""
    return f"cascade-{zone}"


def _best(aggregates: list[dict[str, Any]], zone: str) -> dict[str, Any] | None:
    ours = [raw for raw in aggregates if raw["name"] == aggregate_name(zone)]
    return min(ours or aggregates, key=lambda raw: int(raw["id"]), default=None)


def _service(raw: Mapping[str, Any]) -> Service:
    return Service(
        uuid=raw["id"],
        host=raw["host"],
        up=raw["state"] == "up",
        disabled=raw["status"] == "disabled",
        disabled_reason=raw.get("disabled_reason"),
        forced_down=bool(raw.get("forced_down")),
    )
