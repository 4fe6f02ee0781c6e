"""What the bridge that owns a site is asked to do now."""

import getpass
import socket
from typing import Any

from bridge.core import keys
from bridge.operator.context import Context
from proto import codec, subjects
from proto.errors import FaultCode, Misconfigured, Refused, Unavailable
from proto.messages import Query, Reply
from proto.queries import QueryName


async def order(context: Context, site: str, verb: QueryName, timeout: float, **fields: Any) -> Reply:
    """Return the answer of a site's bridge within ``timeout`` s.

    Misconfigured if there is no such site, Unavailable while no bridge serves it or the site is silent, Refused with
    the reason why it cannot be done.
    """
    if not await (await context.store()).get(keys.spec(site)):
        raise Misconfigured(f"there is no site {site}; see `cascade site list`")
    query = Query(site=site, verb=verb, asked_by=_operator(), **fields)
    try:
        data = await (await context.road()).request(subjects.order(site, verb), codec.encode(query), timeout=timeout)
    except Unavailable as error:
        raise Unavailable(f"the bridge of {site} does not answer, see `cascade site list`: {error}") from error
    reply = codec.decode(data, Reply)
    if reply.fault is None:
        return reply
    if reply.fault.code is FaultCode.SITE_SILENT:
        raise Unavailable(f"site {site}: {reply.fault.message}")
    raise Refused(reply.fault.code, reply.fault.message)


def _operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
