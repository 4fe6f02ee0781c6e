"""What is measured of a server, in both forms of the API; and the addresses of its card below microversion 2.44."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.clouds import CHANGE, Tenant, User, eventually
from tests.e2e.conftest import tagged


@pytest.fixture(scope="module")
def server(tenant: Tenant) -> Iterator[str]:
    """A server in paris."""
    uuid = tenant.boot("e2e-diagnostics", "az-paris")
    tenant.wait_status(uuid, "ACTIVE")
    yield uuid
    tenant.delete(uuid)


def diagnostics(user: User, server_id: str, microversion: str) -> Any:
    """Ask for them; returns the response."""
    path = f"/servers/{server_id}/diagnostics"
    return user.connection.compute.get(path, microversion=microversion)


@pytest.mark.parametrize("microversion", ["2.47", "2.48"])
def test_diagnostics_are_the_sites(operator: User, sites: dict[str, User], server: str, microversion: str) -> None:
    (below,) = tagged(sites["paris"], server)
    shown, expected = (
        diagnostics(user, server_id, microversion)
        for user, server_id in ((operator, server), (sites["paris"], below["id"]))
    )
    assert shown.status_code == 200, shown.text
    assert shown.json() == expected.json() != {}


def addresses(user: User, server_id: str) -> set[str]:
    """The addresses of a server's cards."""
    return {fixed["ip_address"] for port in user.ports(device_id=server_id) for fixed in port["fixed_ips"]}


def shown(tenant: Tenant, server_id: str) -> set[str]:
    """The addresses that Nova shows."""
    return {entry["addr"] for entries in tenant.server(server_id)["addresses"].values() for entry in entries}


def change(tenant: Tenant, server_id: str, action: dict[str, Any]) -> None:
    """Ask for a change of addresses."""
    path = f"/servers/{server_id}/action"
    answer = tenant.connection.compute.post(path, json=action, microversion="2.43")
    assert answer.status_code == 202, answer.text


def test_an_address_comes_and_goes(tenant: Tenant, sites: dict[str, User], server: str) -> None:
    (below,) = tagged(sites["paris"], server)
    before = addresses(tenant, server)
    change(tenant, server, {"addFixedIp": {"networkId": tenant.network}})
    eventually(lambda: len(shown(tenant, server)) == 2, CHANGE, "the second address is not shown")
    now = addresses(tenant, server)
    assert now == shown(tenant, server) > before
    eventually(lambda: addresses(sites["paris"], below["id"]) == now, CHANGE, "the site's card has other addresses")
    change(tenant, server, {"removeFixedIp": {"address": (now - before).pop()}})
    eventually(lambda: shown(tenant, server) == before, CHANGE, "the second address is still shown")
    eventually(lambda: addresses(sites["paris"], below["id"]) == before, CHANGE, "the site's card still has it")


def test_a_stopped_server_has_none(tenant: Tenant, operator: User, server: str) -> None:
    assert tenant.action(server, {"os-stop": None}).status_code == 202
    tenant.wait_status(server, "SHUTOFF", CHANGE)
    for microversion in ("2.47", "2.48"):
        answer = diagnostics(operator, server, microversion)
        assert answer.status_code == 409 and server in answer.text, answer.text
