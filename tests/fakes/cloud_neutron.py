"""Neutron of a cascaded cloud in memory: networks, subnets, ports and their tags."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

from site_agent.core.answers import Answer
from site_agent.core.servers import iso

EXTENSIONS = ("standard-attr-tag", "standard-attr-description", "net-mtu-writable", "port-security", "tag-creation")


class SiteNeutron:
    """Keeps MAC addresses and IP addresses unique in a network, as Neutron does."""

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id
        self.things: dict[str, dict[str, dict[str, Any]]] = {"networks": {}, "subnets": {}, "ports": {}}
        self.extensions = set(EXTENSIONS)
        self._numbers = itertools.count(1)

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request."""
        _, kind, *rest = path.split("/")
        if kind == "extensions":
            return Answer(200, {"extensions": [{"alias": alias} for alias in sorted(self.extensions)]})
        things = self.things[kind]
        if method == "POST":
            return self._create(kind, body[kind[:-1]])
        if not rest:
            return Answer(200, {kind: [dict(t) for t in things.values() if _matches(t, params)]})
        if rest[0] not in things:
            return Answer(404, {"NeutronError": {"type": "NotFound", "message": f"{rest[0]} could not be found."}})
        return self._on_one(method, kind, rest, body)

    def _on_one(self, method: str, kind: str, rest: list[str], body: Any) -> Answer:
        thing = self.things[kind][rest[0]]
        if rest[1:2] == ["tags"]:
            thing["tags"] = sorted({*thing["tags"], rest[2]})
            return Answer(201)
        if method == "DELETE":
            del self.things[kind][rest[0]]
            return Answer(204)
        if method == "PUT":
            thing.update(body[kind[:-1]])
        return Answer(200, {kind[:-1]: dict(thing)})

    def _create(self, kind: str, fields: dict[str, Any]) -> Answer:
        if "tags" in fields:
            return _refused(400, "HTTPBadRequest", "Attribute 'tags' not allowed in POST")
        if kind == "ports" and (refusal := self._port_refusal(fields)):
            return refusal
        if kind == "subnets" and self._overlaps(fields):
            return _refused(400, "InvalidInput", "Requested subnet overlaps with another subnet")
        made = {
            "id": f"site-{kind[:-1]}-{next(self._numbers)}",
            "tags": [],
            "project_id": self.project_id,
            "device_id": "",
            "created_at": iso(time.time()),
            **fields,
        }
        self.things[kind][made["id"]] = made
        return Answer(201, {kind[:-1]: dict(made)})

    def _overlaps(self, fields: Mapping[str, Any]) -> bool:
        others = self.things["subnets"].values()
        return any((o["network_id"], o["cidr"]) == (fields["network_id"], fields["cidr"]) for o in others)

    def _port_refusal(self, fields: Mapping[str, Any]) -> Answer | None:
        if fields["network_id"] not in self.things["networks"]:
            return _refused(404, "NetworkNotFound", "Network could not be found.")
        for port in self.things["ports"].values():
            if port["network_id"] != fields["network_id"]:
                continue
            if port["mac_address"] == fields["mac_address"]:
                return _refused(409, "MacAddressInUse", f"The mac address {fields['mac_address']} is in use.")
            if {ip["ip_address"] for ip in port["fixed_ips"]} & {ip["ip_address"] for ip in fields["fixed_ips"]}:
                return _refused(409, "IpAddressAlreadyAllocated", "IP address already allocated")
        return None


def _matches(thing: Mapping[str, Any], params: Mapping[str, str]) -> bool:
    return all(value in thing["tags"] if key == "tags" else thing.get(key) == value for key, value in params.items())


def _refused(status: int, kind: str, message: str) -> Answer:
    return Answer(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}})
