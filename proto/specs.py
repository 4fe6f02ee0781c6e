"""What a server and all it needs look like on the wire: the parts that messages carry.

Times are UTC epoch seconds (float). Fields are only ever added, with a default; a name is never used twice.
"Above" is the cascading OpenStack, "site" the cascaded one. Ids are those of the cloud named in the comment.
"""

from typing import Any

import msgspec


class Sealed(msgspec.Struct, frozen=True):
    """A secret encrypted to one public key; unreadable anywhere else, never logged."""

    key_id: str  # first 16 hex digits of the SHA-256 of the public key it is sealed to
    box: bytes  # libsodium sealed box

    def __repr__(self) -> str:
        return f"Sealed(key_id={self.key_id!r}, {len(self.box)} bytes)"

    __str__ = __repr__


class FixedIp(msgspec.Struct, frozen=True):
    """One address of a port."""

    ip_address: str
    subnet_id: str  # above


class PortSpec(msgspec.Struct, frozen=True):
    """One network card, exactly as Neutron above has it."""

    port_id: str  # above
    network_id: str  # above
    mac_address: str
    fixed_ips: list[FixedIp]
    tag: str | None = None  # Nova device tag
    security_groups: list[str] | None = None  # above; None = a bridge that does not say
    allowed_address_pairs: list[dict[str, str]] = msgspec.field(default_factory=list)  # ip_address, mac_address
    port_security_enabled: bool = True
    dns_name: str | None = None
    vnic_type: str = "normal"
    extra_dhcp_opts: list[dict[str, Any]] = msgspec.field(default_factory=list)  # opt_name, opt_value, ip_version
    instance: str = ""  # above; network_sync only


class SubnetSpec(msgspec.Struct, frozen=True):
    """One subnet above, and the addresses above that the site may use for its own ports."""

    subnet_id: str  # above
    name: str
    cidr: str
    ip_version: int
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: list[str]
    host_routes: list[dict[str, str]]
    site_addresses: list[str]  # reserved above for this site: exactly the site's allocation pool
    ipv6_address_mode: str | None = None
    ipv6_ra_mode: str | None = None


class NetworkSpec(msgspec.Struct, frozen=True):
    """One tenant network above with all its subnets."""

    network_id: str  # above
    name: str
    project_id: str  # above
    mtu: int | None
    port_security_enabled: bool
    subnets: list[SubnetSpec]
    site_network: str | None = None  # id or name in the site: the operator's map says to use that one as it is
    dns_domain: str | None = None


class SecurityGroupRuleSpec(msgspec.Struct, frozen=True):
    """What one rule lets through; rules have no identity beyond this."""

    direction: str  # ingress or egress
    ethertype: str  # IPv4 or IPv6
    protocol: str | None = None  # None = any
    port_range_min: int | None = None  # ICMP: type
    port_range_max: int | None = None  # ICMP: code
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None  # above
    description: str = ""


class SecurityGroupSpec(msgspec.Struct, frozen=True):
    """One security group above with all its rules."""

    group_id: str  # above
    name: str
    project_id: str  # above
    revision: int  # of Neutron above; counts up when the group or its rules change
    rules: list[SecurityGroupRuleSpec]
    stateful: bool = True


class FlavorSpec(msgspec.Struct, frozen=True):
    """One version of a flavor above; immutable in the site under ``cascade-<flavor_id>-v<version>``."""

    flavor_id: str  # above, the public flavorid
    name: str
    version: int
    vcpus: int
    ram: int  # MiB
    disk: int  # GiB
    ephemeral: int  # GiB
    swap: int  # MiB
    extra_specs: dict[str, str]


class ImageSpec(msgspec.Struct, frozen=True):
    """One active image of Glance above; content is identified by the hash, never by the name."""

    image_id: str  # above
    name: str
    size: int  # bytes
    hash_algo: str  # os_hash_algo, for example sha512
    hash_value: str  # os_hash_value, hex
    disk_format: str
    container_format: str
    min_disk: int  # GiB
    min_ram: int  # MiB
    properties: dict[str, str]


class KeypairSpec(msgspec.Struct, frozen=True):
    """A public key; matched in the site by fingerprint and type."""

    name: str
    public_key: str
    fingerprint: str
    type: str  # ssh or x509


class DiskSpec(msgspec.Struct, frozen=True):
    """One local disk of a server: the image's (boot_index 0) or an empty one (boot_index -1)."""

    boot_index: int
    size: int | None  # GiB, of an empty one; None = the flavor's
    guest_format: str | None = None  # "swap", or a file system
    device_type: str | None = None  # disk, cdrom ...
    disk_bus: str | None = None
    tag: str | None = None  # Nova device tag


class ServerGroupSpec(msgspec.Struct, frozen=True):
    """A server group above; its policy holds among the group's servers of one site as that site enforces it."""

    group_id: str  # above
    policy: str  # affinity, anti-affinity, soft-affinity, soft-anti-affinity
    rules: dict[str, str] = msgspec.field(default_factory=dict)  # max_server_per_host


class ServerSpec(msgspec.Struct, frozen=True):
    """All a site needs to create a server. ``secrets`` opens to ServerSecrets with the site's key."""

    name: str
    description: str | None
    project_id: str  # above
    user_id: str  # above
    flavor: FlavorSpec
    image: ImageSpec | None
    networks: list[NetworkSpec]
    ports: list[PortSpec]  # in the order of the cards
    keypair: KeypairSpec | None
    metadata: dict[str, str]
    config_drive: bool
    availability_zone: str | None  # of the site; None = the site chooses
    scheduler_hints: dict[str, Any]
    secrets: Sealed | None
    hostname: str | None = None  # as the guest shall call itself; None = the site makes it of the name
    disk_config: str | None = None  # AUTO or MANUAL
    disks: list[DiskSpec] = msgspec.field(default_factory=list)  # local ones, the image's first
    # those of the ports, and those that their rules name
    security_groups: list[SecurityGroupSpec] = msgspec.field(default_factory=list)
    group: ServerGroupSpec | None = None


class ServerSecrets(msgspec.Struct, frozen=True):
    """The secret part of a ServerSpec, only ever stored sealed."""

    user_data: str | None = None  # base64, as Nova takes it
    admin_password: str | None = None
    injected_files: list[list[str]] = msgspec.field(default_factory=list)  # [path, base64]

    def __repr__(self) -> str:
        return "ServerSecrets(...)"

    __str__ = __repr__


class ChangeSpec(msgspec.Struct, frozen=True):
    """What a change makes of a server; each verb fills what it needs.

    ``secrets`` opens to ServerSecrets with the site's key.
    """

    flavor: FlavorSpec | None = None  # resize; None = the same one on another host
    image: ImageSpec | None = None  # rescue: None = the site's own choice
    name: str | None = None
    description: str | None = None
    hostname: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    keypair: KeypairSpec | None = None  # None = no key
    preserve_ephemeral: bool = False
    secrets: Sealed | None = None
    port: PortSpec | None = None  # attach and detach of an interface
    networks: list[NetworkSpec] = msgspec.field(default_factory=list)  # attach
    security_groups: list[SecurityGroupSpec] = msgspec.field(default_factory=list)  # attach


class ServerNames(msgspec.Struct, frozen=True):
    """What a tenant calls a server, and its metadata: he changes them without any RPC of Nova's."""

    uuid: str  # instance above
    name: str
    description: str | None
    hostname: str | None  # None = the site's own choice
    metadata: dict[str, str]
    gone: list[str] = msgspec.field(
        default_factory=list
    )  # metadata the tenant removed; the site's other is its vendor's
