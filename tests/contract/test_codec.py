"""The wire, read and written by an independent MessagePack; and its golden bytes, so that no change goes unnoticed.

wire/<Kind>.hex holds the bytes of a message, wire/<Kind>.json the JSON of what etcd and files hold. ``make rewrite``
writes them anew: a changed or missing line of the diff is a change that older bridges and agents will meet.
"""

import json
import os
from enum import Enum
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from proto import codec, messages, specs
from tests.fakes.messages import STORED, WIRE

GOLDEN = Path(__file__).parent / "wire"
REWRITE = "CASCADE_REWRITE" in os.environ
WIDTH = 96  # hex digits in a line

wire_messages = pytest.mark.parametrize("message", WIRE, ids=lambda message: type(message).__name__)
stored_values = pytest.mark.parametrize("value", STORED, ids=lambda value: type(value).__name__)


def plain(value: Any) -> Any:
    """Return a message as the maps, lists, numbers, texts and bytes that any MessagePack knows."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


@wire_messages
def test_an_independent_decoder_reads_our_bytes(message: msgspec.Struct) -> None:
    envelope = msgpack.unpackb(codec.encode(message))
    assert envelope == {"v": codec.SCHEMA_VERSION, "kind": type(message).__name__, "body": plain(message)}


@wire_messages
def test_we_read_the_bytes_of_an_independent_encoder(message: msgspec.Struct) -> None:
    envelope = {"body": plain(message), "kind": type(message).__name__, "v": codec.SCHEMA_VERSION}
    assert codec.decode(msgpack.packb(envelope), type(message)) == message


@wire_messages
def test_single_floats_and_wide_integers_of_another_encoder_are_read_too(message: msgspec.Struct) -> None:
    envelope = {"v": codec.SCHEMA_VERSION, "kind": type(message).__name__, "body": plain(message)}
    decoded = codec.decode(msgpack.packb(envelope, use_single_float=True), type(message))
    assert type(decoded) is type(message)


@wire_messages
def test_the_bytes_are_the_golden_ones(message: msgspec.Struct) -> None:
    digits = codec.encode(message).hex()
    text = "".join(f"{digits[start : start + WIDTH]}\n" for start in range(0, len(digits), WIDTH))
    assert golden(f"{type(message).__name__}.hex", text) == text


@wire_messages
def test_golden_bytes_are_still_read(message: msgspec.Struct) -> None:
    digits = (GOLDEN / f"{type(message).__name__}.hex").read_text().replace("\n", "")
    assert codec.decode(bytes.fromhex(digits), type(message)) == message


@stored_values
def test_what_is_stored_is_the_golden_json(value: msgspec.Struct) -> None:
    text = json.dumps(json.loads(codec.to_json(value)), indent=1) + "\n"
    assert golden(f"{type(value).__name__}.json", text) == text
    assert codec.from_json(text, type(value)) == value


def test_every_message_that_crosses_the_link_is_covered() -> None:
    """A new kind needs an example in tests/fakes/messages.py."""
    names = {**vars(messages), **vars(specs)}
    kinds = {kind for kind in names.values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}
    parts = {kind for kind in kinds if any(uses(other, kind) for other in kinds - {kind})}
    sealed = {specs.ServerSecrets}  # crosses only inside a Sealed
    assert kinds - parts - sealed <= {type(message) for message in WIRE + STORED}


@pytest.mark.parametrize("example", WIRE + STORED, ids=lambda example: type(example).__name__)
def test_no_field_of_an_example_has_its_default(example: msgspec.Struct) -> None:
    """Else the golden bytes would not show a change of it."""
    for field in msgspec.structs.fields(type(example)):
        value = getattr(example, field.name)
        assert value != field.default, field.name
        assert field.default_factory is msgspec.NODEFAULT or value != field.default_factory(), field.name


def golden(name: str, text: str) -> str:
    """Return what the golden file holds, after writing it anew if that is asked for."""
    path = GOLDEN / name
    if REWRITE:
        path.write_text(text, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def uses(kind: type[msgspec.Struct], part: type[msgspec.Struct]) -> bool:
    """Whether a message has a field of another message's type."""
    return any(part.__name__ in str(field.type) for field in msgspec.structs.fields(kind))
