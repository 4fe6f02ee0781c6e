"""Neutron of a cascaded cloud in memory: networks, subnets, ports, security groups and their tags."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

from site_agent.core.answers import Answer
from site_agent.core.servers import iso

EXTENSIONS = (
    "standard-attr-tag", "standard-attr-description", "net-mtu-writable", "port-security", "tag-creation",
    "security-group", "stateful-security-group", "allowed-address-pairs", "extra_dhcp_opt",
    "port-security-groups-filtering",
)  # fmt: skip
RULE = {
    "protocol": None, "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None,
    "remote_group_id": None, "description": "",
}  # fmt: skip


class SiteNeutron:
    """Keeps MAC addresses and IP addresses unique in a network, as Neutron does."""

    def __init__(self, project_id: str) -> None:
        self.project_id = project_id
        kinds = ("networks", "subnets", "ports", "security-groups")
        self.things: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in kinds}
        self.extensions = set(EXTENSIONS)
        self._numbers = itertools.count(1)

    def answer(self, method: str, path: str, params: Mapping[str, str], body: Any) -> Answer:
        """Answer one request."""
        _, kind, *rest = path.split("/")
        if kind == "extensions":
            return Answer(200, {"extensions": [{"alias": alias} for alias in sorted(self.extensions)]})
        if kind == "security-group-rules":
            return self._add_rules(body["security_group_rules"]) if method == "POST" else self._drop_rule(rest[0])
        things = self.things[kind]
        if method == "POST":
            return self._create(kind, body[_singular(kind)])
        if not rest:
            return Answer(200, {_plural(kind): [dict(t) for t in things.values() if _matches(t, params)]})
        if rest[0] not in things:
            return Answer(404, {"NeutronError": {"type": "NotFound", "message": f"{rest[0]} could not be found."}})
        return self._on_one(method, kind, rest, body)

    def _on_one(self, method: str, kind: str, rest: list[str], body: Any) -> Answer:
        thing = self.things[kind][rest[0]]
        if rest[1:] == ["tags"]:
            thing["tags"] = sorted(body["tags"])
            return Answer(200)
        if rest[1:2] == ["tags"]:
            thing["tags"] = sorted({*thing["tags"], rest[2]})
            return Answer(201)
        if method == "DELETE" and kind == "security-groups" and self._in_use(rest[0]):
            return _refused(409, "SecurityGroupInUse", f"Security Group {rest[0]} in use.")
        if method == "DELETE":
            del self.things[kind][rest[0]]
            return Answer(204)
        if method == "PUT" and kind == "ports" and (gone := self._gone(body["port"])):
            return _refused(404, "SubnetNotFound", f"Subnet {gone} could not be found.")
        if method == "PUT":
            thing.update(body[_singular(kind)])
        return Answer(200, {_singular(kind): dict(thing)})

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
        if kind == "security-groups":
            egress = {"security_group_id": made["id"], "direction": "egress"}
            made |= {"security_group_rules": [], "stateful": fields.get("stateful", True)}
            self._add_rules([{**egress, "ethertype": ethertype} for ethertype in ("IPv4", "IPv6")])
        return Answer(201, {_singular(kind): dict(made)})

    def _add_rules(self, rules: list[dict[str, Any]]) -> Answer:
        groups = self.things["security-groups"]
        for rule in rules:
            for named in (rule["security_group_id"], rule.get("remote_group_id")):
                if named and named not in groups:
                    return _refused(404, "SecurityGroupNotFound", f"Security group {named} does not exist")
            for other in groups[rule["security_group_id"]]["security_group_rules"]:
                if _content(other) == _content(rule):
                    text = f"Security group rule already exists. Rule id is {other['id']}."
                    return _refused(409, "SecurityGroupRuleExists", text)
        made = [{**RULE, **rule, "id": _uuid(next(self._numbers))} for rule in rules]
        for rule in made:
            group = groups[rule["security_group_id"]]
            group["security_group_rules"] = [*group["security_group_rules"], rule]
        return Answer(201, {"security_group_rules": made})

    def _drop_rule(self, rule_id: str) -> Answer:
        for group in self.things["security-groups"].values():
            rules = [rule for rule in group["security_group_rules"] if rule["id"] != rule_id]
            if len(rules) < len(group["security_group_rules"]):
                group["security_group_rules"] = rules
                return Answer(204)
        return _refused(404, "SecurityGroupRuleNotFound", f"{rule_id} does not exist")

    def _in_use(self, group_id: str) -> bool:
        return any(group_id in port.get("security_groups", ()) for port in self.things["ports"].values())

    def _overlaps(self, fields: Mapping[str, Any]) -> bool:
        others = self.things["subnets"].values()
        return any((o["network_id"], o["cidr"]) == (fields["network_id"], fields["cidr"]) for o in others)

    def _gone(self, port: Mapping[str, Any]) -> str | None:
        """Return a subnet that is named and not there."""
        named = (str(ip["subnet_id"]) for ip in port.get("fixed_ips", ()))
        return next((subnet for subnet in named if subnet not in self.things["subnets"]), None)

    def _port_refusal(self, fields: Mapping[str, Any]) -> Answer | None:
        if fields["network_id"] not in self.things["networks"]:
            return _refused(404, "NetworkNotFound", "Network could not be found.")
        for group in fields.get("security_groups", ()):
            if group not in self.things["security-groups"]:
                return _refused(404, "SecurityGroupNotFound", f"Security group {group} does not exist")
        for port in self.things["ports"].values():
            if port["network_id"] != fields["network_id"]:
                continue
            if port["mac_address"] == fields["mac_address"]:
                return _refused(409, "MacAddressInUse", f"The mac address {fields['mac_address']} is in use.")
            if _addresses(port) & _addresses(fields):
                return _refused(409, "IpAddressAlreadyAllocated", "IP address already allocated")
        return None


def _matches(thing: Mapping[str, Any], params: Mapping[str, str]) -> bool:
    lists = ("tags", "security_groups")
    asked = {key: value for key, value in params.items() if key != "limit"}
    return all(value in thing.get(key, ()) if key in lists else thing.get(key) == value for key, value in asked.items())


def _addresses(port: Mapping[str, Any]) -> set[str]:
    return {ip["ip_address"] for ip in port["fixed_ips"] if "ip_address" in ip}


def _content(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**RULE, **rule}.items() if key not in ("id", "description")}


def _uuid(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def _plural(kind: str) -> str:
    return kind.replace("-", "_")


def _singular(kind: str) -> str:
    return _plural(kind)[:-1]


def _refused(status: int, kind: str, message: str) -> Answer:
    return Answer(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}})
