"""Servers above as GET /servers/detail lists them for an administrator: the rows of a FakeConductor."""

from bridge.core.names import Known, Look, of_api
from tests.fakes.conductor import FakeConductor, Row


class FakeServers:
    """The cascading cloud's clock is that of the rows."""

    def __init__(self, conductor: FakeConductor) -> None:
        self._conductor = conductor

    async def changed_since(self, moment: float) -> Look:
        """Return what changed since then."""
        return self._look([row for row in self._conductor.instances.values() if row["updated_at"] >= moment])

    async def on_host(self, host: str) -> Look:
        """Return every server of a host."""
        return self._look([row for row in self._conductor.instances.values() if row["host"] == host])

    def _look(self, rows: list[Row]) -> Look:
        self._conductor._answer()
        return Look([known for row in rows if (known := _known(row)) is not None], self._conductor.now())


def _known(row: Row) -> Known | None:
    document = {
        "id": row["uuid"],
        "name": row.get("display_name"),
        "description": row.get("display_description"),
        "metadata": row.get("metadata") or {},
        "OS-EXT-STS:vm_state": "deleted" if row["deleted"] else row["vm_state"],
        "OS-EXT-STS:task_state": row["task_state"],
        "OS-EXT-SRV-ATTR:host": row["host"],
        "OS-SRV-USG:launched_at": row.get("launched_at"),
    }
    return of_api(document)
