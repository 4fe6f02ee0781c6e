"""What sites must have before a boot: versions of flavors, counted up in etcd when a flavor's content changes."""

from typing import Any, Protocol

from bridge.core import keys, translate
from bridge.core.flavor_digest import digest
from bridge.core.records import FlavorVersion
from bridge.edge.etcd_store import Conflict
from proto import codec
from proto.messages import FlavorSpec


class VersionStore(Protocol):
    """What this module needs of etcd."""

    async def get(self, key: str) -> Any: ...
    async def put(self, key: str, value: bytes, *, expected: int | None = None) -> int: ...


class Catalog:
    """Shared by all sites of a bridge."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._known: dict[str, FlavorVersion] = {}

    async def flavor(self, flavor: dict[str, Any]) -> FlavorSpec:
        """Return a flattened Nova flavor with its version; a changed content gets the next number, once for all."""
        spec = translate.flavor_spec(flavor, version=0)
        content = digest(spec)
        known = self._known.get(spec.flavor_id)
        if known is None or known.digest != content:
            known = await self._version(spec.flavor_id, content)
            self._known[spec.flavor_id] = known
        return translate.flavor_spec(flavor, known.version)

    async def _version(self, flavor_id: str, content: str) -> FlavorVersion:
        while True:
            stored = await self._store.get(keys.flavor(flavor_id))
            newest = codec.from_json(stored.value, FlavorVersion) if stored else FlavorVersion(0, "")
            if newest.digest == content:
                return newest
            following = FlavorVersion(newest.version + 1, content)
            try:
                expected = stored.revision if stored else 0
                await self._store.put(keys.flavor(flavor_id), codec.to_json(following), expected=expected)
            except Conflict:
                continue  # another bridge was faster: read what it wrote
            return following
