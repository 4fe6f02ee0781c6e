"""Keeps networks, security groups and ports of a site equal to what is above, also when they change there.

Neutron tells Nova of every change of a port (external event ``network-changed``), so ports need no polling: 1,000 of
them cost it 2 to 5 s a look. Networks, subnets and groups are read every PAUSE s, only those the site uses, as
``changed_since`` is refused by Neutron's own filter validation, which is on by default. That costs Neutron some 0.2 s,
and 2 to 4 ms more for each group or network; a slow Neutron is asked less often (SHARE).
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping

from bridge.addresses import Addresses
from bridge.core.network_sync import Batch, Spec, Things, batches, due
from bridge.core.translate_network import group_spec, network_spec, of_instance, port_spec, reservation
from bridge.edge.neutron import Neutron, Port
from proto import codec, subjects
from proto.errors import Malformed, Refused, Unavailable
from proto.jetstream import JetStream
from proto.messages import Query, Reply
from proto.queries import QueryName

LOG = logging.getLogger(__name__)

PAUSE = 2.0  # s between two looks
SHARE = 10.0  # times as long as a look took is waited at least
ROUND = 2.0  # s of telling after which to look again
RESYNC = 300.0  # s between two times everything is told: heals what was missed, and what the site changed
NOT_YET = 10.0  # s until what failed, or is not in the site yet, is told again
ANSWER = 30.0  # s the site has for one message


class Networks:
    """One ownership of one site. ``run`` it as long as it is owned; the other methods may be called at any time."""

    def __init__(
        self,
        site: str,
        hosts: Collection[str],
        networks: Mapping[str, str],
        several_sites: bool,
        neutron: Neutron,
        addresses: Addresses,
        road: JetStream,
    ) -> None:
        """``networks``: the operator's map; ``several_sites``: whether a network may be used in other sites too."""
        self.several_sites = several_sites
        self._site = site
        self._hosts = hosts
        self._map = networks
        self._neutron = neutron
        self._addresses = addresses
        self._road = road
        self._ports: dict[str, Port] = {}  # of the site's instances
        self._told: dict[str, Spec] = {}  # by id above
        self._again: set[str] = set()  # to be told once more, changed or not
        self._waiting: dict[str, float] = {}  # what failed: not before then (monotonic s)
        self._idle: set[str] = set()  # networks with addresses kept for the site, but no instance of it, a RESYNC ago
        self._loaded = -RESYNC

    def mapped(self, network_id: str) -> str | None:
        """Return what the operator's map puts in a network's place in the site."""
        return self._map.get(network_id)

    def booted(self, uuid: str, ports: Iterable[Port], others: Iterable[Port] = ()) -> None:
        """The site is told of these ports of an instance by a command; ``others`` it has besides."""
        known = {port["id"]: port for port in ports}
        self.changed(uuid, [*known.values(), *others])
        self._told |= {port_id: port_spec(port, None) for port_id, port in known.items()}

    def changed(self, uuid: str, ports: Iterable[Port]) -> None:
        """The ports of an instance are these now."""
        self._ports = {port_id: port for port_id, port in self._ports.items() if port["device_id"] != uuid}
        self._ports |= {port["id"]: port for port in ports if port.get("device_id") == uuid}

    async def run(self) -> None:
        """Look and tell until cancelled; what fails is tried again."""
        while True:
            began = time.monotonic()
            looked = 0.0
            try:
                wanted = await self._look()
                looked = time.monotonic() - began
                await self._tell(wanted)
            except (Unavailable, Refused, Malformed) as error:
                LOG.debug("site=%s networks: %s", self._site, error)
            await asyncio.sleep(max(PAUSE, looked * SHARE))

    async def _look(self) -> Things:
        """Return what the site shall have: its ports, and the networks and groups they are in."""
        if time.monotonic() - self._loaded >= RESYNC:
            await self._load()
        if not self._ports:
            return Things()
        ports = list(self._ports.values())
        network_ids = {str(port["network_id"]) for port in ports}
        group_ids = {str(group) for port in ports for group in port.get("security_groups") or []}
        networks, groups = await asyncio.gather(
            self._neutron.networks(network_ids), self._neutron.security_groups(group_ids)
        )
        wanted = Things(
            groups={group["id"]: group_spec(group) for group in groups},
            ports={port["id"]: port_spec(port, None) for port in ports},
        )
        for network, subnets in networks:
            here = self.mapped(network["id"])
            kept = [] if here else await self._addresses.kept(network, subnets)
            wanted.networks[network["id"]] = network_spec(network, subnets, kept, here)
        return wanted

    async def _load(self) -> None:
        """Read all ports of the site's instances anew, and tell everything once more."""
        ports = await self._neutron.ports_on(self._hosts)
        self._ports = {port["id"]: port for port in ports if of_instance(port)}
        self._loaded = time.monotonic()
        self._again = {*self._ports, *self._told}
        kept = await self._neutron.ports(device_id=reservation(self._site))
        before = self._idle
        self._idle = {port["network_id"] for port in kept} - {port["network_id"] for port in self._ports.values()}
        await self._collect(self._idle & before)

    async def _collect(self, network_ids: Collection[str]) -> None:
        """Let the site drop copies that a delete cut short left behind, and give back the addresses kept for them."""
        found = [network_spec(network, [], []) for network, _ in await self._neutron.networks(network_ids)]
        if not found:
            return
        reply = await self._ask(Query(site=self._site, verb=QueryName.NETWORK_DROP, networks=found))
        for spec in found:
            if spec.network_id not in reply.undone:
                await self._addresses.unreserve(spec.network_id, leaving="")

    async def _tell(self, wanted: Things) -> None:
        every, began = wanted.every(), time.monotonic()
        self._told = {name: spec for name, spec in self._told.items() if name in every}
        self._again &= every.keys()
        self._waiting = {name: until for name, until in self._waiting.items() if until > began}
        for batch in batches(due(wanted, self._told, self._again, self._waiting), wanted):
            await self._send(batch)
            if time.monotonic() - began > ROUND:
                return

    async def _send(self, batch: Batch) -> None:
        things = batch.things
        query = Query(
            site=self._site,
            verb=QueryName.NETWORK_SYNC,
            networks=list(things.networks.values()),
            security_groups=list(things.groups.values()),
            ports=list(things.ports.values()),
        )
        reply = await self._ask(query)
        every = things.every()
        for name in batch.due:
            if name in reply.undone:
                LOG.info("site=%s %s is not kept equal: %s", self._site, name, reply.undone[name])
                self._waiting[name] = time.monotonic() + NOT_YET
            else:
                self._told[name] = every[name]
                self._again.discard(name)

    async def _ask(self, query: Query) -> Reply:
        data = await self._road.request(subjects.query(self._site, query.verb), codec.encode(query), ANSWER)
        reply = codec.decode(data, Reply)
        if reply.fault is not None:
            raise Refused(reply.fault.code, reply.fault.message)
        return reply
