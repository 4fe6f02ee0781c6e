"""The part of `cascade check` about etcd, NATS and the bridges' keys."""

import json
from typing import TYPE_CHECKING

from bridge.core import keys
from bridge.core.records import SiteSpec
from bridge.operator.context import Context
from bridge.operator.finding import Finding, ok, unseen, warning, wrong
from proto import codec, streams
from proto.errors import CascadeError
from proto.sealing import PrivateKey

if TYPE_CHECKING:
    from proto.jetstream import JetStream

STREAM_NOT_FOUND = 10059


async def etcd(context: Context, sites: list[SiteSpec]) -> list[Finding]:
    """Look at etcd; fills ``sites`` with what is enrolled."""
    store = await context.store()
    findings = [ok("etcd", f"answers at {', '.join(context.conf.etcd.endpoints)}")]
    if len(context.conf.etcd.endpoints) < 3:
        findings.append(warning("etcd members", "fewer than three endpoints", "a cluster of three in production"))
    owned = set()
    for one in (await store.list(keys.SITES))[0]:
        name = keys.site_of_spec(one.key)
        if name:
            sites.append(codec.from_json(one.value, SiteSpec))
        elif one.key.endswith("/owner"):
            owned.add(one.key)
    alone = [site.site for site in sites if keys.owner(site.site) not in owned]
    if alone:
        mend = "start a bridge: systemctl start cascade-bridge"
        findings.append(wrong("bridges", f"no bridge serves {', '.join(alone)}", mend))
    elif sites:
        findings.append(ok("bridges", f"all {len(sites)} sites are served"))
    return findings


async def nats(context: Context, sites: list[SiteSpec]) -> list[Finding]:
    """Look at NATS and at the streams of the sites."""
    road = await context.road()
    findings = [ok("nats", f"answers at {', '.join(context.conf.nats.servers)}")]
    answer = json.loads(await road.request("$JS.API.INFO", b"", timeout=5))
    if "error" in answer:
        mend = "a jetstream block in nats-server.conf and JetStream limits of the account: python -m deploy.nats"
        return [*findings, wrong("jetstream", answer["error"].get("description", "is off"), mend)]
    findings.append(ok("jetstream", f"{answer.get('streams', 0)} streams, {answer.get('storage', 0)} bytes"))
    names = sorted({stream.name for site in sites for stream in streams.of_site(site.site)})
    single = [name for name in names if await _replicas(road, name) == 1]
    if single:
        findings.append(
            unseen(
                "stream replicas",
                f"{len(single)} streams have one replica: a power cut loses what is not synced",
                "jetstream { sync_interval: always } in nats-server.conf, or a cluster of three",
            )
        )
    return findings


async def _replicas(road: "JetStream", stream: str) -> int | None:
    answer = json.loads(await road.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5))
    return int(answer["config"]["num_replicas"]) if "config" in answer else None


def keys_of_bridge(context: Context) -> list[Finding]:
    """Look at the key files that bridge and command need."""
    findings = []
    try:
        text = context.secret(context.conf.bridge.sealing_key_file, "[bridge] sealing_key_file")
        PrivateKey.parse(text, "[bridge] sealing_key_file")
        findings.append(ok("sealing key", "readable"))
    except CascadeError as error:
        mend = "python -m deploy.nats init DIRECTORY makes one; the same file for every bridge"
        findings.append(wrong("sealing key", str(error), mend))
    try:
        context.secret(context.conf.nats.account_key_file, "[nats] account_key_file")
        findings.append(ok("account key", "readable"))
    except CascadeError as error:
        mend = "name the account.seed that python -m deploy.nats init made; only `cascade site add` needs it"
        findings.append(warning("account key", str(error), mend))
    return findings
