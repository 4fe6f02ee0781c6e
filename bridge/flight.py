"""Commands under way: what the tasks of one site tell each other about an instance. In memory only."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from proto.messages import Fault, Rpc, ServerState


class End(Enum):
    """How a command ended, as its observation says."""

    SUCCEEDED = "succeeded"  # saved above
    FAILED = "failed"  # for a create: clean up in the site, then end the boot above
    GONE = "gone"  # the server is not in the site


@dataclass(slots=True, eq=False)
class Flight:
    """One RPC being carried out."""

    rpc: Rpc
    started: bool = False  # its action event is begun above
    published: bool = False  # by this ownership
    image_id: str | None = None  # that its create may ask the bridge for
    taken: Callable[[], None] = lambda: None  # called when the site has begun with its command, or refused it
    own: float = 0.0  # s of ours so far: neither waiting for OpenStack nor for the site
    server: ServerState | None = None  # that settled it, for a worker that ends it above
    networks_gone: list[str] = field(default_factory=list)  # ids above that the site has no use for any more
    announced: asyncio.Event = field(default_factory=asyncio.Event)  # what must be above before the outcome is
    superseded: asyncio.Event = field(default_factory=asyncio.Event)  # a delete came
    ended: "asyncio.Future[tuple[End, Fault | None]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def end(self, how: End, fault: Fault | None = None) -> None:
        """Say how the present command ended; a repeat changes nothing."""
        if not self.ended.done():
            self.ended.set_result((how, fault))

    def next_command(self) -> None:
        """Go on with a further command of the same RPC."""
        self.ended = asyncio.get_running_loop().create_future()


class Flights:
    """The RPCs of one site under way, by instance."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def get(self, uuid: str) -> Flight | None:
        """Return what is under way for an instance."""
        return self._flights.get(uuid)

    def all(self) -> list[Flight]:
        """Return everything under way."""
        return list(self._flights.values())

    def begin(self, flight: Flight) -> None:
        """Register an RPC as the one under way of its instance."""
        self._flights[flight.rpc.uuid] = flight

    def wants_image(self, image_id: str) -> bool:
        """Whether a create under way is of this image."""
        return any(flight.image_id == image_id for flight in self._flights.values())

    def finish(self, flight: Flight) -> None:
        """Forget it."""
        if self._flights.get(flight.rpc.uuid) is flight:
            del self._flights[flight.rpc.uuid]

    def __len__(self) -> int:
        return len(self._flights)
