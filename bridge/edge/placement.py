"""The cascading Placement: our hosts' resource providers and what is allocated on them."""

from collections.abc import Callable, Collection
from typing import Any

from bridge.core.inventory import DISABLED_TRAIT, Inventory, merged_traits
from bridge.edge.cloud_session import Answer, CloudSession
from proto.errors import FaultCode, Refused, Unavailable

MICROVERSION = "1.30"
EVERYWHERE = frozenset({"VCPU", "MEMORY_MB", "DISK_GB"})  # resource classes no Placement lacks
ATTEMPTS = 5  # when somebody else changes the same provider


class Placement:
    """Changes carry the provider's generation: on a conflict they read again and repeat. All may be repeated."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session
        self._known: set[str] = set()  # trait names of this Placement
        self._classes: set[str] = set(EVERYWHERE)  # its resource classes

    async def ensure_provider(self, uuid: str, name: str) -> None:
        """Make the provider exist under this name; Refused if another provider has the name."""
        answer = await self._call("GET", f"/resource_providers/{uuid}", expect=(404,))
        if answer.status == 404:
            answer = await self._call("POST", "/resource_providers", body={"name": name, "uuid": uuid}, expect=(409,))
        elif answer.body["name"] != name:
            answer = await self._call("PUT", f"/resource_providers/{uuid}", body={"name": name}, expect=(409,))
        if answer.status == 409 and not await self._exists(uuid, name):
            raise Refused(
                FaultCode.CONFLICT,
                f"another resource provider is named {name}: delete it, or give the site another host",
            )

    async def set_inventories(self, uuid: str, ours: Inventory) -> bool:
        """Set our resource classes and keep all others; return whether anything had to be changed.

        CUSTOM_ classes are made; standard ones this Placement does not know are left out.
        """
        path = f"/resource_providers/{uuid}/inventories"
        known = await self._knowing_classes(ours)
        ours = {name: values for name, values in ours.items() if name in known}
        for _ in range(ATTEMPTS):
            present = (await self._call("GET", path)).body
            wanted = {**present["inventories"], **ours}
            if wanted == present["inventories"]:
                return False
            body = {
                "resource_provider_generation": present["resource_provider_generation"],
                "inventories": wanted,
            }
            if (await self._call("PUT", path, body=body, expect=(409,))).ok:
                return True
        raise Unavailable(f"inventory of resource provider {uuid}: changed by others {ATTEMPTS} times in a row")

    async def set_traits(self, uuid: str, ours: Collection[str], formerly_ours: Collection[str] = ()) -> bool:
        """Set our traits and keep the operators' CUSTOM_ ones; return whether anything had to be changed.

        CUSTOM_ traits are made; standard ones this Placement does not know are left out.
        """
        known = await self._knowing(ours)
        return await self._change_traits(uuid, lambda present: merged_traits(present, known, formerly_ours))

    async def set_disabled(self, uuid: str, disabled: bool) -> bool:
        """Set or unset only COMPUTE_STATUS_DISABLED, which the scheduler avoids."""
        mark = frozenset({DISABLED_TRAIT})
        return await self._change_traits(uuid, lambda present: present | mark if disabled else present - mark)

    async def delete_allocations(self, consumer: str) -> None:
        """Give back all that an instance or migration holds, on every provider; nothing there is success."""
        await self._call("DELETE", f"/allocations/{consumer}", expect=(404,))

    async def remove_allocation(self, consumer: str, provider: str) -> None:
        """Give back what an instance holds of one provider, and leave it the rest; nothing there is success."""
        for _ in range(ATTEMPTS):
            held = (await self._call("GET", f"/allocations/{consumer}")).body
            if provider not in held["allocations"]:
                return
            left = {key: {"resources": value["resources"]} for key, value in held["allocations"].items()}
            del left[provider]
            kept = {key: held[key] for key in ("project_id", "user_id", "consumer_generation")}
            path, body = f"/allocations/{consumer}", {**kept, "allocations": left}
            if (await self._call("PUT", path, body=body, expect=(409,))).ok:
                return
        raise Unavailable(f"allocations of {consumer}: changed by others {ATTEMPTS} times in a row")

    async def move_allocations(self, source: str, target: str) -> bool:
        """Give ``target`` what ``source`` holds instead of what it holds itself; False if that was done before."""
        for _ in range(ATTEMPTS):
            theirs = (await self._call("GET", f"/allocations/{source}")).body
            if not theirs["allocations"]:
                return False
            mine = (await self._call("GET", f"/allocations/{target}")).body
            moved = {key: theirs[key] for key in ("project_id", "user_id", "consumer_generation")}
            allocations = {key: {"resources": value["resources"]} for key, value in theirs["allocations"].items()}
            taken = {**moved, "consumer_generation": mine.get("consumer_generation"), "allocations": allocations}
            body = {source: {**moved, "allocations": {}}, target: taken}
            if (await self._call("POST", "/allocations", body=body, expect=(409,))).ok:
                return True
        raise Unavailable(f"allocations of {source}: changed by others {ATTEMPTS} times in a row")

    async def consumers(self, uuid: str) -> list[str]:
        """Return the uuids of the instances and migrations that hold something of a provider."""
        answer = await self._call("GET", f"/resource_providers/{uuid}/allocations", expect=(404,))
        return list(answer.body["allocations"]) if answer.ok else []

    async def aggregates(self, uuid: str) -> list[str]:
        """Return the uuids of the aggregates a provider is in."""
        answer = await self._call("GET", f"/resource_providers/{uuid}/aggregates", expect=(404,))
        return list(answer.body["aggregates"]) if answer.ok else []

    async def _exists(self, uuid: str, name: str) -> bool:
        answer = await self._call("GET", f"/resource_providers/{uuid}", expect=(404,))
        return answer.ok and answer.body["name"] == name

    async def _change_traits(self, uuid: str, change: Callable[[frozenset[str]], frozenset[str]]) -> bool:
        path = f"/resource_providers/{uuid}/traits"
        for _ in range(ATTEMPTS):
            answer = (await self._call("GET", path)).body
            present = frozenset(answer["traits"])
            wanted = change(present)
            if wanted == present:
                return False
            body = {
                "resource_provider_generation": answer["resource_provider_generation"],
                "traits": sorted(wanted),
            }
            if (await self._call("PUT", path, body=body, expect=(409,))).ok:
                return True
        raise Unavailable(f"traits of resource provider {uuid}: changed by others {ATTEMPTS} times in a row")

    async def _knowing(self, names: Collection[str]) -> frozenset[str]:
        """Return those of ``names`` that may be set here, after making the custom ones."""
        if not self._known:
            self._known = set((await self._call("GET", "/traits")).body["traits"])
        for name in sorted(set(names) - self._known):
            if name.startswith("CUSTOM_"):
                await self._call("PUT", f"/traits/{name}")
                self._known.add(name)
        return frozenset(names) & self._known

    async def _knowing_classes(self, names: Collection[str]) -> frozenset[str]:
        """Return those of ``names`` that are resource classes here, after making the custom ones."""
        if self._classes == EVERYWHERE and not EVERYWHERE.issuperset(names):
            answer = await self._call("GET", "/resource_classes")
            self._classes |= {entry["name"] for entry in answer.body["resource_classes"]}
        for name in sorted(set(names) - self._classes):
            if name.startswith("CUSTOM_"):
                await self._call("PUT", f"/resource_classes/{name}")
                self._classes.add(name)
        return frozenset(names) & self._classes

    async def _call(self, method: str, path: str, *, body: Any = None, expect: tuple[int, ...] = ()) -> Answer:
        """Return the answer if it is a 2xx or expected; any other is a bug or a policy: Refused."""
        answer = await self._session.call("placement", method, path, body=body, microversion=MICROVERSION)
        if not answer.ok and answer.status not in expect:
            raise Refused(FaultCode.REJECTED, f"{method} placement {path}: {answer.message()}")
        return answer
