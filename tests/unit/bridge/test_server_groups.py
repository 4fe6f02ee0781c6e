"""The last look at a server group before a boot: affinity means one site."""

import asyncio
from typing import Any, cast

import pytest

from bridge.server_groups import refuse_apart
from proto.errors import Refused, Unavailable
from proto.messages import Rpc


class Conductor:
    """Knows where the earlier members of every group are; None: it may not read the API database."""

    def __init__(self, hosts: set[str] | None) -> None:
        self.hosts = hosts

    async def hosts_of_earlier_members(self, group_id: str, uuid: str) -> set[str]:
        """Return them."""
        assert (group_id, uuid) == ("group", "i1")
        if self.hosts is None:
            raise Unavailable("nova-conductor: CantStartEngineError")
        return self.hosts


def refused(policy: str, hosts: set[str] | None) -> bool:
    rpc = Rpc("rpc-1", "paris", "build_and_run_instance", "i1", {}, {}, 0.0)
    spec = {"instance_group": {"uuid": "group", "policy": policy, "_rules": {}}}
    try:
        asyncio.run(refuse_apart(cast(Any, Conductor(hosts)), rpc, spec))
    except Refused:
        return True
    return False


@pytest.mark.parametrize(("hosts", "expected"), [
    (set(), False),
    ({"oslo"}, True),
    ({"oslo", "paris"}, False),
    (None, False),  # as nova-compute does where its conductor may not look
])  # fmt: skip
def test_affinity_wants_the_site_of_the_earlier_members(hosts: set[str] | None, expected: bool) -> None:
    assert refused("affinity", hosts) is expected


@pytest.mark.parametrize("policy", ["anti-affinity", "soft-affinity", "soft-anti-affinity"])
def test_other_policies_are_the_sites_own(policy: str) -> None:
    assert not refused(policy, {"oslo"})
