"""The agent's way to the bridge: one NATS connection with what the bundle holds."""

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator

from proto import subjects
from proto.jetstream import JetStream
from site_agent.settings import Settings


@contextlib.asynccontextmanager
async def connected(chosen: Settings) -> AsyncIterator[JetStream]:
    """The connection while the block runs; Misconfigured if it cannot be had."""
    bundle = chosen.bundle
    with _file(bundle.ca) as ca_file:
        road = await JetStream.connect(
            chosen.servers,
            name=f"cascade-agent {bundle.site} {socket.gethostname()}",
            credentials=bundle.credentials or None,
            ca_file=ca_file,
            inbox_prefix=subjects.inbox_prefix(bundle.site),
        )
    try:
        yield road
    finally:
        await road.close()


@contextlib.contextmanager
def _file(content: str | None) -> Iterator[str | None]:
    if not content:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(content)
        file.flush()
        yield file.name
