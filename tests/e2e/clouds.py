"""The three clouds as tests see them: plain REST through openstacksdk's connection, one object per user."""

from collections.abc import Callable
from typing import Any

import openstack

from deploy.demo.stack import Stack, wait

BOOT = 150.0  # s
DELETE = 90.0  # s
CHANGE = 60.0  # s


class User:
    """One entry of clouds.yaml."""

    def __init__(self, stack: Stack, cloud: str, microversion: str = "2.96") -> None:
        config = openstack.config.OpenStackConfig(config_files=[str(stack.clouds_yaml)])
        self.connection = openstack.connection.Connection(config=config.get_one(cloud=cloud))
        self.connection.compute.default_microversion = microversion

    def get(self, service: str, path: str, **query: Any) -> Any:
        """GET and return the JSON body."""
        answer = getattr(self.connection, service).get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def servers(self) -> list[dict[str, Any]]:
        """Return the project's servers in detail."""
        found: list[dict[str, Any]] = self.get("compute", "/servers/detail")["servers"]
        return found

    def server(self, server_id: str) -> dict[str, Any]:
        """Return one server."""
        found: dict[str, Any] = self.get("compute", f"/servers/{server_id}")["server"]
        return found

    def ports(self, **query: str) -> list[dict[str, Any]]:
        """Return ports."""
        found: list[dict[str, Any]] = self.get("network", "/ports", **query)["ports"]
        return found

    def action(self, server_id: str, body: dict[str, Any]) -> Any:
        """POST a server action; returns the response, whatever its status."""
        return self.connection.compute.post(f"/servers/{server_id}/action", json=body)


class Tenant(User):
    """The tenant of the cascading cloud, with what booting needs looked up once."""

    def __init__(self, stack: Stack, microversion: str = "2.96") -> None:
        super().__init__(stack, f"{stack.top}-demo", microversion)
        self.image = self._id("image", "/images", "images", "cirros")
        self.network = self._id("network", "/networks", "networks", "demo-net")
        self.network2 = self._id("network", "/networks", "networks", "demo-net2")
        self.flavor = self._id("compute", "/flavors", "flavors", "m1.tiny")

    def _id(self, service: str, path: str, key: str, name: str) -> str:
        return next(str(found["id"]) for found in self.get(service, path)[key] if found["name"] == name)

    def boot(self, name: str, zone: str | None, **fields: Any) -> str:
        """Ask for a server and return its id; does not wait."""
        body = {
            "name": name,
            "flavorRef": self.flavor,
            "imageRef": self.image,
            "networks": [{"uuid": self.network}],
            **({"availability_zone": zone} if zone else {}),
            **fields,
        }
        answer = self.connection.compute.post("/servers", json={"server": body})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["server"]["id"])

    def wait_status(self, server_id: str, status: str, timeout: float = BOOT) -> dict[str, Any]:
        """Return the server once it has the status and no task; fails at once on an ERROR nobody waits for."""
        last: dict[str, Any] = {}

        def reached() -> bool:
            last.update(self.server(server_id))
            assert status == "ERROR" or last["status"] != "ERROR", last.get("fault")
            return last["status"] == status and last["OS-EXT-STS:task_state"] is None

        try:
            wait(reached, timeout, f"server {server_id} is not {status}", pause=0.3)
        except Exception as error:
            error.add_note(f"last seen: {last.get('status')} {last.get('OS-EXT-STS:task_state')}")
            raise
        return last

    def wait_gone(self, *server_ids: str) -> None:
        """Return once the servers are gone."""
        wait(lambda: not any(self._exists(server_id) for server_id in server_ids), DELETE, "servers remain")

    def _exists(self, server_id: str) -> bool:
        return bool(self.connection.compute.get(f"/servers/{server_id}").status_code == 200)

    def delete(self, *server_ids: str) -> None:
        """Delete servers and wait until they are gone."""
        for server_id in server_ids:
            self.connection.compute.delete(f"/servers/{server_id}")
        self.wait_gone(*server_ids)


def eventually(condition: Callable[[], bool], timeout: float, complaint: str) -> None:
    """Wait for a condition with a deadline."""
    wait(condition, timeout, complaint, pause=0.3)


def act(tenant: Tenant, uuid: str, action: dict[str, Any], status: str) -> dict[str, Any]:
    """Ask for an action and return the server once it has the status."""
    answer = tenant.action(uuid, action)
    assert answer.status_code in (200, 202, 204), answer.text
    return tenant.wait_status(uuid, status, CHANGE)


def held(operator: User, consumer: str) -> dict[str, int]:
    """Return what a consumer holds in the Placement above."""
    allocations = operator.connection.placement.get(f"/allocations/{consumer}").json()["allocations"]
    return {name: amount for one in allocations.values() for name, amount in one["resources"].items()}
