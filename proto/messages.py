"""Every message that crosses the link between the bridge and a site, and the bundle a site is started with.

Times are UTC epoch seconds (float). Fields are only ever added, with a default; a name is never used twice.
"Above" is the cascading OpenStack, "site" the cascaded one. Ids are those of the cloud named in the comment.
"""

from enum import StrEnum
from typing import Any

import msgspec

from proto.errors import FaultCode
from proto.operations import Verb
from proto.specs import (
    ChangeSpec,
    FlavorSpec,
    NetworkSpec,
    PortSpec,
    Sealed,
    SecurityGroupSpec,
    ServerNames,
    ServerSpec,
)


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
    perhaps_done: bool = False  # an earlier command may have asked for the very same: look before acting


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
    breakers: dict[str, str] = msgspec.field(default_factory=dict)  # API of the site that is not asked now -> why
    epoch: int = 0  # the newest life of the site that the agent knows; 0 = an older agent, which does not say


class HoldingKind(StrEnum):
    """What a site carries for us beside servers and networks."""

    FLAVOR = "flavor"
    IMAGE = "image"
    KEYPAIR = "keypair"
    SERVER_GROUP = "server_group"


class Holding(msgspec.Struct, frozen=True):
    """One thing the agent made in its site, and whether a server needs it."""

    kind: HoldingKind
    site_id: str  # id or name in the site
    source: str  # flavor, image or server group id above; fingerprint of a keypair
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
    marker: str = ""  # census: continue after this server id; holdings: after kind/site_id; dead_replay: number
    image_id: str = ""  # above: snapshot_image, snapshot_discard; site: image_chunk
    offset: int = 0  # image_chunk: bytes; ``length`` is bytes there too
    flavor: FlavorSpec | None = None  # flavor_ensure
    holdings: list[Holding] = msgspec.field(default_factory=list)  # drop
    # network_sync: what to make equal if the site has it
    networks: list[NetworkSpec] = msgspec.field(default_factory=list)
    security_groups: list[SecurityGroupSpec] = msgspec.field(default_factory=list)
    ports: list[PortSpec] = msgspec.field(default_factory=list)
    servers: list[ServerNames] = msgspec.field(default_factory=list)  # names_sync
    snapshot: str = ""  # census_digest, census_parts: the listing they are about; empty = list anew
    buckets: list[int] = msgspec.field(default_factory=list)  # census_digest: none = all; census_parts: parts
    sought: dict[str, str] = msgspec.field(default_factory=dict)  # census_look: instance above -> server, if known
    server_id: str = ""  # site: server_*; quarantine_*: or the instance above that its tag names
    dry_run: bool = False  # heal: only say what would be done
    asked_by: str = ""  # heal_approve, quarantine_*, dead_replay: who, for the log


class CensusEntry(msgspec.Struct, frozen=True):
    """One tagged server of the site."""

    uuid: str  # from the tag
    generation: int  # of the create, from the tag
    server: ServerState


class PlannedStep(msgspec.Struct, frozen=True):
    """One instance that healing has something to do or to say about."""

    uuid: str  # above
    action: str
    why: str
    above: str = ""  # vm_state, task_state and host in words; empty = no row
    record: str = ""  # in words; empty = none
    server: str = ""  # the site's, in words; empty = the census lacks it
    braked: bool = False  # it waits for `cascade heal approve`


class Reply(msgspec.Struct, frozen=True):
    """Answer to a Query or an Ask: a fault or what was asked for."""

    fault: Fault | None = None
    text: str = ""  # console_output; flavor_ensure: id in the site
    servers: list[CensusEntry] = msgspec.field(default_factory=list)  # census
    marker: str = ""  # census: ask again with this; empty = complete; census_parts: how many parts are answered
    data: bytes = b""  # image_chunk
    images: list[SiteImage] = msgspec.field(default_factory=list)  # images: the newest; snapshot_image: none or one
    holdings: list[Holding] = msgspec.field(default_factory=list)  # holdings; drop: those that are gone now
    undone: dict[str, str] = msgspec.field(default_factory=dict)  # network_sync, names_sync: id above -> why not equal
    diagnostics: dict[str, Any] = msgspec.field(default_factory=dict)  # as the site's Nova API shows them
    epoch: int = 0  # epoch
    snapshot: str = ""  # census_digest: name of the listing
    digests: bytes = b""  # census_digest: proto.census; empty = the site is still being listed: ask again
    steps: list[PlannedStep] = msgspec.field(default_factory=list)  # heal; ask on with the marker until it is empty


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
