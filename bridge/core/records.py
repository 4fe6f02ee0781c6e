"""What etcd holds, as values. Times are UTC epoch s."""

import msgspec

from proto.messages import Fault, ServerState, SiteHost
from proto.operations import Verb
from proto.specs import FlavorSpec

REMEMBERED_RPC_IDS = 8
CAPS = ("vcpus", "memory_mb", "disk_gb")  # what an operator may limit


class SiteSpec(msgspec.Struct, frozen=True):
    """``/sites/{site}/spec``: what the operator said of a site; written by ``cascade site``, the epoch by its owner."""

    site: str
    hosts: list[SiteHost]
    sealing_public_key: str  # the agent's, base64
    credential_public_key: str  # NATS user nkey, to revoke it
    epoch: int = 1
    created_at: float = 0.0
    image_rate: float = 0.0  # MiB/s of images on its link, both ways; 0 = as fast as it goes
    caps: dict[str, int] = msgspec.field(default_factory=dict)  # CAPS offered at most
    networks: dict[str, str] = msgspec.field(default_factory=dict)  # id above -> id or name in the site, used as it is
    draining: bool = False  # no new servers; everything else goes on
    drain_reason: str = ""
    drained_at: float = 0.0
    given_up: dict[str, float] = msgspec.field(default_factory=dict)  # host that an operator forced down -> since when
    missing: str = "fault"  # what becomes of an instance whose server is gone: core/policies.py names the choices
    drift: str = "copy"  # of one that its vendor stopped or started
    orphans: str = "keep"  # of a tagged server that nobody above knows
    fenced: str = "quarantine"  # of a server whose instance is in another site by now


class Pending(msgspec.Struct, frozen=True):
    """The one command of an instance whose outcome is not yet recorded above."""

    generation: int
    verb: Verb
    rpc_id: str
    request_id: str
    issued_at: float
    not_after: float | None
    cleanup: bool = False  # delete in the site after a failed create; the instance above stays
    fault: Fault | None = None  # cleanup: why the create failed; ended: why the site did not carry it out
    begun: bool = False  # the site works at a snapshot: it does not expire any more
    ended: bool = False  # the site is done with it; its end above is not saved yet
    server: ServerState | None = None  # ended: what the site's server looked like
    perhaps_done: bool = False  # its record was lost: the site may have carried it out under another generation


class InstanceRecord(msgspec.Struct, frozen=True):
    """``/sites/{site}/instances/{uuid}``: what the bridge must not forget about one instance."""

    uuid: str
    generation: int = 0  # of the newest command; counts up
    observed_generation: int = 0  # newest generation whose outcome is recorded above
    rpc_ids: list[str] = msgspec.field(default_factory=list)  # the last REMEMBERED_RPC_IDS
    pending: Pending | None = None
    server_id: str | None = None  # in the site
    vm_state: str | None = None  # last seen in the site
    power_state: int | None = None
    seen_at: float = 0.0
    deleted_at: float | None = None  # set: a tombstone
    attempt: int = 0  # of the pending command, as the site counts
    trouble: str | None = None  # why the last attempt did not get through
    trace_id: str | None = None
    created: int = 0  # generation of the command that made its server; 0 = not known
    missing_since: float | None = None  # shown above as missing in the site; taken back when it is seen again


class SiteLife(msgspec.Struct, frozen=True):
    """``/held/{site}/life``: how the site stands, as its owner last saw it; core/standing.py names the states."""

    state: str
    since: float


class Quarantined(msgspec.Struct, frozen=True):
    """``/held/{site}/quarantine/{server_id}``: a tagged server that is kept for an operator to decide about."""

    uuid: str  # instance above that its tag names
    server: ServerState  # as the last round saw it
    why: str
    since: float
    generation: int = 0  # of its create, from the tag
    record: InstanceRecord | None = None  # what was recorded of the instance
    stopped: bool = False  # powered off once, by policy
    purged_at: float | None = None  # an operator had it deleted; goes when the site lacks it


class Braked(msgspec.Struct, frozen=True):
    """``/held/{site}/brake``: healing would end so many servers at once, and waits for an operator."""

    since: float
    actions: int
    servers: int  # that the site holds


class Owner(msgspec.Struct, frozen=True):
    """``/sites/{site}/owner``: which bridge works for a site now; vanishes with its lease."""

    bridge: str
    since: float


class CensusFigures(msgspec.Struct, frozen=True):
    """``/held/{site}/census``: how the last census went."""

    at: float  # when it began
    took: float  # s
    servers: int
    bytes: int  # of requests and replies together
    parts: int | None  # that differed, of proto.census; 0 = in agreement, None = told by pages: the agent is older


class LiveBridge(msgspec.Struct, frozen=True):
    """``/bridges/{lease}``: a bridge that lives; vanishes with its lease. The counts are of its process."""

    bridge: str
    since: float  # of this lease
    taken: int = 0  # sites it began to work for
    given: int = 0  # sites it gave back to others, to have no more than its share
    lost: int = 0  # sites it lost with its lease


class FlavorVersion(msgspec.Struct, frozen=True):
    """``/flavors/{flavor_id}``: the versions of one flavor above. Numbers are never used twice."""

    version: int  # of what the flavor is above now; 0 = only boots of former contents were seen
    digest: str
    last: int = 0  # highest number given
    past: dict[str, int] = msgspec.field(default_factory=dict)  # digest -> version of former contents, oldest first
    definition: FlavorSpec | None = None  # what it is above now; None = not seen there yet
    deleted_at: float | None = None  # gone above


class SiteFlavor(msgspec.Struct, frozen=True):
    """``/held/{site}/flavors/{flavor_id}``: how far a site is with a flavor."""

    version: int  # the newest one the site has; 0 = none
    site_id: str = ""  # id in the site
    tried: int = 0  # the newest version it was asked for
    agent: str = ""  # which agent answered that
    reason: str = ""  # why it has not the version tried; empty = it has
    failures: int = 0  # in a row
    at: float = 0.0  # of the answer

    @property
    def state(self) -> str:
        """``current`` (as of the version tried) or ``failed``."""
        return "failed" if self.reason else "current"
