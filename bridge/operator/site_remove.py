"""`cascade site remove`: gives a site up. Every step may be repeated: a run that was cut short is run again."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.core import keys
from bridge.core.records import InstanceRecord, Quarantined, SiteSpec
from bridge.operator.above import Above
from bridge.operator.context import Context
from proto import codec, streams, subjects
from proto.errors import Misconfigured, Refused, Unavailable
from proto.operations import Lane
from proto.streams import Durable

if TYPE_CHECKING:
    from bridge.edge.etcd_store import EtcdStore
    from proto.jetstream import JetStream

LET_GO = 30.0  # s for the owner to stop working for the site; a dead one loses it sooner
LOOK = 0.25  # s
CONSUMER_NOT_FOUND = 10014  # JetStream error codes
STREAM_NOT_FOUND = 10059


@dataclass(slots=True)
class Removal:
    """What was done, and what is left behind because of --forget."""

    site: str
    hosts: list[str] = field(default_factory=list)
    removed_hosts: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)  # above, still on the site's hosts
    records: list[str] = field(default_factory=list)  # dropped
    servers: list[str] = field(default_factory=list)  # of records and in quarantine, which may live on in the site


async def remove(context: Context, site: str, forget: bool) -> Removal:
    """Remove a site; Misconfigured if it does not exist, or if instances exist and ``forget`` is not set."""
    store, above = await context.store(), Above(await context.cloud())
    road = await context.road()
    stored = await store.get(keys.spec(site))
    spec = codec.from_json(stored.value, SiteSpec) if stored else None
    report = await _what_exists(store, above, site, spec)
    if spec is None and not report.hosts and not report.records:
        raise Misconfigured(f"there is no site {site}; see `cascade site list`")
    if (report.instances or report.records or report.servers) and not forget:
        raise Misconfigured(
            f"site {site} has {len(report.instances)} instances above, {len(report.records)} records and "
            f"{len(report.servers)} servers: delete the instances first (`cascade instance list --site {site}`) "
            f"and empty its quarantine (`cascade quarantine list`), or leave everything behind with --forget"
        )
    await store.delete(keys.spec(site))
    await _until_let_go(store, site)
    await _remove_hosts(above, spec, report)
    await _remove_messages(road, site)
    await store.delete_prefix(keys.held(site))
    await store.delete_prefix(keys.site(site))
    return report


async def _what_exists(store: "EtcdStore", above: Above, site: str, spec: SiteSpec | None) -> Removal:
    named = await above.hosts_named_for(site)
    hosts = sorted({*named, *(host.host for host in spec.hosts if spec)} if spec else named)
    report = Removal(site, hosts=hosts)
    for host in hosts:
        report.instances += await above.servers(host)
    for one in (await store.list(keys.instances(site)))[0]:
        record = codec.from_json(one.value, InstanceRecord)
        if record.deleted_at is None:
            report.records.append(record.uuid)
        if record.server_id and (record.deleted_at is None or spec is None or spec.given_up):
            report.servers.append(f"{record.server_id} of {record.uuid}")  # a site given up never heard of its delete
    for one in (await store.list(keys.quarantine(site)))[0]:
        entry = codec.from_json(one.value, Quarantined)
        report.servers.append(f"{entry.server.server_id} of {entry.uuid}, in quarantine")
    return report


async def _until_let_go(store: "EtcdStore", site: str) -> None:
    """Wait until no bridge works for the site any more; else it would register the hosts anew."""
    give_up = time.monotonic() + LET_GO
    while await store.get(keys.owner(site)):
        if time.monotonic() > give_up:
            raise Unavailable(f"a bridge still owns site {site}: look at its log and repeat the command")
        await asyncio.sleep(LOOK)


async def _remove_hosts(above: Above, spec: SiteSpec | None, report: Removal) -> None:
    """Remove each host's service, with which Nova removes compute node, provider, mapping and aggregate membership."""
    for host in report.hosts:
        for service in await above.nova.services(host):
            try:
                await above.nova.remove_service(service.uuid)
            except Refused:
                if not report.instances:
                    raise
                # Nova keeps a host with instances; down, it lets tenants delete them without the site.
                await above.nova.force_down(service.uuid, True)
            else:
                report.removed_hosts.append(host)
    for zone in {host.availability_zone for host in spec.hosts} if spec else ():
        await above.drop_empty_aggregate(zone)


async def _remove_messages(road: "JetStream", site: str) -> None:
    """Purge what waits for the site, and delete the consumers that bridge and agent had."""
    intake, commands, events = streams.intake(site).name, streams.commands(site).name, streams.events(site).name
    await road.purge(intake, subjects.intake_filter(site))
    await road.purge(commands, subjects.commands_of_site(site))
    await road.purge(events, subjects.event_filter(site))
    for stream in (intake, events):
        if await _exists(road, stream):
            await road.delete_durables(stream, streams.bridge_durable_prefix(site))
    for lane in Lane:
        await _delete_durable(road, streams.agent_durable(site, lane))


async def _exists(road: "JetStream", stream: str) -> bool:
    return _error_of(await road.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)) != STREAM_NOT_FOUND


async def _delete_durable(road: "JetStream", durable: Durable) -> None:
    answer = await road.request(f"$JS.API.CONSUMER.DELETE.{durable.stream}.{durable.name}", b"", timeout=5)
    if _error_of(answer) not in (None, CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
        raise Unavailable(f"deleting consumer {durable.name}: {answer.decode()}")


async def _durable_exists(road: "JetStream", durable: Durable) -> bool:
    return not _error_of(await road.request(f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}", b"", timeout=5))


def _error_of(answer: bytes) -> int | None:
    error = json.loads(answer).get("error")
    return int(error["err_code"]) if error else None
