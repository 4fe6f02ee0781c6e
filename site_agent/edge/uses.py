"""What the servers of the site are made of."""

from collections import Counter
from dataclasses import dataclass, field

from proto.errors import Unavailable
from site_agent.core.answers import checked
from site_agent.edge.cloud import Cloud, Service

PAGE = 500  # servers of one answer


@dataclass(slots=True)
class Uses:
    """How many servers need a flavor (by its name), an image (by id), a keypair (by name)."""

    flavors: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    keypairs: Counter[str] = field(default_factory=Counter)


class ServerUses:
    """Read from all servers of the agent's project, whoever made them."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def count(self) -> Uses:
        """Count over all servers; Unavailable if some are hidden by a cell that does not answer.

        Nova leaves out a cell that is down as soon as a query pages, so the first page is asked for without a limit.
        """
        uses, marker = Uses(), ""
        while True:
            query = {"limit": PAGE, "marker": marker} if marker else {}
            body = checked(await self._cloud.request(Service.COMPUTE, "GET", "/servers/detail", params=query))
            for server in body["servers"]:
                if "flavor" not in server or server.get("status") == "UNKNOWN":
                    raise Unavailable("a cell of the site does not answer: what its servers need is not known")
                uses.flavors[server["flavor"].get("original_name") or ""] += 1
                uses.images[(server.get("image") or {}).get("id") or ""] += 1
                uses.keypairs[server.get("key_name") or ""] += 1
            if not body["servers"] or not any(link["rel"] == "next" for link in body.get("servers_links") or []):
                return uses
            marker = body["servers"][-1]["id"]
