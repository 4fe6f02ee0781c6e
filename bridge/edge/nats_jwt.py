"""NATS trust as text: keys, JWTs, .creds files and the server's configuration. The only importer of nkeys.

An operator signs one account; the account signs users. The server knows operator and account from its configuration
and checks users by signature, so a new site needs no reload. Format: nats-io/jwt v2 and NATS ADR-14, ADR-26.
"""

import base64
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nkeys

from proto import subjects
from proto.errors import Misconfigured

ACCOUNT = "CASCADE"  # bridges and sites
UNLIMITED = -1
REPLY_WITHIN = 120  # s a site may take to answer a query
MAX_DURABLES = 20_000  # per stream; nats-server 2.15 stops at 1,000 by default
MAX_PAYLOAD = 1024 * 1024  # bytes
FILE_STORE = "8TB"  # streams reserve their max_bytes; the disk's real size is watched by the operator


@dataclass(frozen=True, slots=True)
class Key:
    """One NATS identity: the public name, and the seed that signs as it."""

    public: str
    seed: str = field(repr=False)

    @classmethod
    def generate(cls, prefix: int) -> "Key":
        """Return a new random key of a kind (nkeys.PREFIX_BYTE_*)."""
        return cls.parse(nkeys.encode_seed(os.urandom(32), prefix).decode(), "a new key")

    @classmethod
    def parse(cls, seed: str, source: str) -> "Key":
        """Return the key of a seed; Misconfigured, naming ``source``, if it is none."""
        try:
            pair = nkeys.from_seed(seed.strip().encode())
            return cls(pair.public_key.decode().rstrip("="), seed.strip())
        except (nkeys.NkeysError, ValueError, IndexError) as error:
            raise Misconfigured(f"{source} holds no NATS seed: {error!r}") from error

    def sign(self, name: str, subject: str, claims: dict[str, Any]) -> str:
        """Return a JWT about ``subject`` in which this key asserts ``claims``."""
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "sub": subject, "nats": claims}
        digest = hashlib.sha256(_json(body)).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        text = f"{_base64(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_base64(_json(body))}"
        return f"{text}.{_base64(nkeys.from_seed(self.seed.encode()).sign(text.encode()))}"


def new_operator() -> Key:
    """Return a key that may sign accounts."""
    return Key.generate(nkeys.PREFIX_BYTE_OPERATOR)


def new_account() -> Key:
    """Return a key that may sign users."""
    return Key.generate(nkeys.PREFIX_BYTE_ACCOUNT)


@dataclass(frozen=True, slots=True)
class Credential:
    """One user: its public key, by which it is revoked, and the content of its .creds file."""

    public_key: str
    creds: str = field(repr=False)


def bridge_credential(account: Key, name: str) -> Credential:
    """Return a new user that may do everything inside the account: bridges and the ``cascade`` command."""
    return _user(account, name, {"pub": {}, "sub": {}})


def site_credential(account: Key, site: str) -> Credential:
    """Return a new user that may do for its own site what an agent does, and nothing else."""
    publish, subscribe = subjects.site_permissions(site)
    replies = {"max": 1, "ttl": REPLY_WITHIN * 1_000_000_000}
    return _user(account, f"site-{site}", {"pub": {"allow": publish}, "sub": {"allow": subscribe}, "resp": replies})


def _user(account: Key, name: str, permissions: dict[str, Any]) -> Credential:
    user = Key.generate(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED}
    token = account.sign(name, user.public, {**permissions, **limits, "type": "user", "version": 2})
    return Credential(user.public, _creds(token, user.seed))


def _creds(token: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


@dataclass(frozen=True, slots=True)
class Trust:
    """What a server must know to tell friend from foe; nothing secret."""

    operator_jwt: str
    system_account: str
    accounts: dict[str, str]  # public key -> JWT

    @classmethod
    def establish(cls, operator: Key, system: Key, account: Key) -> "Trust":
        """Return the trust in which ``operator`` vouches for the system account and for ours, with JetStream."""
        claims = {"type": "operator", "version": 2, "system_account": system.public}
        return cls(
            operator_jwt=operator.sign("cascade", operator.public, claims),
            system_account=system.public,
            accounts={
                system.public: operator.sign("SYS", system.public, _account_claims(jetstream=False)),
                account.public: operator.sign(ACCOUNT, account.public, _account_claims(jetstream=True)),
            },
        )


def _account_claims(jetstream: bool) -> dict[str, Any]:
    names = ["subs", "data", "payload", "imports", "exports", "conn", "leaf"]
    names += ["mem_storage", "disk_storage", "streams", "consumer"] if jetstream else []
    limits: dict[str, Any] = dict.fromkeys(names, UNLIMITED)
    return {"type": "account", "version": 2, "limits": {**limits, "wildcards": True}}


@dataclass(frozen=True, slots=True)
class Server:
    """One nats-server. ``sync_always``: every acknowledged message survives a power cut, at a third of the speed."""

    name: str
    host: str
    port: int
    store: Path
    sync_always: bool = True
    certificate: Path | None = None  # PEM; with key: TLS
    key: Path | None = None


def server_config(trust: Trust, server: Server) -> str:
    """Return the text of nats-server.conf."""
    preload = "\n".join(f"  {public}: {token}" for public, token in sorted(trust.accounts.items()))
    tls = f"tls {{ cert_file: {_quoted(server.certificate)}, key_file: {_quoted(server.key)} }}\n"
    return f"""\
server_name: {_quoted(server.name)}
listen: {_quoted(f"{server.host}:{server.port}")}
max_payload: {MAX_PAYLOAD}
{tls if server.certificate else ""}\
jetstream {{
  store_dir: {_quoted(server.store)}
  max_file_store: {FILE_STORE}
  sync_interval: {"always" if server.sync_always else "2m"}
  limits {{ default_max_consumers: {MAX_DURABLES} }}
}}
operator: {trust.operator_jwt}
system_account: {trust.system_account}
resolver: MEMORY
resolver_preload: {{
{preload}
}}
"""


def _quoted(value: object) -> str:
    return json.dumps(str(value))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
