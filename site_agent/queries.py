"""Answers the bridge's queries: each at once, nothing stored."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from proto import codec, logs, subjects
from proto.errors import CascadeError, FaultCode, Malformed, Refused
from proto.jetstream import Subscription
from proto.messages import Fault, Query, Reply
from proto.queries import QueryName
from site_agent import catalogue, census, handlers, image_queries, names, network_sync, quarantine
from site_agent.site import Site

LOG = logging.getLogger(__name__)

TABLE: Mapping[str, Callable[[Site, Query], Awaitable[Reply | None]]] = {
    QueryName.CENSUS: census.census,
    QueryName.CENSUS_DIGEST: census.digest,
    QueryName.CENSUS_PARTS: census.parts,
    QueryName.CENSUS_LOOK: census.look,
    QueryName.NETWORK_SYNC: network_sync.network_sync,
    QueryName.NETWORK_DROP: network_sync.network_drop,
    QueryName.NAMES_SYNC: names.names_sync,
    QueryName.FLAVOR_ENSURE: catalogue.flavor_ensure,
    QueryName.HOLDINGS: catalogue.holdings,
    QueryName.DROP: catalogue.drop,
    QueryName.IMAGES: image_queries.images,
    QueryName.IMAGE_CHUNK: image_queries.image_chunk,
    QueryName.SNAPSHOT_IMAGE: image_queries.snapshot_image,
    QueryName.SNAPSHOT_DISCARD: image_queries.snapshot_discard,
    QueryName.SERVER_STOP: quarantine.server_stop,
    QueryName.SERVER_RETURN: quarantine.server_return,
    QueryName.SERVER_PURGE: quarantine.server_purge,
    **{verb.value: handler for verb, handler in handlers.QUERIES.items()},
}

GROUP = "agents"


async def serve(site: Site) -> list[Subscription]:
    """Answer the site's queries until the subscriptions are stopped; of several agents one answers each, or all do."""

    async def handle(_subject: str, data: bytes) -> bytes | None:
        try:
            query = codec.decode(data, Query)
        except Malformed as error:
            return codec.encode(Reply(fault=Fault(FaultCode.REJECTED, str(error))))
        with logs.about(logs.Work(site.name, query.request_id, query.uuid)):
            reply = await answer(site, query)
            return codec.encode(reply) if reply is not None else None

    return [
        await site.road.subscribe(subjects.queries_of_one_agent(site.name), handle, group=GROUP),
        await site.road.subscribe(subjects.queries_of_all_agents(site.name), handle),
    ]


async def answer(site: Site, query: Query) -> Reply | None:
    """Return the reply to one query, None if another agent of the site is to give it; every failure is a fault."""
    handler = TABLE.get(query.verb)
    if handler is None or query.site != site.name:
        return Reply(fault=Fault(FaultCode.UNSUPPORTED, f"this agent does not answer {query.site}/{query.verb}"))
    try:
        return await handler(site, query)
    except Refused as error:
        return Reply(fault=Fault(error.code, error.message))
    except CascadeError as error:
        return Reply(fault=Fault(FaultCode.SITE_SILENT, str(error)))
    except Exception as error:
        LOG.exception("query %s failed by a bug", query.verb)
        return Reply(fault=Fault(FaultCode.BUG, repr(error)))
