"""The key files of a NATS installation: made once, then only read.

operator.seed   signs accounts; needed again only to change an account      keep it offline
system.seed     the server's own account; unused by Cascade                 keep it offline
account.seed    signs sites and bridges: [nats] account_key_file            where `cascade site add` runs
bridge.creds    the bridges' user: [nats] credentials_file                  every bridge
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge.edge import nats_jwt
from bridge.edge.nats_jwt import Key, Server, Trust
from bridge.operator.private_file import write_private
from proto.sealing import PrivateKey


@dataclass(frozen=True, slots=True)
class NatsFiles:
    """Where the files of one installation are; nothing is created by asking for a path."""

    directory: Path

    @property
    def account_key(self) -> Path:
        """The seed that signs sites and bridges."""
        return self.directory / "account.seed"

    @property
    def bridge_credentials(self) -> Path:
        """The .creds file of the bridges and of the ``cascade`` command."""
        return self.directory / "bridge.creds"

    @property
    def config(self) -> Path:
        """The server's configuration; holds no secret."""
        return self.directory / "nats-server.conf"

    def prepare(self, server: Server) -> None:
        """Make the keys that are missing and write the server's configuration; may be repeated."""
        self.directory.mkdir(parents=True, exist_ok=True)
        operator = self._key("operator.seed", nats_jwt.new_operator)
        system = self._key("system.seed", nats_jwt.new_account)
        account = self._key(self.account_key.name, nats_jwt.new_account)
        if not self.bridge_credentials.exists():
            write_private(self.bridge_credentials, nats_jwt.bridge_credential(account, "bridge").creds.encode())
        self.config.write_text(nats_jwt.server_config(Trust.establish(operator, system, account), server))

    def account(self) -> Key:
        """Return the account's key."""
        return Key.parse(self.account_key.read_text(), str(self.account_key))

    def _key(self, name: str, make: Callable[[], Key]) -> Key:
        path = self.directory / name
        if not path.exists():
            write_private(path, f"{make().seed}\n".encode())
        return Key.parse(path.read_text(), str(path))


def make_sealing_key(path: Path) -> None:
    """Make the bridges' private sealing key if it is missing."""
    if not path.exists():
        write_private(path, f"{PrivateKey.generate().base64}\n".encode())
