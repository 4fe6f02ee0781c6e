"""Makes the two clouds comparable: the plain one gets the flavors, an image and a network as the cascading one has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.demo.stack import Stack
from tests.e2e.clouds import Tenant, User
from tests.sequences.side import Side

PLAIN, BELOW = "paris", "oslo"  # a site's Nova used as it is, and the site that the cascade uses
FLAVORS = ("1", "2")  # of the cascading cloud
MARK = "sequences"


@contextmanager
def sides(stack: Stack) -> Iterator[tuple[Side, Side]]:
    """Yield the plain side, with a tenant who is not the agent's user, and the cascade's."""
    stack.wait_online()
    tenant, admin, user = Tenant(stack), User(stack, PLAIN), User(stack, f"{PLAIN}-demo")
    flavors = [_flavor(tenant, admin, user, flavor) for flavor in FLAVORS]
    image, network = _image(tenant, user), _network(user)
    try:
        plain = Side(user, "nova", image, (flavors[0], flavors[1]), network)
        yield plain, Side(tenant, f"az-{BELOW}", tenant.image, (FLAVORS[0], FLAVORS[1]), tenant.network)
    finally:
        user.connection.network.delete(f"/networks/{network}")
        user.connection.image.delete(f"/images/{image}")
        for flavor in flavors:
            admin.connection.compute.delete(f"/flavors/{flavor}")


def _flavor(tenant: Tenant, admin: User, user: User, flavor: str) -> str:
    """Make a flavor of the cascading cloud in the plain one, for this project only; there already is fine."""
    wanted = tenant.get("compute", f"/flavors/{flavor}")["flavor"]
    made = f"{MARK}-{flavor}"
    fields = {name: wanted[name] for name in ("name", "ram", "vcpus", "disk")}
    private = {"id": made, "os-flavor-access:is_public": False}
    compute = admin.connection.compute
    answer = compute.post("/flavors", json={"flavor": {**fields, **private}})
    assert answer.status_code in (200, 409), answer.text
    access = {"addTenantAccess": {"tenant": user.connection.current_project_id}}
    assert compute.post(f"/flavors/{made}/action", json=access).status_code in (200, 409)
    return made


def _image(tenant: Tenant, user: User) -> str:
    """Make an image with the same properties."""
    wanted = tenant.get("image", f"/images/{tenant.image}")
    properties = ("name", "disk_format", "container_format", "min_disk", "min_ram", "hw_rng_model", "hw_disk_bus")
    fields: dict[str, Any] = {name: wanted[name] for name in (*properties, "os_distro")}
    glance = user.connection.image
    made = str(glance.post("/images", json=fields).json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    assert glance.put(f"/images/{made}/file", data=b"sequence" * 1024, headers=headers).status_code == 204
    return made


def _network(user: User) -> str:
    neutron = user.connection.network
    network = str(neutron.post("/networks", json={"network": {"name": MARK}}).json()["network"]["id"])
    subnet = {"network_id": network, "cidr": "10.20.0.0/24", "ip_version": 4}
    assert neutron.post("/subnets", json={"subnet": subnet}).status_code == 201
    return network
