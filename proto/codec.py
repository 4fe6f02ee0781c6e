"""Messages to bytes and back: a MessagePack map {v, kind, body}. Unknown fields are ignored, unknown majors refused."""

from typing import Any, TypeVar

import msgspec

from proto.errors import Malformed

SCHEMA_VERSION = 1
MAX_MESSAGE_BYTES = 900 * 1024  # below the NATS default max_payload of 1 MiB, headers included

T = TypeVar("T", bound=msgspec.Struct)


class _Envelope(msgspec.Struct, frozen=True):
    v: int
    kind: str
    body: msgspec.Raw


def encode(message: msgspec.Struct) -> bytes:
    """Return the wire bytes of a message; Malformed if they would exceed MAX_MESSAGE_BYTES."""
    body = msgspec.Raw(msgspec.msgpack.encode(message))
    data = msgspec.msgpack.encode(_Envelope(v=SCHEMA_VERSION, kind=type(message).__name__, body=body))
    if len(data) > MAX_MESSAGE_BYTES:
        raise Malformed(f"{type(message).__name__} of {len(data)} bytes exceeds {MAX_MESSAGE_BYTES}")
    return data


def decode(data: bytes, kind: type[T]) -> T:
    """Return the message of the wanted kind; Malformed for anything else, whatever the bytes."""
    try:
        envelope = msgspec.msgpack.decode(data, type=_Envelope)
        if envelope.v != SCHEMA_VERSION:
            raise Malformed(f"schema version {envelope.v} is unknown here (this side speaks {SCHEMA_VERSION})")
        if envelope.kind != kind.__name__:
            raise Malformed(f"a {envelope.kind} where a {kind.__name__} belongs")
        return msgspec.msgpack.decode(envelope.body, type=kind)
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeError) as error:
        raise Malformed(f"not a {kind.__name__}: {error}") from error


def to_json(message: Any) -> bytes:
    """Return readable JSON of a message, for etcd values and people."""
    return msgspec.json.encode(message)


def from_json(data: bytes | str, kind: type[T]) -> T:
    """Return the message of the wanted kind from JSON; Malformed if it is not one."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise Malformed(f"not a {kind.__name__}: {error}") from error
