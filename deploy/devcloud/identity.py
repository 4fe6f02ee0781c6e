"""Fills Keystone: service catalogue, projects, users, roles."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from deploy.devcloud import parallel, process
from deploy.devcloud.cloud import ADMIN, CINDER_API, MEMBER, REGION, SITE, Cloud
from deploy.devcloud.config import Site
from deploy.devcloud.environment import service_environment
from deploy.devcloud.rest import Session

AGENT_PROJECT = "cascade"
SERVICE_ROLE = "service"
"""Made by the bootstrap of releases since 2023."""
INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class User:
    """A user of one project; `login` is the cloud's name in clouds.yaml after NAME and a hyphen."""

    name: str
    project: str
    roles: tuple[str, ...]
    secret: str
    login: str = ""


def users(cloud: Cloud) -> list[User]:
    """Who exists in a cloud besides the admin. The service users have admin + service, as secure RBAC wants it."""
    names = ["nova", "placement", "glance", "neutron", *(["cinder"] if cloud.options.cinder else [])]
    found = [User(name, "service", ("admin", "service"), "services") for name in names]
    found.append(User("cascade-bridge", "service", ("admin", "service"), "service", "service"))
    found.append(User("demo", "demo", ("member",), "demo", "demo"))
    if cloud.options.role == SITE:
        found.append(agent(cloud))
    return found


def agent(cloud: Cloud) -> User:
    """The site's user for the product's agent, an admin of its project or a plain member."""
    roles = (ADMIN, MEMBER) if cloud.options.agent_role == ADMIN else (MEMBER,)
    return User("cascade-agent", AGENT_PROJECT, roles, "agent", "agent")


def endpoints(cloud: Cloud) -> dict[tuple[str, str], str]:
    """(name, type) of a service -> its address; Keystone's own is made by the bootstrap."""
    found = {
        ("nova", "compute"): f"{cloud.url('nova-api')}/v2.1",
        ("placement", "placement"): cloud.url("placement"),
        ("glance", "image"): cloud.url("glance"),
        ("neutron", "network"): cloud.url("neutron"),
    }
    if cloud.options.cinder:
        address = f"{cloud.url(CINDER_API)}/v3"
        found["cinder", "block-storage"] = address
        found["cinderv3", "volumev3"] = f"{address}/%(project_id)s"
    return found


def bootstrap(site: Site) -> None:
    """Makes the roles, the admin and Keystone's endpoint, straight in the database (Keystone need not run)."""
    cloud = site.cloud
    file = cloud.etc("keystone") / "keystone.conf"
    command = [
        str(site.venv / "bin" / "keystone-manage"), "--config-file", str(file), "bootstrap",
        "--bootstrap-region-id", REGION,
        *(f"--bootstrap-{interface}-url={cloud.auth_url}" for interface in INTERFACES),
    ]  # fmt: skip
    env = service_environment(site.layout, OS_BOOTSTRAP_PASSWORD=cloud.secrets["admin"])
    process.run(command, cloud.log("keystone-bootstrap"), env, cloud.home, "keystone-manage bootstrap")


def fill(admin: Session) -> None:
    """Makes catalogue, projects and users."""
    cloud = admin.cloud
    roles = {role["name"]: role["id"] for role in admin.call("GET", "keystone", "/v3/roles")["roles"]}
    if SERVICE_ROLE not in roles:
        roles[SERVICE_ROLE] = create(admin, "role", name=SERVICE_ROLE)
    projects = {user.project for user in users(cloud)}
    project_ids = {name: create(admin, "project", name=name, domain_id="default") for name in sorted(projects)}
    jobs = [partial(add_user, admin, user, project_ids[user.project], roles) for user in users(cloud)]
    jobs += [partial(add_endpoint, admin, *key, url) for key, url in endpoints(cloud).items()]
    parallel.run(jobs, threads=3)


def create(admin: Session, kind: str, **fields: Any) -> str:
    """POST of one Keystone resource; its id."""
    made: dict[str, dict[str, str]] = admin.call("POST", "keystone", f"/v3/{kind}s", {kind: fields})
    return made[kind]["id"]


def add_user(admin: Session, user: User, project_id: str, roles: dict[str, str]) -> None:
    """Makes a user and gives it its roles in its project."""
    password = admin.cloud.secrets[user.secret]
    user_id = create(admin, "user", name=user.name, domain_id="default", password=password)
    for role in user.roles:
        admin.call("PUT", "keystone", f"/v3/projects/{project_id}/users/{user_id}/roles/{roles[role]}")


def add_endpoint(admin: Session, name: str, kind: str, url: str) -> None:
    """Makes a service with its three endpoints."""
    service_id = create(admin, "service", name=name, type=kind)
    for interface in INTERFACES:
        create(admin, "endpoint", service_id=service_id, interface=interface, url=url, region_id=REGION)
