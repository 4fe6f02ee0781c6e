"""NATS for tests: one server per session, in operator mode as in production; or a private one to kill.

Streams are shared by all tests of a session, so give every test a site name of its own (``unique_site()``).
Import the fixtures you use: ``from tests.servers.nats import nats_server, jetstream``.
"""

import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.edge import nats_jwt
from deploy.devcloud import ports
from deploy.embedded import servers
from deploy.embedded.servers import NatsServer
from proto import subjects
from proto.jetstream import JetStream
from tests.servers.etcd import need_binary

_numbers = itertools.count(1)


def unique_site() -> str:
    """Return a site name that no other test of this session uses."""
    return f"site-{os.getpid()}-{next(_numbers)}"


@contextmanager
def nats(directory: Path) -> Iterator[NatsServer]:
    """Run a nats-server on a free port in ``directory`` while the block runs."""
    need_binary("nats-server")
    server = servers.start_nats(directory, ports.pick(("client",), ())["client"], sync_always=False)
    try:
        yield server
    finally:
        servers.stop([server], grace=0)


def start_again(server: NatsServer) -> None:
    """Start a killed or stopped nats-server on what it had stored."""
    servers.start_nats(server.directory, server.port, sync_always=False)


def kill(server: NatsServer) -> None:
    """Kill -9 and wait until it is gone."""
    process = servers.running(server)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    servers.stop([server])


async def connect_bridge(server: NatsServer) -> JetStream:
    """Return a connection with the bridges' credentials."""
    return await JetStream.connect([server.url], "test-bridge", server.files.bridge_credentials.read_text())


async def connect_site(server: NatsServer, site: str) -> JetStream:
    """Return a connection with new credentials of a site, as its agent would make it."""
    creds = nats_jwt.site_credential(server.files.account(), site).creds
    return await JetStream.connect([server.url], f"test-{site}", creds, inbox_prefix=subjects.inbox_prefix(site))


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One nats-server for the whole session; never kill it."""
    with nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def private_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server that the test may kill and restart."""
    with nats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStream]:
    """A connection with the bridges' credentials."""
    connection = await connect_bridge(nats_server)
    yield connection
    await connection.close()
