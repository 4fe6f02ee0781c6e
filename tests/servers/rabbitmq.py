"""RabbitMQ for tests: one private broker per session, a virtual host per test; or a private one to kill.

Needs Debian's package rabbitmq-server; its own daemon is not used. Import the fixtures you use:
``from tests.servers.rabbitmq import rabbitmq, vhost``.
"""

import gc
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.devcloud import ports

REQUIRED = "CASCADE_REQUIRE_SERVICES"  # set in CI: a missing server fails instead of skipping
PROGRAMS = Path("/usr/lib/rabbitmq/bin")  # what the wrappers in /usr/sbin would run as user rabbitmq
START_TIMEOUT = 60  # s; 5-16 are usual
# For tests that break connections: oslo.messaging's heartbeat thread drops a broken socket without closing it.
loses_sockets = pytest.mark.filterwarnings("ignore:unclosed.*socket:ResourceWarning")
VHOSTS = 40  # made at the start: each rabbitmqctl costs 1-2 s
USER = "nova"
PASSWORD = "secret-of-nova"


@dataclass(slots=True)
class Broker:
    """A rabbitmq-server with its own epmd, both killed by pid."""

    directory: Path
    port: int
    dist_port: int
    epmd_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    used_vhosts: int = 0

    def url(self, vhost: str) -> str:
        """Transport URL of a virtual host."""
        return f"rabbit://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{vhost}"

    def environment(self) -> dict[str, str]:
        """What makes the programs use our directory and ports only."""
        home = self.directory
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
            "RABBITMQ_PID_FILE": str(home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def start(self) -> None:
        """Start, or start again on what was stored; returns when it takes connections."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\nlog.file.level = warning\n"
        )
        if not self.processes:
            self._run(["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"])
        self._run([str(PROGRAMS / "rabbitmq-server")])
        until = time.monotonic() + START_TIMEOUT
        while not _greets(self.port):
            if self.processes[-1].poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"rabbitmq-server did not start; see {self.directory / 'output'}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill -9 the broker, not epmd, and wait until it is gone."""
        broker = self.processes.pop()
        os.killpg(broker.pid, signal.SIGKILL)
        broker.wait()

    def stop(self) -> None:
        """Kill everything that was started here."""
        while self.processes:
            self.kill()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl (1-2 s) and return its output."""
        command = [str(PROGRAMS / "rabbitmqctl"), "-q", *arguments]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr or done.stdout}")
        return done.stdout

    def add_vhosts(self, count: int) -> None:
        """Make virtual hosts v1 .. v<count> in one go."""
        self.control(
            "eval",
            f'[begin V = list_to_binary("v" ++ integer_to_list(N)), rabbit_vhost:add(V, <<"test">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, V, <<".*">>, <<".*">>, <<".*">>, '
            f'<<"test">>) end || N <- lists:seq(1, {count})].',
        )

    def next_vhost(self) -> "Vhost":
        """Return a virtual host that nobody has used."""
        self.used_vhosts += 1
        return Vhost(self, f"v{self.used_vhosts}")

    def _run(self, command: list[str]) -> None:
        with (self.directory / "output").open("ab") as output:
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=self.environment(),
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )


@dataclass(frozen=True, slots=True)
class Vhost:
    """A virtual host of a broker."""

    broker: Broker
    name: str

    @property
    def url(self) -> str:
        """Transport URL."""
        return self.broker.url(self.name)

    def queues(self) -> dict[str, tuple[int, int]]:
        """Return name -> (ready, unacknowledged) messages."""
        lines = self.broker.control(
            "list_queues", "-s", "-p", self.name, "name", "messages_ready", "messages_unacknowledged"
        )
        rows = [line.split("\t") for line in lines.splitlines()]
        return {name: (int(ready), int(unacknowledged)) for name, ready, unacknowledged in rows}

    def connections(self) -> int:
        """Return how many connections are open."""
        lines = self.broker.control("list_connections", "-s", "vhost").splitlines()
        return lines.count(self.name)

    def close_connections(self) -> None:
        """Cut every connection, as an operator or a failing network would."""
        self.broker.control("close_all_connections", "-p", self.name, "test")


def _greets(port: int) -> bool:
    """Whether an AMQP server answers a wrong protocol header with its own."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AMQP\x00\x00\x00\x00")
            return connection.recv(4) == b"AMQP"
    except OSError:
        return False


@contextmanager
def broker(directory: Path) -> Iterator[Broker]:
    """Run a RabbitMQ on free ports in ``directory`` while the block runs."""
    if not (PROGRAMS / "rabbitmq-server").exists():
        reason = "RabbitMQ is missing: apt-get install rabbitmq-server"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    chosen = ports.pick(("node", "dist", "epmd"), ())
    server = Broker(directory, chosen["node"], chosen["dist"], chosen["epmd"])
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One RabbitMQ for the whole session; never kill it."""
    with broker(tmp_path_factory.mktemp("rabbitmq")) as server:
        server.add_vhosts(VHOSTS)
        yield server


@pytest.fixture
def vhost(rabbitmq: Broker) -> Iterator[Vhost]:
    """A virtual host of the session's broker, for one test."""
    yield rabbitmq.next_vhost()
    gc.collect()  # what a test leaves open is its own fault, not that of a later one


@pytest.fixture
def private_rabbitmq(tmp_path: Path) -> Iterator[Broker]:
    """A RabbitMQ that the test may kill and start again; has the virtual host v1. Mark the test loses_sockets."""
    with broker(tmp_path / "rabbitmq") as server:
        server.add_vhosts(1)
        yield server
    gc.collect()
