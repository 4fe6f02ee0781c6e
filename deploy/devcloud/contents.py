"""What a new cloud holds: flavors, an image, networks. The two roles differ on purpose.

A site has none of the cascading cloud's flavors, images and networks, and other ids for everything: what the product
needs there it must make itself.
"""

import random
from typing import Any

from deploy.devcloud.cloud import CASCADING, MEMBER
from deploy.devcloud.identity import AGENT_PROJECT
from deploy.devcloud.rest import Session, log_in

MIB = 1 << 20
CASCADING_FLAVORS = (("m1.tiny", "1", 1, 128, 1), ("m1.small", "2", 1, 512, 5), ("m1.large", "3", 4, 4096, 20))
SITE_FLAVORS = (("vendor.s", "vendor-small", 1, 256, 2),)
"""Name, id, VCPUs, MiB, GiB."""
MATCHING_FLAVORS = tuple((f"vendor.{name}", f"vendor-{name}", *size) for name, _, *size in CASCADING_FLAVORS[:2])
"""Where the agent may make no flavor, it finds some of the cascading cloud's under the vendor's own names."""
TENANT_NETWORKS = (("demo-net", "10.20.0.0/24"), ("demo-net2", "10.21.0.0/24"))
SITE_NETWORKS = (("vendor-net", "172.30.0.0/24"),)


def fill(admin: Session) -> None:
    """Makes everything of the cloud's role."""
    if admin.cloud.options.role == CASCADING:
        add_flavors(admin, CASCADING_FLAVORS)
        properties = {"hw_rng_model": "virtio", "hw_disk_bus": "virtio", "os_distro": "cirros"}
        add_image(admin, "cirros", MIB, properties)
        tenant = log_in(admin.cloud, "demo", admin.cloud.secrets["demo"], "demo")
        add_networks(tenant, TENANT_NETWORKS)
    else:
        add_flavors(admin, SITE_FLAVORS)
        if admin.cloud.options.agent_role == MEMBER:
            add_flavors(admin, MATCHING_FLAVORS)
            set_quota(admin, AGENT_PROJECT)
        add_image(admin, "vendor-linux", MIB // 4, {"os_distro": "vendor"})
        add_networks(admin, SITE_NETWORKS)


def add_flavors(admin: Session, flavors: tuple[tuple[str, str, int, int, int], ...]) -> None:
    """Makes public flavors."""
    for name, flavor_id, vcpus, ram, disk in flavors:
        flavor = {"name": name, "id": flavor_id, "vcpus": vcpus, "ram": ram, "disk": disk}
        admin.call("POST", "nova-api", "/v2.1/flavors", {"flavor": flavor})


def set_quota(admin: Session, project: str) -> None:
    """Gives a project as much as the site's computes have, as a vendor does who sells a share of it."""
    found = admin.call("GET", "keystone", f"/v3/projects?name={project}")["projects"]
    options = admin.cloud.options
    quota = {"cores": options.size.vcpus * options.computes, "ram": options.size.ram_mib * options.computes}
    admin.call("PUT", "nova-api", f"/v2.1/os-quota-sets/{found[0]['id']}", {"quota_set": quota})


def add_image(admin: Session, name: str, size: int, properties: dict[str, str]) -> None:
    """Makes a public raw image of `size` bytes that do not compress and differ from cloud to cloud."""
    image: dict[str, Any] = {
        "name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public",
        "min_disk": 1, "min_ram": 64, **properties,
    }  # fmt: skip
    image_id = admin.call("POST", "glance", "/v2/images", image)["id"]
    content = random.Random(f"{admin.cloud.name} {name}").randbytes(size)
    admin.upload(f"/v2/images/{image_id}/file", content)


def add_networks(session: Session, networks: tuple[tuple[str, str], ...]) -> None:
    """Makes networks of the session's project, each with one subnet with DHCP."""
    for name, cidr in networks:
        network_id = session.call("POST", "neutron", "/v2.0/networks", {"network": {"name": name}})["network"]["id"]
        subnet = {
            "name": f"{name}-subnet",
            "network_id": network_id,
            "cidr": cidr,
            "ip_version": 4,
            "enable_dhcp": True,
        }
        session.call("POST", "neutron", "/v2.0/subnets", {"subnet": subnet})
