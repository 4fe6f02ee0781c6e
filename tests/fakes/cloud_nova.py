"""Nova of a cascaded cloud in memory: servers, flavors, keypairs, hosts; only what the agent asks for."""

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from site_agent.core.answers import Answer
from site_agent.core.servers import iso, seconds
from tests.fakes.cloud_glance import SiteGlance
from tests.fakes.cloud_neutron import SiteNeutron
from tests.fakes.process import clock_ahead

NOT_FOUND = Answer(404, {"itemNotFound": {"code": 404, "message": "could not be found."}})
FORBIDDEN = Answer(403, {"forbidden": {"code": 403, "message": "Policy doesn't allow it to be performed."}})
ACCEPTED = Answer(202)
DIAGNOSTICS: dict[str, Any] = {
    "state": "running",
    "driver": "libvirt",
    "hypervisor": "kvm",
    "hypervisor_os": "ubuntu",
    "uptime": 46664,
    "config_drive": True,
    "memory_details": {"maximum": 524288, "used": 0},
    "cpu_details": [{"id": 0, "time": 17300000000, "utilisation": 15}],
    "nic_details": [{"mac_address": "01:23:45:67:89:ab", "rx_octets": 2070139, "tx_packets": 662}],
    "disk_details": [{"read_bytes": 262144, "errors_count": 1}],
    "num_cpus": 1,
    "num_nics": 1,
    "num_disks": 1,
}
STATUS = {
    "building": "BUILD", "active": "ACTIVE", "stopped": "SHUTOFF", "error": "ERROR", "deleted": "DELETED",
    "soft-delete": "SOFT_DELETED", "paused": "PAUSED",
    "suspended": "SUSPENDED", "rescued": "RESCUE",
    "resized": "VERIFY_RESIZE", "shelved": "SHELVED", "shelved_offloaded": "SHELVED_OFFLOADED",
}  # fmt: skip


@dataclass(slots=True)
class SiteServer:
    """One server; ``plan`` is what happens to it by itself: (when, what)."""

    id: str
    body: dict[str, Any]
    created: float
    updated: float
    vm_state: str = "building"
    task_state: str | None = "scheduling"
    power_state: int = 0
    fault: str | None = None
    locked: bool = False
    in_down_cell: bool = False
    launched: float | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)  # instance actions that the agent looks for
    deeds: list[str] = field(default_factory=list)  # everything the site accepted, by Nova's names of actions
    plan: list[tuple[float, Callable[["SiteServer"], None]]] = field(default_factory=list)

    @property
    def tags(self) -> list[str]:
        """Tags; a deleted server has none."""
        return [] if self.vm_state == "deleted" else self.body.get("tags", [])

    @property
    def ports(self) -> list[str]:
        """Ids of its ports."""
        networks = self.body["networks"]
        return [] if isinstance(networks, str) else [network["port"] for network in networks]


