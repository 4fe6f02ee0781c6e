"""One cascaded OpenStack in memory, with the interface of site_agent.edge.cloud.Cloud.

It answers the REST calls the agent makes, so that everything of the agent but the HTTP session runs for real on it.
Time is ``time.time()``; what a site does by itself (building, shutting down) is done when its moment has come. Wrapped
in tests.fakes.process.Edge, each request is a call a process can die at; ``describe`` names it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from proto.errors import CascadeError
from site_agent.breakers import Breakers
from site_agent.core.answers import Answer, refuse_not_now
from site_agent.core.breaker import Overloaded
from site_agent.edge.cloud import Service
from tests.fakes.cloud_glance import SiteGlance
from tests.fakes.cloud_neutron import SiteNeutron
from tests.fakes.cloud_nova import SiteNova
from tests.fakes.cloud_placement import SitePlacement

LOST = Overloaded("timed out")
TIMEOUT = 60.0  # s until a request to a site that hangs is given up


@dataclass(slots=True)
class Trouble:
    """What happens to the next ``times`` requests whose description holds ``what``."""

    what: str
    happens: CascadeError | Answer
    done: bool = False  # the site does it and only the answer is lost
    times: int = 1


class FakeCloud:
    """A site; ``admin``: the agent's user may make flavors and see hosts."""

    def __init__(self, *, admin: bool = True, build_time: float = 1.0, step_time: float = 0.3) -> None:
        """``build_time``: s from POST to ACTIVE; ``step_time``: s a stop, start, reboot or delete takes."""
        self.project_id = "site-project"
        self.user_id = "site-user"
        self.microversion = "2.96"
        self.clock_offset = 0.0
        self.closed = False
        self.away: set[Service] = set()
        self.breakers = Breakers()
        self.every: Answer | None = None  # what every request is answered
        self.delay = 0.0  # s until each answer; from TIMEOUT on there is none
        self.calls: list[str] = []
        self.troubles: list[Trouble] = []
        self.is_admin = admin
        self.nova = SiteNova(self.user_id, admin=admin, build_time=build_time, step_time=step_time)
        self.neutron = SiteNeutron(self.project_id)
        self.glance = SiteGlance()
        self.placement = SitePlacement(admin=admin)
        self.nova.neutron = self.neutron
        self.nova.glance = self.glance

    def trouble(self, what: str, happens: CascadeError | Answer = LOST, *, done: bool = False, times: int = 1) -> None:
        """Let requests fail: ``what`` is a part of "POST compute /servers"; ``done``: after the site did it."""
        self.troubles.append(Trouble(what, happens, done, times))

    def count(self, what: str) -> int:
        """Return how many requests began with ``what``."""
        return sum(call.startswith(what) for call in self.calls)

    def offers(self, service: Service) -> bool:
        """Whether the catalogue names a service."""
        return True

    async def request(
        self,
        service: Service,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        microversion: str | None = None,
    ) -> Answer:
        """Answer one request, unless the breaker keeps it from us."""
        with self.breakers.asking(service):
            return await self._answered(service, method, path, params, json)

    async def _answered(
        self, service: Service, method: str, path: str, params: Mapping[str, Any] | None, json: Any
    ) -> Answer:
        trouble = self._meet(f"{method} {service} {path}", service)
        await asyncio.sleep(min(self.delay, TIMEOUT))
        if trouble and not trouble.done:
            return _raised(trouble.happens)
        if self.delay >= TIMEOUT or self.every:
            return _raised(self.every or LOST)
        path, _, query = path.partition("?")
        asked = {**dict(pair.split("=") for pair in query.split("&") if pair), **(params or {})}
        answer = self._api(service).answer(method, path, {k: str(v) for k, v in asked.items()}, json)
        await asyncio.sleep(0)
        return _raised(trouble.happens if trouble else answer)

    async def upload(self, path: str, content: BinaryIO) -> Answer:
        """Take an image's bytes."""
        trouble = self._meet(f"PUT image {path}", Service.IMAGE)
        if trouble:
            return _raised(trouble.happens)
        image_id = path.split("/")[2]
        self.glance.saving(image_id)
        await asyncio.sleep(0)  # a process that dies meanwhile leaves half an image
        return self.glance.upload(image_id, content.read())

    async def download(self, path: str, offset: int, length: int) -> Answer:
        """Return a part of an image."""
        trouble = self._meet(f"GET image {path}", Service.IMAGE)
        return _raised(trouble.happens if trouble else self.glance.chunk(path.split("/")[2], offset, length))

    def close(self) -> None:
        """The agent leaves."""
        self.closed = True

    def _meet(self, call: str, service: Service) -> Trouble | None:
        self.calls.append(call)
        if service in self.away:
            raise Overloaded(f"{call}: connection refused")
        for trouble in self.troubles:
            if trouble.what in call:
                trouble.times -= 1
                if trouble.times <= 0:
                    self.troubles.remove(trouble)
                return trouble
        return None

    def _api(self, service: Service) -> Any:
        return {
            Service.COMPUTE: self.nova,
            Service.NETWORK: self.neutron,
            Service.IMAGE: self.glance,
            Service.PLACEMENT: self.placement,
        }[service]


def describe(name: str, args: Any, kwargs: Any) -> str:
    """Name a call of a FakeCloud for tests.fakes.process.Edge: "POST compute /servers"."""
    if name in ("upload", "download"):
        return f"{'PUT' if name == 'upload' else 'GET'} image {args[0]}"
    service, method, path = args[:3]
    return f"{method} {service} {path}"


def _raised(outcome: CascadeError | Answer) -> Answer:
    """Answer as the real edge does: it raises for what is "not now"."""
    if isinstance(outcome, CascadeError):
        raise outcome
    refuse_not_now(outcome, "the site")
    return outcome
