"""Every message that crosses the link between the bridge and a site, and the bundle a site is started with.

Times are UTC epoch seconds (float). Fields are only ever added, with a default; a name is never used twice.
"Above" is the cascading OpenStack, "site" the cascaded one. Ids are those of the cloud named in the comment.
"""

from enum import StrEnum
from typing import Any

import msgspec

from proto.errors import FaultCode
from proto.operations import Verb


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


class Command(msgspec.Struct, frozen=True):
    """Bridge to agent, durable. (uuid, generation) names it; carrying it out twice must equal once."""

    site: str
    uuid: str  # instance above
    generation: int  # counts the commands of this instance from 1
    epoch: int  # life of the site it was meant for
    verb: Verb
    issued_at: float  # when first issued; does not change when it is published again
    not_after: float | None  # must not begin later than this; None = never expires
    request_id: str  # of Nova above
    server: ServerSpec | None = None  # create only
    reboot_type: str | None = None  # SOFT or HARD, reboot only
    clean_shutdown: bool = True  # stop and reboot
    change: ChangeSpec | None = None  # of verbs that need more than the server
    image_id: str | None = None  # above; snapshot only


class Fault(msgspec.Struct, frozen=True):
    """Why something did not happen, in the words of whoever refused it."""

    code: FaultCode
    message: str


class ServerState(msgspec.Struct, frozen=True):
    """What the site's Nova says of one server (OS-EXT-STS and friends)."""

    server_id: str  # site
    vm_state: str
    task_state: str | None
    power_state: int
    status: str
    launched_at: float | None = None
    updated_at: float | None = None
    fault: str | None = None  # message of the site's own fault, if it shows one
    locked: bool = False


class Outcome(StrEnum):
    """What an observation says of the command with its generation."""

    SEEN = "seen"  # nothing: just what the server looks like
    REFUSED = "refused"  # it will not be carried out; fault says why
    EXPIRED = "expired"  # it came too late and was not carried out
    RETRYING = "retrying"  # attempt failed, it will be tried again; fault says why


class Observation(msgspec.Struct, frozen=True):
    """Agent to bridge: what one instance looks like in the site. A level, not an edge: it may be repeated."""

    site: str
    uuid: str  # instance above
    generation: int  # last command the agent knows it carried out before looking; 0 = unknown
    observed_at: float
    server: ServerState | None  # None with absent=False: not looked at
    absent: bool = False  # looked, and there is no such server
    outcome: Outcome = Outcome.SEEN
    fault: Fault | None = None
    attempt: int = 0
    networks_gone: list[str] = msgspec.field(default_factory=list)  # above; the site keeps none of their addresses


class ClassCapacity(msgspec.Struct, frozen=True):
    """One resource class of Placement besides the three every host has, in its own unit."""

    total: int
    largest: int  # single host
    used: int = 0


class Capacity(msgspec.Struct, frozen=True):
    """What one availability zone of a site can hold, from its Placement: (total - reserved) * ratio, summed."""

    vcpus: int
    memory_mb: int  # MiB
    disk_gb: int  # GiB
    max_vcpus: int  # largest single host
    max_memory_mb: int
    max_disk_gb: int
    hosts: int
    vcpus_used: int = 0
    memory_mb_used: int = 0
    disk_gb_used: int = 0
    traits: list[str] = msgspec.field(default_factory=list)
    classes: dict[str, ClassCapacity] = msgspec.field(default_factory=dict)  # PCPU, VGPU, CUSTOM_*
    others: dict[str, int] = msgspec.field(default_factory=dict)  # by class: used by what is not ours; part of *_used
    fits: dict[str, int] = msgspec.field(default_factory=dict)  # flavor id above -> how many more servers of it
    measured_at: float = 0.0  # 0 = an agent that does not say


class Direction(StrEnum):
    """Which way an image goes."""

    DOWN = "down"
    UP = "up"


class TransferState(StrEnum):
    """What one transfer does now."""

    WAITING = "waiting"  # for its turn, or for another agent of the site
    CARRYING = "carrying"
    PAUSED = "paused"  # the other side does not answer; it goes on where it stopped
    STORING = "storing"  # all bytes are there and go into Glance


class ImageTransfer(msgspec.Struct, frozen=True):
    """One image on its way between the cascading cloud and a site."""

    image_id: str  # above
    name: str
    size: int  # bytes
    carried: int  # bytes
    rate: float  # bytes/s of the last seconds
    direction: Direction
    state: TransferState
    since: float
    trouble: str | None = None  # why it waits or is paused


class SiteImage(msgspec.Struct, frozen=True):
    """One image in a site's Glance that stands for one above."""

    image_id: str  # site
    above: str  # its id above
    name: str
    status: str
    size: int  # bytes
    hash_algo: str
    hash_value: str
    disk_format: str
    container_format: str
    created_at: float
    snapshot: bool = False  # taken in this site, not carried here


