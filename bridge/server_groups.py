"""Affinity across sites: the look at a server group that nova-compute takes as a last check of a boot.

The scheduler keeps a group with the policy affinity on one host, and a host is a site; two boots at the same moment
may get two. Anti-affinity is no matter between sites: it is the site's own (site_agent/resources/server_group.py).
"""

import logging
from collections.abc import Mapping
from typing import Any

from bridge.core import translate
from bridge.edge.nova_conductor import NovaConductor
from proto.errors import CascadeError, FaultCode, Refused
from proto.messages import Rpc

LOG = logging.getLogger(__name__)

AFFINITY = "affinity"


async def refuse_apart(conductor: NovaConductor, rpc: Rpc, request_spec: Mapping[str, Any]) -> None:
    """Raise Refused if an earlier member of the instance's group with affinity is in another site.

    Only earlier members count: of two boots at once one stays. Like nova-compute's, the check is left out where the
    cell's conductor may not read the API database.
    """
    group = translate.server_group(request_spec)
    if group is None or group.policy != AFFINITY:
        return
    try:
        hosts = await conductor.hosts_of_earlier_members(group.group_id, rpc.uuid)
    except CascadeError as error:
        LOG.info("server group %s cannot be looked at: %s", group.group_id, error)
        return
    if hosts and rpc.host not in hosts:
        where = ", ".join(sorted(hosts))
        raise Refused(FaultCode.NO_CAPACITY, f"server group {group.group_id} wants its servers in one site: {where}")
