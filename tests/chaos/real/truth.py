"""What both clouds hold, compared: counted by what `make chaos` counts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.demo.stack import SITES, Stack
from tests.chaos.real.load import PREFIX, Asked
from tests.e2e.clouds import User
from tests.scenario.invariants import Kind


class Truth:
    """The operators' views: of the top, and of each site as its agent's user, deleted servers too."""

    def __init__(self, stack: Stack) -> None:
        self._top = User(stack, stack.top)
        self._sites = {site: User(stack, f"{site}-agent") for site in SITES}

    def unsettled(self, asked: Sequence[Asked]) -> list[str]:
        """Return what is still on its way above."""
        above = self._above()
        return [text for one in asked if (text := _unsettled(one, above.get(one.uuid)))]

    def errors(self, asked: Sequence[Asked]) -> list[str]:
        """Return the faults of boots that ended in ERROR, each with its reason: told, so not lost."""
        above = self._above()
        shown = [above.get(one.uuid, {}) for one in asked if not one.delete]
        return [str(server.get("fault", {}).get("message")) for server in shown if server.get("status") == "ERROR"]

    def wrong(self, asked: Sequence[Asked]) -> Iterator[tuple[Kind, str]]:
        """Yield whatever must not be, once everything is settled."""
        above, alive, dead = self._above(), self._below(False), self._below(True)
        made = Counter(name for name, _ in (*alive, *dead))
        for one in asked:
            here = [site for name, site in alive if name == one.name]
            running = above.get(one.uuid, {}).get("status") == "ACTIVE"
            if made[one.name] > 1:
                yield Kind.DOUBLED, f"{one.name} was made {made[one.name]} times"
            if running and not here and any(name == one.name for name, _ in dead):
                yield Kind.UNASKED, f"{one.name} was deleted in its site"
            elif running and not here:
                yield Kind.LOST, f"{one.name} is ACTIVE above and nowhere below"
            if not running and here:
                yield Kind.ORPHAN, f"{one.name} is still in {here}"
            if one.uuid not in above and not one.delete:
                yield Kind.UNASKED, f"{one.name} is gone above"
            if not running:
                yield from self._ports_left(one)

    def _ports_left(self, one: Asked) -> Iterator[tuple[Kind, str]]:
        for name, site in self._sites.items():
            if left := site.ports(description=f"cascade:{one.uuid}"):
                yield Kind.ORPHAN, f"{len(left)} ports of {one.name} are left in {name}"

    def _above(self) -> dict[str, dict[str, Any]]:
        listed = self._top.get("compute", "/servers/detail", all_tenants="1", name=f"^{PREFIX}-")["servers"]
        return {server["id"]: server for server in listed}

    def _below(self, deleted: bool) -> list[tuple[str, str]]:
        query = {"all_tenants": "1", "name": f"^{PREFIX}-", "deleted": str(deleted)}
        return [
            (server["name"], name)
            for name, site in self._sites.items()
            for server in site.get("compute", "/servers/detail", **query)["servers"]
        ]


def _unsettled(one: Asked, server: dict[str, Any] | None) -> str:
    if server is None:
        return ""
    if one.delete:
        return f"{one.name} is not deleted yet"
    done = server["status"] in ("ACTIVE", "ERROR") and server["OS-EXT-STS:task_state"] is None
    return "" if done else f"{one.name} is {server['status']} {server['OS-EXT-STS:task_state']}"