class SiteNova:
    """Answers /servers, /flavors, /os-keypairs and the host lists."""

    def __init__(self, user_id: str, *, admin: bool, build_time: float, step_time: float) -> None:
        self.user_id = user_id
        self.admin = admin
        self.limits = {"maxTotalInstances": -1, "maxTotalCores": -1, "maxTotalRAMSize": -1}  # of the agent's project
        self.ahead = 0.0  # s of the site's clock
        self.build_time = build_time
        self.step_time = step_time
        self.neutron: SiteNeutron
        self.glance: SiteGlance
        self.fail_snapshots = False
        self.servers: dict[str, SiteServer] = {}
        self.flavors: dict[str, dict[str, Any]] = {}
        self.keypairs: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.moves: list[dict[str, str]] = []  # of servers inside the site
        self.fail_builds: str | None = None  # the fault every build ends in
        self.fail_resizes = False  # every resize ends with the server as it was
        self.reclaim = False  # reclaim_instance_interval is set
        self.page = 1000  # osapi_max_limit
        self._numbers = itertools.count(1)

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request, by the site's own clock."""
        with clock_ahead(self.ahead):
            return self._answer(method, path, params, body)

    def _answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        self._advance()
        for pattern, handler in _ROUTES:
            match = re.fullmatch(pattern, f"{method} {path}")
            if match:
                result: Answer = handler(self, *match.groups(), params, body)
                return result
        return NOT_FOUND

    def advance(self) -> None:
        """Do what the site does by itself and whose moment has come."""
        with clock_ahead(self.ahead):
            self._advance()

    def _advance(self) -> None:
        now = time.time()
        for server in self.servers.values():
            while server.plan and server.plan[0][0] <= now:
                moment, step = server.plan.pop(0)
                step(server)
                server.updated = moment

    def alive(self) -> list[SiteServer]:
        """Return the servers that are not deleted."""
        self.advance()
        return [server for server in self.servers.values() if server.vm_state != "deleted"]

    def vendor(self, server: SiteServer, action: str) -> None:
        """Let the site's own people act: "lock", "soft-delete", "error", "delete", or an action such as "os-stop"."""
        with clock_ahead(self.ahead):
            self._vendor(server, action)

    def _vendor(self, server: SiteServer, action: str) -> None:
        known = len(server.actions)
        if action == "delete":
            self._plan(server, 0.0, _deleted)
        elif action in ("soft-delete", "error"):
            self._plan(server, 0.0, lambda s: _set(s, action, 4))
        elif action == "lock":
            server.locked = True
        else:
            _action(self, server.id, {}, {action: None})
        for done in server.actions[: len(server.actions) - known]:
            done["user_id"] = "vendor"
        self._advance()

    def _plan(self, server: SiteServer, delay: float, step: Callable[[SiteServer], None]) -> None:
        server.plan.append((time.time() + delay, step))

    def touch(self, server: SiteServer, **changes: Any) -> None:
        """Change a server now."""
        for key, value in changes.items():
            setattr(server, key, value)
        server.updated = time.time()


def _list(nova: SiteNova, detail: str | None, params: Mapping[str, str], _body: Any) -> Answer:
    found = list(nova.servers.values())
    if "changes-since" in params:
        since = seconds(params["changes-since"]) or 0.0
        found = [server for server in found if int(server.updated) >= since]
    else:
        found = [server for server in found if server.vm_state not in ("deleted", "soft-delete")]
    if "tags" in params:
        found = [server for server in found if set(params["tags"].split(",")) <= set(server.tags)]
    if params:
        found = [server for server in found if not server.in_down_cell]
    ids = [server.id for server in found]
    if params.get("marker"):
        if params["marker"] not in nova.servers:
            return Answer(400, {"badRequest": {"message": "marker not found"}})
        found = found[ids.index(params["marker"]) + 1 :] if params["marker"] in ids else found
    limit = min(int(params.get("limit", nova.page)), nova.page)
    links = [{"rel": "next", "href": "more"}] if len(found) > limit else []
    documents = [_document(server) for server in found[:limit]]
    return Answer(200, {"servers": documents, **({"servers_links": links} if links else {})})


def _document(server: SiteServer) -> dict[str, Any]:
    if server.in_down_cell:
        return {"id": server.id, "status": "UNKNOWN", "created": iso(server.created)}
    launched = (
        datetime.fromtimestamp(server.launched, UTC).replace(tzinfo=None).isoformat() if server.launched else None
    )
    status = STATUS[server.vm_state]
    return {
        "id": server.id,
        "name": server.body["name"],
        "description": server.body.get("description"),
        "metadata": dict(server.body.get("metadata") or {}),
        "status": "REBOOT" if server.task_state == "rebooting" else status,
        "created": iso(server.created),
        "updated": iso(server.updated),
        "tags": list(server.tags),
        "flavor": {"original_name": server.body.get("flavorRef")},
        "image": {"id": server.body["imageRef"]} if server.body.get("imageRef") else "",
        "key_name": server.body.get("key_name"),
        "locked": server.locked,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:power_state": server.power_state,
        "OS-SRV-USG:launched_at": launched,
        **({"fault": {"code": 500, "message": server.fault}} if server.fault else {}),
    }


