"""What stands between bridge and sites on one machine: NATS, etcd, keys, and the bridge options to reach them."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.devcloud import ports
from deploy.embedded import servers
from deploy.embedded.servers import EtcdServer, NatsServer
from deploy.nats.files import make_sealing_key

REPOSITORY = Path(__file__).resolve().parents[2]
PORTS = ("nats", "etcd", "etcd_peer")
NAMES = ("nats", "etcd")


@dataclass(frozen=True, slots=True)
class Middle:
    """The directory ``middle`` of a state directory. Ports are chosen once and kept."""

    directory: Path

    @classmethod
    def default(cls) -> "Middle":
        """Return the one under $CASCADE_STATE_DIR, or under ``.state`` of this repository."""
        configured = os.environ.get("CASCADE_STATE_DIR")
        return cls((Path(configured).resolve() if configured else REPOSITORY / ".state") / "middle")

    @property
    def nats(self) -> NatsServer:
        """The nats-server, running or not."""
        return NatsServer(self.directory / "nats", self._ports()["nats"])

    @property
    def etcd(self) -> EtcdServer:
        """The etcd, running or not."""
        chosen = self._ports()
        return EtcdServer(self.directory / "etcd", chosen["etcd"], chosen["etcd_peer"])

    @property
    def sealing_key(self) -> Path:
        """The private key of the bridges."""
        return self.directory / "bridge-sealing.key"

    @property
    def config(self) -> Path:
        """Bridge options to reach all this; give it to --config-file, before one with the cascading cloud."""
        return self.directory / "middle.conf"

    def up(self, names: tuple[str, ...] = NAMES) -> None:
        """Start what is not running and wait for it; makes keys and configuration the first time."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._locked():
            make_sealing_key(self.sealing_key)
            self.config.write_text(self._options())
            if "nats" in names:
                servers.start_nats(self.nats.directory, self.nats.port)
            if "etcd" in names:
                servers.start_etcd(self.etcd.directory, self.etcd.port, self.etcd.peer_port)

    def down(self, names: tuple[str, ...] = NAMES) -> None:
        """Stop what was started here; what they hold stays. May be repeated."""
        if self.directory.exists():
            with self._locked():
                servers.stop([self.server(name) for name in names])

    def server(self, name: str) -> NatsServer | EtcdServer:
        """Return ``nats`` or ``etcd``."""
        return self.nats if name == "nats" else self.etcd

    def _ports(self) -> dict[str, int]:
        path = self.directory / "ports.json"
        if not path.exists():
            path.write_text(json.dumps(ports.pick(PORTS, ())))
        return {name: int(port) for name, port in json.loads(path.read_text()).items()}

    def _options(self) -> str:
        files = self.nats.files
        return f"""\
[nats]
servers = {self.nats.url}
credentials_file = {files.bridge_credentials}
account_key_file = {files.account_key}

[etcd]
endpoints = {self.etcd.url}

[bridge]
sealing_key_file = {self.sealing_key}
"""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