class SiteStatus(msgspec.Struct, frozen=True):
    """Agent to bridge every few seconds: alive, and how big."""

    site: str
    agent: str  # unique per agent process
    sent_at: float
    started_at: float
    capacity: dict[str, Capacity]  # by the site's AZ; "" = the whole site
    versions: dict[str, str]  # agent, nova microversion ...
    busy: int  # commands being carried out
    problem: str | None = None  # why the site's own APIs do not answer, if so
    transfers: list[ImageTransfer] = msgspec.field(default_factory=list)  # under way, the oldest ones
    degraded: list[str] = msgspec.field(default_factory=list)  # what works in a lesser way, and why


class HoldingKind(StrEnum):
    """What a site carries for us beside servers and networks."""

    FLAVOR = "flavor"
    IMAGE = "image"
    KEYPAIR = "keypair"


class Holding(msgspec.Struct, frozen=True):
    """One thing the agent made in its site, and whether a server needs it."""

    kind: HoldingKind
    site_id: str  # id or name in the site
    source: str  # flavor or image id above; fingerprint of a keypair
    version: int = 0  # flavor
    used: int = 0  # servers of the site that need it
    unused_since: float = 0.0  # as far as this agent has seen; 0 = used


class Query(msgspec.Struct, frozen=True):
    """Bridge to agent, answered at once, never stored."""

    site: str
    verb: str
    uuid: str = ""  # instance above
    request_id: str = ""
    length: int | None = None  # console_output: lines from the end; None = all
    console_type: str = ""  # vnc_console: novnc
    marker: str = ""  # census: continue after this server id; holdings: after this kind/site_id
    image_id: str = ""  # above: snapshot_image, snapshot_discard; site: image_chunk
    offset: int = 0  # image_chunk: bytes; ``length`` is bytes there too
    flavor: FlavorSpec | None = None  # flavor_ensure
    holdings: list[Holding] = msgspec.field(default_factory=list)  # drop
    # network_sync: what to make equal if the site has it
    networks: list[NetworkSpec] = msgspec.field(default_factory=list)
    security_groups: list[SecurityGroupSpec] = msgspec.field(default_factory=list)
    ports: list[PortSpec] = msgspec.field(default_factory=list)


class CensusEntry(msgspec.Struct, frozen=True):
    """One tagged server of the site."""

    uuid: str  # from the tag
    generation: int  # of the create, from the tag
    server: ServerState


class Reply(msgspec.Struct, frozen=True):
    """Answer to a Query or an Ask: a fault or what was asked for."""

    fault: Fault | None = None
    text: str = ""  # console_output; flavor_ensure: id in the site
    servers: list[CensusEntry] = msgspec.field(default_factory=list)  # census
    marker: str = ""  # census: ask again with this; empty = complete
    data: bytes = b""  # image_chunk
    images: list[SiteImage] = msgspec.field(default_factory=list)  # images: the newest; snapshot_image: none or one
    holdings: list[Holding] = msgspec.field(default_factory=list)  # holdings; drop: those that are gone now
    undone: dict[str, str] = msgspec.field(default_factory=dict)  # network_sync: id above -> why it is not equal


class Ask(msgspec.Struct, frozen=True):
    """Agent to bridge, answered at once, never stored."""

    site: str
    verb: str  # image_chunk, command_pending
    image_id: str = ""  # above
    offset: int = 0  # bytes
    length: int = 0  # bytes
    uuid: str = ""
    generation: int = 0
    agent: str = ""  # image_chunk: spool of the asking agent; one of a site carries an image at a time


class Rpc(msgspec.Struct, frozen=True):
    """One Nova RPC about one instance, as it waits in INTAKE; the user's token and catalog are already gone."""

    rpc_id: str  # oslo.messaging unique id
    host: str  # Nova host it was sent to
    method: str
    uuid: str  # instance above
    context: dict[str, Any]  # request context without auth_token and service_catalog
    args: dict[str, Any]  # Nova's primitives without the secret ones
    received_at: float
    secrets: Sealed | None = None  # to the bridges' key; opens to ServerSecrets
    redelivered: bool = False  # RabbitMQ had delivered it before


class SiteHost(msgspec.Struct, frozen=True):
    """One Nova host above that stands for a site or one of its availability zones."""

    host: str
    availability_zone: str  # above
    site_availability_zone: str | None = None


class Bundle(msgspec.Struct, frozen=True):
    """What ``cascade site add`` hands to a site; it holds the site's private keys, file mode 600."""

    site: str
    epoch: int
    hosts: list[SiteHost]
    servers: list[str]  # NATS URLs
    credentials: str  # content of a NATS .creds file
    sealing_key: str  # private, base64
    ca: str | None = None  # PEM of the NATS server's authority

    def __repr__(self) -> str:
        return f"Bundle(site={self.site!r}, epoch={self.epoch})"
