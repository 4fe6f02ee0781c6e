"""What etcd holds, as values. Times are UTC epoch s."""

import msgspec

from proto.messages import Fault, SiteHost
from proto.operations import Verb

REMEMBERED_RPC_IDS = 8


class SiteSpec(msgspec.Struct, frozen=True):
    """``/sites/{site}/spec``: what the operator said of a site; written by ``cascade site`` only."""

    site: str
    hosts: list[SiteHost]
    sealing_public_key: str  # the agent's, base64
    credential_public_key: str  # NATS user nkey, to revoke it
    epoch: int = 1
    created_at: float = 0.0


class Pending(msgspec.Struct, frozen=True):
    """The one command of an instance whose outcome is not yet recorded above."""

    generation: int
    verb: Verb
    rpc_id: str
    request_id: str
    issued_at: float
    not_after: float | None
    cleanup: bool = False  # delete in the site after a failed create; the instance above stays
    fault: Fault | None = None  # cleanup: why the create failed


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


class Owner(msgspec.Struct, frozen=True):
    """``/sites/{site}/owner``: which bridge works for a site now; vanishes with its lease."""

    bridge: str
    since: float


class FlavorVersion(msgspec.Struct, frozen=True):
    """``/flavors/{flavor_id}``: newest version of a flavor above; counts up when the digest changes."""

    version: int
    digest: str
