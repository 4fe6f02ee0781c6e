"""Nothing stale is shown as fresh: a site that nobody has heard of for a while is not offered to the scheduler."""

from tests.fakes.process import Process
from tests.scenario.invariants import Kind, Violated
from tests.scenario.world import Cascaded, World

HEARD = 150.0  # virtual s in which a bridge that works must have noticed that a site is silent


class Freshness:
    """Looks at one world again and again; what it measures lasts from look to look."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._since: dict[str, float] = {}  # site -> virtual s since when it is silent while a bridge works

    def check(self) -> None:
        """Raise Violated for a site that is silent and still offered."""
        world, now = self._world, self._world.clock.seconds
        works = self._above_works() and any(map(self._works, world.bridges.values()))
        for name, site in world.sites.items():
            if not works or any(self._speaks(site, agent) for agent in site.agents.values()):
                self._since.pop(name, None)
                continue
            silent = now - self._since.setdefault(name, now)
            service = world.above.conductor.services.get(name)
            if silent > HEARD and service is not None and not service["disabled"]:
                raise Violated([(Kind.STALE, f"{name} has been silent for {silent:.0f} s and is still offered")])

    def _above_works(self) -> bool:
        world = self._world
        return not (world.above.conductor.away or world.above.neutron.away or world.etcd.away)

    def _works(self, bridge: Process) -> bool:
        return bridge.alive and bridge.moving and not bridge.lost and bridge.name not in self._world.road.cut

    def _speaks(self, site: Cascaded, agent: Process) -> bool:
        """Whether an agent may be heard; one without its cloud tells so, which disables the site too."""
        return agent.alive and agent.moving and agent.name not in self._world.road.cut
