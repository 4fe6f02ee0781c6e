"""What the agent needs of its site: the policy rules by ability, what it does without them, and what releases lack.

`cascade-agent check` measures against this table, and docs/operations/agent-rights.md explains it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

COLUMNS = ("ability", "result", "found", "mend")
PROBE = "cascade-check"
"""Name and description of everything a check makes for a moment; what a killed check left is found by it."""


class Verdict(StrEnum):
    """How an ability fares."""

    WORKS = "works"
    DEGRADED = "degraded"  # something lesser is done instead
    REFUSED = "refused"  # the agent cannot serve the site
    UNSEEN = "unseen"  # only use will tell


@dataclass(frozen=True, slots=True)
class Finding:
    """One ability, what was found, and what would mend it."""

    ability: str
    verdict: Verdict
    found: str
    mend: str | None = None

    def row(self) -> dict[str, Any]:
        """Return it as a line of a table."""
        return {"ability": self.ability, "result": self.verdict.value, "found": self.found, "mend": self.mend}


@dataclass(frozen=True, slots=True)
class Right:
    """Policy rules of one ability; ``without`` says what is done instead, None if nothing can be."""

    service: str  # whose policy.yaml
    rules: tuple[str, ...]
    without: str | None = None


_NOVA = "os_compute_api:"
_PROVIDERS = "placement:resource_providers:"
SERVERS = Right("nova", tuple(f"{_NOVA}servers:{name}" for name in ("detail", "show", "create")))
ACTIONS = Right(
    "nova",
    (
        *(
            f"{_NOVA}servers:{name}"
            for name in (
                "delete", "stop", "start", "reboot", "rebuild", "resize", "confirm_resize", "revert_resize",
                "create_image",
            )
        ),
        *(f"{_NOVA}os-pause-server:{name}" for name in ("pause", "unpause")),
        *(f"{_NOVA}os-suspend-server:{name}" for name in ("suspend", "resume")),
        *(
            f"{_NOVA}{name}"
            for name in (
                "os-rescue", "os-unrescue", "os-admin-password", "os-console-output", "os-remote-consoles",
                "os-instance-actions:list", "os-lock-server:unlock", "os-deferred-delete:force",
                "os-deferred-delete:restore", "os-shelve:unshelve", "servers:update", "server-metadata:create",
                "server-metadata:delete", "os-server-tags:delete",
            )
        ),
    ),
)  # fmt: skip
FLAVORS = Right(
    "nova",
    (
        f"{_NOVA}os-flavor-manage:create",
        f"{_NOVA}os-flavor-manage:delete",
        f"{_NOVA}os-flavor-extra-specs:create",
    ),
    "a flavor of the site that is equal in every field is used; a boot whose flavor has none is refused",
)
HOSTS = Right(
    "nova",
    (f"{_NOVA}os-services:list", f"{_NOVA}os-hypervisors:list-detail"),
    "capacity is the quota of the agent's project",
)
PROVIDERS = Right(
    "placement",
    (f"{_PROVIDERS}list", *(f"{_PROVIDERS}{name}" for name in ("inventories:list", "allocations:list", "traits:list"))),
    HOSTS.without,
)
QUOTA = Right("nova", (f"{_NOVA}limits", f"{_NOVA}os-availability-zone:list"))
KEYPAIRS = Right("nova", tuple(f"{_NOVA}os-keypairs:{name}" for name in ("index", "show", "create", "delete")))
NETWORKS = Right(
    "neutron",
    (
        *(f"{verb}_{kind}" for kind in ("network", "subnet", "port") for verb in ("get", "create", "update", "delete")),
        "create_port:mac_address",
        "create_port:fixed_ips:ip_address",
        "create_port:port_security_enabled",
        "create_port:allowed_address_pairs",
    ),
)
SECURITY_GROUPS = Right(
    "neutron",
    (
        *(f"{verb}_security_group" for verb in ("get", "create", "update", "delete")),
        *(f"{verb}_security_group_rule" for verb in ("get", "create", "delete")),
    ),
)
IMAGES = Right(
    "glance", ("get_images", "get_image", "add_image", "upload_image", "modify_image", "download_image", "delete_image")
)
RIGHTS = (
    SERVERS, ACTIONS, FLAVORS, HOSTS, PROVIDERS, QUOTA, KEYPAIRS, NETWORKS, SECURITY_GROUPS, IMAGES,
)  # fmt: skip

_SINCE = {
    (2, 55): "flavors the agent makes have no description",
    (2, 61): "the extra specs of each flavor are one request more",
    (2, 69): "a cell that is down hides its servers without a word",
    (2, 90): "the guest's hostname is made of the server's name",
}
"""Microversion of Nova -> what is done, or not, before it."""
_EXTENSIONS = {
    "security-group": "boots whose ports have security groups are refused",
    "port-security": "boots with a port without port security are refused",
    "allowed-address-pairs": "boots with allowed address pairs are refused",
    "extra_dhcp_opt": "boots with extra DHCP options are refused",
    "stateful-security-group": "boots with a stateless security group are refused",
    "net-mtu-writable": "a network has the site's own MTU",
    "dns-integration": "ports have no DNS name",
    "port-security-groups-filtering": "unused security groups are found by reading all ports",
}
"""Extension of Neutron -> what is done, or not, without it."""
LARGEST_OFFSET = 5.0  # s a site's clock may differ; more makes expired commands look fresh, or fresh ones expired


def lesser_nova(microversion: str) -> list[str]:
    """Return what works in a lesser way for the age of the site's Nova, a line each."""
    spoken = tuple(int(number) for number in microversion.split("."))
    return [
        f"before microversion {'.'.join(map(str, since))} {text}" for since, text in _SINCE.items() if spoken < since
    ]


def lesser_neutron(extensions: Collection[str]) -> list[str]:
    """Return what works in a lesser way for the lack of extensions of the site's Neutron, a line each."""
    return [f"without {alias} {text}" for alias, text in _EXTENSIONS.items() if alias not in extensions]


def works(ability: str, found: str) -> Finding:
    """Return that an ability is there."""
    return Finding(ability, Verdict.WORKS, found)


def lacking(ability: str, right: Right, rules: Iterable[str], found: str) -> Finding:
    """Return that rules refuse the agent: degraded where there is something instead, else refused."""
    mend = f"allow the agent's role in {right.service}'s policy.yaml: {', '.join(rules)}"
    if right.without is None:
        return Finding(ability, Verdict.REFUSED, found, mend)
    return Finding(ability, Verdict.DEGRADED, f"{found}; {right.without}", mend)


def failed(findings: Iterable[Finding]) -> bool:
    """Whether the agent cannot serve the site."""
    return any(finding.verdict is Verdict.REFUSED for finding in findings)
