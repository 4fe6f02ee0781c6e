"""The flavors of the cascading Nova in memory, as its REST API lists them."""

from typing import Any

from tests.fakes.nova import FLAVOR


class FakeFlavors:
    """None is listed until a story makes one: flavors are then numbered by boots alone."""

    def __init__(self) -> None:
        self.listed: dict[str, dict[str, Any]] = {}

    def change(self, vcpus: int) -> None:
        """Create the flavor all boots use, or give it another content."""
        flavor_id = str(FLAVOR["flavorid"])
        self.listed[flavor_id] = {
            "id": flavor_id,
            "name": FLAVOR["name"],
            "vcpus": vcpus,
            "ram": FLAVOR["memory_mb"],
            "disk": FLAVOR["root_gb"],
            "OS-FLV-EXT-DATA:ephemeral": FLAVOR["ephemeral_gb"],
            "swap": FLAVOR["swap"],
            "extra_specs": {},
        }

    async def flavors(self) -> list[dict[str, Any]]:
        """Return every flavor."""
        return [dict(flavor) for flavor in self.listed.values()]
