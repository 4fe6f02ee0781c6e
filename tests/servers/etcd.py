"""etcd for tests: one server per session, keys of every test under a prefix of its own; or a private one to kill.

Import the fixtures you use: ``from tests.servers.etcd import etcd_server, etcd_store``.
"""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.edge.etcd_store import EtcdStore
from deploy.devcloud import ports
from deploy.embedded import servers
from deploy.embedded.servers import EtcdServer
from proto.errors import Misconfigured

REQUIRED = "CASCADE_REQUIRE_SERVICES"  # set in CI: a missing server fails instead of skipping


def need_binary(name: str) -> None:
    """Skip the test if a server's program is missing; fail if $CASCADE_REQUIRE_SERVICES is set."""
    try:
        servers.find_binary(name)
    except Misconfigured as error:
        if os.environ.get(REQUIRED):
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def etcd(directory: Path) -> Iterator[EtcdServer]:
    """Run an etcd on free ports in ``directory`` while the block runs."""
    need_binary("etcd")
    chosen = ports.pick(("client", "peer"), ())
    server = servers.start_etcd(directory, chosen["client"], chosen["peer"])
    try:
        yield server
    finally:
        servers.stop([server], grace=0)


def start_again(server: EtcdServer) -> None:
    """Start a killed or stopped etcd on what it had stored."""
    servers.start_etcd(server.directory, server.port, server.peer_port)


def kill(server: EtcdServer) -> None:
    """Kill -9 and wait until it is gone."""
    process = servers.running(server)
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    servers.stop([server])


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One etcd for the whole session; never kill it."""
    with etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def private_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd that the test may kill and restart."""
    with etcd(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
async def etcd_store(etcd_server: EtcdServer) -> AsyncIterator[EtcdStore]:
    """A store on the session's etcd, emptied after the test."""
    store = await EtcdStore.connect([etcd_server.url])
    yield store
    await store.delete_prefix("/")
    await store.close()
