"""Many boots at once of what no site has ever seen: one of each is made in a site, and it goes with the servers.

CASCADE_E2E_BOOTS says how many boots each site gets: 3 in CI, 20 with `make e2e-full`.
"""

import os
import uuid as uuids
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from deploy.demo.stack import SITES
from tests.e2e.clouds import Tenant, User, eventually
from tests.e2e.conftest import tagged

EACH = 20 if int(os.environ.get("CASCADE_E2E_BOOTS", "2")) >= 10 else 3
TOGETHER = 400.0  # s for all of them


@pytest.fixture
def image(operator: User) -> Iterator[str]:
    """A public image of 1 MiB with a content of its own."""
    glance = operator.connection.image
    fields = {"name": "never-seen", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    made = str(glance.post("/images", json=fields).json()["id"])
    headers = {"Content-Type": "application/octet-stream"}
    assert glance.put(f"/images/{made}/file", data=os.urandom(1 << 20), headers=headers).status_code == 204
    yield made
    glance.delete(f"/images/{made}")


@pytest.fixture
def flavor(operator: User) -> Iterator[str]:
    """A public flavor nobody has booted."""
    made = f"e2e-{uuids.uuid4().hex[:8]}"
    fields = {"id": made, "name": made, "ram": 64, "vcpus": 1, "disk": 1}
    assert operator.connection.compute.post("/flavors", json={"flavor": fields}).status_code == 200
    yield made
    operator.connection.compute.delete(f"/flavors/{made}")


@pytest.fixture
def network(tenant: Tenant) -> Iterator[str]:
    """A network of the tenant with a subnet."""
    neutron = tenant.connection.network
    made = str(neutron.post("/networks", json={"network": {"name": "never-seen"}}).json()["network"]["id"])
    subnet = {"network_id": made, "cidr": "10.77.0.0/24", "ip_version": 4}
    assert neutron.post("/subnets", json={"subnet": subnet}).status_code == 201
    yield made
    eventually(lambda: neutron.delete(f"/networks/{made}").status_code in (204, 404), 60, "the network stays above")


@pytest.fixture
def keypair(tenant: Tenant) -> Iterator[str]:
    """A keypair of the tenant."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    text = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    body = {"keypair": {"name": "never-seen", "type": "ssh", "public_key": text}}
    tenant.connection.compute.delete("/os-keypairs/never-seen")
    assert tenant.connection.compute.post("/os-keypairs", json=body).status_code == 201
    yield "never-seen"
    tenant.connection.compute.delete("/os-keypairs/never-seen")


def test_one_of_each_is_made(
    tenant: Tenant, sites: dict[str, User], image: str, flavor: str, network: str, keypair: str
) -> None:
    booted = [
        tenant.boot(
            f"e2e-{site}-{number}", f"az-{site}", imageRef=image, flavorRef=flavor, key_name=keypair,
            networks=[{"uuid": network}],
        )
        for number in range(EACH) for site in SITES
    ]  # fmt: skip
    for uuid in booted:
        tenant.wait_status(uuid, "ACTIVE", TOGETHER)
    for name, site in sites.items():
        mine = [server for uuid in booted for server in tagged(site, uuid)]
        assert len(mine) == EACH, name
        assert len({server["image"]["id"] for server in mine}) == 1
        assert len({server["key_name"] for server in mine}) == 1
        assert {server["flavor"]["original_name"] for server in mine} == {f"cascade-{flavor}-v1"}
        assert len(site.get("image", "/images", cascade_image_id=image)["images"]) == 1
        assert len(site.get("network", "/networks", tags=f"cascade:{network}")["networks"]) == 1
    check_unique_addresses(tenant, booted)
    tenant.delete(*booted)
    for site in sites.values():
        assert not site.get("network", "/networks", tags=f"cascade:{network}")["networks"]


def check_unique_addresses(tenant: Tenant, booted: list[str]) -> None:
    """Every server has one address, and no two have the same."""
    shown = [tenant.server(uuid)["addresses"]["never-seen"] for uuid in booted]
    addresses = {entry["addr"] for cards in shown for entry in cards}
    assert all(len(cards) == 1 for cards in shown) and len(addresses) == len(booted)


def test_as_much_metadata_and_as_many_tags_as_nova_takes(tenant: Tenant, sites: dict[str, User]) -> None:
    metadata = {f"key-{number}": "v" * 255 for number in range(128)}
    tags = [f"tag-{number}" for number in range(50)]
    uuid = tenant.boot("e2e-metadata", "az-oslo", metadata=metadata, tags=tags)
    above: dict[str, Any] = tenant.wait_status(uuid, "ACTIVE")
    (below,) = tagged(sites["oslo"], uuid)
    assert above["metadata"] == below["metadata"] == metadata
    assert sorted(above["tags"]) == sorted(tags)
    tenant.delete(uuid)
