"""Calls to etcd over gRPC: endpoints, patience and errors. The only importer of etcd3aio, and only of its stubs.

etcd3aio's own watch and keep-alive lose events and leases, so nothing of it is used above the generated messages.
One gRPC channel per endpoint, not one for all: the certificate is then checked against the name that was called.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import etcd3aio._protobuf as messages
import grpc
import grpc.aio

from proto.errors import CascadeError, Malformed, Misconfigured, Stale, Unavailable

__all__ = ["Channels", "Compacted", "Endpoint", "LeaseLost", "messages", "translate"]

LOG = logging.getLogger(__name__)

DEFAULT_PORT = 2379
PATIENCE = 5.0  # s until a call that finds no etcd gives up
ATTEMPT = 2.0  # s for one try; a half-open connection costs no more than this
FIRST_PAUSE = 0.05  # s between two tries
LONGEST_PAUSE = 0.5  # s
FULL_RETRY = 30.0  # s; a full etcd needs its operator
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),  # etcd refuses less than 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # else two stores of a process share one connection and its backoff
]

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_NO_RIGHT = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class LeaseLost(Stale):
    """The lease has expired or was revoked; its keys are gone."""


class Compacted(Unavailable):
    """The revision asked for no longer exists, or does not exist yet: list again."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One etcd member."""

    target: str  # host:port
    secure: bool

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Return the endpoint of ``http(s)://host:port`` or ``host:port``; Misconfigured if it is neither."""
        url = urlsplit(text if "://" in text else f"http://{text}")
        try:
            port = url.port or DEFAULT_PORT
        except ValueError:
            port = 0
        if url.scheme not in ("http", "https") or not url.hostname or not port or url.path.strip("/"):
            raise Misconfigured(f"[etcd] endpoints: {text!r} is not of the form http://host:2379 or https://host:2379")
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return cls(f"{host}:{port}", url.scheme == "https")


class Channels:
    """The connections to all members; a call goes to one of them, and to the next if that one is away."""

    def __init__(
        self, endpoints: Sequence[str], ca_file: str | None, cert_file: str | None, key_file: str | None
    ) -> None:
        if not endpoints:
            raise Misconfigured("[etcd] endpoints is empty")
        self.names = ", ".join(endpoints)
        self._credentials = grpc.ssl_channel_credentials(
            _read(ca_file, "ca_file"), _read(key_file, "key_file"), _read(cert_file, "cert_file")
        )
        self._channels = [self._open(Endpoint.parse(text)) for text in endpoints]
        self._current = 0

    def _open(self, endpoint: Endpoint) -> Any:
        if endpoint.secure:
            return grpc.aio.secure_channel(endpoint.target, self._credentials, options=CHANNEL_OPTIONS)
        return grpc.aio.insecure_channel(endpoint.target, options=CHANNEL_OPTIONS)

    def current(self) -> Any:
        """Return the channel that calls go to now."""
        return self._channels[self._current % len(self._channels)]

    def next(self, failed: Any) -> None:
        """Send the next calls to another member than ``failed``, unless somebody has already seen to it."""
        if failed is self.current():
            self._current += 1

    async def call(self, method: Callable[[Any], Callable[..., Awaitable[Any]]], request: Any, what: str) -> Any:
        """Return the answer to ``method(channel)(request)``; tries again while etcd is away, for PATIENCE s.

        So a write may be carried out twice: it must be safe to repeat, or compare.
        """
        give_up = time.monotonic() + PATIENCE
        pause = FIRST_PAUSE
        while True:
            channel = self.current()
            left = max(0.1, give_up - time.monotonic())
            try:
                return await method(channel)(request, timeout=min(ATTEMPT, left))
            except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
                if time.monotonic() + pause > give_up or not _is_away(error):
                    raise translate(error, what) from error
            self.next(channel)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def close(self) -> None:
        """Close every connection; calls under way are cancelled."""
        for channel in self._channels:
            await channel.close()


def _is_away(error: Exception) -> bool:
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in _AWAY


def translate(error: Exception, what: str) -> CascadeError:
    """Return our error for one of gRPC."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return Unavailable(f"etcd: {what}: {error}")
    details = error.details() or error.code().name
    text = f"etcd: {what}: {details}"
    if error.code() in _NO_RIGHT:
        return Misconfigured(f"{text}; check [etcd] cert_file and key_file and the rights of that user")
    if error.code() == grpc.StatusCode.NOT_FOUND and "lease" in details:
        return LeaseLost(text)
    if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
        return Malformed(text)
    if error.code() == grpc.StatusCode.OUT_OF_RANGE:
        return Compacted(text)
    full = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return Unavailable(text, retry_after=FULL_RETRY) if full else Unavailable(text)


def _read(path: str | None, option: str) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Misconfigured(f"[etcd] {option}: cannot read {path}: {error.strerror}") from error