def _show(nova: SiteNova, server_id: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    return Answer(200, {"server": _document(server)})


def _create(nova: SiteNova, _params: Any, body: Any) -> Answer:
    asked = body["server"]
    if asked["flavorRef"] not in nova.flavors:
        return Answer(400, {"badRequest": {"message": "Invalid flavorRef provided."}})
    group = body.get("os:scheduler_hints", {}).get("group")
    if group and group not in nova.groups:
        return Answer(400, {"badRequest": {"message": f"Instance group {group} could not be found."}})
    if asked.get("key_name") and asked["key_name"] not in nova.keypairs:
        return Answer(400, {"badRequest": {"message": "Invalid key_name provided."}})
    server = SiteServer(f"srv-{next(nova._numbers)}", {**asked, **body}, time.time(), time.time())
    for port_id in server.ports:
        port = nova.neutron.things["ports"].get(port_id)
        if port is None:
            return Answer(400, {"badRequest": {"message": f"Port {port_id} could not be found."}})
        if port["device_id"]:
            return Answer(409, {"conflictingRequest": {"message": f"Port {port_id} is still in use."}})
    nova.servers[server.id] = server
    server.deeds.append("create")
    nova._plan(server, nova.build_time / 2, lambda s: _spawning(nova, s))
    nova._plan(server, nova.build_time, lambda s: _built(nova, s))
    return Answer(202, {"server": {"id": server.id}})


def _spawning(nova: SiteNova, server: SiteServer) -> None:
    server.task_state = "spawning"
    for port_id in server.ports:
        port = nova.neutron.things["ports"][port_id]
        if port["device_id"]:
            nova_fault = f"Port {port_id} is still in use."
            server.vm_state, server.task_state, server.fault = "error", None, nova_fault
            server.plan.clear()
            return
        port["device_id"] = server.id


def _built(nova: SiteNova, server: SiteServer) -> None:
    server.task_state = None
    if nova.fail_builds:
        server.vm_state, server.fault = "error", nova.fail_builds
        return
    server.vm_state, server.power_state, server.launched = "active", 1, time.time()


def _delete(nova: SiteNova, server_id: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    if server.locked:
        return _conflict(f"Instance {server_id} is locked")
    server.plan.clear()
    if nova.reclaim and server.vm_state != "soft-delete":
        nova.touch(server, task_state="soft-deleting")
        nova._plan(server, nova.step_time, lambda s: _set(s, "soft-delete", 4))
    else:
        _force(nova, server)
    return Answer(204)


def _rename(nova: SiteNova, server_id: str, _params: Any, body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    server.body |= body["server"]
    nova.touch(server)
    return Answer(200, {"server": _document(server)})


def _add_metadata(nova: SiteNova, server_id: str, _params: Any, body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    if server.vm_state not in ("active", "stopped", "paused", "suspended"):
        return _conflict(f"Cannot 'update_instance_metadata' instance {server_id} while it is {server.vm_state}")
    server.body["metadata"] = {**(server.body.get("metadata") or {}), **body["metadata"]}
    nova.touch(server)
    return Answer(200, {"metadata": server.body["metadata"]})


def _drop_metadata(nova: SiteNova, server_id: str, key: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted" or server.body["metadata"].pop(unquote(key), None) is None:
        return NOT_FOUND
    return Answer(204)


def _untag(nova: SiteNova, server_id: str, tag: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or tag not in server.tags:
        return NOT_FOUND
    if server.vm_state not in ("active", "paused", "suspended", "stopped"):
        return _conflict(f"Cannot 'remove tag' while it is in vm_state {server.vm_state}")
    server.body["tags"] = [one for one in server.tags if one != tag]
    return Answer(204)


def _force(nova: SiteNova, server: SiteServer) -> None:
    server.deeds.append("delete")
    nova.touch(server, task_state="deleting")
    nova._plan(server, nova.step_time, lambda s: _freed(nova, s))


def _freed(nova: SiteNova, server: SiteServer) -> None:
    for port_id in server.ports:
        if port := nova.neutron.things["ports"].get(port_id):
            port["device_id"] = ""
    _deleted(server)


def _deleted(server: SiteServer) -> None:
    _set(server, "deleted", 0)


def _began(nova: SiteNova, server: SiteServer, action: str) -> None:
    server.deeds.append(action)
    server.actions.insert(0, {"action": action, "user_id": nova.user_id, "start_time": iso(time.time())})


def _set(server: SiteServer, vm_state: str, power_state: int) -> None:
    server.vm_state, server.power_state, server.task_state = vm_state, power_state, None


def _conflict(message: str) -> Answer:
    return Answer(409, {"conflictingRequest": {"code": 409, "message": message}})


def _action(nova: SiteNova, server_id: str, _params: Any, body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    name = next(iter(body))
    if name == "unlock":
        server.locked = False
        return ACCEPTED
    if name == "os-getConsoleOutput":
        lines = [f"console of {server_id}", "login:"][-(body[name].get("length") or 99) :]
        return Answer(200, {"output": "\n".join(lines)})
    if server.locked:
        return _conflict(f"Instance {server_id} is locked")
    if name == "createImage":
        return _create_image(nova, server, body[name])
    if name == "rebuild":
        server.body |= {key: value for key, value in body[name].items() if key in ("name", "description", "metadata")}
    if name == "forceDelete":
        _force(nova, server)
        return ACCEPTED
    return _power(nova, server, name)


# Action -> vm_states it starts from, its task_state, and the vm_state and power_state it ends in.
_POWER: dict[str, tuple[tuple[str, ...], str, str, int]] = {
    "os-stop": (("active", "error"), "powering-off", "stopped", 4),
    "os-start": (("stopped",), "powering-on", "active", 1),
    "reboot": (("active", "stopped", "error"), "rebooting", "active", 1),
    "pause": (("active",), "pausing", "paused", 3),
    "unpause": (("paused",), "unpausing", "active", 1),
    "suspend": (("active",), "suspending", "suspended", 4),
    "resume": (("suspended",), "resuming", "active", 1),
    "rescue": (("active", "stopped", "error"), "rescuing", "rescued", 1),
    "unrescue": (("rescued",), "unrescuing", "active", 1),
    "shelve": (("active", "stopped"), "shelving", "shelved", 4),
    "unshelve": (("shelved", "shelved_offloaded"), "unshelving", "active", 1),
    "restore": (("soft-delete",), "restoring", "active", 1),
}


def _cards(nova: SiteNova, server_id: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    return Answer(200, {"interfaceAttachments": [{"port_id": port_id} for port_id in server.ports]})


def _plug(nova: SiteNova, server_id: str, _params: Any, body: Any) -> Answer:
    port_id = body["interfaceAttachment"]["port_id"]
    nova.servers[server_id].body["networks"].append({"port": port_id})
    nova.servers[server_id].deeds.append("attach_interface")
    nova.neutron.things["ports"][port_id]["device_id"] = server_id
    return Answer(200, {"interfaceAttachment": {"port_id": port_id}})


def _unplug(nova: SiteNova, server_id: str, port_id: str, _params: Any, _body: Any) -> Answer:
    cards = nova.servers[server_id].body["networks"]
    if {"port": port_id} not in cards:
        return NOT_FOUND
    cards.remove({"port": port_id})
    nova.servers[server_id].deeds.append("detach_interface")
    nova.neutron.things["ports"][port_id]["device_id"] = ""
    return ACCEPTED


def _console(nova: SiteNova, server_id: str, _params: Any, body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    if server.vm_state != "active":
        return _conflict(f"Instance {server_id} is not ready")
    kind = body["remote_console"]["type"]
    return Answer(
        200, {"remote_console": {"protocol": "vnc", "type": kind, "url": f"http://console/{kind}/{server_id}"}}
    )


def _diagnostics(nova: SiteNova, server_id: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    if server is None or server.vm_state == "deleted":
        return NOT_FOUND
    if not nova.admin:
        return FORBIDDEN
    if server.vm_state != "active":
        return _conflict(f"Cannot 'get_diagnostics' instance {server_id} while it is in power state shutdown")
    return Answer(200, DIAGNOSTICS)


def _power(nova: SiteNova, server: SiteServer, name: str) -> Answer:
    if name == "changePassword":
        return ACCEPTED
    if name in _RESIZING:
        return _resizing(nova, server, name)
    stays = ("stopped", 4) if server.vm_state == "stopped" else ("active", 1)
    rebuild = (("active", "stopped", "error"), "rebuilding", *stays)
    wanted, task, vm_state, power_state = rebuild if name == "rebuild" else _POWER[name]
    if server.task_state:
        return _conflict(f"Cannot '{name}' instance {server.id} while it is in task_state {server.task_state}")
    if server.vm_state not in wanted:
        return _conflict(f"Cannot '{name}' instance {server.id} while it is in vm_state {server.vm_state}")
    nova.touch(server, task_state=task)
    _began(nova, server, name.removeprefix("os-"))
    nova._plan(server, nova.step_time, lambda s: _set(s, vm_state, power_state))
    return ACCEPTED


def _create_image(nova: SiteNova, server: SiteServer, asked: dict[str, Any]) -> Answer:
    if server.task_state or server.vm_state not in ("active", "stopped", "paused", "suspended"):
        return _conflict(f"Cannot 'createImage' instance {server.id} while it is in task_state {server.task_state}")
    image_id = nova.glance.snapshot(server.id, asked["name"], asked["metadata"])
    server.deeds.append("createImage")
    nova.touch(server, task_state="image_snapshot_pending")
    nova._plan(server, nova.step_time, lambda s: setattr(s, "task_state", "image_uploading"))
    nova._plan(server, 2 * nova.step_time, lambda s: _taken(nova, s, image_id))
    return Answer(202, {"image_id": image_id})


def _taken(nova: SiteNova, server: SiteServer, image_id: str) -> None:
    server.task_state = None
    if nova.fail_snapshots:
        nova.glance.images.pop(image_id, None)
    elif image_id in nova.glance.images:
        nova.glance.fill(image_id, f"disk of {server.id}".encode() * 100_000)


# Action -> its task_state; a confirm shows none.
_RESIZING: dict[str, str | None] = {
    "resize": "resize_prep",
    "migrate": "resize_prep",
    "revertResize": "resize_reverting",
    "confirmResize": None,
}


def _resizing(nova: SiteNova, server: SiteServer, name: str) -> Answer:
    if server.task_state:
        return _conflict(f"Cannot '{name}' instance {server.id} while it is in task_state {server.task_state}")
    begins = name in ("resize", "migrate")
    if (server.vm_state == "resized") == begins:
        return _conflict(f"Cannot '{name}' instance {server.id} while it is in vm_state {server.vm_state}")
    nova.touch(server, task_state=_RESIZING[name])
    _began(nova, server, name)
    vm_state = "resized" if begins and not nova.fail_resizes else "active"
    nova._plan(server, nova.step_time, lambda s: _set(s, vm_state, 1))
    return ACCEPTED


def _actions(nova: SiteNova, server_id: str, _params: Any, _body: Any) -> Answer:
    server = nova.servers.get(server_id)
    return Answer(200, {"instanceActions": list(server.actions)}) if server else NOT_FOUND


def _flavor(nova: SiteNova, flavor_id: str, _params: Any, _body: Any) -> Answer:
    found = nova.flavors.get(flavor_id)
    return Answer(200, {"flavor": found}) if found else NOT_FOUND


def _flavors(nova: SiteNova, _params: Any, _body: Any) -> Answer:
    return Answer(200, {"flavors": list(nova.flavors.values())})


def _make_flavor(nova: SiteNova, _params: Any, body: Any) -> Answer:
    flavor = body["flavor"]
    if not nova.admin:
        return FORBIDDEN
    if flavor["id"] in nova.flavors:
        return _conflict("Flavor exists")
    nova.flavors[flavor["id"]] = {**flavor, "extra_specs": {}}
    return Answer(200, {"flavor": flavor})


def _drop_flavor(nova: SiteNova, flavor_id: str, _params: Any, _body: Any) -> Answer:
    if not nova.admin:
        return FORBIDDEN
    return Answer(202) if nova.flavors.pop(flavor_id, None) else NOT_FOUND


def _drop_keypair(nova: SiteNova, name: str, _params: Any, _body: Any) -> Answer:
    return Answer(202) if nova.keypairs.pop(name, None) else NOT_FOUND


def _extra_specs(nova: SiteNova, flavor_id: str, _params: Any, body: Any) -> Answer:
    if not nova.admin or flavor_id not in nova.flavors:
        return NOT_FOUND if nova.admin else FORBIDDEN
    nova.flavors[flavor_id]["extra_specs"].update(body["extra_specs"])
    return Answer(200, body)


def _access(nova: SiteNova, flavor_id: str, _params: Any, _body: Any) -> Answer:
    if not nova.admin or flavor_id not in nova.flavors:
        return NOT_FOUND if nova.admin else FORBIDDEN
    return Answer(200, {"flavor_access": []})


def _keypair(nova: SiteNova, name: str, _params: Any, _body: Any) -> Answer:
    found = nova.keypairs.get(name)
    return Answer(200, {"keypair": found}) if found else NOT_FOUND


def _keypairs(nova: SiteNova, params: Mapping[str, str], _body: Any) -> Answer:
    found = [] if params.get("marker") else [{"keypair": pair} for pair in nova.keypairs.values()]
    return Answer(200, {"keypairs": found})


def _make_keypair(nova: SiteNova, _params: Any, body: Any) -> Answer:
    pair = body["keypair"]
    if pair["name"] in nova.keypairs:
        return _conflict("Key pair exists")
    # The fake's fingerprint of "key <fingerprint>" is what follows the space.
    nova.keypairs[pair["name"]] = {**pair, "fingerprint": pair["public_key"].split()[-1]}
    return Answer(201, {"keypair": pair})


def _groups(nova: SiteNova, params: Mapping[str, str], _body: Any) -> Answer:
    offset, limit = int(params.get("offset", 0)), min(int(params.get("limit", nova.page)), nova.page)
    documents = [_group_document(nova, key) for key in list(nova.groups)[offset : offset + limit]]
    return Answer(200, {"server_groups": documents})


def _group_document(nova: SiteNova, group_id: str) -> dict[str, Any]:
    alive = [(server.id, server.body.get("os:scheduler_hints", {}).get("group")) for server in nova.alive()]
    return {**nova.groups[group_id], "members": [one for one, of in alive if of == group_id]}


def _group(nova: SiteNova, group_id: str, _params: Any, _body: Any) -> Answer:
    return Answer(200, {"server_group": _group_document(nova, group_id)}) if group_id in nova.groups else NOT_FOUND


def _make_group(nova: SiteNova, _params: Any, body: Any) -> Answer:
    made = {**body["server_group"], "id": f"group-{next(nova._numbers)}"}
    nova.groups[made["id"]] = made
    return Answer(200, {"server_group": made})


def _drop_group(nova: SiteNova, group_id: str, _params: Any, _body: Any) -> Answer:
    return Answer(204) if nova.groups.pop(group_id, None) else NOT_FOUND


def _services(nova: SiteNova, _params: Any, _body: Any) -> Answer:
    service = {"binary": "nova-compute", "host": "host-1", "zone": "north", "state": "up", "status": "enabled"}
    return Answer(200, {"services": [service]}) if nova.admin else FORBIDDEN


def _hypervisors(nova: SiteNova, _params: Any, _body: Any) -> Answer:
    node = {"id": "node-1", "hypervisor_hostname": "host-1.example", "service": {"host": "host-1"}}
    return Answer(200, {"hypervisors": [node]}) if nova.admin else FORBIDDEN


def _migrations(nova: SiteNova, params: Mapping[str, str], _body: Any) -> Answer:
    found = [move for move in nova.moves if move["status"] == params["status"]]
    return Answer(200, {"migrations": found}) if nova.admin else FORBIDDEN


def _limits(nova: SiteNova, _params: Any, _body: Any) -> Answer:
    used = {"totalInstancesUsed": 1, "totalCoresUsed": 2, "totalRAMUsed": 2048}
    return Answer(200, {"limits": {"rate": [], "absolute": {**nova.limits, **used}}})


def _zones(_nova: SiteNova, _params: Any, _body: Any) -> Answer:
    zones = [{"zoneName": name, "zoneState": {"available": name == "north"}} for name in ("north", "empty")]
    return Answer(200, {"availabilityZoneInfo": zones})


_ROUTES: tuple[tuple[str, Callable[..., Answer]], ...] = (
    (r"GET /servers(/detail)?", _list),
    (r"POST /servers", _create),
    (r"GET /servers/([^/]+)", _show),
    (r"DELETE /servers/([^/]+)", _delete),
    (r"PUT /servers/([^/]+)", _rename),
    (r"POST /servers/([^/]+)/metadata", _add_metadata),
    (r"DELETE /servers/([^/]+)/metadata/([^/]+)", _drop_metadata),
    (r"DELETE /servers/([^/]+)/tags/([^/]+)", _untag),
    (r"POST /servers/([^/]+)/action", _action),
    (r"POST /servers/([^/]+)/remote-consoles", _console),
    (r"GET /servers/([^/]+)/diagnostics", _diagnostics),
    (r"GET /servers/([^/]+)/os-interface", _cards),
    (r"POST /servers/([^/]+)/os-interface", _plug),
    (r"DELETE /servers/([^/]+)/os-interface/([^/]+)", _unplug),
    (r"GET /servers/([^/]+)/os-instance-actions", _actions),
    (r"GET /flavors/detail", _flavors),
    (r"GET /flavors/([^/]+)", _flavor),
    (r"POST /flavors", _make_flavor),
    (r"DELETE /flavors/([^/]+)", _drop_flavor),
    (r"POST /flavors/([^/]+)/os-extra_specs", _extra_specs),
    (r"POST /flavors/([^/]+)/action", _access),
    (r"GET /os-keypairs", _keypairs),
    (r"GET /os-keypairs/([^/]+)", _keypair),
    (r"POST /os-keypairs", _make_keypair),
    (r"DELETE /os-keypairs/([^/]+)", _drop_keypair),
    (r"GET /os-server-groups", _groups),
    (r"GET /os-server-groups/([^/]+)", _group),
    (r"POST /os-server-groups", _make_group),
    (r"DELETE /os-server-groups/([^/]+)", _drop_group),
    (r"GET /os-services", _services),
    (r"GET /os-hypervisors/detail", _hypervisors),
    (r"GET /os-migrations", _migrations),
    (r"GET /limits", _limits),
    (r"GET /os-availability-zone", _zones),
)
